"""Commands that use results: trials, predict, evaluate, figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    import polars as pl

    from icudl.artifacts import Checkpoint, GridDataset, TrainingResult, TuningResult
    from icudl.store.manifest import Manifest


def load_result(session: Session, reference: str, node: str) -> tuple[Manifest, Any]:
    """Read an artifact of one node.

    Raises:
        StoreError: The reference is of another node.
    """
    from icudl.errors import StoreError
    from icudl.graph import NODES

    store = session.store()
    manifest = store.manifest(*store.resolve(reference))
    if manifest.node != node:
        raise StoreError(f"{manifest.reference} is no result of `icudl {NODES[node].verb}`. Give the reference of one.")
    return manifest, store.load(NODES[node].artifact, manifest)


@click.command(epilog=examples("icudl trials tune-model/5c2e", "icudl trials tune-model/5c2e --limit 0 --json"))
@click.argument("reference")
@click.option("--limit", type=int, default=20, show_default=True, help="Most trials to print; 0 prints all.")
@shared_options
def trials(session: Session, reference: str, limit: int) -> None:
    """List the trials of a search, best first.

    REFERENCE is a result of `icudl tune model` or `icudl tune attack`.
    """
    from icudl.cli.summaries import best_first, trials_table

    store = session.store()
    node = store.resolve(reference)[0]
    tuning: TuningResult = load_result(session, reference, node if node.startswith("tune-") else "tune-model")[1]
    rows = best_first(tuning).head(limit or tuning.trials.height).to_dicts()
    session.emit(session.drawn(trials_table(tuning, limit)), rows)


def member_of(training: TrainingResult, member: str, trained: Manifest) -> Checkpoint:
    """Return one fitted model of a result of train.

    Raises:
        StageError: It has no such member.
    """
    from icudl.errors import StageError, suggestion

    if member not in training.checkpoints:
        raise StageError(
            f"{trained.reference} has no member {member!r}.{suggestion(member, training.checkpoints)} "
            f"Members: {', '.join(training.checkpoints)}."
        )
    return training.checkpoints[member]


def _scored(session: Session, checkpoint: str, data: str, member: str) -> tuple[Checkpoint, GridDataset, pl.DataFrame]:
    """Score every stay of ``data`` that the member was not fitted on."""
    from icudl.errors import StageError
    from icudl.execution.device import resolve_device, single_threaded
    from icudl.training.scoring import predictions, unseen_rows

    trained, training = load_result(session, checkpoint, "train")
    prepared, grid = load_result(session, data, "preprocess")
    chosen = member_of(training, member, trained)
    same = trained.identity.upstream["preprocess"] == prepared.id
    rows = unseen_rows(chosen, grid, fitted_on_grid=same)
    if same:
        session.say(f"{member} was fitted on these data: only the {len(rows):,} stays it has not seen are scored.")
    if not len(rows):
        raise StageError(
            f"{member} was fitted on every stay of {prepared.reference}. Give other data or another member."
        )
    with single_threaded():
        device = resolve_device(session.config().execution.device)
        return chosen, grid, predictions(chosen, grid, rows, device, "unseen" if same else prepared.reference)


@click.command(epilog=examples("icudl predict train/3f1c preprocess/77d0 --out risks.csv"))
@click.argument("checkpoint")
@click.argument("data")
@click.option("--member", default="final", show_default=True, help="Which fitted model: final, fold-0, ...")
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
    _, _, frame = _scored(session, checkpoint, data, member)
    try:
        frame.write_csv(out) if out.suffix == ".csv" else frame.write_parquet(out)
    except OSError as error:
        raise ConfigError(f"--out {str(out)!r} cannot be written: {error}. Name a place you may write to.") from error
    session.emit(str(out), {"path": str(out), "stays": frame.height})


@click.command(epilog=examples("icudl evaluate train/3f1c preprocess/77d0"))
@click.argument("checkpoint")
@click.argument("data")
@click.option("--member", default="final", show_default=True, help="Which fitted model: final, fold-0, ...")
@shared_options
def evaluate(session: Session, checkpoint: str, data: str, member: str) -> None:
    """Score a fitted model on other data.

    CHECKPOINT is a result of train, DATA one of preprocess. Stays that the model was fitted on are left out.
    """
    import numpy as np

    from icudl.training.evaluation import metric_rows
    from icudl.training.metrics import Scored

    chosen, grid, frame = _scored(session, checkpoint, data, member)
    patients = dict(zip(grid.stay_ids.tolist(), grid.patient_ids.tolist(), strict=True))
    scored = Scored(
        labels=frame["label"].to_numpy(),
        probabilities=frame["probability"].to_numpy(),
        thresholds=frame["threshold"].to_numpy(),
        patients=np.array([patients[stay] for stay in frame["stay_id"].to_list()]),
    )
    config = session.config()
    rng = np.random.default_rng(config.run.seed)
    table = metric_rows(
        str(chosen.model["name"]), frame["split"][0], "all", scored, config.training.bootstrap_samples, rng
    )
    lines = [f"{scored.labels.size:,} stays, {int(scored.labels.sum()):,} deaths, member {member}"]
    for row in table.to_dicts():
        interval = "" if row["low"] is None else f" ({row['low']:.3f}-{row['high']:.3f})"
        lines.append(f"{row['metric']:12} " + ("-" if row["value"] is None else f"{row['value']:.3f}{interval}"))
    session.emit("\n".join(lines), table.to_dicts())


@click.command(epilog=examples("icudl figures report/9a --format svg --out figures"))
@click.argument("reference")
@click.option("--format", "file_format", default="png", show_default=True, help="png, svg or pdf.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("figures"), show_default=True, help="Folder to write to."
)
@shared_options
def figures(session: Session, reference: str, file_format: str, out: Path) -> None:
    """Write the figures of a result, each with its data as CSV.

    A report stands for everything it was made from.
    """
    from icudl.errors import ConfigError
    from icudl.figures import FORMATS, figures_of, render
    from icudl.graph import NODES

    if file_format not in FORMATS:
        raise ConfigError(f"--format {file_format!r} is unknown. Expected one of {', '.join(FORMATS)}.")
    store = session.store()
    manifest = store.manifest(*store.resolve(reference))
    manifests = [manifest]
    if manifest.node == "report":
        manifests = [store.manifest(name, upstream) for name, upstream in manifest.identity.upstream.items()]
    out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for item in manifests:
        artifact = store.load(NODES[item.node].artifact, item)
        for name, spec in figures_of(artifact).items():
            stem = f"{item.node}-{name}" if item.node.startswith("tune-") else name
            (out / f"{stem}.{file_format}").write_bytes(render(spec.draw(artifact), file_format))
            spec.table(artifact).write_csv(out / f"{stem}.csv")
            written.append(str(out / f"{stem}.{file_format}"))
    if not written:
        raise ConfigError(
            f"{manifest.reference} has no figures. Give a result of preprocess, train, analyse or report."
        )
    session.emit("\n".join(written), written)
