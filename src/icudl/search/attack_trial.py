"""What an attack setting is worth: the original's four objectives, summed over stays, and the fewest cells."""

from __future__ import annotations

import polars as pl

from icudl.artifacts import AttackResult


def attack_score(result: AttackResult, objective: str, n_critical: int) -> float:
    """Return what the best examples are worth: the sum over stays of a score; a stay without an example adds 0.

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
