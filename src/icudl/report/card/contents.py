"""The contents of a model card, gathered from results; what only a person can say is marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.analysis.numbers.attacks.verdicts import reversed_verdicts
from icudl.analysis.numbers.models.responsiveness import responsiveness
from icudl.analysis.numbers.proofs.certificates import proved_by_class
from icudl.artifacts import (
    AttackResult,
    AttackStatus,
    Certificates,
    CertificateStatus,
    GridDataset,
    LineageEntry,
    Probes,
    Scores,
    TrainingResult,
)
from icudl.report.names import METRIC_NAMES, subgroup_name, way_of_training
from icudl.report.vocabulary import Vocabulary
from icudl.report.wording import count, percent

FEWEST_DEATHS = 100
"""With fewer deaths, scores are called no evidence, here as on the page of the report."""

OUT_OF_SCOPE = (
    "Out of scope: the care of a patient. The model was made for research on robustness; it is no medical device and "
    "was tested on past records only."
)

FEWEST_IN_GROUP = 10
"""Deaths below which a subgroup has no scores on a card."""

SUBGROUP_METRICS = ("auroc", "auprc", "brier")
CALIBRATION = tuple(METRIC_NAMES[name] for name in ("brier", "ece"))


@dataclasses.dataclass(frozen=True)
class ToFill:
    """What only a person can say.

    Attributes:
        question: What is asked.
    """

    question: str

    def __str__(self) -> str:
        return f"[A person has to fill this in: {self.question}]"


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        columns: Heads.
        rows: Cells.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Chapter:
    """One part of a card.

    Attributes:
        title: Its title.
        blocks: Sentences, tables, and what a person has to fill in.
    """

    title: str
    blocks: tuple[str | ToFill | Grid, ...]


@dataclasses.dataclass(frozen=True)
class Measured:
    """One number of a card.

    Attributes:
        label: What was measured, on which stays.
        value: The number.
        low: Lower bound of its 95 % interval; None without one.
        high: Upper bound.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Described:
    """The results that a card tells.

    Attributes:
        name: Name of the model in its study.
        reference: ``train/ID``.
        version: Version of icudl that trained it.
        training: Fitted members and scores.
        grid: The data set that they were fitted on.
        lineage: The training and what it was made from, inputs first.
        hashes: SHA-256 over the files of every result named here, by reference.
        scores: By external data set.
        attacks: By name.
        certificates: By name.
        probes: By name.
    """

    name: str
    reference: str
    version: str
    training: TrainingResult
    grid: GridDataset
    lineage: Sequence[LineageEntry]
    hashes: Mapping[str, str]
    scores: Mapping[str, Scores]
    attacks: Mapping[str, AttackResult]
    certificates: Mapping[str, Certificates]
    probes: Mapping[str, Probes]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Card:
    """A model card.

    Attributes:
        title: Its title.
        described: What it tells about.
        chapters: In the order of the page.
        usefulness: Scores of all stays.
        fairness: Scores of subgroups.
        safety: Attacks, proofs, wrong verdicts and responsiveness.
        limits: Sentences.
    """

    title: str
    described: Described
    chapters: tuple[Chapter, ...]
    usefulness: tuple[Measured, ...]
    fairness: tuple[Measured, ...]
    safety: tuple[Measured, ...]
    limits: tuple[str, ...]


def make_card(of: Described) -> Card:
    """Gather a card, in the words of the outcome that the model predicts."""
    given = (*of.grid.flow["criterion"], *of.scores, *of.attacks, *of.certificates, *of.probes, of.name)
    words = Vocabulary.of(of.grid.outcome, given)
    usefulness, fairness, safety = (words.value(measure(of)) for measure in (_usefulness, _fairness, _safety))
    limits = words.value(_limits(of))
    chapters = (
        Chapter("Model", _model(of)),
        Chapter(
            "Intended use",
            (
                ToFill("what the prediction is for, and at which step of care it is read"),
                ToFill("who reads it, and what they are to do"),
                OUT_OF_SCOPE,
            ),
        ),
        Chapter("Data", _data(of)),
        Chapter("Scores", (_numbers(usefulness), "Intervals are 95 % bootstrap intervals over patients.")),
        Chapter(
            "Subgroups",
            (
                *(
                    (_numbers(fairness), f"Groups with fewer than {FEWEST_IN_GROUP} deaths are left out.")
                    if fairness
                    else (f"Not told: no group has {FEWEST_IN_GROUP} deaths or more.",)
                ),
                ToFill("which differences between groups matter, and what was done about them"),
            ),
        ),
        Chapter("Calibration", _calibration(of)),
        Chapter(
            "Robustness and responsiveness",
            (_numbers(safety),)
            if safety
            else ("Not measured: the store holds no attack, proof or probe of this model. `icudl run` makes them.",),
        ),
        Chapter("Limits", (*limits, ToFill("further limits, risks and ethical considerations"))),
        Chapter("Responsibility", _responsibility()),
        Chapter("Origin", _origin(of)),
    )
    return Card(
        title=f"Model card: {of.name}",
        described=of,
        chapters=words.value(chapters),
        usefulness=usefulness,
        fairness=fairness,
        safety=safety,
        limits=limits,
    )


