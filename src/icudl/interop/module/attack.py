"""Attack any torch module of (B, T, F) inputs: the attacks, checks and measures of the pipeline, without the pipeline.

>>> import torch, icudl
>>> attack = icudl.attack_module(my_module, inputs)  # doctest: +SKIP
>>> attack.result.stays  # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import FINAL, AttackResult, AttackStatus, GridDataset, SusceptibilityResult
from icudl.attacks.base import default_options
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.assembly import EXAMPLES, assemble
from icudl.attacks.run.outcome import CellColumns, ShardOutcome, attack_stays
from icudl.attacks.target.checkpoint import decision_shift
from icudl.errors import AttackError, ConfigError
from icudl.execution.context import seed_for
from icudl.interop.data_set import data_set_of
from icudl.interop.module.inputs import ModuleInputs, check_inputs
from icudl.interop.module.target import ModuleTarget, TwoLogits, frozen, two_logits
from icudl.models.base import SequenceClassifier
from icudl.variables import Variable

SAME = 1e-3
"""Logits count as equal if they differ by less than this, or by less than this share of a logit above 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleAttack:
    """The result of an attack on a module for N stays; stay n has the ``stay_id`` n in all tables.

    Attributes:
        result: Tables like those of the pipeline's attack: one row for each stay, one for each changed cell.
        first: (N, T, F) the first examples, exactly as they were verified; the inputs where no example was found.
        best: (N, T, F) the best examples.
        threshold: Decision threshold on the probability of class 1.
        seed: Root of the random streams.
    """

    result: AttackResult
    first: npt.NDArray[np.floating]
    best: npt.NDArray[np.floating]
    threshold: float
    seed: int

    @property
    def flipped(self) -> npt.NDArray[np.bool_]:
        """(N,) stays whose decision was flipped."""
        return (self.result.stays["status"] == AttackStatus.SUCCESS.value).to_numpy()

    def susceptibility(self, options: AnalysisOptions | None = None) -> SusceptibilityResult:
        """Return the measures over hours and variables (GMP, GAP, GPP, ...); see ``icudl.analysis.susceptibility``."""

        def stream(condition: str, example: str) -> np.random.Generator:
            return np.random.default_rng(seed_for(self.seed, "bootstrap", condition, example))

        return analyse_attack(self.result, options or AnalysisOptions(), stream, {str(FINAL): self.threshold})


def attack_module(
    module: nn.Module,
    inputs: Any,
    labels: Any = None,
    *,
    lengths: Any = None,
    attack: str | AttackOptions = "greedy",
    bounds: Any = (0.0, 1.0),
    mask: Any = None,
    variables: Sequence[Variable | str] | None = None,
    threshold: float = 0.5,
    seed: int = 0,
) -> ModuleAttack:
    """Look for the smallest changes of each stay that flip a module's decision.

    The module is called in eval mode, ``batch_size`` stays at a time, on its own device and in its own dtype. Its
    parameters, the modes of its parts and the global random state are unchanged afterwards.

    Args:
        module: (B, T, F) to logits: (B, 2), or (B, 1) or (B,) for class 1 alone. Never probabilities. A model of this
            package takes the fast engine.
        inputs: (N, T, F) tensor or array, in the module's own units.
        labels: (N,) 0 or 1: stays that the module gets wrong are not attacked. None attacks its own decisions.
        lengths: (N,) hours of each stay; hours beyond never change, and the module is called with (inputs, lengths).
            None for a module that takes inputs only.
        attack: Name of an attack, or its options. Distances are in units of each cell's range.
        bounds: Smallest and largest value of a cell: two numbers, or arrays that broadcast to (N, T, F).
        mask: Booleans that broadcast to (N, T, F): True where a cell may change. None frees all.
        variables: F names (those of the catalogue bring label and unit) or ``Variable`` values.
        threshold: Decision threshold on the probability of class 1.
        seed: Root of the random streams, for attacks that draw numbers.

    Raises:
        AttackError: The inputs have a wrong shape, are not finite or lie outside the bounds; or the module fails, gives
            something other than two logits, is not differentiable, or mixes the stays of a batch.
        ConfigError: An option has no meaning for a module, or the number of names is not that of the variables.
        PluginError: No attack has this name.
    """
    options = default_options(attack) if isinstance(attack, str) else attack
    _require_plain(options, threshold)
    given = check_inputs(module, inputs, labels, lengths, bounds, mask, variables)
    given = dataclasses.replace(given, free=given.free & _named(options, given))
    model = two_logits(module, takes_lengths=lengths is not None)
    shift = decision_shift(threshold)
    with frozen(module):
        probe(model, given)
        found = [
            _attack_batch(model, given, torch.arange(start, min(start + options.batch_size, len(given.inputs))), shift,
                          options, seed)
            for start in range(0, len(given.inputs), options.batch_size)
        ]  # fmt: skip
    grid = _as_data_set(given, [each.says_death for each in found])
    first, best = (np.concatenate([getattr(each, name) for each in found]) for name in EXAMPLES)
    return ModuleAttack(assemble([each.outcome for each in found], grid, options), first, best, threshold, seed)


