"""Figures of a fitted model: how good its predictions are, against the baselines, and how training went."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from icudl.analysis.numbers.models.quality import (
    SPLITS,
    Band,
    Curve,
    FittedModel,
    Judged,
    calibration_groups,
    precision_recall_band,
    precision_recall_curve,
    roc_band,
    roc_curve,
)
from icudl.artifacts import TrainingResult, network_histories
from icudl.report.figures.style import MUTED, PALETTE, new_figure, say_nothing_found, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _curve_table(model: FittedModel, curve: Callable[[Judged], Curve], x: str, y: str) -> pl.DataFrame:
    frames = [pl.DataFrame(schema={"split": pl.String, "model": pl.String, x: pl.Float64, y: pl.Float64})]
    for each in model.judged():
        line = curve(each)
        table = pl.DataFrame({x: line.x, y: line.y})
        frames.append(table.select(pl.lit(each.stays).alias("split"), pl.lit(each.model).alias("model"), x, y))
    return pl.concat(frames)


def roc_table(model: FittedModel) -> pl.DataFrame:
    """Return ``split, model, false_positive_rate, true_positive_rate``."""
    return _curve_table(model, roc_curve, "false_positive_rate", "true_positive_rate")


def precision_recall_table(model: FittedModel) -> pl.DataFrame:
    """Return ``split, model, recall, precision``."""
    return _curve_table(model, precision_recall_curve, "recall", "precision")


def _legend_entry(training: TrainingResult, of: Judged, metric: str) -> str:
    whole = training.metrics.filter(pl.col("subgroup") == "all", pl.col("metric") == metric)
    row = whole.filter(pl.col("model") == of.model, pl.col("split") == of.stays)
    if row.is_empty() or row["value"][0] is None:
        return of.model
    value, low, high = row.select("value", "low", "high").row(0)
    between = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    return f"{of.model}  {value:.3f}{between}"


def _panels(judged: Sequence[Judged], height: float) -> tuple[Figure, dict[str, Axes]]:
    splits = [split for split in SPLITS if any(each.stays == split for each in judged)] or [SPLITS[0]]
    figure = new_figure(4.0 * len(splits), height)
    axes = figure.subplots(1, len(splits), squeeze=False)[0]
    for split, panel in zip(splits, axes, strict=True):
        panel.set_title(split.capitalize() if split != "out-of-fold" else "Out of fold")
    if not judged:
        say_nothing_found(axes[0], "no predictions of both classes")
    return figure, dict(zip(splits, axes, strict=True))


def _legend_below(panel: Axes, title: str) -> None:
    panel.legend(loc="upper left", bbox_to_anchor=(0, -0.14), title=title, title_fontsize=8, alignment="left")


def _places(judged: Sequence[Judged]) -> dict[str, int]:
    """Return the place of each model in the palette; the trained model is the first."""
    return {model: place for place, model in enumerate(dict.fromkeys(each.model for each in judged))}


def _curves(
    model: FittedModel, curve: Callable[[Judged], Curve], band: Callable[[Judged], Band], metric: str, step: str
) -> tuple[Figure, dict[str, Axes]]:
    judged = model.judged()
    figure, panels = _panels(judged, 5.0)
    places = _places(judged)
    for each in judged:
        place = places[each.model]
        colour, panel = PALETTE[place % len(PALETTE)], panels[each.stays]
        if place == 0:
            bounds = band(each)
            panel.fill_between(bounds.x, bounds.low, bounds.high, color=colour, alpha=0.15, linewidth=0)
        line = curve(each)
        label = _legend_entry(model.training, each, metric)
        panel.plot(line.x, line.y, color=colour, label=label, drawstyle=step, linewidth=1.1 if place else 1.8)
    return figure, panels


@styled
def roc(model: FittedModel) -> Figure:
    """Draw the receiver operating characteristic of the model (with its 95 % bootstrap band) and of each baseline."""
    figure, panels = _curves(model, roc_curve, roc_band, "auroc", "steps-post")
    for panel in panels.values():
        panel.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        panel.set(xlabel="False positive rate", ylabel="Sensitivity", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        if panel.get_legend_handles_labels()[0]:
            _legend_below(panel, "AUROC (95 %)")
    return figure


@styled
def precision_recall(model: FittedModel) -> Figure:
    """Draw precision against recall of the model (with its 95 % bootstrap band) and of each baseline."""
    figure, panels = _curves(model, precision_recall_curve, precision_recall_band, "auprc", "steps-pre")
    mortality = {each.stays: each.mortality for each in model.judged()}
    for split, panel in panels.items():
        panel.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        if split in mortality:
            panel.axhline(mortality[split], color=MUTED, linewidth=0.8, linestyle=":")
            _legend_below(panel, "AUPRC (95 %)")
    return figure


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


def calibration_table(model: FittedModel) -> pl.DataFrame:
    """Return observed mortality by groups of equal size of the predicted risk, with Wilson's interval.

    Columns ``split, model, bin, stays, deaths, predicted`` (mean of the group), ``observed, low, high``.
    """
    rows = [
        (each.stays, each.model, number, *dataclasses.astuple(group))
        for each in model.judged()
        for number, group in enumerate(calibration_groups(each))
    ]
    return pl.DataFrame(rows, schema=_CALIBRATION, orient="row")


@styled
def calibration(model: FittedModel) -> Figure:
    """Draw observed against predicted mortality in tenths of the predictions, with 95 % intervals for the model."""
    judged = model.judged()
    figure, panels = _panels(judged, 5.0)
    places = _places(judged)
    for each in judged:
        place, panel = places[each.model], panels[each.stays]
        colour, groups = PALETTE[place % len(PALETTE)], calibration_groups(each)
        x, y = [group.predicted for group in groups], [group.observed for group in groups]
        label = _legend_entry(model.training, each, "brier")
        panel.plot(x, y, "o-", color=colour, label=label, markersize=3.5, linewidth=1.1)
        if place == 0:
            low, high = [group.low for group in groups], [group.high for group in groups]
            panel.vlines(x, low, high, color=colour, linewidth=1, alpha=0.6)
    for panel in panels.values():
        panel.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        panel.set(xlabel="Predicted risk of death", ylabel="Observed mortality", xlim=(0, 1), ylim=(0, 1.01))
        panel.set_aspect("equal")
        if panel.get_legend_handles_labels()[0]:
            _legend_below(panel, "Brier score (95 %)")
    return figure


def training_curves_table(model: FittedModel) -> pl.DataFrame:
    """Return the history as it is: one row per network and epoch."""
    return model.training.history


@styled
def training_curves(model: FittedModel) -> Figure:
    """Draw loss and validation scores of each network over the epochs."""
    training = model.training
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
