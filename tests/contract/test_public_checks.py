"""Each public check fails for a plug-in that breaks its promise, and for that reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
import torch
from torch import Tensor, nn

from icudl.artifacts import SourceTables
from icudl.errors import StageError
from icudl.execution.base import Executor
from icudl.execution.context import RunContext
from icudl.execution.serial import SerialExecutor
from icudl.models.base import SequenceClassifier
from icudl.models.options import ModelOptions
from icudl.sources import count_unknown_names
from icudl.sources.base import SourceFingerprint, WindowOptions
from icudl.sources.synthetic.options import SyntheticOptions
from icudl.sources.synthetic.source import SyntheticSource
from icudl.testing import EXECUTOR_CHECKS, SOURCE_CHECKS, check_counts_unknown_names
from icudl.testing import model as of_models
from icudl.variables import Variable


class Sound(SequenceClassifier):
    """Keeps every promise: the mean of the hours and a linear layer."""

    def __init__(self, options: ModelOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.out = nn.Linear(n_features, 2)

    def summary(self, features: Tensor, lengths: Tensor) -> Tensor:
        inside = (torch.arange(features.shape[1]) < lengths[:, None])[:, :, None]
        return features.masked_fill(~inside, 0.0).sum(dim=1) / lengths[:, None]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return self.out(self.summary(features, lengths))

    def absorb(self, scale: float, shift: float) -> None:
        with torch.no_grad():
            self.out.weight.mul_(scale)
            self.out.bias.mul_(scale)
            self.out.bias.add_(torch.tensor([-shift / 2, shift / 2]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpaceOfNothing(ModelOptions):
    SPACE: ClassVar[Mapping[str, Any]] = {"model.depth": {"choices": [1, 2]}}


class NamesSpaceOfNothing(Sound):
    Options = SpaceOfNothing


class CitesAList(Sound):
    citations: ClassVar[Any] = ["a list"]


class Probabilities(Sound):
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return torch.softmax(super().forward(features, lengths), dim=1)


class ReadsPadding(Sound):
    def summary(self, features: Tensor, lengths: Tensor) -> Tensor:
        return features.mean(dim=1)


class NeedsCompany(Sound):
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits = super().forward(features, lengths)
        return logits - logits.mean(dim=0)


class Dices(Sound):
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(features, lengths) + torch.rand(2)


class HasIdleWeights(Sound):
    def __init__(self, options: ModelOptions, n_features: int) -> None:
        super().__init__(options, n_features)
        self.idle = nn.Linear(2, 2)


class DividesByDeviation(Sound):
    def summary(self, features: Tensor, lengths: Tensor) -> Tensor:
        return super().summary(features, lengths) / features.flatten(0, 1).std(dim=0)


class AbsorbsNothing(Sound):
    def absorb(self, scale: float, shift: float) -> None:
        pass


class HidesStateFromCheckpoints(Sound):
    """Keeps its scale where ``state_dict`` does not see it."""

    factor = 1.0

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return super().forward(features, lengths) * self.factor

    def absorb(self, scale: float, shift: float) -> None:
        super().absorb(1.0, shift / scale)
        self.factor = scale


@pytest.mark.parametrize("check", of_models.MODEL_CHECKS, ids=lambda check: check.__name__)
def test_a_sound_model_passes(check: of_models.ModelCheck) -> None:
    check(Sound)


@pytest.mark.parametrize(
    ("check", "model", "reason"),
    [
        (of_models.check_names_its_options, NamesSpaceOfNothing, "no option that can vary"),
        (of_models.check_names_its_options, CitesAList, "not a tuple of strings"),
        (of_models.check_gives_two_logits, Probabilities, "probabilities"),
        (of_models.check_padding_changes_nothing, ReadsPadding, "padding"),
        (of_models.check_independent_of_company, NeedsCompany, "batch"),
        (of_models.check_eval_mode_repeats_itself, Dices, "differ"),
        (of_models.check_every_parameter_learns, HasIdleWeights, "no gradient reaches idle.weight, idle.bias"),
        (of_models.check_survives_a_missing_variable, DividesByDeviation, "infinite"),
        (of_models.check_absorbs_calibration, AbsorbsNothing, "absorb"),
        (of_models.check_makes_itself_again, HidesStateFromCheckpoints, "state dict"),
    ],
)
def test_a_broken_model_is_found(check: of_models.ModelCheck, model: Any, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        check(model)


class Broken(SerialExecutor):
    """A serial executor with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def run(self, task: Any, jobs: Sequence[Any], *, shared: Any, on_result: Any, tick: Any = None) -> None:
        if self.fault == "order":
            super().run(task, jobs, shared=shared, on_result=lambda index, _: on_result(index, 0), tick=tick)
        elif self.fault == "greedy":
            held = list(jobs)
            super().run(task, held, shared=shared, on_result=on_result, tick=tick)
        elif self.fault == "invents" and not jobs:
            on_result(0, 1)
        elif self.fault == "rephrases":
            try:
                super().run(task, jobs, shared=shared, on_result=on_result, tick=tick)
            except StageError as error:
                raise StageError(f"a job failed: {error}") from error
        elif self.fault == "threads":
            before = torch.get_num_threads()
            torch.set_num_threads(2)
            try:
                super().run(task, jobs, shared=shared, on_result=on_result, tick=tick)
            finally:
                torch.set_num_threads(before)

    def map(self, task: Any, jobs: Sequence[Any], **more: Any) -> list[Any]:
        return [1] if self.fault == "invents" and not jobs else super().map(task, jobs, **more)


