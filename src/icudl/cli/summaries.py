"""Small tables about an artifact, for the terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from icudl.analysis.numbers.attacks.verdicts import reversed_verdicts
from icudl.analysis.numbers.comparison import FEWEST_DEATHS as FEWEST_TOLD
from icudl.analysis.numbers.comparison import Estimate
from icudl.analysis.numbers.models.hospitals import HospitalLine
from icudl.analysis.numbers.models.responsiveness import FEWEST_STAYS, RISE, responsiveness
from icudl.artifacts import (
    HOSPITAL_DEATH,
    AttackResult,
    AttackStatus,
    Certificates,
    CertificateStatus,
    Direction,
    Outcome,
    Probes,
    Scores,
    TrainingResult,
    TrialState,
    TuningResult,
)
from icudl.pipeline.results.comparison import outcome_of
from icudl.report.vocabulary import Vocabulary
from icudl.store.base import Store
from icudl.store.manifest import Manifest

FEWEST_DEATHS = 100
"""With fewer deaths in a split, its scores are called no evidence, here as in the report."""

DERANGEMENTS_SHOWN = 12
"""Most derangements listed after a probe; the report lists all."""

TRIALS_SHOWN = 10
"""Most trials listed after a search; `icudl trials` lists all."""

WIDEST_TITLE = 100
"""Greatest width to which a narrow table is widened to fit its title."""

ANSWERS = ("train", "score", "attack", "certify")
"""Stages whose tables answer the questions of a study, in the order in which a run prints them."""

HEADLINE_METRICS = ("auroc", "auprc")
SUBGROUP_METRICS = (*HEADLINE_METRICS, "recall", "precision", "brier")


def summary(store: Store, manifest: Manifest) -> list[Table]:
    """Return the tables that summarise an artifact; most stages have no such table."""
    makers: dict[str, Callable[[Store, Manifest], list[Table]]] = {
        "extract": _extract,
        "preprocess": _preprocess,
        "tune-model": _tune,
        "tune-attack": _tune,
        "train": _train,
        "score": _score,
        "attack": _attack,
        "certify": _certify,
        "probe": _probe,
    }
    maker = makers.get(manifest.node)
    return in_words(maker(store, manifest), outcome_of(store, manifest)) if maker else []


def study_summary(store: Store, manifests: Sequence[Manifest]) -> list[Table]:
    """Return the tables worth seeing of a whole run: scores and attacks first, side by side where there are several.

    Cleaning counts are left out of a run that went on to a model; `icudl show extract` prints them.
    """
    tables: list[Table] = []
    combined = {"train": _models_side_by_side, "attack": _attacks_side_by_side}
    stages = list(dict.fromkeys(manifest.node for manifest in manifests))
    if set(stages) & set(ANSWERS):
        stages = [stage for stage in stages if stage != "extract"]
        stages.sort(key=lambda stage: ANSWERS.index(stage) if stage in ANSWERS else len(ANSWERS))
    for stage in stages:
        own = [manifest for manifest in manifests if manifest.node == stage]
        if stage in combined and len(own) > 1:
            scored = [item for item in manifests if item.node == "score"] if stage == "train" else []
            tables += in_words(combined[stage](store, [*own, *scored]), outcome_of(store, own[0]))
        elif stage != "score" or len(manifests) == 1:
            told = {manifest.name.removeprefix(f"{stage}/"): summary(store, manifest) for manifest in own}
            tables += _told_apart(told) if len(told) > 1 else [table for each in told.values() for table in each]
        if stage == "certify":
            tables += _both_sides(store, manifests)
    return tables


def _told_apart(told: Mapping[str, list[Table]]) -> list[Table]:
    """Return the tables of several results of one stage, with what each is about in front of its titles."""
    for name, tables in told.items():
        for table in tables:
            table.title = f"{escape(name)}: {table.title}"
    return [table for tables in told.values() for table in tables]


def in_words(tables: list[Table], outcome: Outcome) -> list[Table]:
    """Put titles and headings, which speak of deaths, into the words of another outcome; return the same tables."""
    words = Vocabulary.of(outcome)
    for table in tables:
        table.title, table.caption = (
            words.text(text) if isinstance(text, str) else text for text in (table.title, table.caption)
        )
        for column in table.columns:
            column.header = words.text(str(column.header))
            if column.header == "predicted":
                column._cells = [words.text(str(cell)) for cell in column._cells]  # noqa: SLF001 - rich offers no other way
        if outcome != HOSPITAL_DEATH and table.caption is None:
            table.caption, table.caption_justify = f"outcome: {outcome.phrase}", "left"
    return tables


def _models_side_by_side(store: Store, manifests: Sequence[Manifest]) -> list[Table]:
    """Return one table for each group of stays: a row a model, then the baselines of the first."""
    rows: dict[str, list[tuple[str, pl.DataFrame]]] = {}
    for manifest in manifests:
        for group, label, part in _scored(store, manifest, with_baselines=manifest is manifests[0]):
            rows.setdefault(group, []).append((label, part))
    tables = []
    for group, lines in rows.items():
        stays, deaths = lines[0][1]["stays"][0], lines[0][1]["deaths"][0]
        title = f"Scores on {stays:,} {group} stays with {deaths:,} deaths (95 % bootstrap intervals)"
        table = _table(title, "model", *map(_right, ("AUROC", "AUPRC")))
        for label, part in lines:
            by_metric = {row["metric"]: row for row in part.to_dicts()}
            table.add_row(escape(label), *(_interval(by_metric.get(metric)) for metric in HEADLINE_METRICS))
        tables.append(_with_caution(table, deaths))
    return tables


def _scored(store: Store, manifest: Manifest, *, with_baselines: bool) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Yield the group of stays, the model and its headline scores."""
    if manifest.node == "score":
        metrics, network = store.load(Scores, manifest).metrics, ""
        name, _, data = manifest.name.removeprefix("score/").rpartition("/")
    else:
        training = store.load(TrainingResult, manifest)
        metrics, network = training.metrics, training.model
        name, data = manifest.name.removeprefix("train/"), ""
    whole = metrics.filter(pl.col("subgroup") == "all", pl.col("metric").is_in(HEADLINE_METRICS))
    for (split, model), part in whole.group_by("split", "model", maintain_order=True):
        if model == network or not network:
            yield f"{split} {data}".strip(), name, part
        elif with_baselines:
            yield str(split), str(model), part


