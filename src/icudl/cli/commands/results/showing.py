"""Commands that show results (open, trials, figures), and the reading of results that other commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    from icudl.artifacts import Checkpoint, TrainingResult, TuningResult
    from icudl.store.manifest import Manifest


def load_result(session: Session, reference: str, stage: str) -> tuple[Manifest, Any]:
    """Read a result of one stage.

    Raises:
        StoreError: No result matches the reference, or the match is of another stage.
    """
    from icudl.pipeline.stages import STAGES

    manifest = session.find(reference, stage)
    return manifest, session.store().load(STAGES[stage].artifact, manifest)


@click.command(
    epilog=examples(
        "icudl trials tune-model/5c2e",
        "icudl trials tune-model/5c2e --limit 0 --json",
        "icudl trials tune-model/5c2e --optuna trials.log",
    )
)
@click.argument("reference")
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Most trials to print; 0 prints all."
)
@click.option(
    "--optuna",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the trials to a journal file of Optuna instead, which optuna-dashboard shows.",
)
@shared_options
def trials(session: Session, reference: str, limit: int, optuna: Path | None) -> None:
    """List the trials of a search, best first.

    REFERENCE is a result of `icudl tune model` or `icudl tune attack`.
    """
    from icudl.cli.summaries import best_first, trials_table

    stage = _search_of(session, reference)
    manifest, found = load_result(session, reference, stage if stage == "tune-attack" else "tune-model")
    tuning: TuningResult = found
    if optuna is not None:
        _write_for_optuna(session, manifest, tuning, optuna)
        return
    rows = best_first(tuning).head(limit or tuning.trials.height).to_dicts()
    session.emit(session.drawn(trials_table(tuning, limit)), rows)


def _write_for_optuna(session: Session, manifest: Manifest, tuning: TuningResult, path: Path) -> None:
    from icudl.errors import ConfigError
    from icudl.pipeline.results.optuna import write_optuna

    try:
        number = write_optuna(tuning, path, manifest.reference)
    except OSError as error:
        raise ConfigError(
            f"--optuna {str(path)!r} cannot be written: {error}. Name a place you may write to."
        ) from error
    session.emit(str(path), {"path": str(path), "study": manifest.reference, "trials": number})


def _search_of(session: Session, reference: str) -> str:
    """Return the stage of the search that a reference means; a name without its stage is that of a model first."""
    from icudl.errors import StoreError

    try:
        return session.find(reference).node
    except StoreError:
        return session.find(reference, "tune-model").node


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
    from icudl.analysis.numbers.models.quality import FittedModel
    from icudl.artifacts import GridDataset, TrainingResult
    from icudl.pipeline.stages import STAGES

    store = session.store()
    artifact = store.load(STAGES[manifest.node].artifact, manifest)
    if not isinstance(artifact, TrainingResult):
        return artifact
    grid = manifest.identity.upstream["preprocess"]
    data = store.manifest(grid.node, grid.id)
    return FittedModel(artifact, store.load(GridDataset, data))


def _figure_sources(session: Session, manifest: Manifest) -> list[tuple[str, Manifest]]:
    """Return the results that figures are drawn from, each with the prefix of its file names.

    File names of a search begin with its stage. In a report of several models or attacks they begin with those names.
    """
    if manifest.node != "report":
        return [(f"{manifest.node}-" if manifest.node.startswith("tune-") else "", manifest)]
    from icudl.config.schema import MAIN

    store, upstream = session.store(), manifest.identity.upstream
    stages = [entry.node for entry in upstream.values()]
    found = []
    for entry in upstream.values():
        names = [name for name in (entry.model, entry.attack, entry.data) if name not in {"", MAIN}]
        several = stages.count(entry.node) > 1
        # No name holds a dot, so two results never share a file.
        stage, parts = f"{entry.node}-" if entry.node.startswith("tune-") else "", names if several else []
        found.append((stage + "".join(f"{name}." for name in parts), store.manifest(entry.node, entry.id)))
    return found


@click.command(
    "open", epilog=examples("icudl open report", "icudl open report/1cb0", "icudl open report --config study.toml")
)
@click.argument("reference", default="report")
@shared_options
def open_report(session: Session, reference: str) -> None:
    """Open a report in the browser.

    Without REFERENCE, the command opens the report of --config, or the only one of the store.
    """
    manifest = session.find(reference, "report")
    page = session.store().fetch(manifest) / "index.html"
    if click.launch(str(page)) != 0:
        session.say("No browser could be started. Open the file by hand.")
    session.emit(str(page), {"reference": manifest.reference, "path": str(page)})


@click.command(epilog=examples("icudl figures report/9a --format svg --out figures"))
@click.argument("reference")
@click.option("--format", "file_format", default="png", show_default=True, help="png, svg or pdf.")
@click.option(
    "--out",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("figures"),
    show_default=True,
    help="Folder to write to.",
)
@shared_options
def figures(session: Session, reference: str, file_format: str, out: Path) -> None:
    """Write the figures of a result, each with its data as CSV.

    A report stands for all results it was made from.
    """
    from icudl.errors import ConfigError
    from icudl.pipeline.results.comparison import outcome_of
    from icudl.report.figures import FORMATS, figures_of, put_into_words, render
    from icudl.report.vocabulary import Vocabulary

    if file_format not in FORMATS:
        raise ConfigError(f"--format {file_format!r} is unknown. Expected one of {', '.join(FORMATS)}.")
    manifest = session.find(reference)
    chosen = _figure_sources(session, manifest)
    out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for place, (prefix, item) in enumerate(chosen, start=1):
        drawn = _drawn(session, item)
        specs = figures_of(drawn)
        outcome = Vocabulary.of(outcome_of(session.store(), item))
        words = f"Drawing {item.name} ({place} of {len(chosen)})"
        with session.progress().task(words, total=len(specs), unit="figures") as bar:
            for name, spec in specs.items():
                stem = f"{prefix}{name}"
                figure = spec.draw(drawn)
                put_into_words(figure, outcome)
                (out / f"{stem}.{file_format}").write_bytes(render(figure, file_format))
                spec.table(drawn).write_csv(out / f"{stem}.csv")
                written.append(str(out / f"{stem}.{file_format}"))
                bar.advance()
    if not written:
        raise ConfigError(
            f"{manifest.reference} has no figures. Give a result of preprocess, train, analyse or report."
        )
    session.emit("\n".join(written), written)
