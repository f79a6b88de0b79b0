"""How much do the first hours of a synthetic stay tell of its end, and how much would a leak of later hours add?

Cross-validated AUROC of a logistic regression on mean, lowest, highest and last value of each variable, in the default
cohort (adults, ICU stay of at least 48 hours, alive at hour 48), folds by patient.

    python benchmarks/data/synthetic_signal.py --patients 3000 --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

WINDOW, LEAK = 48, 120


def hourly(patients: int, seed: int) -> Any:
    """Extract a hospital with a window that reaches beyond hour 48."""
    from icudl.execution.context import RunContext, SilentProgress
    from icudl.execution.serial import SerialExecutor
    from icudl.sources.base import WindowOptions
    from icudl.sources.synthetic.options import SyntheticOptions
    from icudl.sources.synthetic.source import SyntheticSource
    from icudl.variables import STUDY_VARIABLES

    with tempfile.TemporaryDirectory() as scratch:
        context = RunContext(
            executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=Path(scratch), seed=seed
        )
        source = SyntheticSource(SyntheticOptions(patients=patients), seed)
        return source.extract(STUDY_VARIABLES, WindowOptions(hours=LEAK), context)


def auroc(hours: pl.DataFrame, cohort: pl.DataFrame, labels: np.ndarray[Any, Any]) -> float:
    """Score summaries of these hours by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mean = pl.col("mean")
    values = {"middle": mean.mean(), "low": mean.min(), "high": mean.max(), "last": mean.last()}
    table = (
        hours.sort("hour")
        .group_by("stay_id", "variable")
        .agg(**values)
        .pivot(on="variable", index="stay_id", values=list(values), sort_columns=True)
    )
    joined = cohort.select("stay_id", "patient_id").join(table, on="stay_id", how="left", maintain_order="left")
    features = joined.drop("stay_id", "patient_id").to_numpy().astype(float)
    features = np.where(np.isnan(features), np.nanmedian(features, axis=0), features)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
    scores = cross_val_predict(
        model, features, labels, cv=GroupKFold(5), groups=joined["patient_id"].to_numpy(), method="predict_proba"
    )
    return float(roc_auc_score(labels, scores[:, 1]))


def signal(patients: int, seed: int) -> dict[str, Any]:
    """Return mortality and AUROC by how much of the stay is known."""
    tables = hourly(patients, seed)
    cohort = tables.stays.filter(
        pl.col("age_years") >= 18,
        pl.col("stay_hours") >= WINDOW,
        pl.col("death_hours").is_null() | (pl.col("death_hours") > WINDOW),
    )
    labels = cohort["died"].to_numpy()
    inside = tables.hours.filter(pl.col("hour") < WINDOW)
    return {
        "patients": patients,
        "seed": seed,
        "stays": cohort.height,
        "mortality": float(labels.mean()),
        "first 12 h": auroc(tables.hours.filter(pl.col("hour") < 12), cohort, labels),
        "first 24 h": auroc(tables.hours.filter(pl.col("hour") < 24), cohort, labels),
        "first 48 h": auroc(inside, cohort, labels),
        "leak: 120 h": auroc(tables.hours, cohort, labels),
        "shuffled labels": auroc(inside, cohort, np.random.default_rng(seed).permutation(labels)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[3000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for patients in arguments.patients:
        for seed in arguments.seeds:
            row = signal(patients, seed)
            if not results:
                print("|", " | ".join(row), "|\n|", " | ".join("---" for _ in row), "|")
            cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
            print("|", " | ".join(cells), "|", flush=True)
            results.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