def _attacks_side_by_side(store: Store, manifests: Sequence[Manifest]) -> list[Table]:
    title = "Attacks on held-out stays that the model gets right"
    columns = ("survival: attacked", "flipped", "values", "death: attacked", "flipped", "values")
    table = _table(title, Column("attack", no_wrap=True), *map(_right, columns))
    for manifest in manifests:
        cells = [cell for _, *cells in _flips(store, manifest) for cell in cells[:3]]
        table.add_row(escape(manifest.name.removeprefix("attack/")), *cells)
    table.caption = "values: median number of changed values of the flipped stays"
    table.caption_justify = "left"
    return [table]


def _extract(_store: Store, manifest: Manifest) -> list[Table]:
    totals: dict[str, int] = {}
    for row in manifest.counts["cleaning"]:
        totals[row["rule"]] = totals.get(row["rule"], 0) + row["rows"]
    _, _, data = manifest.name.partition("/")
    title = f"Cleaning of {escape(data)}" if data else "Cleaning"
    table = _table(f"{title}: measurements touched by each rule", "rule", _right("rows"))
    for rule, rows in totals.items():
        table.add_row(escape(rule), f"{rows:,}")
    return [table]


def _preprocess(_store: Store, manifest: Manifest) -> list[Table]:
    columns = ("removed", "stays", "patients", "deaths")
    _, _, data = manifest.name.partition("/")
    table = _table(f"Cohort of {escape(data)}" if data else "Cohort", "criterion", *map(_right, columns))
    for row in manifest.counts["attrition"]:
        table.add_row(escape(row["criterion"]), *(f"{row[column]:,}" for column in columns))
    return [table]


def _tune(store: Store, manifest: Manifest) -> list[Table]:
    return [trials_table(store.load(TuningResult, manifest), TRIALS_SHOWN)]


