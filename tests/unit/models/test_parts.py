"""Networks that read records in parts: where values go, how far a wrong one moves a score, what is calibrated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.artifacts import Checkpoint
from icudl.errors import ConfigError, StageError
from icudl.models.build import load_charted
from icudl.models.charted.base import ClinicalStays
from icudl.models.charted.parts import PartsModel, limited, part_numbers
from icudl.models.options import SummaryOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.training.members import MemberJob, Plan, run_member
from icudl.training.options import TrainingOptions
from icudl.training.scores.scoring import risks
from training_grids import make_grid

GRID = make_grid(120, n_hours=8, seed=4)
INPUTS = InputOptions(statics=("age_years",), channels=("value", "observed"))
OPTIONS = SummaryOptions(parts=3, parts_limit=0.2)
TRAINING = TrainingOptions(max_epochs=2, bootstrap_samples=10, teacher="none")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    plan = Plan(
        grid=GRID,
        inputs=INPUTS,
        model=OPTIONS,
        training=TRAINING,
        seed=1,
        device="cpu",
        scratch=tmp_path_factory.mktemp("parts"),
    )
    return run_member(plan, MemberJob(fold=-1), lambda _units: None)


@pytest.fixture(scope="module")
def model(finished) -> PartsModel:
    charted = load_charted(finished.checkpoint)
    assert isinstance(charted, PartsModel)
    return charted


def stays_of(checkpoint: Checkpoint, rows: np.ndarray) -> ClinicalStays:
    statics = GRID.statics[rows][:, [GRID.static_names.index(name) for name in checkpoint.static_names]]
    return ClinicalStays(GRID.values[rows].copy(), GRID.lengths[rows], statics)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 5, 7]))
def test_every_charted_value_lies_in_one_part_and_neighbours_in_others(seed: int, parts: int) -> None:
    charted = np.random.default_rng(seed).random((3, 9, 4)) < 0.5
    numbers = part_numbers(charted, parts)
    assert ((numbers >= 0) == charted).all()
    assert numbers.max(initial=-1) < parts
    for stay in range(3):
        for variable in range(4):
            own = numbers[stay, charted[stay, :, variable], variable]
            assert (np.diff(own) % parts == 1 % parts).all()
            assert not len(own) or own[0] == variable % parts


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_wrong_scores_of_few_parts_move_the_score_by_as_many_places(data: st.DataObject) -> None:
    number = st.floats(-20, 20)
    parts = data.draw(st.sampled_from([3, 5, 7]))
    scores = np.array(data.draw(st.lists(number, min_size=parts, max_size=parts)))
    wrong = data.draw(st.integers(0, parts // 2))
    limit = data.draw(st.floats(0, 2))
    moved = scores.copy()
    for place in data.draw(st.permutations(range(parts)))[:wrong]:
        moved[place] = data.draw(number)
    whole = np.array([data.draw(number)])
    ordered, middle = np.sort(scores), parts // 2
    found = limited(whole, moved[:, None], limit)[0]
    assert ordered[middle - wrong] - limit <= found <= ordered[middle + wrong] + limit


def test_a_whole_record_within_the_limit_is_scored_as_it_is() -> None:
    assert limited(np.array([0.25, 9.0, -9.0]), np.array([[0.0] * 3, [0.2] * 3, [5.0] * 3]), 0.1).tolist() == (
        pytest.approx([0.25, 0.3, 0.1])
    )


def test_a_changed_value_moves_the_score_of_its_part_alone(model: PartsModel, finished) -> None:
    stays = stays_of(finished.checkpoint, np.arange(20))
    before = model.scores(stays)[1]
    charted = ~np.isnan(stays.values)
    part, moved = part_numbers(charted, model.parts), 0
    for stay in range(20):
        hour, variable = np.argwhere(charted[stay])[0]
        stays.values[stay, hour, variable] += 40
        own = part[stay, hour, variable]
        after = model.scores(stays.select(np.array([stay])))[1][:, 0]
        others = np.arange(model.parts) != own
        assert after[others] == pytest.approx(before[others, stay], abs=1e-5)
        moved += abs(after[own] - before[own, stay]) > 1e-3
    assert moved > 10


def test_records_that_are_the_same_get_the_score_that_each_gets_alone(model: PartsModel, finished) -> None:
    stays = stays_of(finished.checkpoint, np.array([0, 1, 0, 2, 1, 0]))
    together = model.logits(stays)
    alone = np.concatenate([model.logits(stays.select(np.array([row]))) for row in range(6)])
    assert together == pytest.approx(alone, abs=model.slack / 10)
    assert together[0] == together[2] == together[5]


def test_training_calibrates_and_scores_what_decides(model: PartsModel, finished) -> None:
    """The member's own risks are those of the model that is read back, and not those of the whole record."""
    scored = finished.scored
    again = risks(finished.checkpoint, GRID, scored, "cpu")
    assert finished.probabilities == pytest.approx(again, abs=1e-6)
    whole, of_parts = model.scores(stays_of(finished.checkpoint, scored))
    assert np.abs(whole - limited(whole, of_parts, model.limit)).max() > 0.01
    assert (again >= finished.threshold).tolist() == (again >= finished.checkpoint.threshold).tolist()


def test_the_same_network_without_parts_scores_the_whole_record(model: PartsModel, finished) -> None:
    plain = dataclasses.replace(finished.checkpoint, model=dataclasses.replace(OPTIONS, parts=1).to_dict())
    assert load_charted(plain) is None
    whole = model.scores(stays_of(plain, finished.scored))[0]
    assert risks(plain, GRID, finished.scored, "cpu") == pytest.approx(1 / (1 + np.exp(-whole)), abs=1e-6)


def test_options_at_their_defaults_leave_ids_alone() -> None:
    plain = SummaryOptions().to_dict(identity_only=True)
    assert "parts" not in plain
    assert "parts_limit" not in plain
    assert OPTIONS.to_dict(identity_only=True)["parts"] == 3
    assert SummaryOptions().differentiable
    assert not OPTIONS.differentiable
    assert not OPTIONS.imputed


def test_an_even_number_of_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"parts = 4 is even.*odd"):
        SummaryOptions(parts=4)


def test_a_network_in_parts_is_not_exported_as_its_whole_record_alone(finished) -> None:
    from icudl.interop.checkpoints.clinical import ClinicalModule

    with pytest.raises(StageError, match="in 3 parts"):
        ClinicalModule(finished.checkpoint)
