"""Figures of a ``TrainingResult``: how good the predictions are, against the baselines, and how training went."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.intervals import percentiles, resamples, wilson
from icudl.artifacts import FINAL, TrainingResult, network_histories
from icudl.report.figures.style import MUTED, PALETTE, new_figure, say_nothing_found, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Doubles = npt.NDArray[np.float64]
Curve = Callable[[npt.NDArray[np.int8], Doubles, Doubles], tuple[Doubles, Doubles]]

SPLITS = ("out-of-fold", "test")
GRID = np.linspace(0.0, 1.0, 101)
BAND_SAMPLES = 200
"""Bootstrap resamples behind the band of a curve."""
CALIBRATION_BINS = 10


def main_model(training: TrainingResult) -> str:
    """Return the name of the model that was trained, as opposed to the baselines beside it."""
    names = training.predictions["model"].unique(maintain_order=True).to_list()
    trained = [str(checkpoint.model.get("name")) for checkpoint in training.checkpoints.values()]
    return next((name for name in names if name in trained), names[0] if names else "")


def scored(training: TrainingResult) -> list[tuple[str, str, pl.DataFrame]]:
    """Return (split, model, predictions), one prediction a stay, the trained model first.

    Where several members scored the test stays, those of the final one are taken.
    """
    predictions = training.predictions
    names = predictions["model"].unique(maintain_order=True).to_list()
    names.sort(key=lambda name: name != main_model(training))
    found: list[tuple[str, str, pl.DataFrame]] = []
    for split in SPLITS:
        for name in names:
            frame = predictions.filter(pl.col("model") == name, pl.col("split") == split)
            if split == "test" and (frame["member"] == str(FINAL)).any():
                frame = frame.filter(pl.col("member") == str(FINAL))
            if frame["label"].n_unique() == 2:
                found.append((split, name, frame.sort("stay_id", "member")))
    return found


def roc_points(labels: npt.NDArray[np.int8], scores: Doubles, weight: Doubles) -> tuple[Doubles, Doubles]:
    """Return false and true positive rate at every distinct score, from (0, 0) to (1, 1)."""
    deaths, survivors = _cumulative(labels, scores, weight)
    return _divided(survivors), _divided(deaths)


def precision_recall_points(labels: npt.NDArray[np.int8], scores: Doubles, weight: Doubles) -> tuple[Doubles, Doubles]:
    """Return recall and precision at every distinct score, by falling score."""
    deaths, survivors = _cumulative(labels, scores, weight)
    flagged = (deaths + survivors)[1:]
    precision = np.divide(deaths[1:], flagged, out=np.ones_like(flagged), where=flagged > 0)
    return np.concatenate([[0.0], _divided(deaths)[1:]]), np.concatenate([precision[:1], precision])


def _cumulative(labels: npt.NDArray[np.int8], scores: Doubles, weight: Doubles) -> tuple[Doubles, Doubles]:
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    deaths = np.cumsum(weight[order] * (labels[order] == 1))[last]
    survivors = np.cumsum(weight[order] * (labels[order] == 0))[last]
    return np.concatenate([[0.0], deaths]), np.concatenate([[0.0], survivors])


def _divided(counts: Doubles) -> Doubles:
    return counts / counts[-1] if counts[-1] > 0 else np.zeros_like(counts)


def _curve_table(training: TrainingResult, points: Curve, x: str, y: str) -> pl.DataFrame:
    frames = [pl.DataFrame(schema={"split": pl.String, "model": pl.String, x: pl.Float64, y: pl.Float64})]
    for split, model, frame in scored(training):
        labels, scores = frame["label"].to_numpy(), frame["probability"].to_numpy()
        across, up = points(labels, scores, np.ones(len(labels)))
        curve = pl.DataFrame({x: across, y: up})
        frames.append(curve.select(pl.lit(split).alias("split"), pl.lit(model).alias("model"), x, y))
    return pl.concat(frames)


def roc_table(training: TrainingResult) -> pl.DataFrame:
    """Return ``split, model, false_positive_rate, true_positive_rate``."""
    return _curve_table(training, roc_points, "false_positive_rate", "true_positive_rate")


def precision_recall_table(training: TrainingResult) -> pl.DataFrame:
    """Return ``split, model, recall, precision``."""
    return _curve_table(training, precision_recall_points, "recall", "precision")


def _band(frame: pl.DataFrame, points: Curve, *, backwards: bool) -> tuple[Doubles, Doubles]:
    labels, scores = frame["label"].to_numpy(), frame["probability"].to_numpy()
    draws: list[Doubles] = []
    for drawn in resamples(len(labels), BAND_SAMPLES, np.random.default_rng(0)):
        across, up = points(labels, scores, drawn.astype(float))
        where = np.searchsorted(across, GRID, side="left" if backwards else "right") - (0 if backwards else 1)
        draws.append(up[np.clip(where, 0, len(up) - 1)])
    return percentiles(np.stack(draws))


def _legend_entry(training: TrainingResult, split: str, model: str, metric: str) -> str:
    row = training.metrics.filter(
        pl.col("model") == model, pl.col("split") == split, pl.col("metric") == metric, pl.col("subgroup") == "all"
    )
    if row.is_empty() or row["value"][0] is None:
        return model
    value, low, high = row.select("value", "low", "high").row(0)
    return f"{model}  {value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else "")


def _panels(training: TrainingResult, height: float) -> tuple[Figure, dict[str, Axes]]:
    splits = [split for split in SPLITS if any(found == split for found, _, _ in scored(training))] or [SPLITS[0]]
    figure = new_figure(4.0 * len(splits), height)
    axes = figure.subplots(1, len(splits), squeeze=False)[0]
    for split, panel in zip(splits, axes, strict=True):
        panel.set_title(split.capitalize() if split != "out-of-fold" else "Out of fold")
    if not scored(training):
        say_nothing_found(axes[0], "no predictions of both classes")
    return figure, dict(zip(splits, axes, strict=True))


def _legend_below(panel: Axes, title: str) -> None:
    panel.legend(loc="upper left", bbox_to_anchor=(0, -0.14), title=title, title_fontsize=8, alignment="left")


def _curves(training: TrainingResult, points: Curve, metric: str, *, backwards: bool) -> tuple[Figure, dict[str, Axes]]:
    figure, panels = _panels(training, 5.0)
    position: dict[str, int] = {}
    for split, model, frame in scored(training):
        colour = PALETTE[position.setdefault(model, len(position)) % len(PALETTE)]
        labels, scores = frame["label"].to_numpy(), frame["probability"].to_numpy()
        across, up = points(labels, scores, np.ones(len(labels)))
        label = _legend_entry(training, split, model, metric)
        main = position[model] == 0
        if main:
            low, high = _band(frame, points, backwards=backwards)
            panels[split].fill_between(GRID, low, high, color=colour, alpha=0.15, linewidth=0)
        step = "steps-pre" if backwards else "steps-post"
        panels[split].plot(across, up, color=colour, label=label, drawstyle=step, linewidth=1.8 if main else 1.1)
    return figure, panels


@styled
def roc(training: TrainingResult) -> Figure:
    """Draw the receiver operating characteristic of the model (with its 95 % bootstrap band) and of each baseline."""
    figure, panels = _curves(training, roc_points, "auroc", backwards=False)
    for panel in panels.values():
        panel.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        panel.set(xlabel="False positive rate", ylabel="Sensitivity", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        if panel.get_legend_handles_labels()[0]:
            _legend_below(panel, "AUROC (95 %)")
    return figure


@styled
def precision_recall(training: TrainingResult) -> Figure:
    """Draw precision against recall of the model (with its 95 % bootstrap band) and of each baseline."""
    figure, panels = _curves(training, precision_recall_points, "auprc", backwards=True)
    prevalence = {split: float(frame["label"].cast(pl.Float64).mean() or 0) for split, _, frame in scored(training)}  # type: ignore[arg-type]
    for split, panel in panels.items():
        panel.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        if split in prevalence:
            panel.axhline(prevalence[split], color=MUTED, linewidth=0.8, linestyle=":")
            _legend_below(panel, "AUPRC (95 %)")
    return figure


def calibration_table(training: TrainingResult) -> pl.DataFrame:
    """Return observed mortality by tenths of the predicted probability, with Wilson's interval.

    Columns ``split, model, bin, stays, deaths, predicted`` (mean of the bin), ``observed, low, high``.
    """
    rows: list[dict[str, object]] = []
    for split, model, frame in scored(training):
        order = np.argsort(frame["probability"].to_numpy(), kind="stable")
        for number, members in enumerate(np.array_split(order, min(CALIBRATION_BINS, len(order)))):
            chosen = frame[members]
            deaths = int(chosen["label"].sum())
            observed, low, high = wilson(deaths, chosen.height)
            values = (split, model, number, chosen.height, deaths, chosen["probability"].mean(), observed, low, high)
            rows.append(dict(zip(_CALIBRATION, values, strict=True)))
    return pl.DataFrame(rows, schema=_CALIBRATION)


_CALIBRATION = {
    "split": pl.String,
    "model": pl.String,
    "bin": pl.Int64,
    "stays": pl.Int64,
    "deaths": pl.Int64,
    "predicted": pl.Float64,
    "observed": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@styled
def calibration(training: TrainingResult) -> Figure:
    """Draw observed against predicted mortality in tenths of the predictions, with 95 % intervals for the model."""
    figure, panels = _panels(training, 5.0)
    table = calibration_table(training)
    position: dict[str, int] = {}
    for split, model, _ in scored(training):
        colour = PALETTE[position.setdefault(model, len(position)) % len(PALETTE)]
        of_model = table.filter(pl.col("split") == split, pl.col("model") == model)
        x, y = of_model["predicted"].to_numpy(), of_model["observed"].to_numpy()
        label = _legend_entry(training, split, model, "brier")
        panels[split].plot(x, y, "o-", color=colour, label=label, markersize=3.5, linewidth=1.1)
        if position[model] == 0:
            low, high = of_model["low"].to_numpy(), of_model["high"].to_numpy()
            panels[split].vlines(x, low, high, color=colour, linewidth=1, alpha=0.6)
    for panel in panels.values():
        panel.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        panel.set(xlabel="Predicted risk of death", ylabel="Observed mortality", xlim=(0, 1), ylim=(0, 1.01))
        panel.set_aspect("equal")
        if panel.get_legend_handles_labels()[0]:
            _legend_below(panel, "Brier score (95 %)")
    return figure


def training_curves_table(training: TrainingResult) -> pl.DataFrame:
    """Return the history as it is: one row per network and epoch."""
    return training.history


@styled
def training_curves(training: TrainingResult) -> Figure:
    """Draw loss and validation scores of each network over the epochs."""
    figure = new_figure(8.0, 3.4)
    left, right = figure.subplots(1, 2)
    networks = network_histories(training.history)
    for index, (name, history) in enumerate(networks.items()):
        colour = PALETTE[index % len(PALETTE)]
        epochs = history["epoch"].to_numpy()
        left.plot(epochs, history["train_loss"].to_numpy(), color=colour, linewidth=0.9, linestyle="--")
        left.plot(epochs, history["valid_loss"].to_numpy(), color=colour, linewidth=1.3, label=name)
        right.plot(epochs, history["valid_auroc"].to_numpy(), color=colour, linewidth=1.3)
        right.plot(epochs, history["valid_auprc"].to_numpy(), color=colour, linewidth=0.9, linestyle=":")
    left.set(title="Loss", xlabel="Epoch", ylabel="Cross-entropy (dashed: training)")
    right.set(title="Validation scores", xlabel="Epoch", ylabel="AUROC (dotted: AUPRC)")
    if networks:
        figure.legend(loc="outside right upper")
    else:
        say_nothing_found(left, "no history")
        say_nothing_found(right, "no history")
    return figure
