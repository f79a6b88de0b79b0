"""Tables for papers of the results that a reference stands for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import polars as pl

from icudl.analysis.numbers.comparison import AttackLine, JudgedOn, attack_line, judged_on, models_side_by_side
from icudl.analysis.numbers.models.quality import own_models
from icudl.artifacts import AttackResult, Scores, SusceptibilityResult, TrainingResult
from icudl.errors import StoreError
from icudl.execution.threads import single_thread
from icudl.pipeline.results.gathered import Gathered, names_of
from icudl.report.tables.attacks import Fragile, attacks_table, fragility_table
from icudl.report.tables.base import Kind, PaperTable
from icudl.report.tables.cohort import cohort_table
from icudl.report.tables.scores import scores_table, subgroups_table
from icudl.report.vocabulary import Vocabulary


def paper_tables(
    gathered: Gathered, kinds: Collection[Kind] = (), lacking: Callable[[str], object] = str
) -> list[PaperTable]:
    """Return the tables of a study, in the words of its outcome.

    Args:
        gathered: The results.
        kinds: What to tell; empty for everything that the results tell.
        lacking: Is called with a sentence for each kind that was asked for and of which the results tell nothing.

    Raises:
        StoreError: The results tell nothing of any kind that was asked for.
    """
    found, missing = [], []
    with single_thread():
        for kind in Kind:
            if not kinds or kind in kinds:
                tables = list(_tables(gathered, kind))
                if kinds and not tables:
                    missing.append(_why_none(gathered, kind))
                found += tables
    if missing and not found:
        raise StoreError(" ".join(dict.fromkeys(missing)))
    for sentence in dict.fromkeys(missing):
        lacking(sentence)
    words = Vocabulary.of(gathered.grid(gathered.main).outcome, names_of(gathered.parts))
    return [words.value(table) for table in found]


def _tables(gathered: Gathered, kind: Kind) -> Iterator[PaperTable]:
    restricted = gathered.restricted
    match kind:
        case Kind.COHORT:
            names = [part.data for part in gathered.of("preprocess")]
            for name in names:
                yield cohort_table(name, gathered.grid(name), restricted=restricted, several=len(names) > 1)
        case Kind.SCORES:
            judged = list(judged_of(gathered))
            stays = {part.data: gathered.grid(part.data).stays for part in gathered.of("preprocess")}
            if judged:
                lines = models_side_by_side(judged, stays, gathered.manifest.identity.seed)
                yield scores_table(lines, restricted=restricted)
        case Kind.SUBGROUPS:
            judged = [each for each in judged_of(gathered) if not each.baseline]
            for name in dict.fromkeys(each.model for each in judged):
                table = subgroups_table([each for each in judged if each.model == name], restricted=restricted)
                if table is not None:
                    yield table
        case Kind.ATTACKS:
            attacked = list(attack_lines(gathered))
            if attacked:
                yield attacks_table(attacked, restricted=restricted)
        case Kind.FRAGILITY:
            fragile = list(_fragile(gathered))
            for pair in dict.fromkeys((each.model, each.attack) for each in fragile):
                own = [each for each in fragile if (each.model, each.attack) == pair]
                table = fragility_table(own, restricted=restricted)
                if table is not None:
                    yield table


def _why_none(gathered: Gathered, kind: Kind) -> str:
    name = f"{gathered.manifest.name} ({gathered.manifest.reference})"
    if kind in {Kind.ATTACKS, Kind.FRAGILITY} and gathered.of("attack") and not gathered.of("analyse"):
        return f"{name} has not been analysed. Run `icudl analyse` with its configuration first."
    return f"{name} has nothing to tell for --kind {kind}. Give another result, such as a report, or another kind."


def judged_of(gathered: Gathered) -> Iterator[JudgedOn]:
    """Yield every model, and every baseline, on the stays that it was not fitted on; models in order."""
    trained = {part.model: part for part in gathered.of("train")}
    scored = gathered.of("score")
    for name in dict.fromkeys([*trained, *(part.model for part in scored)]):
        own: tuple[str, ...] = ()
        if name in trained:
            training = gathered.load(TrainingResult, trained[name])
            own = own_models(training)
            for split in ("test", "out-of-fold"):
                of = pl.col("split") == split
                yield from judged_on(
                    name, own, training.predictions.filter(of), training.metrics.filter(of), gathered.main, split
                )
        for part in scored:
            if part.model == name:
                scores = gathered.load(Scores, part)
                names = own or tuple(scores.predictions["model"].unique(maintain_order=True))
                yield from judged_on(name, names, scores.predictions, scores.metrics, part.data, "external")


def attack_lines(gathered: Gathered) -> Iterator[AttackLine]:
    """Yield the line of every attack that was analysed."""
    attacks = {(part.model, part.attack, part.data): part for part in gathered.of("attack")}
    for part in gathered.of("analyse"):
        attack = gathered.load(AttackResult, attacks[part.model, part.attack, part.data])
        analysis = gathered.load(SusceptibilityResult, part)
        yield attack_line(part.model, part.attack, part.data, attack, analysis, gathered.grid(part.data))


def _fragile(gathered: Gathered) -> Iterator[Fragile]:
    for part in gathered.of("analyse"):
        yield Fragile(
            model=part.model,
            attack=part.attack,
            data=part.data,
            fragility=gathered.load(SusceptibilityResult, part).tables["fragility"],
            stays=gathered.grid(part.data).stays,
        )
