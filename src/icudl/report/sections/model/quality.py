"""Section of the page: how well a model tells who will die, on stays it was not fitted on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.models.hospitals import HospitalLine, hospital_lines
from icudl.analysis.numbers.models.quality import Judged, judged, model_names, own_models
from icudl.models.options import read_options
from icudl.models.outside.options import OutsideOptions
from icudl.report.charts.curves import calibration, precision_recall, risks, roc
from icudl.report.elements import Block, Entry, Note, Section, Switch, Table
from icudl.report.names import METRIC_NAMES, SPLIT_NAMES, predictor_in_sentence, predictor_name
from icudl.report.sections.model.hospitals import hospital_figure, hospital_table
from icudl.report.sections.model.learning import training_curves
from icudl.report.sections.model.subgroups import subgroup_figure, subgroup_table
from icudl.report.study import ModelResults, StudyResults
from icudl.report.wording import columns, count, interval_below, numeric, row
from icudl.training.outside import given_threshold


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class JudgedStays:
    """One group of stays that a model is judged on.

    Attributes:
        key: By which the reader chooses it.
        data: Name of the data set.
        split: ``"test"``, ``"out-of-fold"`` or ``"external"``.
        words: What the stays are called.
        predictions: ``PREDICTIONS_SCHEMA``, of the model and of baselines.
        metrics: ``METRICS_SCHEMA``.
        curves: The predictions of each model, where both outcomes are among the stays.
    """

    key: str
    data: str
    split: str
    words: str
    predictions: pl.DataFrame
    metrics: pl.DataFrame
    curves: tuple[Judged, ...]


def judged_stays(study: StudyResults, model: ModelResults) -> tuple[JudgedStays, ...]:
    """Return the groups of stays that a model is judged on: held-out test, out-of-fold, external data sets."""
    own = own_models(model.training)
    found = []
    for split in ("test", "out-of-fold"):
        predictions = model.training.predictions.filter(pl.col("split") == split)
        if predictions.height:
            found.append(
                JudgedStays(
                    key=split,
                    data=study.main.name,
                    split=split,
                    words=SPLIT_NAMES[split],
                    predictions=predictions,
                    metrics=model.training.metrics.filter(pl.col("split") == split),
                    curves=tuple(judged(predictions, split, study.main.grid.stays, own)),
                )
            )
    for place, data in enumerate(study.external):
        scores = model.scores.get(data.name)
        if scores is not None and scores.predictions.height:
            found.append(
                JudgedStays(
                    key=f"external-{place}",
                    data=data.name,
                    split="external",
                    words=f"stays of {data.name} (external)",
                    predictions=scores.predictions,
                    metrics=scores.metrics,
                    curves=tuple(judged(scores.predictions, None, data.grid.stays, own, data.name)),
                )
            )
    return tuple(found)


def main_stays(groups: tuple[JudgedStays, ...]) -> JudgedStays | None:
    """Return the stays that the summary reports: the test stays where there are any, else those out of fold."""
    return next((group for group in groups if group.split in {"test", "out-of-fold"}), None)


def metric_value(group: JudgedStays, model: str, metric: str) -> dict[str, Any] | None:
    """Return the row of all stays of a group, or None."""
    rows = group.metrics.filter(pl.col("model") == model, pl.col("subgroup") == "all", pl.col("metric") == metric)
    return rows.row(0, named=True) if rows.height else None


def quality_section(study: StudyResults, model: ModelResults, seed: int = 0) -> Section:
    """Tell how good the predictions of a model are.

    Args:
        study: The study.
        model: Which model.
        seed: Of the resamples behind intervals by hospital.
    """
    groups = judged_stays(study, model)
    models = model_names(model.training.predictions, own_models(model.training))
    own = models[:1]
    lead = ["Every number and curve here comes from stays that the judged model was not fitted on."]
    if len(models) > len(own):
        lead[0] += (
            " The baselines (logistic regression and boosted trees) are judged on the same stays: a network that does "
            "not beat them has not earned its place."
        )
    lead += _met_before(study, model)
    if any(group.split == "external" for group in groups):
        lead.append(
            "External data sets come from elsewhere. Nothing was fitted on them: neither weights, nor limits, nor "
            "thresholds, nor calibration."
        )
    blocks: list[Block] = [*_external_notes(study, model), _metrics_table(groups, models, _whence_threshold(model))]
    folded: list[Block] = []
    drawn = [group for group in groups if group.curves]
    if drawn:
        labels = tuple(
            (group.key, f"{group.words[:1].upper()}{group.words[1:]}: {len(group.curves[0].labels):,}")
            for group in drawn
        )
        switches = (Switch("split", "Stays", labels),)
        curves = {group.key: group.curves for group in drawn}
        blocks += [roc(curves, switches), calibration(curves, switches)]
        folded += [
            precision_recall(curves, switches),
            risks(curves, predictor_in_sentence(drawn[0].curves[0].model), switches),
        ]
    subgroups = {
        group.key: group.metrics.filter(
            pl.col("subgroup") != "all", pl.col("stays") >= SMALLEST_GROUP, pl.col("model").is_in(own)
        )
        for group in groups
    }
    words = {group.key: group.words for group in groups if subgroups[group.key].height}
    if words:
        folded += [subgroup_figure(subgroups, words), subgroup_table(subgroups, words)]
    folded += _by_hospital(groups, own, seed)
    if model.training.history.height:
        folded += training_curves(model.training.history)
    basis = "; ".join(_basis(group, own) for group in groups)
    section = Section("quality", "How well the model predicts", "Model", tuple(lead), tuple(blocks), tuple(folded))
    return section.based_on(f"{basis}." if basis else "")


def _by_hospital(groups: Sequence[JudgedStays], own: Sequence[str], seed: int) -> list[Block]:
    found: dict[str, tuple[HospitalLine, ...]] = {}
    for group in groups:
        for curve in group.curves:
            if curve.model in own and (lines := hospital_lines(curve, group.metrics, seed)):
                found[group.key] = lines
    words = {group.key: group.words for group in groups if group.key in found}
    return [hospital_figure(found, words), hospital_table(found, words)] if found else []


def _met_before(study: StudyResults, model: ModelResults) -> list[str]:
    """Tell whom a model from outside has met, by its maker's word; nothing of a model that was fitted here."""
    checkpoint = next(iter(model.training.checkpoints.values()), None)
    if checkpoint is None or not isinstance(read_options(checkpoint.model), OutsideOptions):
        return []
    patients = np.unique(study.main.grid.patient_ids)
    met = int(np.isin(patients, checkpoint.met_before).sum())
    whom = f"{met:,} of the {len(patients):,} patients" if met else f"none of the {len(patients):,} patients"
    sentences = [f"The model was fitted elsewhere. By its maker's word it has met {whom} of {study.main.name}."]
    if met:
        sentences.append("All stays of these patients are left out here: they are neither scored nor attacked.")
    sentences.append("Nothing on this page can tell whether it has met others, on whom its scores would flatter it.")
    return [" ".join(sentences)]


