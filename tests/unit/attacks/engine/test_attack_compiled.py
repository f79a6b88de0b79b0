"""The passes in C against autograd in double precision, and against the passes in torch."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attack_cases import make_case
from icudl.attacks.engine import AutogradEngine, Engine, choice, make_engine
from icudl.attacks.engine.compiled.engine import CompiledEngine
from icudl.attacks.engine.compiled.library import passes
from icudl.attacks.engine.compiled.summaries import CompiledSummaries
from icudl.attacks.engine.hours import HoursEngine
from icudl.attacks.engine.known import Known
from icudl.attacks.engine.terms import TermEngine
from icudl.attacks.engine.wide import WideEngine
from icudl.attacks.methods.greedy import GreedyAttack
from icudl.attacks.options import GreedyOptions
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors
from icudl.models.base import SequenceClassifier
from icudl.models.build import GROUP, build_model
from icudl.models.options import LstmSummaryOptions
from icudl.plugins import options_of
from icudl.preprocessing.features import columns_of, n_features
from icudl.preprocessing.scaling import InputOptions, prepare_inputs

pytestmark = pytest.mark.skipif(passes() is None, reason="no C compiler")

N_HOURS, N_VALUES, N_FEATURES = 7, 3, 8
COLUMNS = {"value": range(3), "observed": range(3, 6), "statics": range(6, 8)}


@functools.cache
def model_of(name: str, readout: str, hidden: int, *, bidirectional: bool, members: int) -> SequenceClassifier:
    torch.manual_seed(0)
    plugin = options_of(GROUP, name)
    options = {"readout": readout, "hidden_size": hidden, "bidirectional": bidirectional, "ensemble_size": members}
    model = build_model(plugin(fc_size=4, **options), N_FEATURES)
    training, hours = stays_of([7] * 40)
    for network in getattr(model, "networks", [model]):
        if hasattr(network, "wide"):
            network.prepare(training, hours, COLUMNS)
            network.wide.around.weight.data.normal_()
    return model.eval().requires_grad_(requires_grad=False)


def stays_of(lengths: list[int], seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values, what was charted (nothing of the first one), descriptors; NaN beyond the lengths."""
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), N_HOURS, N_VALUES, generator=rng)
    values[:, 2] = values[:, 1]
    observed = (torch.rand(values.shape, generator=rng) < 0.6).float()
    observed[0, :, 0] = 0.0
    statics = torch.randn(len(lengths), 1, 2, generator=rng).expand(-1, N_HOURS, -1)
    features, hours = torch.cat([values, observed, statics], dim=2), torch.tensor(lengths)
    features[torch.arange(N_HOURS) >= hours[:, None]] = torch.nan
    return features, hours


