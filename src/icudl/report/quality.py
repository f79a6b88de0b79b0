"""Section of the page: how well the model tells who will die, on stays it was not fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.intervals import wilson
from icudl.artifacts import TrainingResult
from icudl.report.elements import (
    Block,
    Entry,
    Figure,
    Section,
    Switch,
    Table,
    Terms,
    columns,
    interval,
    rounded,
    row,
)

SPLIT_NAMES = {"test": "held-out test stays", "out-of-fold": "out-of-fold stays"}
METRIC_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "min_se_ppv": "min(Se, P+)",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error",
    "calibration_error": "Calibration error",
}
SUBGROUP_NAMES = {"sex": "Sex", "age_years": "Age", "icu_type": "ICU"}
CURVE_POINTS = 160
"""Points of a ROC or precision-recall curve: enough for the eye, too few to read single stays off it."""
CALIBRATION_BINS = 10

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


def display_name(name: str, *, inside_sentence: bool = False) -> str:
    """Write a model's name as a reader would."""
    known = {"lstm": "LSTM", "gru": "GRU", "tcn": "TCN"}
    words = name.replace("_", " ").replace("-", " ")
    return known.get(name, words if inside_sentence else words.capitalize())


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
        curves = {split: _curves(training, models, split) for split in splits}
        blocks += [
            _roc(curves, switch),
            _precision_recall(curves, switch),
            _calibration(training, models, splits, switch),
        ]
        blocks.append(_risks(training, models[0], splits, switch))
    subgroups = training.metrics.filter(pl.col("subgroup") != "all", pl.col("model").is_in(models[:1]))
    if subgroups.height:
        blocks += [_subgroup_figure(subgroups, splits), _subgroup_table(subgroups)]
    if training.history.height:
        blocks += _training_curves(training.history)
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


Curves = dict[str, dict[str, npt.NDArray[np.float64]]]