def _model(of: Described) -> tuple[str | Grid, ...]:
    checkpoint = next(iter(of.training.checkpoints.values()))
    members = ", ".join(of.training.checkpoints)
    what = (
        f"{of.training.model}, {of.reference}, trained by icudl {of.version}. It reads the first "
        f"{checkpoint.n_hours} hours of an ICU stay and gives the risk of death in hospital. Members: {members}."
    )
    if "parts" in checkpoint.model and checkpoint.model["parts"] > 1:
        what += (
            f" It reads a record whole and in {checkpoint.model['parts']} parts, and its logit lies within "
            f"{checkpoint.model['parts_limit']:g} of the middle one of those of the parts."
        )
    variables = ", ".join(f"{each.label} ({each.unit})" if each.unit else each.label for each in checkpoint.variables)
    way = way_of_training(of.lineage, of.name)
    return (
        f"{what} {way[:1].upper()}{way[1:]}." if way else what,
        f"Variables: {variables}. Descriptors: {', '.join(checkpoint.static_names) or 'none'}.",
        Grid(
            ("Member", "Threshold of the verdict"),
            tuple((name, f"{each.threshold:.4f}") for name, each in of.training.checkpoints.items()),
        ),
    )


def _data(of: Described) -> tuple[str | Grid, ...]:
    grid = of.grid
    restricted = any(entry.restricted for entry in of.lineage)
    stays, deaths = len(grid.labels), int(grid.labels.sum())
    kept = int((~grid.is_test).sum())
    patients = count(len(np.unique(grid.patient_ids)), "patient")
    told = (
        f"{count(stays, 'stay')} of {patients}, {percent(deaths / max(stays, 1))} of them ended in death. "
        f"{count(kept, 'stay')} served training and {grid.n_folds}-fold cross-validation; "
        f"{count(stays - kept, 'stay')} were held out, divided by patient."
    )
    return (
        f"Population: {grid.population or 'unknown'}; the data are {'credentialed' if restricted else 'open'}.",
        told,
        Grid(
            ("Criterion", "Removed", "Stays left", "Deaths"),
            tuple(
                (line["criterion"], f"{line['removed']:,}", f"{line['stays']:,}", f"{line['deaths']:,}")
                for line in grid.flow.iter_rows(named=True)
            ),
        ),
    )


def _scored(of: Described) -> list[tuple[str, pl.DataFrame]]:
    own = of.training.metrics.filter(pl.col("model") == of.training.model)
    return [("", own), *((name, each.metrics) for name, each in of.scores.items())]


def _which(data: str, line: Mapping[str, Any]) -> str:
    """Say on which stays a row of metrics was measured."""
    split = f"{line['split']} {data}".strip()
    return f"{split}, {count(line['stays'], 'stay')}, {count(line['deaths'], 'death')}"


def _usefulness(of: Described) -> tuple[Measured, ...]:
    found = []
    for data, metrics in _scored(of):
        for line in metrics.filter(pl.col("subgroup") == "all").iter_rows(named=True):
            if line["value"] is None:
                continue
            stays = _which(data, line)
            found.append(
                Measured(f"{METRIC_NAMES[line['metric']]} ({stays})", line["value"], line["low"], line["high"])
            )
    return tuple(found)


def _fairness(of: Described) -> tuple[Measured, ...]:
    found = []
    for data, metrics in _scored(of):
        chosen = metrics.filter(
            pl.col("subgroup") != "all", pl.col("metric").is_in(SUBGROUP_METRICS), pl.col("deaths") >= FEWEST_IN_GROUP
        )
        for line in chosen.iter_rows(named=True):
            if line["value"] is None:
                continue
            stays = _which(data, line)
            label = f"{METRIC_NAMES[line['metric']]} of {subgroup_name(line['subgroup'])} ({stays})"
            found.append(Measured(label, line["value"], line["low"], line["high"]))
    return tuple(found)