def _require_plain(options: AttackOptions, threshold: float) -> None:
    fields = {field.name: field for field in dataclasses.fields(options)}
    for name in ("threat_model", "split", "max_stays"):
        value = getattr(options, name)
        if value != fields[name].default:
            raise ConfigError(
                f"attack.{name} = {value!r} has no meaning for a module: all the stays given are attacked, in their "
                "own cells. Leave it out; give bounds and a mask instead."
            )
    if not 0.0 < threshold < 1.0:
        raise ConfigError(f"threshold = {threshold!r} is no decision threshold. Expected a number between 0 and 1.")


def _named(options: AttackOptions, given: ModuleInputs) -> Tensor:
    """Return (F,) bool: the variables that ``options.variables`` lets change."""
    names = [variable.name for variable in given.variables]
    unknown = set(options.variables) - set(names)
    if unknown:
        raise ConfigError(f"attack.variables names {sorted(unknown)}. The inputs have {', '.join(names)}.")
    free = [not options.variables or name in options.variables for name in names]
    return torch.tensor(free, device=given.inputs.device)


def probe(model: SequenceClassifier | TwoLogits, given: ModuleInputs) -> None:
    """Check that a module in eval mode decides for each stay by that stay alone.

    Raises:
        AttackError: The module gives other logits the second time, or where a stay has other batch mates.
    """
    name = model.name if isinstance(model, TwoLogits) else type(model).__name__
    rows = slice(0, min(len(given.inputs), 4))
    with torch.no_grad():
        once, again = (model(given.inputs[rows], given.lengths[rows]) for _ in range(2))
        alone = torch.cat([model(given.inputs[[row]], given.lengths[[row]]) for row in range(len(once))])
    for other, when, advice in (
        (again, "the second time", "no random numbers in eval mode, which only registered submodules are put into"),
        (alone, "alone than in a batch", "a recurrent layer without batch_first=True is the usual cause"),
    ):
        difference = ((once - other).abs() / once.abs().clamp(min=1.0)).nan_to_num()
        if float(difference.max()) > SAME:
            raise AttackError(
                f"{name} gives a stay other logits {when}, by {float((once - other).abs().max()):.3g}. "
                f"Expected the same: {advice}."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class _Batch:
    outcome: ShardOutcome
    first: npt.NDArray[np.floating]
    best: npt.NDArray[np.floating]
    says_death: npt.NDArray[np.int8]


def _attack_batch(
    model: SequenceClassifier | TwoLogits,
    given: ModuleInputs,
    rows: Tensor,
    shift: float,
    options: AttackOptions,
    seed: int,
) -> _Batch:
    target = ModuleTarget.bind(
        model,
        given.inputs[rows],
        given.low[rows],
        given.high[rows],
        given.free[rows],
        given.lengths[rows],
        shift,
        confidence=options.kappa,
    )
    says_death = (target.sign > 0).cpu().numpy().astype(np.int8)
    labels = says_death if given.labels is None else given.labels[rows].cpu().numpy().astype(np.int8)
    seeds = np.array([seed_for(seed, "attack", stay) for stay in rows.tolist()], np.int64)
    outcome = attack_stays(model, target, labels, seeds, rows.numpy(), options)
    first, best = (_examples(target, outcome.cells, int(rows[0]), code) for code in range(len(EXAMPLES)))
    return _Batch(outcome, first, best, says_death)


def _examples(target: ModuleTarget, cells: CellColumns, start: int, code: int) -> npt.NDArray[np.floating]:
    """Return the (B, T, F) inputs of one example of each stay, as ``verify`` gave them to the module."""
    changed = cells.where(cells.example == code)
    change = torch.zeros_like(target.values)
    if len(changed.row):
        stay, hour, variable = (
            torch.from_numpy(part.astype(np.int64)).to(change.device)
            for part in (changed.row - start, changed.hour, changed.variable)
        )
        change[stay, hour, variable] = torch.from_numpy(changed.change).to(change)
    return target.clinical(target.values + change)


def _as_data_set(given: ModuleInputs, decisions: list[npt.NDArray[np.int8]]) -> GridDataset:
    """Return the stays as a data set of test stays, numbered from 0, for the tables of the result."""
    labels = np.concatenate(decisions) if given.labels is None else given.labels.cpu().numpy()
    values, lengths = given.inputs.float().cpu().numpy(), given.lengths.cpu().numpy()
    return data_set_of(values, lengths, labels, given.variables, is_test=True)