def trials_table(tuning: TuningResult, limit: int) -> Table:
    """Return the best trials (all where ``limit`` is 0), best first, with their settings."""
    ordered = best_first(tuning).head(limit or tuning.trials.height)
    settings = [json.loads(text) for text in ordered["parameters"]]
    paths = sorted({path for setting in settings for path in setting})
    # One word for each column; where two options share a name, the name of the table goes first.
    words = [path.rpartition(".")[2] for path in paths]
    heads = [path if words.count(word) > 1 else word for path, word in zip(paths, words, strict=True)]
    title = f"{tuning.trials.height:,} trials, best first ({tuning.objective}); * is the chosen one"
    table = _table(
        title, _right("trial"), "state", _right(tuning.objective.metric), _right("steps"), *map(_right, heads)
    )
    for row, setting in zip(ordered.iter_rows(named=True), settings, strict=True):
        number = f"{'* ' if row['trial'] == tuning.best_trial else ''}{row['trial']}"
        value = "-" if row["value"] is None else f"{row['value']:.4f}"
        table.add_row(
            number, row["state"], value, f"{row['steps'] or 0}", *(_short(setting.get(path)) for path in paths)
        )
    return table


def best_first(tuning: TuningResult) -> pl.DataFrame:
    """Return the trials in order: complete ones from best to worst, then pruned ones, then failed ones."""
    rank = pl.col("state").replace_strict(
        {TrialState.COMPLETE.value: 0, TrialState.PRUNED.value: 1}, default=2, return_dtype=pl.Int8
    )
    falling = tuning.objective.direction is Direction.MAXIMIZE
    return tuning.trials.sort(rank, "value", "trial", descending=[False, falling, False], nulls_last=True)


