"""Analyse: adversarial examples → where predictions hang."""

from __future__ import annotations

from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import AttackResult, GridDataset, SusceptibilityResult, TrainingResult
from icudl.errors import StageError
from icudl.execution.base import RunContext


def analyse(
    grid: GridDataset, training: TrainingResult, attack: AttackResult, options: AnalysisOptions, context: RunContext
) -> SusceptibilityResult:
    """Measure where, and by how little, the attacked predictions can be changed.

    Args:
        grid: What the models were trained on and the attack started from.
        training: Gives each attacked member's decision threshold.
        attack: Examples found.
        options: Filters and intervals.
        context: Random streams and progress.

    Returns:
        The tables that ``icudl.analysis.susceptibility`` documents; all of them exist for an attack without examples.

    Raises:
        StageError: Attack and grid do not have the same hours and variables.
    """
    shape, expected = (attack.n_hours, len(attack.variables)), grid.values.shape[1:]
    if shape != expected:
        raise StageError(
            f"the attack has {shape[0]} hours x {shape[1]} variables, the grid {expected[0]} x {expected[1]}. "
            "Both must come from one preprocessing; run the attack stage again."
        )
    thresholds = {member: checkpoint.threshold for member, checkpoint in training.checkpoints.items()}
    with context.progress.task("measuring susceptibility", total=4, unit="conditions") as bar:
        return analyse_attack(
            attack,
            options,
            lambda condition, example: context.rng("bootstrap", condition, example),
            thresholds,
            bar.advance,
        )
