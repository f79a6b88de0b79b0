"""Integrated gradients against captum and against a formula, and their agreement with susceptibility."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import polars as pl
import pytest
import torch
from susceptibility_cases import make_attack

from attack_cases import make_case
from icudl.analysis.attribution import (
    ROWS,
    AttributionData,
    AttributionJob,
    Attributions,
    attribute_job,
    integrated_gradients,
)
from icudl.analysis.conditions import attacked_stays, example_sets
from icudl.analysis.importance import Explained, choose_explained, importance_tables, spearman
from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackResult, GridDataset, TrainingResult
from icudl.attacks.options import ProximalOptions
from icudl.attacks.target.checkpoint import StayTensors
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.models.build import load_model
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics, to_unit
from icudl.stages.analyse import analyse
from icudl.stages.attack import attack as attack_stage


class Backwards:
    """An executor that runs the last job first, as workers may."""

    workers = 2

    def map(self, task, jobs, *, shared, tick=None, on_result=None):
        return [task(shared, job, tick or (lambda _: None)) for job in reversed(jobs)][::-1]


OPTIONS = AnalysisOptions(bootstrap_samples=15, importance_stays=16, importance_steps=8)
INPUTS = InputOptions(channels=("value", "observed", "hours_since"), scaling="standard")


@pytest.fixture(scope="module")
def case() -> tuple[GridDataset, TrainingResult]:
    return make_case(30, inputs=INPUTS)


@pytest.fixture
def attacked(case: tuple[GridDataset, TrainingResult], context: RunContext) -> AttackResult:
    options = ProximalOptions(iterations=15, refine=False, split="both")
    return attack_stage(*case, options, context)


def data_of(grid: GridDataset, training: TrainingResult, steps: int) -> AttributionData:
    statics = select_statics(grid, INPUTS)
    return AttributionData(training.checkpoints, grid.values, {"final": statics}, grid.lengths, steps, "cpu")


def test_attributions_equal_those_of_captum(case: tuple[GridDataset, TrainingResult]):
    from captum.attr import IntegratedGradients

    grid, training = case
    rows = np.arange(12)
    ours = attribute_job(data_of(grid, training, 20), AttributionJob("final", rows), lambda _: None)

    checkpoint = training.checkpoints["final"]
    inputs = prepare_inputs(
        checkpoint.scaler, INPUTS, grid.values[rows], grid.lengths[rows], select_statics(grid, INPUTS)[rows]
    )
    stays, model = StayTensors.of(inputs, rows, "cpu"), load_model(checkpoint, "cpu")

    def forward(unit: torch.Tensor) -> torch.Tensor:
        repeats = len(unit) // len(rows)
        repeated = [
            part.repeat(repeats, *[1] * (part.dim() - 1))
            for part in (stays.observed, stays.hours_since, stays.statics, stays.lengths)
        ]
        logits = model(assemble_features(unit, *repeated, checkpoint.scaler, INPUTS), repeated[-1])
        return logits[:, 1] - logits[:, 0]

    median = torch.from_numpy(to_unit(checkpoint.scaler, checkpoint.scaler.median))
    baseline = median.expand_as(stays.unit) * (torch.arange(stays.unit.shape[1]) < stays.lengths[:, None])[:, :, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = IntegratedGradients(forward).attribute(stays.unit, baseline, n_steps=20, method="gausslegendre")
    np.testing.assert_allclose(ours.cells, theirs.detach().numpy(), atol=2e-5)
    rise = (forward(stays.unit) - forward(baseline)).detach().numpy()
    np.testing.assert_allclose(ours.rise, rise, atol=2e-5)


def test_attributions_add_up_and_padding_gets_none(case: tuple[GridDataset, TrainingResult]):
    grid, training = case
    job = AttributionJob("final", np.arange(20))
    coarse, found = (attribute_job(data_of(grid, training, steps), job, lambda _: None) for steps in (2, 96))
    # The kinks of the ReLU keep the quadrature from converging faster.
    assert np.abs(found.error).mean() < 0.02 * np.abs(found.rise).mean()
    assert np.abs(found.error).mean() < 0.3 * np.abs(coarse.error).mean()
    beyond = np.arange(grid.values.shape[1]) >= grid.lengths[:20, None]
    assert beyond.any()
    assert (found.cells[beyond] == 0).all()


def test_attributions_of_a_quadratic_score_by_hand():
    # f = x0 ** 2 + 3 x1; from (1, 1) to (2, 0): IG_0 = 2 ** 2 - 1 ** 2 = 3, IG_1 = 3 * (0 - 1) = -3.
    # Of the second stay, whose score is twice as steep, twice as much.
    def score(stays: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        steepness = 1.0 + stays
        x0, x1 = values[:, 0, 0], values[:, 0, 1]
        slopes = torch.stack([2 * x0, torch.full_like(x1, 3.0)], dim=1)
        return steepness * (x0**2 + 3 * x1), (steepness[:, None] * slopes)[:, None, :]

    values, baseline = torch.tensor([[[2.0, 0.0]]] * 2), torch.tensor([[[1.0, 1.0]]] * 2)
    # Nodes in one call, or some in each of several.
    for steps in (4, ROWS + 3):
        found = integrated_gradients(score, values, baseline, steps)
        assert found.cells.ravel() == pytest.approx([3.0, -3.0, 6.0, -6.0], abs=1e-5)
        assert found.rise == pytest.approx([0.0, 0.0], abs=1e-6)


def test_spearman_by_hand_and_with_ties():
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: differences -1 1 -1 1 0, rho = 1 - 6 * 4 / (5 * 24) = 0.8
    assert spearman([10, 20, 30, 40, 50], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    # Ranks 1.5 1.5 3 and 1 2 3: covariance 1.5, variances 1.5 and 2
    assert spearman([7, 7, 9], [1, 2, 3]) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert np.isnan(spearman([1, 2], [1, 2]))


def test_importance_and_agreement_by_hand():
    examples = {1: {"best": [(0, 0, 0.4)]}, 2: {"best": [(0, 0, 0.2), (1, 2, 0.1)]}}
    attack = make_attack(examples, failed=[3], scale=(1.0, 1.0, 1.0))
    stays = attacked_stays(attack, AnalysisOptions())
    best = next(each for each in example_sets(stays, attack, AnalysisOptions()) if each.example == "best")
    cells = np.zeros((2, 2, 3))
    cells[0, 0], cells[1, 1] = (0.6, -0.2, 0.1), (0.4, 0.0, -0.3)
    explained = Explained(stays, np.array([0, 2]), Attributions(cells, cells.sum(axis=(1, 2))), best)
    tables = importance_tables({"survival_to_death": explained}, attack, OPTIONS, lambda *_: np.random.default_rng(0))
    variables = tables["importance"]
    assert variables["importance"].to_list() == pytest.approx([(0.6 + 0.4) / 2, 0.2 / 2, (0.1 + 0.3) / 2])
    assert variables["towards_death"].to_list() == pytest.approx([0.5, -0.1, -0.1])
    assert variables["quadrature_error"].to_list() == pytest.approx([0.0] * 3)
    assert tables["importance_cells"]["importance"].to_list() == pytest.approx([0.3, 0.1, 0.05, 0.2, 0.0, 0.15])
    # Importance ranks the variables 0, 2, 1; S is 0.4, 0, 0.05 (half of 0.1): the same order.
    agreed = tables["agreement"].filter(pl.col("level") == "variable", pl.col("measure") == "s")
    assert agreed["spearman"].to_list() == pytest.approx([1.0])
    assert agreed["points"].to_list() == [3]


def test_sample_is_balanced_as_far_as_it_can_be():
    attack = make_attack({}, failed=range(40), deaths=range(4))
    stays = attacked_stays(attack, AnalysisOptions())
    rng = np.random.default_rng(0)
    assert choose_explained(stays, 6, rng)["label"].sum() == 3
    assert (choose_explained(stays, 20, rng)["label"].sum(), choose_explained(stays, 20, rng).height) == (4, 20)
    assert choose_explained(stays, 1000, rng).height == 40
    assert choose_explained(stays.head(0), 10, rng).height == 0


def test_stage_adds_importance_whatever_the_order_of_jobs(
    case: tuple[GridDataset, TrainingResult], attacked: AttackResult, context: RunContext
):
    one = analyse(*case, attacked, OPTIONS, context)
    assert one.tables["importance"]["variable"].n_unique() == len(attacked.variables)
    assert (one.tables["importance"]["importance"] > 0).any()
    assert one.tables["importance"]["quadrature_error"].to_numpy().max() < 0.2
    assert set(one.tables["agreement"]["level"]) == {"variable", "hour", "cell"}
    assert one.tables["agreement"]["spearman"].drop_nulls().is_between(-1, 1).all()
    two = analyse(*case, attacked, OPTIONS, dataclasses.replace(context, executor=Backwards()))
    for name, table in one.tables.items():
        assert table.equals(two.tables[name]), name
    without = analyse(*case, attacked, dataclasses.replace(OPTIONS, importance_stays=0), context)
    assert "importance" not in without.tables


def test_stage_without_examples_and_with_strange_stays(
    case: tuple[GridDataset, TrainingResult], attacked: AttackResult, context: RunContext
):
    wrong = attacked.stays.with_columns(status=pl.lit("misclassified"))
    nobody = dataclasses.replace(attacked, stays=wrong, perturbations=attacked.perturbations.head(0))
    empty = analyse(*case, nobody, OPTIONS, context)
    assert [empty.tables[name].height for name in ("importance", "importance_cells", "agreement")] == [0, 0, 0]
    strange = dataclasses.replace(attacked, stays=attacked.stays.with_columns(pl.col("stay_id") + 10**6))
    with pytest.raises(StageError, match="that the grid lacks"):
        analyse(*case, strange, OPTIONS, context)
    lost = dataclasses.replace(case[1], checkpoints={})
    with pytest.raises(StageError, match="has only"):
        analyse(case[0], lost, attacked, OPTIONS, context)
