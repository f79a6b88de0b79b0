"""A made-up training result for the tests of figures."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.artifacts import HISTORY_SCHEMA, METRICS_SCHEMA, PREDICTIONS_SCHEMA, TrainingResult


def make_training(n_stays: int = 300, seed: int = 0) -> TrainingResult:
    """Predictions of a model and two baselines, out of fold and on test stays, without checkpoints."""
    rng = np.random.default_rng(seed)
    frames, metrics = [], []
    for skill, model in ((2.4, "lstm"), (1.9, "boosted_trees"), (1.5, "logistic_regression")):
        for split in ("out-of-fold", "test"):
            labels = (rng.random(n_stays) < 0.12).astype(np.int8)
            risk = 1 / (1 + np.exp(2.6 - skill * (labels * 1.2 + rng.normal(0, 0.6, n_stays))))
            frames.append(
                pl.DataFrame(
                    {
                        "model": model,
                        "member": "final" if split == "test" else "fold-0",
                        "split": split,
                        "fold": np.full(n_stays, -1 if split == "test" else 0),
                        "stay_id": np.arange(n_stays),
                        "label": labels,
                        "probability": risk,
                        "threshold": 0.3,
                    },
                    schema=PREDICTIONS_SCHEMA,
                )
            )
            for metric, value in (("auroc", 0.89), ("auprc", 0.55), ("brier", 0.07)):
                metrics.append(
                    [model, split, "all", metric, value, value - 0.02, value + 0.02, n_stays, int(labels.sum())]
                )
    epochs = np.arange(1, 31)
    history = [
        pl.DataFrame(
            {
                "member": f"fold-{fold}",
                "network": 0,
                "epoch": epochs,
                "train_loss": 0.5 * np.exp(-epochs / 9) + 0.16,
                "valid_loss": 0.42 * np.exp(-epochs / 7) + 0.24 + 0.002 * epochs + 0.01 * fold,
                "valid_auroc": 0.9 - 0.25 * np.exp(-epochs / 6),
                "valid_auprc": 0.55 - 0.35 * np.exp(-epochs / 6),
                "learning_rate": 1e-3,
            },
            schema=HISTORY_SCHEMA,
        )
        for fold in range(3)
    ]
    return TrainingResult(
        checkpoints={},
        history=pl.concat(history),
        predictions=pl.concat(frames),
        metrics=pl.DataFrame(metrics, schema=METRICS_SCHEMA, orient="row"),
    )


def empty_training() -> TrainingResult:
    return TrainingResult(
        checkpoints={},
        history=pl.DataFrame(schema=HISTORY_SCHEMA),
        predictions=pl.DataFrame(schema=PREDICTIONS_SCHEMA),
        metrics=pl.DataFrame(schema=METRICS_SCHEMA),
    )