def _curves(training: TrainingResult, models: list[str], split: str) -> Curves:
    curves: Curves = {}
    for model in models:
        chosen = training.predictions.filter(pl.col("model") == model, pl.col("split") == split)
        labels, risks = chosen["label"].to_numpy(), chosen["probability"].to_numpy()
        deaths, survivors = int((labels == 1).sum()), int((labels == 0).sum())
        if not deaths or not survivors:
            continue
        order = np.argsort(-risks, kind="stable")
        last_of_tie = np.append(np.diff(risks[order]) != 0, True)
        hits = np.cumsum(labels[order] == 1)[last_of_tie]
        alarms = np.cumsum(labels[order] == 0)[last_of_tie]
        needed = int(np.argmax(hits == deaths)) + 1
        curves[model] = {
            "false_alarms": np.concatenate([[0.0], alarms / survivors]),
            "hits": np.concatenate([[0.0], hits / deaths]),
            "precision": (hits / (hits + alarms))[:needed],
            "recall": (hits / deaths)[:needed],
            "mortality": np.array([deaths / (deaths + survivors)]),
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


def _roc(curves: dict[str, Curves], switch: tuple[Switch, ...]) -> Figure:
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


def _precision_recall(curves: dict[str, Curves], switch: tuple[Switch, ...]) -> Figure:
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


def _calibration(training: TrainingResult, models: list[str], splits: list[str], switch: tuple[Switch, ...]) -> Figure:
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


def _risks(training: TrainingResult, model: str, splits: list[str], switch: tuple[Switch, ...]) -> Figure:
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


def subgroup_name(name: str) -> str:
    """Write ``"age_years=65-79"`` as ``"Age 65-79"``."""
    column, _, value = name.partition("=")
    words = {"F": "women", "M": "men"} if column == "sex" else {}
    return f"{SUBGROUP_NAMES.get(column, column)}: {words.get(value, value)}"


def _subgroup_figure(subgroups: pl.DataFrame, splits: list[str]) -> Figure:
    variants = {}
    metrics = [metric for metric in ("auroc", "auprc", "brier", "recall") if (subgroups["metric"] == metric).any()]
    shown = [split for split in splits if (subgroups["split"] == split).any()]
    for split in shown:
        for metric in metrics:
            lines = subgroups.filter(pl.col("split") == split, pl.col("metric") == metric).sort("subgroup")
            variants[f"{split}|{metric}"] = {
                "rows": [subgroup_name(name) for name in lines["subgroup"].to_list()],
                "x": {"label": METRIC_NAMES[metric]},
                "series": [
                    {
                        "name": METRIC_NAMES[metric],
                        "x": rounded(lines["value"]),
                        "low": rounded(lines["low"]),
                        "high": rounded(lines["high"]),
                        "notes": [
                            f"{stays:,} stays, {deaths:,} deaths"
                            for stays, deaths in zip(lines["stays"], lines["deaths"], strict=True)
                        ],
                    }
                ],
            }
    return Figure(
        "subgroups",
        "Subgroups",
        "The same score within groups of patients, with its 95 % interval. Wide intervals mean few deaths in the "
        "group; only intervals that stay apart speak of a real difference.",
        {"kind": "dots", "sortable": True, "variants": variants},
        (
            Switch("split", "Stays", tuple((split, SPLIT_NAMES[split].capitalize()) for split in shown)),
            Switch("metric", "Score", tuple((metric, METRIC_NAMES[metric]) for metric in metrics)),
        ),
        "full",
    )


def _subgroup_table(subgroups: pl.DataFrame) -> Table:
    rows = []
    for (split, group), lines in sorted(subgroups.group_by("split", "subgroup"), key=lambda item: str(item[0])):
        found = {line["metric"]: line for line in lines.iter_rows(named=True)}
        first = next(iter(found.values()))
        cells = [
            interval(found[name]["value"], found[name]["low"], found[name]["high"])
            if name in found
            else Entry("–", None)
            for name in ("auroc", "auprc", "brier", "precision", "recall")
        ]
        rows.append(row(subgroup_name(str(group)), SPLIT_NAMES[str(split)], first["stays"], first["deaths"], *cells))
    return Table(
        "subgroup-scores",
        "Scores by subgroup",
        columns("Group", "Judged on", "#Stays", "#Deaths", "#AUROC", "#AUPRC", "#Brier score", "#Precision", "#Recall"),
        tuple(rows),
        filtered=True,
    )


def _training_curves(history: pl.DataFrame) -> list[Block]:
    members = history["member"].unique(maintain_order=True).to_list()
    rows = {member: history.filter(pl.col("member") == member).sort("epoch") for member in members}

    def line(name: str, member: str, column: str, dash: int) -> dict[str, Any]:
        epochs = rows[member]["epoch"].to_list()
        return {"name": name, "x": epochs, "y": rounded(rows[member][column]), "dash": dash % 6}

    loss = {
        member: {"series": [line("Validation", member, "valid_loss", 0), line("Training", member, "train_loss", 1)]}
        for member in members
    }
    scores = {
        column: {
            "y": {"label": f"Validation {label}"},
            "series": [line(member, member, column, place) for place, member in enumerate(members)],
        }
        for column, label in (("valid_auroc", "AUROC"), ("valid_auprc", "AUPRC"))
    }
    return [
        Figure(
            "training-loss",
            "Loss while training",
            "Loss on the stays fitted on and on the validation stays, by epoch. Training stops when the validation "
            "score no longer gets better; a growing distance between the two is over-fitting.",
            {"kind": "lines", "x": {"label": "Epoch"}, "y": {"label": "Loss"}, "variants": loss},
            (Switch("member", "Member", tuple((member, member) for member in reversed(members))),),
        ),
        Figure(
            "training-scores",
            "Validation scores while training",
            "Score on the validation stays of each member (one a fold, and the final model), by epoch. The best epoch "
            "is kept.",
            {"kind": "lines", "x": {"label": "Epoch"}, "variants": scores},
            (Switch("score", "Score", (("valid_auroc", "AUROC"), ("valid_auprc", "AUPRC"))),),
        ),
    ]