def _external_notes(study: StudyResults, model: ModelResults) -> list[Note]:
    notes = []
    for data in study.external:
        scores = model.scores.get(data.name)
        if scores is None:
            continue
        sentences = list(scores.warnings)
        if scores.left_out:
            left_out = count(scores.left_out, "stay")
            sentences.insert(0, f"{left_out} of patients whom the training has met are left out.")
        if sentences:
            notes.append(Note(f"{data.name}: {' '.join(sentences)}"))
    return notes


def _basis(group: JudgedStays, own: list[str]) -> str:
    stays = group.predictions.filter(pl.col("model").is_in(own)).height
    words = "external stays" if group.split == "external" else SPLIT_NAMES[group.split]
    return f"{group.data}: {count(stays, words.removesuffix('s'), words)}"


def _whence_threshold(model: ModelResults) -> str:
    """Say where the decision threshold comes from."""
    checkpoint = next(iter(model.training.checkpoints.values()), None)
    if checkpoint is not None and given_threshold(read_options(checkpoint.model)) is not None:
        return f"{checkpoint.threshold:g}, as given with the model"
    return "which was chosen on validation stays and not on the stays judged here"


def _metrics_table(groups: tuple[JudgedStays, ...], models: list[str], whence_threshold: str) -> Table:
    known = [name for name in METRIC_NAMES if any((group.metrics["metric"] == name).any() for group in groups)]
    rows = []
    for group in groups:
        whole = group.metrics.filter(pl.col("subgroup") == "all")
        for model in models:
            found = {line["metric"]: line for line in whole.filter(pl.col("model") == model).iter_rows(named=True)}
            if not found:
                continue
            first = next(iter(found.values()))
            cells = [
                interval_below(found[name]["value"], found[name]["low"], found[name]["high"])
                if name in found
                else Entry("–", None)
                for name in known
            ]
            rows.append(row(predictor_name(model), group.words, first["stays"], first["deaths"], *cells))
    labels = [numeric(METRIC_NAMES[name]) for name in known]
    return Table(
        "metrics",
        "Scores with 95 % intervals",
        columns("Model", "Judged on", numeric("Stays"), numeric("Deaths"), *labels),
        tuple(rows),
        f"Precision, recall, F1 and accuracy hold at the decision threshold, {whence_threshold}. "
        "The 95 % interval stands below each number.",
    )