def _short(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _train(store: Store, manifest: Manifest) -> list[Table]:
    training = store.load(TrainingResult, manifest)
    rows = training.metrics.filter(pl.col("subgroup") == "all", pl.col("metric").is_in(HEADLINE_METRICS))
    tables = []
    for (split,), part in rows.group_by("split", maintain_order=True):
        stays, deaths = part["stays"][0], part["deaths"][0]
        title = f"Scores on {stays:,} {split} stays with {deaths:,} deaths (95 % bootstrap intervals)"
        table = _table(title, "model", *map(_right, ("AUROC", "AUPRC")))
        for (model,), group in part.group_by("model", maintain_order=True):
            by_metric = {row["metric"]: row for row in group.to_dicts()}
            table.add_row(str(model), *(_interval(by_metric.get(metric)) for metric in HEADLINE_METRICS))
        tables.append(_with_caution(table, deaths))
    return tables


def _score(store: Store, manifest: Manifest) -> list[Table]:
    return [scores_table(store.load(Scores, manifest).metrics)]


def scores_table(scores: pl.DataFrame) -> Table:
    """Return every score of all stays with its interval (``METRICS_SCHEMA`` of one model and split)."""
    rows = scores.filter(subgroup="all").to_dicts()
    model, split, stays, deaths = (rows[0][column] for column in ("model", "split", "stays", "deaths"))
    title = f"{model}: {stays:,} stays ({split}) with {deaths:,} deaths (95 % bootstrap intervals)"
    table = _table(title, "score", _right("value"))
    for row in rows:
        table.add_row(row["metric"], _interval(row))
    return _with_caution(table, deaths)


def subgroups_table(scores: pl.DataFrame) -> Table:
    """Return the main scores of each subgroup."""
    table = _table("By subgroup", "subgroup", *map(_right, ("stays", "deaths", *map(str.upper, SUBGROUP_METRICS))))
    for (subgroup,), part in scores.filter(pl.col("subgroup") != "all").group_by("subgroup", maintain_order=True):
        by_metric = {row["metric"]: row for row in part.to_dicts()}
        counts = (f"{part['stays'][0]:,}", f"{part['deaths'][0]:,}")
        table.add_row(escape(str(subgroup)), *counts, *(_interval(by_metric[name]) for name in SUBGROUP_METRICS))
    return table


def hospitals_table(lines: Sequence[HospitalLine]) -> Table:
    """Return the scores in each hospital, and what recalibrating the risks there would change."""
    scores = ("AUROC", "deaths per expected death", "Brier", "Brier, change by recalibration")
    table = _table("By hospital", "hospital", *map(_right, ("stays", "deaths", *scores)))
    for line in lines:
        told = line.scores
        cells = ["-"] * len(scores)
        if told is not None:
            found = (told.auroc, told.ratio, told.brier)
            cells = [*(_interval(dataclasses.asdict(each)) for each in found), _change(told.gain)]
        name = f"all {line.hospitals:,}" if line.is_all else line.name or f"{line.hospitals:,} others together"
        table.add_row(escape(name), f"{line.stays:,}", f"{line.deaths:,}", *cells)
    table.caption = f"Nothing is said of hospitals where fewer than {FEWEST_TOLD} died or survived."
    table.caption_justify = "left"
    return table


def differences_table(differences: pl.DataFrame) -> Table:
    """Return what ``training.scores.evaluation.compare`` found."""
    stays, deaths = differences["stays"][0], differences["deaths"][0]
    title = f"Against the other model, paired, on {stays:,} stays with {deaths:,} deaths (95 % bootstrap intervals)"
    table = _table(title, "score", *map(_right, ("this model", "the other", "difference")))
    for row in differences.to_dicts():
        values = ["-" if row[name] is None else f"{row[name]:.3f}" for name in ("first", "second")]
        interval = "" if row["low"] is None else f" ({row['low']:+.3f} to {row['high']:+.3f})"
        difference = "-" if row["difference"] is None else f"{row['difference']:+.3f}{interval}"
        table.add_row(row["metric"], *values, difference)
    return _with_caution(table, deaths)


def _with_caution(table: Table, deaths: int) -> Table:
    if deaths < FEWEST_DEATHS:
        table.caption = f"{deaths} deaths say next to nothing about how good a model is."
        table.caption_justify = "left"
    return table


def _interval(row: dict[str, float | None] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    if row["low"] is None or row["high"] is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} ({row['low']:.3f}-{row['high']:.3f})"


def _change(of: Estimate) -> str:
    if of.value is None or of.low is None or of.high is None:
        return "-"
    return f"{of.value:+.4f} ({of.low:+.4f} to {of.high:+.4f})"


def _attack(store: Store, manifest: Manifest) -> list[Table]:
    title = "Attack on held-out stays that the model gets right"
    columns = ("attacked", "flipped", "changed values (median)", "L1 (median)")
    table = _table(title, "predicted", *map(_right, columns))
    for cells in _flips(store, manifest):
        table.add_row(*cells)
    return [table]


def _flips(store: Store, manifest: Manifest) -> Iterator[tuple[str, ...]]:
    """Yield for each predicted outcome its name, the stays attacked, those flipped, and the medians of the changes."""
    attacked = pl.col("status").is_in([AttackStatus.SUCCESS.value, AttackStatus.FAILED.value])
    stays = store.load(AttackResult, manifest).ask(
        "stays", lambda table: table.filter(attacked).select("label", "status", "best_l0", "best_l1")
    )
    for label, name in ((0, "survival"), (1, "death")):
        group = stays.filter(pl.col("label") == label)
        flipped = group.filter(pl.col("status") == AttackStatus.SUCCESS.value)
        share = f"{flipped.height:,} ({flipped.height / group.height:.0%})" if group.height else "-"
        median = [flipped[column].median() for column in ("best_l0", "best_l1")]
        cells = [f"{value:.3g}" if isinstance(value, int | float) else "-" for value in median]
        yield name, f"{group.height:,}", share, *cells


def _certify(store: Store, manifest: Manifest) -> list[Table]:
    """Return what is proved of the stays and of their values, by what was predicted."""
    result = store.load(Certificates, manifest)
    what = "charted value" if result.threat_model == "measured" else "cell"
    states = (CertificateStatus.PROVEN.value, CertificateStatus.FLIPS.value, CertificateStatus.UNDECIDED.value)
    title = f"Can one wrong {what} flip a prediction?"
    table = _table(title, "predicted", *map(_right, ("stays", "proven", "flip", "undecided", "values", "that flip")))
    looked_at = result.stays.filter(pl.col("status").is_in(states))
    for died, name in ((False, "survival"), (True, "death")):
        group = looked_at.filter((pl.col("label") == 1) == died)
        counts = [group.filter(pl.col("status") == state).height for state in states]
        values, flippable = int(group["values"].sum()), int(group["flippable"].sum())
        cells = [f"{number:,} ({number / group.height:.0%})" if group.height else "-" for number in counts]
        share = f"{flippable:,} ({flippable / values:.1%})" if values else "-"
        table.add_row(name, f"{group.height:,}", *cells, f"{values:,}", share)
    table.caption = "proven: no plausible number in the place of any one value flips the prediction"
    table.caption_justify = "left"
    return [table, *_nearby(result)]


def _nearby(result: Certificates) -> Iterator[Table]:
    """Return what is proved against errors of several values, where it was asked for."""
    from icudl.analysis.numbers.proofs.certificates import proved_nearby

    near = proved_nearby(result)
    if near:
        table = _table(
            "Stays proven against errors of several values", "wrong at once", _right("stays"), _right("proven")
        )
        for each in near:
            table.add_row(each.threat, f"{each.stays:,}", f"{each.proven.value:.0%}")
        yield table


def _both_sides(store: Store, manifests: Sequence[Manifest]) -> list[Table]:
    """Return the fewest wrong values that flip predictions, where proofs and attacks are about the same stays."""
    from icudl.analysis.numbers.proofs.both_sides import both_sides

    def about(manifest: Manifest) -> tuple[str, ...]:
        """Return what was proved about or attacked: the fitted model and the data set."""
        return tuple(manifest.identity.upstream[name].id for name in ("train", "preprocess"))

    attacks = [manifest for manifest in manifests if manifest.node == "attack"]
    columns = ("stays", "known exactly", "at least, at most: stays")
    table = _table("Fewest wrong values that flip a prediction, from both sides", "proofs", *map(_right, columns))
    for manifest in manifests:
        if manifest.node != "certify":
            continue
        alike = [store.load(AttackResult, each) for each in attacks if about(each) == about(manifest)]
        found = both_sides(store.load(Certificates, manifest), alike)
        if found is None:
            continue
        ranges = "; ".join(f"{each.text}: {each.stays:,}" for each in found.ranges)
        name = escape(manifest.name.removeprefix("certify/"))
        table.add_row(name, f"{found.stays:,}", f"{found.exact:,} ({found.exact / found.stays:.0%})", ranges)
        if found.contradicted:
            table.add_row(
                name, f"{found.contradicted:,}", "", "proof and attack contradict each other: run icudl verify"
            )
    if not table.rows:
        return []
    table.caption = "at least: proven; at most: an attack's verified example"
    table.caption_justify = "left"
    return [table]


def _probe(store: Store, manifest: Manifest) -> list[Table]:
    """Return how risk follows derangements, the blindest first, and how many verdicts errors of entry reverse."""
    result = store.load(Probes, manifest)
    followed = responsiveness(result)
    counted = sorted(followed.of("held"), key=lambda each: each.responds.value)
    title = f"Does risk rise with derangements in the last {result.options['hours']} hours?"
    columns = ("stays", "risk, normal", "risk, deranged", "stays that respond", "contradict", "monotone")
    table = _table(title, "derangement", *map(_right, columns))
    for each in counted[:DERANGEMENTS_SHOWN]:
        shares = (each.responds, each.contradicts, each.monotone)
        risks = (f"{each.risks[0]:.3f}", f"{each.risks[-1]:.3f}")
        table.add_row(
            escape(each.derangement.label), f"{each.stays:,}", *risks, *(f"{one.value:.0%}" for one in shares)
        )
    left = len(counted) - DERANGEMENTS_SHOWN
    more = f"; {left} derangements that are followed better are not shown" if left > 0 else ""
    table.caption = f"responds: risk rises by {RISE:.0%} or more; contradicts: it falls by as much{more}"
    if not counted:
        table.caption = f"No derangement concerns {FEWEST_STAYS} stays or more."
    table.caption_justify = "left"
    verdicts = _table(
        "Verdicts that errors of entry reverse, per 1,000 stays (95 % intervals over patients)",
        "chance that an entry is wrong",
        *map(_right, ("errors a stay", "reversed", "right made wrong")),
    )
    for rate in reversed_verdicts(result):
        verdicts.add_row(
            f"{rate.rate:.2%}",
            f"{rate.expected_errors:.2f}",
            f"{rate.value:.1f} ({rate.low:.1f}-{rate.high:.1f})",
            f"{rate.made_wrong:.1f} ({rate.made_wrong_low:.1f}-{rate.made_wrong_high:.1f})",
        )
    return [table, verdicts]


def _table(title: str, *columns: Column | str) -> Table:
    # A title is folded at the width of its table.
    return Table(
        *columns, title=title, title_justify="left", box=SIMPLE_HEAD, min_width=min(len(title) + 2, WIDEST_TITLE)
    )


def _right(name: str) -> Column:
    return Column(name, justify="right")
