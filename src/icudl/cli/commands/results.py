"""Commands that show results: trials, figures; and reading what they and others are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    from icudl.artifacts import Checkpoint, TrainingResult, TuningResult
    from icudl.store.manifest import Manifest


def load_result(session: Session, reference: str, node: str) -> tuple[Manifest, Any]:
    """Read an artifact of one node.

    Raises:
        StoreError: The reference is of another node.
    """
    from icudl.errors import StoreError
    from icudl.pipeline.graph import NODES

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
        StageError: The result has no such member.
    """
    from icudl.errors import StageError, suggestion

    if member not in training.checkpoints:
        raise StageError(
            f"{trained.reference} has no member {member!r}.{suggestion(member, training.checkpoints)} "
            f"Members: {', '.join(training.checkpoints)}."
        )
    return training.checkpoints[member]


def _drawn(session: Session, manifest: Manifest) -> object:
    """Return what the figures of a result are drawn from: a training is drawn together with its data set."""
    from icudl.analysis.numbers.quality import FittedModel
    from icudl.artifacts import GridDataset, TrainingResult
    from icudl.pipeline.graph import NODES

    store = session.store()
    artifact = store.load(NODES[manifest.node].artifact, manifest)
    if not isinstance(artifact, TrainingResult):
        return artifact
    data = store.manifest("preprocess", manifest.identity.upstream["preprocess"])
    return FittedModel(artifact, store.load(GridDataset, data))


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
    from icudl.report.figures import FORMATS, figures_of, render

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
        drawn = _drawn(session, item)
        for name, spec in figures_of(drawn).items():
            stem = f"{item.node}-{name}" if item.node.startswith("tune-") else name
            (out / f"{stem}.{file_format}").write_bytes(render(spec.draw(drawn), file_format))
            spec.table(drawn).write_csv(out / f"{stem}.csv")
            written.append(str(out / f"{stem}.{file_format}"))
    if not written:
        raise ConfigError(
            f"{manifest.reference} has no figures. Give a result of preprocess, train, analyse or report."
        )
    session.emit("\n".join(written), written)