def changed(features: torch.Tensor, chance: float, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    variants = features.clone()
    where = torch.rand(variants[..., :N_VALUES].shape, generator=rng) < chance
    variants[..., :N_VALUES] += torch.where(where, 0.7, 0.0)
    return variants


def exact(model: SequenceClassifier, features: torch.Tensor, hours: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    difference, gradient = AutogradEngine(model.double()).difference_and_gradient(features.double(), hours)
    model.float()
    return difference.float(), gradient[..., :N_VALUES].float()


close = functools.partial(torch.testing.assert_close, rtol=1e-5, atol=5e-6)


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(["lstm", "gru", "lstm_summary", "gru_summary"]),
    readout=st.sampled_from(["attention", "mean", "final", "last_hour"]),
    hidden=st.sampled_from([1, 6, 8, 21]),
    bidirectional=st.booleans(),
    members=st.sampled_from([1, 3]),
    lengths=st.lists(st.integers(1, N_HOURS), min_size=1, max_size=4),
    chance=st.sampled_from([0.0, 0.05, 0.5]),
    seed=st.integers(0, 9),
)
def test_variants_anchors_and_gradients(
    name: str,
    readout: str,
    hidden: int,
    bidirectional: bool,
    members: int,
    lengths: list[int],
    chance: float,
    seed: int,
) -> None:
    model = model_of(name, readout, hidden, bidirectional=bidirectional, members=members)
    engine = make_engine(model)
    assert any(isinstance(part, CompiledEngine) for part in parts_of(engine))
    features, hours = stays_of(lengths, seed)
    memory = engine.remember(features, hours, N_VALUES)
    assert memory is not None
    origin = torch.arange(len(lengths)).repeat(5)
    first = changed(features[origin], chance, seed)
    expected, slopes = exact(model, first, hours[origin])
    known, moving = Known(memory, origin), first[..., :N_VALUES]
    close(engine.difference(moving, hours[origin], known), expected)
    difference, gradient, reach = engine.survey(moving, hours[origin], 0.1, known)
    close(difference, expected)
    close(gradient, slopes)
    is_changed = (moving != features[origin][..., :N_VALUES]) & ~moving.isnan()
    if reach is not None:
        near = engine.difference_and_gradient(moving, hours[origin], Known(memory, origin, torch.zeros_like(reach)))
        close(near[0], expected)
        close(near[1][is_changed], slopes[is_changed])
    # An anchor, and one that is reached from it: what is remembered of either serves its own variants.
    for step in (1, 2):
        anchor = engine.anchor(first[..., :N_VALUES], hours[origin], known)
        assert anchor is not None
        close(anchor[0], exact(model, first, hours[origin])[0])
        known = Known(anchor[1], torch.arange(len(origin)))
        first = changed(first, 0.05, seed + step)
        close(engine.difference(first[..., :N_VALUES], hours[origin], known), exact(model, first, hours[origin])[0])


def parts_of(engine: Engine) -> list[Engine]:
    return list(engine.engines) if isinstance(engine, TermEngine) else [engine]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_margin_does_not_depend_on_the_other_stays_of_a_batch(name: str) -> None:
    model = model_of(name, "attention", 21, bidirectional=True, members=3)
    engine = make_engine(model)
    assert isinstance(engine, CompiledEngine)
    features, hours = stays_of([7, 3, 5, 7, 1])
    known = Known(engine.remember(features, hours, N_VALUES), torch.arange(5).repeat(6))
    variants = changed(features[known.stays], 0.1, 3)[..., :N_VALUES]
    together = engine.difference(variants, hours[known.stays], known)
    for row in range(30):
        alone = Known(known.memory, known.stays[row : row + 1])
        one = engine.difference(variants[row : row + 1], hours[alone.stays], alone)
        assert one.item() == pytest.approx(together[row].item(), abs=1e-7)


def test_without_a_compiler_torch_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same examples of a search for which hundreds of margins and gradients are compared."""
    inputs = InputOptions(channels=("value", "observed", "hours_since"))
    grid, training = make_case(12, wrong=0, inputs=inputs)
    checkpoint, n_variables = training.checkpoints["final"], grid.values.shape[2]
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values, grid.lengths, np.zeros((12, 0), np.float32))
    stays = StayTensors.of(prepared, np.arange(12), "cpu")
    torch.manual_seed(0)
    options = LstmSummaryOptions(readout="attention", hidden_size=8, ensemble_size=2)
    model = build_model(options, n_features(inputs, n_variables)).eval().requires_grad_(requires_grad=False)
    compiled = CheckpointTarget.bind(checkpoint, model, stays)
    for network in model.networks:
        network.prepare(compiled.features(compiled.values), compiled.lengths, columns_of(inputs, n_variables))
    compiled = CheckpointTarget.bind(checkpoint, model, stays)
    kinds = {type(part) for part in parts_of(compiled.engine)}
    assert kinds == {CompiledEngine, WideEngine}
    monkeypatch.setattr(choice, "passes", lambda: None)
    monkeypatch.setattr(CompiledSummaries, "can_be_used", False)
    plain = CheckpointTarget.bind(checkpoint, model, stays)
    assert {type(part) for part in parts_of(plain.engine)} == {HoursEngine, WideEngine}
    found = GreedyAttack(GreedyOptions())(plain, range(12))
    monkeypatch.undo()
    again = GreedyAttack(GreedyOptions())(compiled, range(12))
    assert bool(found.found.any())
    assert torch.equal(found.first_iteration, again.first_iteration)
    torch.testing.assert_close(found.best, again.best, rtol=0, atol=1e-4)
