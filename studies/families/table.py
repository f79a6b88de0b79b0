"""From the results of the study to its tables and its figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

import icudl
from icudl.analysis.intervals import wilson
from icudl.analysis.numbers.attacks.pairs import flip_differences
from icudl.analysis.numbers.attacks.verdicts import Reversed, reversed_verdicts
from icudl.artifacts import AttackResult, AttackStatus, GridDataset, TrainingResult, write_json
from icudl.report.figures.style import MUTED, PALETTE, new_figure, render, styled
from icudl.training.scores.evaluation import compare

NAMES = {
    "prior_study": "prior study's LSTM",
    "lstm": "LSTM",
    "lstm_summary": "LSTM and summaries",
    "gru": "GRU",
    "tcn": "TCN",
    "transformer": "Transformer",
    "boosted_trees": "boosted trees (scikit-learn)",
    "logistic_regression": "logistic regression",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "xgboost_hours": "XGBoost on hours",
}
_ATTACKS = (
    "| model | right | one charted value, on a grid | the same, exactly | one entry error | several values | "
    "fewest, median (middle half) | verdicts reversed per 1,000 |"
)
_COMMON = (
    "On the {common} stays that every model gets right. Differences are paired, on the stays that the model and the "
    "{reference} both get right."
)
_PAIRED = (
    "| model | one charted value | one entry error | one charted value, minus the first model's | "
    "one entry error, minus the first model's |"
)
HEAD = Path(__file__).with_name("page.md")
"""What a page of the documentation says before the tables."""
FIGURE = (
    "![AUROC of each model against the share of its stays that one charted value, or one entry error, flips; the "
    "tables below hold the same numbers.](families.svg)\n\n"
)
RESAMPLES = 1000
ATTACKED = (AttackStatus.SUCCESS, AttackStatus.FAILED)


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """What the study found about one model.

    Attributes:
        name: Of the model, for people.
        training: Its scores.
        attacks: Its attacks by name, as tables of stays with their patients.
        reversed: Verdicts that errors of entry reverse, at the usual rate.
    """

    name: str
    training: TrainingResult
    attacks: dict[str, pl.DataFrame]
    reversed: Reversed

    @property
    def predictions(self) -> pl.DataFrame:
        """Predictions of the stays of set B."""
        return self.training.predictions.filter(pl.col("split") == "test", pl.col("model") == self.training.model)

    def score(self, metric: str) -> tuple[float, float, float]:
        """Return a score on the stays of set B with its 95 % interval."""
        found = self.training.metrics.filter(
            pl.col("split") == "test",
            pl.col("subgroup") == "all",
            pl.col("model") == self.training.model,
            pl.col("metric") == metric,
        )
        value, low, high = found.select("value", "low", "high").row(0)
        return value, low, high


def write_results(pipeline: icudl.Pipeline, folder: Path, page: Path | None) -> None:
    """Write ``table.md``, ``table.json`` and ``families.svg``.

    Args:
        pipeline: The study, finished.
        folder: Where the files go.
        page: A page of the documentation to write, the figure beside it; or None.
    """
    grid: GridDataset = pipeline.run("preprocess")
    models, seed = pipeline.config.models, pipeline.config.run.seed
    rows = {name: _row(pipeline, name, grid) for name in models}
    _require_same_stays(rows)
    reference = next(iter(rows.values()))
    common = _right_for_all(rows)
    found = [_numbers(row, reference, grid.stays, common, seed) for row in rows.values()]
    write_json(folder / "table.json", {"common": len(common), "reference": reference.name, "rows": found})
    text = _markdown(found, reference, len(common))
    (folder / "table.md").write_text(text, "utf-8")
    figure = render(_figure(found))
    (folder / "families.svg").write_bytes(figure)
    if page is not None:
        page.write_text(HEAD.read_text("utf-8") + FIGURE + text, "utf-8")
        page.with_name("families.svg").write_bytes(figure)
    print(text)


def _row(pipeline: icudl.Pipeline, name: str, grid: GridDataset) -> Row:
    attacks = {}
    patients = grid.stays.select("stay_id", "patient_id")
    for attack, entry in pipeline.config.attacks.items():
        if entry.concerns(name, pipeline.config.models):
            result: AttackResult = pipeline.run(f"attack/{name}/{attack}")
            attacks[attack] = result.stays.join(patients, on="stay_id", how="left", maintain_order="left")
    usual = next(each for each in reversed_verdicts(pipeline.run(f"probe/{name}")) if each.level == "usual")
    return Row(NAMES[name], pipeline.run(f"train/{name}"), attacks, usual)


def _require_same_stays(rows: dict[str, Row]) -> None:
    drawn = {tuple(sorted(table["stay_id"])) for row in rows.values() for table in row.attacks.values()}
    if len(drawn) != 1:
        raise SystemExit("The attacks were not run on the same stays. Give all of them the same max_stays.")


def _right_for_all(rows: dict[str, Row]) -> set[int]:
    """Return the stays that every model gets right."""
    tables = [table for row in rows.values() for table in row.attacks.values()]
    return set.intersection(*(set(table.filter(pl.col("status").is_in(ATTACKED))["stay_id"]) for table in tables))


def _numbers(row: Row, reference: Row, stays: pl.DataFrame, common: set[int], seed: int) -> dict[str, Any]:
    scores = {metric: row.score(metric) for metric in ("auroc", "auprc", "ece")}
    found: dict[str, Any] = {"model": row.name, "stays": row.predictions.height, "scores": scores, "attacks": {}}
    found["reversed"] = [row.reversed.value, row.reversed.low, row.reversed.high]
    found["deaths"] = int(row.predictions["label"].sum())
    if row is not reference:
        table = compare(row.predictions, reference.predictions, stays, RESAMPLES, seed)
        for metric in ("auroc", "auprc"):
            line = table.row(by_predicate=pl.col("metric") == metric, named=True)
            found[f"{metric}_difference"] = [line["difference"], line["low"], line["high"]]
    for attack, table in row.attacks.items():
        # The reference has no exact answer; its sweep is what is compared with.
        other = None if row is reference else reference.attacks.get(attack, reference.attacks["one_value"])
        own = flip_differences(table, other, RESAMPLES, seed)[-1]
        same = table.filter(pl.col("stay_id").is_in(common))
        flipped = table.filter(pl.col("status") == AttackStatus.SUCCESS)["best_l0"]
        found["attacks"][attack] = own | {
            "quartiles": [flipped.quantile(level, "nearest") for level in (0.25, 0.75)],
            "common": list(wilson(int((same["status"] == AttackStatus.SUCCESS).sum()), same.height)),
        }
    return found


def _markdown(found: Sequence[dict[str, Any]], reference: Row, common: int) -> str:
    lines = [
        f"{found[0]['stays']:,} stays of set B, {found[0]['deaths']:,} deaths.",
        "",
        "| model | AUROC | AUPRC | ECE | AUROC minus the first model's |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        scores = [_score(each["scores"][metric]) for metric in ("auroc", "auprc", "ece")]
        difference = each.get("auroc_difference")
        lines.append(f"| {each['model']} | {' | '.join(scores)} | {_signed(difference, 3) if difference else ''} |")
    lines += [
        "",
        _ATTACKS,
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        attacks = each["attacks"]
        shares = [_share(attacks.get(name)) for name in ("one_value", "one_value_exact", "entry_error", "fewest")]
        fewest = attacks["fewest"]
        middle = "" if not fewest["flipped"] else "{:.0f} ({:.0f}-{:.0f})".format(
            fewest["median_changed"], *fewest["quartiles"]
        )  # fmt: skip
        lines.append(f"| {each['model']} | {fewest['attacked']} | {' | '.join(shares)} | {middle} | {_rate(each)} |")
    lines += [
        "",
        _COMMON.format(common=common, reference=reference.name),
        "",
        _PAIRED,
        "|---|---|---|---|---|",
    ]
    for each in found:
        parts = [_percent(each["attacks"][name]["common"]) for name in ("one_value", "entry_error")]
        for name in ("one_value", "entry_error"):
            own = each["attacks"][name]
            keys = ("difference", "difference_low", "difference_high")
            known = own["difference"] is not None
            parts.append(_signed([100 * own[key] for key in keys], 0) if known else "")
        lines.append(f"| {each['model']} | {' | '.join(parts)} |")
    return "\n".join([*lines, "", _told(found, reference.name)]) + "\n"


def _told(found: Sequence[dict[str, Any]], reference: str) -> str:
    """Return what the tables say, for a clinician."""

    def share(each: dict[str, Any], attack: str = "one_value") -> float:
        return float(each["attacks"][attack]["share"])

    def words(each: dict[str, Any], attack: str = "one_value") -> str:
        own = each["attacks"][attack]
        return "{} ({:.0f} %, {:.0f} to {:.0f})".format(
            each["model"], *(100 * own[key] for key in ("share", "low", "high"))
        )

    hardest, easiest = min(found, key=share), max(found, key=share)
    best = max(found, key=lambda each: each["scores"]["auroc"][0])
    slips = sorted(found, key=lambda each: share(each, "entry_error"))
    fewest = [each["attacks"]["fewest"]["median_changed"] for each in found if each["attacks"]["fewest"]["flipped"]]
    rarer, oftener = _apart(found, below=True), _apart(found, below=False)
    auroc = "AUROC {:.3f}, {:.3f} to {:.3f}".format(*best["scores"]["auroc"])
    rates = sorted(found, key=lambda each: each["reversed"][0])
    fewer, more = (
        "{} ({:.1f}, {:.1f} to {:.1f})".format(rates[end]["model"], *rates[end]["reversed"]) for end in (0, -1)
    )
    sentences = [
        "**For a clinician.** Every share is one of patients whom the model judged rightly. With one charted number",
        "replaced by another that could be real, at the worst place, the shares that get the opposite verdict go from",
        f"{words(hardest)} to {words(easiest)}. For one of the mistakes that people make in an entry they go from",
        f"{words(slips[0], 'entry_error')} to {words(slips[-1], 'entry_error')}. Where several numbers may be wrong, a",
        f"median of {min(fewest):.0f} to {max(fewest):.0f} is enough. As often as people make such mistakes, they",
        f"reverse from {fewer} to {more} of 1,000 verdicts. The most accurate model is {best['model']}",
        f"({auroc}). On the patients that a model and the {reference} both judge",
        f"rightly, one value flips {_list(rarer)} more rarely than the",
        f"{reference}, and {_list(oftener)} more often; for the others chance can explain the difference.",
    ]
    return " ".join(sentences)


def _apart(found: Sequence[dict[str, Any]], *, below: bool) -> list[str]:
    """Return the models whose paired difference to the first model has an interval on one side of 0."""
    own = [(each["model"], each["attacks"]["one_value"]) for each in found]
    known = [(name, attack) for name, attack in own if attack["difference"] is not None]
    if below:
        return [name for name, attack in known if attack["difference_high"] < 0]
    return [name for name, attack in known if attack["difference_low"] > 0]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "no model"


def _score(value: Sequence[float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*value)


def _signed(value: Sequence[float], digits: int) -> str:
    return f"{value[0]:+.{digits}f} ({value[1]:+.{digits}f} to {value[2]:+.{digits}f})"


def _percent(value: Sequence[float]) -> str:
    return "{:.0f} % ({:.0f} to {:.0f})".format(*(100 * each for each in value))


def _rate(each: dict[str, Any]) -> str:
    return "{:.1f} ({:.1f} to {:.1f})".format(*each["reversed"])


def _share(attack: dict[str, Any] | None) -> str:
    return "" if attack is None else _percent([attack["share"], attack["low"], attack["high"]])


@styled
def _figure(found: Sequence[dict[str, Any]]) -> Any:
    figure = new_figure(9.0, 5.2)
    axes = figure.subplots(1, 2, sharex=True)
    titles = {"one_value": "One charted value can flip it", "entry_error": "One entry error can flip it"}
    for each, (attack, title) in zip(axes, titles.items(), strict=True):
        for number, row in enumerate(found):
            x, own = row["scores"]["auroc"], row["attacks"][attack]
            y = [100 * own[key] for key in ("share", "low", "high")]
            each.errorbar(
                x[0], y[0], xerr=[[x[0] - x[1]], [x[2] - x[0]]], yerr=[[y[0] - y[1]], [y[2] - y[0]]],
                fmt="os^Dv"[number // len(PALETTE)], color=PALETTE[number % len(PALETTE)], linewidth=0.9,
                label=row["model"],
            )  # fmt: skip
        each.set_title(title)
        each.set_xlabel("AUROC on set B, 95 % interval")
        each.set_ylim(0, 100)
    axes[0].set_ylabel("share of the stays that the model gets right, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    axes[1].text(0.98, 0.02, "further right: predicts better\nfurther down: harder to flip", ha="right", color=MUTED,
                 transform=axes[1].transAxes)  # fmt: skip
    return figure
