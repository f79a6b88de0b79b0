"""Variants of a known stay: reading only the hours that differ must change nothing but the time it takes."""

import dataclasses

import numpy as np
import pytest
import torch

from attack_cases import make_case
from icudl.attacks.engine import AutogradEngine, Engine, make_engine
from icudl.attacks.engine.known import Known
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import Entries, StayTensors, grid_cells, measured_cells
from icudl.models.build import build_model, load_model
from icudl.models.options import GROUP
from icudl.plugins import options_of
from icudl.preprocessing.scaling import InputOptions, prepare_inputs

N_HOURS = 7


def engine_of(name: str = "lstm", **options: object) -> tuple[Engine, AutogradEngine]:
    torch.manual_seed(0)
    model = build_model(options_of(GROUP, name)(**{"hidden_size": 6, "fc_size": 5} | options), 4).eval()
    return make_engine(model.double()), AutogradEngine(model)


def variants(stays: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every stay unchanged, changed in each single hour, and changed in its first and last hour."""
    features, origin = [], []
    for stay, length in enumerate(lengths.tolist()):
        for hours in [(), *((hour,) for hour in range(length)), (0, length - 1)]:
            changed = stays[stay].clone()
            changed[list(hours), 1] += 0.5
            features.append(changed)
            origin.append(stay)
    return torch.stack(features), torch.tensor(origin)


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("readout", ["final", "last_hour", "mean", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [3, 7, 1, 5]], ids=["full", "ragged"])
def test_equal_to_reading_everything(name: str, readout: str, bidirectional: bool, lengths: list[int]) -> None:
    engine, reference = engine_of(name=name, readout=readout, bidirectional=bidirectional)
    rng = torch.Generator().manual_seed(1)
    hours = torch.tensor(lengths)
    stays = torch.rand(len(lengths), N_HOURS, 4, generator=rng, dtype=torch.float64)
    stays[torch.arange(N_HOURS) >= hours[:, None]] = torch.nan
    memory = engine.remember(stays, hours)
    assert memory is not None
    features, origin = variants(stays, hours)
    order = torch.randperm(len(origin), generator=rng)
    features, origin = features[order], origin[order]
    expected = reference.difference(features, hours[origin])
    found = engine.difference(features, hours[origin], Known(memory, origin))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    # whatever the engine does in between, what it remembers stays
    engine.difference_and_gradient(features[:3], hours[origin[:3]])
    again = engine.difference(features, hours[origin], Known(memory, origin))
    assert torch.equal(found, again)


def test_hours_before_the_change_are_not_read() -> None:
    engine, _ = engine_of(bidirectional=False)
    hours = torch.full((2,), N_HOURS)
    stays = torch.rand(2, N_HOURS, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    memory = engine.remember(stays, hours)
    changed = stays.clone()
    changed[:, 5] += 0.5
    read = []
    product = engine.forward_direction.product
    engine.forward_direction.product = lambda rows: read.append(len(rows)) or product(rows)
    engine.difference(changed, hours, Known(memory, torch.arange(2)))
    assert len(read) == 2
    engine.difference(stays, hours, Known(memory, torch.arange(2)))
    assert len(read) == 2


@pytest.mark.parametrize("options", [{"readout": "max"}, {"n_layers": 2}], ids=str)
def test_models_that_need_every_hour_are_read_whole(options: dict[str, object]) -> None:
    engine, _ = engine_of(**options)
    assert engine.remember(torch.rand(2, N_HOURS, 4, dtype=torch.float64), torch.full((2,), N_HOURS)) is None


@pytest.mark.parametrize("threat_model", ["grid", "measured"])
@pytest.mark.parametrize(
    "inputs",
    [InputOptions(), InputOptions(channels=("value", "observed", "hours_since"), imputation="linear")],
    ids=["values", "channels"],
)
def test_margins_of_a_target_do_not_depend_on_what_it_remembers(threat_model: str, inputs: InputOptions) -> None:
    grid, training = make_case(12, wrong=0, inputs=inputs)
    checkpoint = training.checkpoints["final"]
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values, grid.lengths, np.zeros((12, 0), np.float32))
    stays = StayTensors.of(prepared, np.arange(12), "cpu")
    cells = grid_cells(stays)
    if threat_model == "measured":
        means, counts = grid.values.astype(np.float64), grid.counts.astype(np.int64)
        cells = measured_cells(stays, Entries(means, counts, checkpoint.scaler, checkpoint.variables))
    target = CheckpointTarget.bind(checkpoint, load_model(checkpoint, "cpu"), stays, cells)
    assert target.memory is not None
    forgetful = dataclasses.replace(target, memory=None)
    rows = torch.tensor([3, 3, 0, 11, 5, 3])
    rng = torch.Generator().manual_seed(2)
    chance = torch.rand(len(rows), *target.values.shape[1:], generator=rng)
    values = torch.where(target.attackable[rows] & (chance < 0.05), target.upper[rows], target.values[rows])
    found = target.select(rows).margin(values)
    torch.testing.assert_close(found, forgetful.select(rows).margin(values), rtol=0, atol=2e-6)
    torch.testing.assert_close(found, target.select(rows).margin_and_gradient(values)[0], rtol=0, atol=2e-6)


@pytest.mark.parametrize("readout", ["final", "last_hour", "attention"])
@pytest.mark.parametrize("lengths", [[7, 7, 7], [3, 7, 1, 5]], ids=["full", "ragged"])
def test_gradient_is_exact_as_far_back_as_it_is_followed(readout: str, lengths: list[int]) -> None:
    """What is beyond the reach is left out, and nothing else."""
    engine, reference = engine_of(readout=readout)
    rng = torch.Generator().manual_seed(1)
    hours = torch.tensor(lengths)
    stays = torch.rand(len(lengths), N_HOURS, 4, generator=rng, dtype=torch.float64)
    stays[torch.arange(N_HOURS) >= hours[:, None]] = 0.0
    memory = engine.remember(stays, hours)
    assert memory is not None
    difference, gradient, reach = engine.survey(stays, hours, 0.1)
    expected = reference.difference_and_gradient(stays, hours)
    torch.testing.assert_close((difference, gradient), expected)
    assert reach is not None
    assert (reach.amax(dim=1) >= 1).all()
    assert (reach <= hours[:, None]).all()
    origin = torch.arange(len(lengths))
    whole = engine.difference_and_gradient(stays, hours, Known(memory, origin, hours[:, None].expand_as(reach)))
    torch.testing.assert_close(whole, expected)
    close = engine.difference_and_gradient(stays, hours, Known(memory, origin, reach))
    torch.testing.assert_close(close[0], expected[0])
    # What is left out is faint: at most a tenth of the steepest slope for each direction.
    missing = (close[1] - expected[1]).abs().amax(dim=(1, 2))
    assert (missing <= 0.2 * expected[1].abs().amax(dim=(1, 2))).all()
    nothing = engine.difference_and_gradient(stays, hours, Known(memory, origin, torch.zeros_like(reach)))
    torch.testing.assert_close(nothing[0], expected[0])


@pytest.mark.parametrize("readout", ["final", "last_hour", "attention"])
def test_gradient_on_changed_cells_is_exact(readout: str) -> None:
    engine, reference = engine_of(readout=readout)
    hours = torch.full((N_HOURS,), N_HOURS)
    stays = torch.rand(N_HOURS, N_HOURS, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    memory = engine.remember(stays, hours)
    changed = stays.clone()
    for stay in range(N_HOURS):
        changed[stay, stay] += 0.5
        changed[stay, min(stay + 2, N_HOURS - 1)] += 0.5
    is_changed = changed != stays
    n_directions = 1 if readout == "last_hour" else 2
    known = Known(memory, torch.arange(N_HOURS), torch.zeros(N_HOURS, n_directions, dtype=torch.int64))
    difference, gradient = engine.difference_and_gradient(changed, hours, known)
    expected, expected_gradient = reference.difference_and_gradient(changed, hours)
    torch.testing.assert_close(difference, expected)
    torch.testing.assert_close(gradient[is_changed], expected_gradient[is_changed])