def _calibration(of: Described) -> tuple[str | Grid, ...]:
    wanted = [each for each in _usefulness(of) if each.label.startswith(CALIBRATION)]
    predictions = of.training.predictions.filter(pl.col("model") == of.training.model)
    rows = tuple(
        (str(split), f"{part['probability'].to_numpy().mean():.4f}", f"{part['label'].to_numpy().mean():.4f}")
        for (split,), part in predictions.group_by("split", maintain_order=True)
    )
    table = Grid(("Stays", "Mean predicted risk", "Observed mortality"), rows)
    return (table, _numbers(wanted)) if wanted else (table,)


def _safety(of: Described) -> tuple[Measured, ...]:
    found: list[Measured] = []
    for name, attack in of.attacks.items():
        attacked = attack.ask("stays", lambda table: table.select("status", "best_l0")).filter(
            pl.col("status").is_in([AttackStatus.SUCCESS.value, AttackStatus.FAILED.value])
        )
        flipped = attacked.filter(status=AttackStatus.SUCCESS.value)
        if attacked.height:
            label = f"share of {attacked.height:,} stays flipped by {name} ({attack.threat_model})"
            share = Share.of(flipped.height, attacked.height)
            found.append(Measured(label, share.value, share.low, share.high))
        if flipped.height:
            changed = float(np.median(flipped["best_l0"].to_numpy()))
            found.append(Measured(f"median number of changed values of stays flipped by {name}", changed))
    for name, proofs in of.certificates.items():
        for whole in proved_by_class(proofs)[:1]:
            share = whole.shares[CertificateStatus.PROVEN]
            label = f"share of {whole.stays:,} stays proven against any one wrong value ({name})"
            found.append(Measured(label, share.value, share.low, share.high))
    for name, probes in of.probes.items():
        for rate in reversed_verdicts(probes):
            label = (
                f"verdicts reversed by entry errors per 1,000 stays at {100 * rate.rate:.2f} % wrong entries ({name})"
            )
            found.append(Measured(label, rate.value, rate.low, rate.high))
        followed = responsiveness(probes)
        responding, missed = followed.responding(), followed.missed()
        if responding is not None:
            label = (
                f"share of {len(followed.of('held'))} derangements to which at least half of the stays respond ({name})"
            )
            found.append(Measured(label, responding))
        if missed is not None:
            found.append(Measured(f"share of deranged records still called survivors ({name})", missed))
    return tuple(found)


def _limits(of: Described) -> tuple[str, ...]:
    found = []
    grid = of.grid
    deaths = int(grid.labels[grid.is_test].sum())
    if deaths < FEWEST_DEATHS:
        found.append(f"The held-out stays have {count(deaths, 'death')}: next to no evidence of how good the model is.")
    if not of.scores:
        found.append("It was not scored in another hospital.")
    if grid.population.startswith("synthetic"):
        found.append("The patients are synthetic: the numbers show how the software works, not how medicine does.")
    if not of.probes:
        found.append("Whether its risk follows a patient who gets worse was not measured (`[probe]`).")
    if not of.certificates:
        found.append("Nothing was proved about its robustness; attacks give upper bounds only (`[certify]`).")
    for name, probes in of.probes.items():
        blind = responsiveness(probes).blind_spots()
        if blind:
            spots = "; ".join(each.derangement.label for each in blind)
            found.append(f"Fewer than half of the stays respond to these derangements ({name}): {spots}.")
    found += [f"{entry.name}: {text}" for entry in of.lineage for text in entry.warnings]
    found.append("It was tested on past records, never in use.")
    return tuple(found)


def _responsibility() -> tuple[ToFill, ...]:
    return (
        ToFill("developer and contact"),
        ToFill("stage of release, availability, regulatory approval"),
        ToFill("funding, stakeholders consulted, consent of or disclosure to patients"),
        ToFill("maintenance, monitoring and security"),
    )


def _origin(of: Described) -> tuple[str | Grid, ...]:
    return (
        f"Compute the model again and compare every byte: `icudl verify --rerun {of.reference}`.",
        Grid(
            ("Result", "Plug-in", "SHA-256 of its files"),
            tuple(
                (f"{entry.name} ({entry.node}/{entry.id})", entry.plugin or "–", of.hashes[f"{entry.node}/{entry.id}"])
                for entry in of.lineage
            ),
        ),
    )


def _numbers(measured: Sequence[Measured]) -> Grid:
    return Grid(
        ("Measure", "Value", "95 % interval"),
        tuple(
            (
                each.label,
                f"{each.value:.3f}",
                "–" if each.low is None or each.high is None else f"{each.low:.3f} to {each.high:.3f}",
            )
            for each in measured
        ),
    )
