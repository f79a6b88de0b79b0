"""Section of the page: how well the model tells who will die, on stays it was not fitted on."""

from __future__ import annotations

from typing import Any

import polars as pl

from icudl.artifacts import TrainingResult
from icudl.report.charts.curves import calibration, curves_of, precision_recall, risks, roc
from icudl.report.elements import (
    Block,
    Entry,
    Section,
    Switch,
    Table,
    Terms,
)
from icudl.report.names import (
    METRIC_NAMES,
    SPLIT_NAMES,
    display_name,
)
from icudl.report.sections.fragility import SMALLEST_GROUP
from icudl.report.sections.learning import training_curves
from icudl.report.sections.subgroups import subgroup_figure, subgroup_table
from icudl.report.wording import columns, interval, row

TERMS = Terms(
    "quality-terms",
    "The words used here",
    (
        ("AUROC", "The chance that a patient who died was given a higher risk than one who survived: 0.5 is a coin."),
        (
            "AUPRC",
            "Precision averaged over all recalls. A model that knows nothing reaches the mortality.",
        ),
        ("Precision", "Of the patients predicted to die, the share who died."),
        ("Recall", "Of the patients who died, the share predicted to die (sensitivity)."),
        ("Brier score", "Mean squared distance of the risk from what happened; 0 is perfect."),
        ("Calibration error", "Mean distance between predicted risk and observed mortality over groups of like risk."),
        ("95 % interval", "From resampling the stays: how far chance alone may have moved the number."),
        ("Out-of-fold", "Each training stay judged by the model that was fitted without its fold."),
    ),
)


def model_names(training: TrainingResult) -> list[str]:
    """Return the models that have predictions: the model itself first, then baselines."""
    names = training.predictions["model"].unique(maintain_order=True).to_list()
    own = {str(checkpoint.model.get("name", "")) for checkpoint in training.checkpoints.values()}
    return sorted(names, key=lambda name: (name not in own, names.index(name)))


def main_split(training: TrainingResult) -> str:
    """Return the split that the summary reports: the test stays where there are any."""
    splits = set(training.predictions["split"].unique().to_list())
    return "test" if "test" in splits or not splits else "out-of-fold"


def metric_value(training: TrainingResult, model: str, split: str, metric: str) -> dict[str, Any] | None:
    """Return the row of the whole split, or None."""
    rows = training.metrics.filter(
        pl.col("model") == model, pl.col("split") == split, pl.col("subgroup") == "all", pl.col("metric") == metric
    )
    return rows.row(0, named=True) if rows.height else None


def quality_section(training: TrainingResult) -> Section:
    """Tell how good the predictions are."""
    splits = [split for split in ("test", "out-of-fold") if (training.predictions["split"] == split).any()]
    models = model_names(training)
    lead = (
        (
            "Every number and curve here comes from stays that the judged model was not fitted on. The baselines "
            "(logistic regression and boosted trees) see the same stays: a network that does not beat them has not "
            "earned its place."
        ),
    )
    blocks: list[Block] = [_metrics_table(training, models, splits)]
    if splits:
        switch = (Switch("split", "Stays", tuple((split, SPLIT_NAMES[split].capitalize()) for split in splits)),)
        curves = {split: curves_of(training, models, split) for split in splits}
        blocks += [
            roc(curves, switch),
            precision_recall(curves, switch),
            calibration(training, models, splits, switch),
        ]
        blocks.append(risks(training, models[0], splits, switch))
    subgroups = training.metrics.filter(
        pl.col("subgroup") != "all", pl.col("stays") >= SMALLEST_GROUP, pl.col("model").is_in(models[:1])
    )
    if subgroups.height:
        blocks += [subgroup_figure(subgroups, splits), subgroup_table(subgroups)]
    if training.history.height:
        blocks += training_curves(training.history)
    blocks.append(TERMS)
    return Section("quality", "How well the model predicts", "Model", lead, tuple(blocks))


def _metrics_table(training: TrainingResult, models: list[str], splits: list[str]) -> Table:
    metrics = training.metrics.filter(pl.col("subgroup") == "all")
    known = [name for name in METRIC_NAMES if (metrics["metric"] == name).any()]
    rows = []
    for split in splits:
        for model in models:
            found = {
                line["metric"]: line
                for line in metrics.filter(pl.col("model") == model, pl.col("split") == split).iter_rows(named=True)
            }
            if not found:
                continue
            first = next(iter(found.values()))
            cells = [
                interval(found[name]["value"], found[name]["low"], found[name]["high"])
                if name in found
                else Entry("–", None)
                for name in known
            ]
            rows.append(row(display_name(model), SPLIT_NAMES[split], first["stays"], first["deaths"], *cells))
    labels = [f"#{METRIC_NAMES[name]}" for name in known]
    return Table(
        "metrics",
        "Scores with 95 % intervals",
        columns("Model", "Judged on", "#Stays", "#Deaths", *labels),
        tuple(rows),
        "Precision, recall, F1 and accuracy hold at the decision threshold, which was chosen on validation stays and "
        "not on the stays judged here.",
    )
