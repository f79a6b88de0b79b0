"""Analyse: from adversarial examples to the hours and variables that predictions depend on."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.attribution import Attributions, attribute_stays
from icudl.analysis.conditions import CONDITIONS, attacked_stays, example_sets
from icudl.analysis.importance import Explained, choose_explained, importance_tables
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.set_statistics import units_of_reading
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import FINAL, AttackResult, GridDataset, SusceptibilityResult, TrainingResult
from icudl.errors import StageError
from icudl.execution.context import RunContext
from icudl.models.options import read_options
from icudl.training.external import align_grid


def analyse(
    grid: GridDataset, training: TrainingResult, attack: AttackResult, options: AnalysisOptions, context: RunContext
) -> SusceptibilityResult:
    """Measure where, and by how little, the attacked predictions can be changed, and what they rest on.

    Args:
        grid: The attacked data set; variables of an external one are matched by name.
        training: Holds each attacked member and its decision threshold.
        attack: The examples that the attack found.
        options: How examples are filtered and intervals computed.
        context: Provides random streams and progress.

    Returns:
        The tables that ``icudl.analysis.susceptibility`` and, unless ``importance_stays`` is 0 or the model offers no
        gradient, ``icudl.analysis.importance`` document; all of them exist for an attack without examples.

    Raises:
        StageError: Attack and grid do not have the same hours and variables, or a checkpoint or stay is missing.
    """
    if grid.variables != attack.variables and str(FINAL) in training.checkpoints:
        grid = align_grid(grid, training.checkpoints[str(FINAL)])
    shape, expected = (attack.n_hours, len(attack.variables)), grid.values.shape[1:]
    if shape != expected:
        raise StageError(
            f"the attack has {shape[0]} hours x {shape[1]} variables, the grid {expected[0]} x {expected[1]}. "
            "Both must come from one preprocessing; run the attack stage again."
        )
    thresholds = {member: checkpoint.threshold for member, checkpoint in training.checkpoints.items()}
    total = units_of_reading(attack, options.bootstrap_samples)
    with context.progress.task("measuring susceptibility", total=total, unit="changes") as bar:
        result = analyse_attack(
            attack,
            options,
            lambda condition, example: context.rng("bootstrap", condition, example),
            thresholds,
            bar.advance,
        )
    kinds = [read_options(each.model) for each in training.checkpoints.values()]
    explainable = all(kind.differentiable and kind.imputed for kind in kinds)
    if options.importance_stays == 0 or not explainable:
        return result
    explained = _explain(grid, training, attack, options, context)
    streams = partial(context.rng, "bootstrap")
    return SusceptibilityResult(tables={**result.tables, **importance_tables(explained, attack, options, streams)})


def _explain(
    grid: GridDataset, training: TrainingResult, attack: AttackResult, options: AnalysisOptions, context: RunContext
) -> dict[str, Explained]:
    """Return, by condition, the attributions of a sample of the attacked stays."""
    thresholds = {member: checkpoint.threshold for member, checkpoint in training.checkpoints.items()}
    attacked = attacked_stays(attack, options, thresholds)
    chosen = choose_explained(attacked, options.importance_stays, context.rng("importance", "sample"))
    rows = _rows_of(grid, chosen)
    found = attribute_stays(
        training.checkpoints, grid, rows, chosen["member"].to_list(), options.importance_steps, context
    )
    best = {each.condition: each for each in example_sets(attacked, attack, options) if each.example == "best"}
    explained: dict[str, Explained] = {}
    for condition in CONDITIONS:
        stays = attacked.filter(pl.col("condition") == condition)
        own = np.flatnonzero(chosen["condition"].to_numpy() == condition)
        explained[condition] = Explained(
            attacked=stays,
            rows=np.searchsorted(stays["stay_id"].to_numpy(), chosen["stay_id"].to_numpy()[own]),
            attributions=Attributions(found.cells[own], found.rise[own]),
            examples=best[condition],
        )
    return explained


def _rows_of(grid: GridDataset, stays: pl.DataFrame) -> npt.NDArray[np.int64]:
    position = {int(stay): row for row, stay in enumerate(grid.stay_ids)}
    absent = [stay for stay in stays["stay_id"] if stay not in position]
    if absent:
        raise StageError(
            f"the attack has {len(absent)} stays that the grid lacks, first {absent[0]}. "
            "Both must come from one preprocessing; run the attack stage again."
        )
    return np.array([position[stay] for stay in stays["stay_id"]], dtype=np.int64)
