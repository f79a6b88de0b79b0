"""Commands that score stays with fitted models: predict, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from icudl.cli.commands.results import load_result, member_of
from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    import polars as pl

    from icudl.artifacts import GridDataset

FOLDS = "folds"
"""Stands for the models of all folds, each for the stays of its own fold."""

_member = click.option(
    "--member",
    default="final",
    show_default=True,
    help="Which fitted model: final, fold-0, ..., or folds (each stay by the model of the fold it was left out of).",
)


def _predictions(session: Session, checkpoint: str, data: str, member: str) -> tuple[GridDataset, pl.DataFrame]:
    """Score every stay of ``data`` that the member was not fitted on."""
    import numpy as np
    import polars as pl

    from icudl.artifacts import FINAL, Member
    from icudl.errors import StageError
    from icudl.execution.device import resolve_device
    from icudl.execution.threads import single_thread
    from icudl.training.scores.scoring import predictions, unseen_rows

    trained, training = load_result(session, checkpoint, "train")
    prepared, grid = load_result(session, data, "preprocess")
    same = trained.identity.upstream["preprocess"].id == prepared.id
    if member == FOLDS:
        if not same:
            raise StageError(
                f"{trained.reference} was not fitted on {prepared.reference}: its folds are divided otherwise. "
                "Give --member final, or the data it was fitted on."
            )
        names = [str(Member(fold)) for fold in range(grid.n_folds)]
        rows_of = {name: np.flatnonzero(grid.folds == fold) for fold, name in enumerate(names)}
    else:
        chosen = member_of(training, member, trained)
        rows_of = {member: unseen_rows(chosen, grid, fitted_on_grid=same)}
    n_stays = sum(map(len, rows_of.values()))
    if same:
        session.say(f"{member}: fitted on these data; the {n_stays:,} stays it has not seen are scored.")
    if not n_stays:
        raise StageError(
            f"{member} was fitted on every stay of {prepared.reference}. Give other data or another member."
        )
    # The name of the split decides the resamples: the same stays have the same interval here and in the report.
    split = ("out-of-fold" if member == FOLDS else "test" if member == str(FINAL) else "unseen") if same else "external"
    with single_thread():
        device = resolve_device(session.config().execution.device)
        parts = [
            predictions(member_of(training, name, trained), grid, rows, device, split) for name, rows in rows_of.items()
        ]
    return grid, pl.concat(parts)


@click.command(epilog=examples("icudl predict train/3f1c preprocess/77d0 --out risks.csv"))
@click.argument("checkpoint")
@click.argument("data")
@_member
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("risks.csv"), show_default=True, help=".csv or .parquet"
)
@shared_options
def predict(session: Session, checkpoint: str, data: str, member: str, out: Path) -> None:
    """Write the risk of death of each stay.

    CHECKPOINT is a result of train, DATA one of preprocess. Stays that the model was fitted on are left out.
    """
    from icudl.errors import ConfigError

    if out.suffix not in {".csv", ".parquet"}:
        raise ConfigError(f"--out {str(out)!r} has an unknown format. Expected a name that ends in .csv or .parquet.")
    _, frame = _predictions(session, checkpoint, data, member)
    try:
        frame.write_csv(out) if out.suffix == ".csv" else frame.write_parquet(out)
    except OSError as error:
        raise ConfigError(f"--out {str(out)!r} cannot be written: {error}. Name a place you may write to.") from error
    session.emit(str(out), {"path": str(out), "stays": frame.height})


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
    """Score a fitted model, by subgroup and beside another model.

    All scores have intervals. CHECKPOINT is a result of train, DATA one of preprocess: the data it was fitted on, of
    which it scores what it has not seen, or others. Differences are paired: both models are scored on the
    same resamples of the same stays.
    """
    from icudl.cli.summaries import differences_table, scores_table, subgroups_table
    from icudl.errors import ConfigError
    from icudl.execution.threads import single_thread
    from icudl.training.scores.evaluation import compare, score_predictions

    if against is None and (against_member or against_data):
        raise ConfigError("--against-member and --against-data say more about --against. Give --against, too.")
    grid, ours = _predictions(session, checkpoint, data, member)
    others = None
    if against is not None:
        _, others = _predictions(session, against, against_data or data, against_member or member)
    trained = load_result(session, checkpoint, "train")[0]
    samples, seed = int(trained.options["training"]["bootstrap_samples"]), trained.identity.seed
    with single_thread():
        scores = score_predictions(ours, grid.stays, samples, seed)
        tables = [scores_table(scores), subgroups_table(scores)]
        result = {"scores": scores.to_dicts()}
        if others is not None:
            differences = compare(ours, others, grid.stays, samples, seed)
            tables.append(differences_table(differences))
            result["differences"] = differences.to_dicts()
    session.emit("\n\n".join(map(session.drawn, tables)), result)
