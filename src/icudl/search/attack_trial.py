"""One trial of an attack search: an attack on a sample of stays, and the score of its examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import AttackResult, Checkpoint, GridDataset, TrialState
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.runner import run_attack
from icudl.execution.context import RunContext, SilentProgress
from icudl.search.space import apply_parameters
from icudl.search.study import Asked, known_outcome
from icudl.search.trials import Outcome, Trials, remove_work


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AttackSearch:
    """The inputs that all trials share.

    Attributes:
        checkpoints: By member; each stay is attacked through one that was not fitted on it.
        grid: All stays.
        rows: (n,) positions of the sample.
        attack: The options that do not vary.
        n_critical: Most changed cells that count (``attack_score``).
        store: Keeps the outcomes.
        scratch: Folder of unfinished trials.
    """

    checkpoints: Mapping[str, Checkpoint]
    grid: GridDataset
    rows: npt.NDArray[np.int64]
    attack: AttackOptions
    n_critical: int
    store: Trials
    scratch: Path


def run_attack_trial(search: AttackSearch, trial: Asked, context: RunContext) -> Outcome | None:
    """Run a trial, or return None where another process is running it.

    The stays of a trial are divided among the workers of ``context``. A trial that was killed keeps the stays that it
    has finished, and continues with the others.

    Raises:
        AttackError: The model is not differentiable.
    """
    with search.store.claim(trial.number) as free:
        if not free:
            return None
        outcome = known_outcome(search.store, trial)
        if outcome is None:
            options = cast("AttackOptions", apply_parameters(trial.parameters, {"attack": search.attack})["attack"])
            shards = search.scratch / f"trial-{trial.number}.shards"
            shards.mkdir(exist_ok=True)
            quiet = dataclasses.replace(context, scratch=shards, progress=SilentProgress())
            result = run_attack(search.checkpoints, search.grid, search.rows, options, quiet)
            value = attack_score(result, trial.rules.objective.metric, search.n_critical)
            outcome = Outcome(number=trial.number, parameters=trial.parameters, state=TrialState.COMPLETE, value=value)
            remove_work(search.scratch, trial.number)
            outcome = search.store.keep(outcome)
        return outcome


def attack_score(result: AttackResult, objective: str, n_critical: int) -> float:
    """Return the score of the best examples: a sum over stays, to which a stay without an example adds 0.

    With the share f of changed cells among the stay's hours times variables, the scores of an example P are
    ``sparsity`` = 1 - f, ``sparse_small`` = sparsity / ||P||_1, ``sparse_small_max`` = sparsity / max |P|, and
    ``max_num_nonzero_perts`` = 1 where at most ``n_critical`` cells are changed, else 0 (the original's objectives).
    ``smallest_l0`` is the number of stays with an example plus 1 / (1 + mean L0 of the examples): settings that flip
    more stays come first, and among them the one that changes the fewest cells.

    Args:
        result: An attack on the sample of stays.
        objective: One of the five names.
        n_critical: Most changed cells that count.
    """
    found = result.stays.filter(pl.col("best_l0").is_not_null() & (pl.col("best_l0") > 0))
    if objective == "smallest_l0":
        mean = found.select(pl.col("best_l0").cast(pl.Float64).mean()).item()
        return len(found) + 1 / (1 + mean) if mean is not None else 0.0
    cells = pl.col("length").cast(pl.Float64) * len(result.variables)
    sparsity = 1 - pl.col("best_l0") / cells
    scores = {
        "sparsity": sparsity,
        "max_num_nonzero_perts": (pl.col("best_l0") <= n_critical).cast(pl.Float64),
        "sparse_small": sparsity / pl.col("best_l1"),
        "sparse_small_max": sparsity / pl.col("best_linf"),
    }
    total = found.select(scores[objective].sum()).item()
    return float(total or 0.0)