class Unnamed(Broken):
    """An executor whose options are of no class of ours."""

    Options: ClassVar[Any] = dict


FAULTS = dict(zip(("order", "greedy", "invents", "rephrases", "threads", "unnamed"), EXECUTOR_CHECKS, strict=True))


@pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=lambda check: check.__name__)
def test_the_serial_executor_passes(check: Callable[[Callable[[], Executor]], None]) -> None:
    check(SerialExecutor)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_executor_is_found(fault: str) -> None:
    with pytest.raises(AssertionError):
        FAULTS[fault](lambda: Unnamed(fault) if fault == "unnamed" else Broken(fault))


class BrokenSource(SyntheticSource):
    """The synthetic hospital with one fault."""

    def __init__(self, fault: str, tables: SourceTables) -> None:
        super().__init__(SyntheticOptions(patients=40), 5)
        self.fault, self.tables, self.calls = fault, tables, 0
        if fault == "check_is_a_source":
            self.citations = ["a list"]  # type: ignore[assignment]

    def reach(self) -> str:
        return "" if self.fault == "check_is_reached" else super().reach()

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        sound = super().fingerprint(memory)
        return dataclasses.replace(sound, details={"path": str(memory)}) if "fingerprint" in self.fault else sound

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        self.calls += 1
        hours = self.tables.hours.filter(pl.col("hour") < window.hours)
        stays = self.tables.stays
        shift = {"check_extraction_repeats_itself": 0.01 * self.calls, "check_window_cuts_first": 0.01 * window.hours}
        if self.fault in shift:
            hours = hours.with_columns(pl.col("mean") + shift[self.fault])
        if self.fault == "check_values_are_plausible":
            hours = hours.with_columns(pl.col("mean") * 1000)
        if self.fault == "check_tables_belong_together":
            stays = stays.head(3)
        if self.fault == "check_deaths_are_consistent":
            stays = stays.with_columns(death_hours=pl.lit(60.0))
        if self.fault == "check_no_date_leaves_the_source":
            return _WithDates(stays, hours, self.tables.cleaning, variables, window.hours, population="x")
        named = "else" if self.fault == "check_says_whose_patients_these_are" else self.population
        outcomes = self.tables.outcomes
        if self.fault == "check_tells_the_outcomes_it_names":
            outcomes = outcomes.select("stay_id")
        return SourceTables(
            stays, hours, self.tables.cleaning, variables, window.hours, population=named, outcomes=outcomes
        )


class _WithDates(SourceTables):
    def __post_init__(self) -> None:
        dated = self.stays.with_columns(admitted=pl.lit("2020-01-01").str.to_date())
        object.__setattr__(self, "stays", dated)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> SourceTables:
    from icudl.testing.source import extract

    return extract(SyntheticSource(SyntheticOptions(patients=40), 5), tmp_path_factory.mktemp("source") / "scratch", 48)


@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_a_source_without_a_fault_passes_and_one_with_it_fails(
    check: Any, tables: SourceTables, tmp_path: Path
) -> None:
    check(BrokenSource("", tables), tmp_path / "sound")
    with pytest.raises(AssertionError):
        check(BrokenSource(check.__name__, tables), tmp_path / "broken")


def test_unknown_names_that_are_not_counted_are_found(tables: SourceTables, tmp_path: Path) -> None:
    counted = pl.concat([tables.cleaning, count_unknown_names(pl.Series(["hart rate", "hart rate"]))])
    sound = BrokenSource("", dataclasses.replace(tables, cleaning=counted))
    check_counts_unknown_names(sound, tmp_path / "sound", {"hart rate": 2})
    for number, unknown in enumerate(({}, {"hart rate": 1}, {"hart rate": 2, "sp02": 1})):
        with pytest.raises(AssertionError, match="unknown name"):
            check_counts_unknown_names(sound, tmp_path / f"broken-{number}", unknown)
