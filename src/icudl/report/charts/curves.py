"""Figures of the predictions: ROC, precision and recall, calibration, distribution of the risks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.intervals import wilson
from icudl.artifacts import TrainingResult
from icudl.report.elements import (
    Figure,
    Switch,
)
from icudl.report.figures.quality import precision_recall_points, roc_points
from icudl.report.names import (
    display_name,
)
from icudl.report.wording import rounded

CURVE_POINTS = 160
"""Points of a ROC or precision-recall curve: enough for the eye, too few to read single stays off it."""

CALIBRATION_BINS = 10

Curves = dict[str, dict[str, npt.NDArray[np.float64]]]


def curves_of(training: TrainingResult, models: list[str], split: str) -> Curves:
    """Return the coordinates of the ROC and precision-recall curves of every model on one split."""
    curves: Curves = {}
    for model in models:
        chosen = training.predictions.filter(pl.col("model") == model, pl.col("split") == split)
        labels, risks = chosen["label"].to_numpy(), chosen["probability"].to_numpy()
        if len(np.unique(labels)) < 2:
            continue
        weight = np.ones(len(labels))
        false_alarms, hits = roc_points(labels, risks, weight)
        recall, precision = precision_recall_points(labels, risks, weight)
        needed = int(np.argmax(recall == 1)) + 1
        curves[model] = {
            "false_alarms": false_alarms,
            "hits": hits,
            "precision": precision[:needed],
            "recall": recall[:needed],
            "mortality": np.array([labels.mean()]),
        }
    return curves


def _thinned(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], by: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    if len(x) > CURVE_POINTS:
        wanted = np.linspace(by[0], by[-1], CURVE_POINTS)
        kept = np.unique(np.concatenate([[0, len(x) - 1], np.searchsorted(by, wanted).clip(0, len(x) - 1)]))
        x, y = x[kept], y[kept]
    return rounded(x.tolist()), rounded(y.tolist())


def _line(model: str, place: int, x: Any, y: Any) -> dict[str, Any]:
    return {"name": display_name(model), "x": x, "y": y, "dash": place}


def roc(curves: dict[str, Curves], switch: tuple[Switch, ...]) -> Figure:
    """Draw the ROC curves."""
    variants = {}
    for split, of_split in curves.items():
        lines = [
            _line(model, place, *_thinned(curve["false_alarms"], curve["hits"], curve["false_alarms"] + curve["hits"]))
            for place, (model, curve) in enumerate(of_split.items())
        ]
        variants[split] = {"series": lines}
    return Figure(
        "roc",
        "ROC curve",
        "How many deaths are recognised (upwards) at the price of how many false alarms (to the right). The dashed "
        "diagonal is guessing; the closer to the upper left corner, the better.",
        {
            "kind": "lines",
            "diagonal": True,
            "x": {"label": "False alarms among survivors", "percent": True, "min": 0, "max": 1},
            "y": {"label": "Deaths recognised", "percent": True, "min": 0, "max": 1},
            "variants": variants,
        },
        switch,
    )


def precision_recall(curves: dict[str, Curves], switch: tuple[Switch, ...]) -> Figure:
    """Draw the precision-recall curves."""
    variants = {}
    for split, of_split in curves.items():
        lines = [
            _line(model, place, *_thinned(curve["recall"], curve["precision"], curve["recall"]))
            for place, (model, curve) in enumerate(of_split.items())
        ]
        rules = [{"y": round(float(curve["mortality"][0]), 4), "label": "mortality"} for curve in of_split.values()][:1]
        variants[split] = {"series": lines, "rules": rules}
    return Figure(
        "precision-recall",
        "Precision and recall",
        "Of the patients predicted to die, how many did (upwards), against the share of deaths found (to the right). "
        "The dashed line is a model that knows nothing. With rare deaths this says more than the ROC curve.",
        {
            "kind": "lines",
            "x": {"label": "Recall", "percent": True, "min": 0, "max": 1},
            "y": {"label": "Precision", "percent": True, "min": 0, "max": 1},
            "variants": variants,
        },
        switch,
    )


def calibration(training: TrainingResult, models: list[str], splits: list[str], switch: tuple[Switch, ...]) -> Figure:
    """Draw predicted against observed mortality."""
    variants = {}
    for split in splits:
        lines = []
        for place, model in enumerate(models):
            chosen = training.predictions.filter(pl.col("model") == model, pl.col("split") == split)
            points = _calibration_points(chosen["label"].to_numpy(), chosen["probability"].to_numpy())
            if points:
                lines.append(
                    {"name": display_name(model), "marks": True, "dash": place}
                    | {key: rounded([point[key] for point in points]) for key in ("x", "y")}
                    | (
                        {key: rounded([point[key] for point in points]) for key in ("low", "high")}
                        if place == 0
                        else {}
                    )
                )
        variants[split] = {"series": lines}
    return Figure(
        "calibration",
        "Calibration",
        "Stays sorted by predicted risk, in ten groups of equal size: predicted against observed mortality. On the "
        "diagonal a risk of 20 % means that 20 of 100 such patients die. The shaded band is the 95 % interval of the "
        "first model. A model trained on balanced classes overstates the risk unless it is recalibrated.",
        {
            "kind": "lines",
            "diagonal": True,
            "x": {"label": "Predicted risk", "percent": True, "min": 0, "max": 1},
            "y": {"label": "Observed mortality", "percent": True, "min": 0, "max": 1},
            "variants": variants,
        },
        switch,
    )


def _calibration_points(labels: npt.NDArray[Any], risks: npt.NDArray[Any]) -> list[dict[str, float]]:
    order = np.argsort(risks, kind="stable")
    points = []
    for part in np.array_split(order, min(CALIBRATION_BINS, max(1, len(order) // 5))):
        if not len(part):
            continue
        deaths, stays = int(labels[part].sum()), len(part)
        share, low, high = wilson(deaths, stays)
        points.append({"x": float(risks[part].mean()), "y": share, "low": low, "high": high})
    return points


def risks(training: TrainingResult, model: str, splits: list[str], switch: tuple[Switch, ...]) -> Figure:
    """Draw the distribution of the predicted risks by outcome."""
    edges = np.linspace(0, 1, 21)
    variants = {}
    for split in splits:
        chosen = training.predictions.filter(pl.col("model") == model, pl.col("split") == split)
        labels, risks = chosen["label"].to_numpy(), chosen["probability"].to_numpy()
        series = []
        for name, label in (("Survived", 0), ("Died", 1)):
            counts = np.histogram(risks[labels == label], edges)[0]
            series.append({"name": name, "y": rounded((counts / max(1, counts.sum())).tolist())})
        variants[split] = {"series": series}
    return Figure(
        "risks",
        f"Risks given by the {display_name(model)}",
        "Distribution of the predicted risk among patients who survived and who died. The less the two overlap, the "
        "easier they are told apart.",
        {
            "kind": "bars",
            "edges": rounded(edges.tolist()),
            "x": {"label": "Predicted risk", "percent": True},
            "y": {"label": "Share of patients", "percent": True},
            "variants": variants,
        },
        switch,
    )
