"""Commands that score stays with fitted models: predict, evaluate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from icudl.cli.commands.results.showing import load_result, member_of
from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    import polars as pl

    from icudl.artifacts import GridDataset
    from icudl.store.manifest import Manifest

FOLDS = "folds"
"""Stands for the models of all folds, each for the stays of its own fold."""

_member = click.option(
    "--member",
    default="final",
    show_default=True,
    help="Which fitted model: final, fold-0, ..., or folds (each stay by the model whose fold held its patient).",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Scoring:
    """What a model says about stays of patients whom it has not met.

    Attributes:
        data: Manifest of the data set.
        grid: The data set.
        predictions: ``PREDICTIONS_SCHEMA``.
        left_out: Stays of the data set that are not scored.
        notes: What a reader of the scores should know.
    """

    data: Manifest
    grid: GridDataset
    predictions: pl.DataFrame
    left_out: int
    notes: tuple[str, ...]


def _fitted_on(session: Session, trained: Manifest) -> GridDataset:
    """Return the data set that a model was fitted on: it says which patients the model has met.

    Raises:
        StoreError: The data set is no longer in the store, or was made again with other content.
    """
    from icudl.artifacts import GridDataset
    from icudl.errors import StoreError

    store, entry = session.store(), trained.identity.upstream["preprocess"]
    if not store.has(entry.node, entry.id):
        raise StoreError(
            f"{trained.reference} was fitted on {entry.reference}, which is not in {store.name!r}, so nothing tells "
            "which patients it has met. Use the store that holds both, or preprocess those data again."
        )
    manifest = store.manifest(entry.node, entry.id)
    if manifest.content != trained.upstream_content["preprocess"]:
        raise StoreError(
            f"{trained.reference} was fitted on other content of {entry.reference} than is in {store.name!r} now, so "
            "nothing tells which patients it has met. Train the model again."
        )
    return store.load(GridDataset, manifest)


def _score(session: Session, checkpoint: str, data: str, member: str) -> Scoring:
    """Score every stay of ``data`` whose patient the member has not met."""
    import polars as pl

    from icudl.artifacts import FINAL
    from icudl.errors import StageError
    from icudl.execution.device import resolve_device
    from icudl.execution.threads import single_thread
    from icudl.training.external import align_grid, differences_of_data, require_populations, rows_by_fold, unmet_rows
    from icudl.training.scores.scoring import predictions

    trained, training = load_result(session, checkpoint, "train")
    training_grid = _fitted_on(session, trained)
    prepared, grid = load_result(session, data, "preprocess")
    same = trained.identity.upstream["preprocess"].id == prepared.id
    if same:
        grid = training_grid
    require_populations(grid, training_grid)
    if member == FOLDS:
        rows_of = {str(fold): rows for fold, rows in rows_by_fold(grid, training_grid, training.checkpoints).items()}
        asked = [member_of(training, name, trained) for name in rows_of]
    else:
        asked = [member_of(training, member, trained)]
        rows_of = {member: unmet_rows(grid, training_grid, asked[0].member, asked[0])}
    n_stays = sum(map(len, rows_of.values()))
    left_out = len(grid.labels) - n_stays
    if not n_stays:
        raise StageError(
            f"The folds of {trained.reference} hold no patient of {prepared.reference}. Give --member final, or the "
            "data it was fitted on."
            if member == FOLDS
            else f"{member} of {trained.reference} has met the patients of all stays of {prepared.reference}. Give "
            "data of other patients, or another member."
        )
    why = "their patients were in no fold" if member == FOLDS else "it has met their patients"
    notes = [
        f"{trained.reference}, {member}: {n_stays:,} of {len(grid.labels):,} stays of {prepared.reference} are scored"
        + (f"; {left_out:,} are left out: {why}." if left_out else ".")
    ]
    # The name of the split decides the resamples: the same stays have the same interval here and in the report.
    split = "external"
    if same:
        split = "out-of-fold" if member == FOLDS else "test" if member == str(FINAL) else "unseen"
    else:
        notes += differences_of_data(grid, training_grid, asked[0])
        grid = align_grid(grid, asked[0])
    for note in notes:
        session.say(escape(note))
    with single_thread():
        device = resolve_device(session.config().execution.device)
        parts = [predictions(one, grid, rows, device, split) for one, rows in zip(asked, rows_of.values(), strict=True)]
    return Scoring(prepared, grid, pl.concat(parts), left_out, tuple(notes))


def _require_same_patients(ours: Scoring, others: Scoring) -> None:
    """Make sure that a stay means the same in two data sets.

    Raises:
        StageError: They hold different populations, or it is unknown which.
    """
    from icudl.errors import StageError

    if ours.data.id != others.data.id and (not ours.grid.population or ours.grid.population != others.grid.population):
        raise StageError(
            f"{ours.data.reference} holds patients of {ours.grid.population or 'an unknown population'!r}, "
            f"{others.data.reference} of {others.grid.population or 'an unknown population'!r}. Compare models on the "
            "same stays."
        )


@click.command(epilog=examples("icudl predict train/3f1c preprocess/77d0 --out risks.csv"))
@click.argument("checkpoint")
@click.argument("data")
@_member
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("risks.csv"), show_default=True, help=".csv or .parquet"
)
@shared_options
def predict(session: Session, checkpoint: str, data: str, member: str, out: Path) -> None:
    """Write the risk of each stay.

    It is the risk of the outcome that the model was fitted to, death in hospital unless another was asked for.
    CHECKPOINT is a result of train, DATA one of preprocess. Stays of patients whom the model has met, in training or in
    validation, are left out, whatever split, seed, cohort or source they come by.
    """
    from icudl.errors import ConfigError

    if out.suffix not in {".csv", ".parquet"}:
        raise ConfigError(f"--out {str(out)!r} has an unknown format. Expected a name that ends in .csv or .parquet.")
    scoring = _score(session, checkpoint, data, member)
    frame = scoring.predictions
    try:
        frame.write_csv(out) if out.suffix == ".csv" else frame.write_parquet(out)
    except OSError as error:
        raise ConfigError(f"--out {str(out)!r} cannot be written: {error}. Name a place you may write to.") from error
    told = {"path": str(out), "stays": frame.height, "left_out": scoring.left_out, "notes": list(scoring.notes)}
    session.emit(str(out), told)


@click.command(
    epilog=examples(
        "icudl evaluate train/3f1c preprocess/77d0",
        "icudl evaluate train/3f1c preprocess/77d0 --member folds --against train/90ab",
    )
)
@click.argument("checkpoint")
@click.argument("data")
@_member
@click.option("--against", metavar="CHECKPOINT", help="Another result of train: differences on the same stays.")
@click.option("--against-member", help="Which of its models; the same as --member where it is not given.")
@click.option(
    "--against-data", metavar="DATA", help="Its data, where it needs others, such as more variables of the same stays."
)
@shared_options
def evaluate(
    session: Session,
    checkpoint: str,
    data: str,
    member: str,
    against: str | None,
    against_member: str | None,
    against_data: str | None,
) -> None:
    """Score a fitted model, alone or beside another one.

    All scores have intervals, and stand by subgroup and hospital as well. CHECKPOINT is a result of train, DATA one of
    preprocess: the data it was fitted on, or others. Stays of patients whom the model has met, in training or in
    validation, are left out, whatever split, seed, cohort or source they come by. Differences are paired: both models
    are scored on the same resamples of the stays that are unseen by both.
    """
    from icudl.analysis.numbers.models.hospitals import hospital_lines
    from icudl.analysis.numbers.models.quality import judged
    from icudl.cli.summaries import differences_table, hospitals_table, in_words, scores_table, subgroups_table
    from icudl.errors import ConfigError
    from icudl.execution.threads import single_thread
    from icudl.training.scores.evaluation import compare, score_predictions

    if against is None and (against_member or against_data):
        raise ConfigError("--against-member and --against-data say more about --against. Give --against, too.")
    ours = _score(session, checkpoint, data, member)
    others = None
    if against is not None:
        others = _score(session, against, against_data or data, against_member or member)
        _require_same_patients(ours, others)
    stays = ours.grid.stays
    trained = load_result(session, checkpoint, "train")[0]
    samples, seed = int(trained.options["training"]["bootstrap_samples"]), trained.identity.seed
    with single_thread():
        scores = score_predictions(ours.predictions, stays, samples, seed)
        tables = [scores_table(scores), subgroups_table(scores)]
        result = {"scores": scores.to_dicts(), "left_out": ours.left_out, "notes": list(ours.notes)}
        for each in judged(ours.predictions, None, stays, ()):
            if lines := hospital_lines(each, scores, seed):
                tables.append(hospitals_table(lines))
                result["hospitals"] = [dataclasses.asdict(line) for line in lines]
        if others is not None:
            differences = compare(ours.predictions, others.predictions, stays, samples, seed)
            tables.append(differences_table(differences))
            both = int(differences["stays"][0])
            left_out = len(stays) - both
            session.say(f"Differences: {both:,} stays are unseen by both models; {left_out:,} are left out.")
            result |= {"differences": differences.to_dicts(), "differences_left_out": left_out}
            result |= {"against_left_out": others.left_out, "against_notes": list(others.notes)}
    session.emit("\n\n".join(map(session.drawn, in_words(tables, ours.grid.outcome))), result)
