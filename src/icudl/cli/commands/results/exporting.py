"""The command that takes results out: a model as ONNX, results as Parquet."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from icudl.cli.commands.results.showing import load_result, member_of
from icudl.cli.session import Session, examples, shared_options

TABLES = (
    "cohort", "measurements", "predictions", "scores", "attacks", "changes", "proofs", "flipping_entries", "responses",
    "verdicts",
)  # fmt: skip


@click.command(
    epilog=examples(
        "icudl export train/3f1c --onnx model.onnx --member fold-0",
        "icudl export report --parquet results",
        "icudl export attack/lstm/fewest --parquet changes.parquet --table changes",
    )
)
@click.argument("reference")
@click.option("--onnx", "onnx", type=click.Path(path_type=Path), help="Write a fitted model to this file.")
@click.option("--member", default="final", show_default=True, help="Which fitted model: final, fold-0, ...")
@click.option(
    "--parquet",
    "parquet",
    type=click.Path(path_type=Path),
    help="Write results as tidy tables: to a folder, or one table to a file that ends in .parquet.",
)
@click.option(
    "--table",
    "tables",
    type=click.Choice(TABLES),
    multiple=True,
    help="Which tables; may be repeated. Without it, all.",
)
@shared_options
def export(
    session: Session, reference: str, onnx: Path | None, member: str, parquet: Path | None, tables: tuple[str, ...]
) -> None:
    """Write a fitted model as ONNX, or results as Parquet.

    With --onnx, REFERENCE is a result of train. The file contains its scaler and imputation: it takes hourly values in
    clinical units, NaN where nothing was charted, and gives the risk of death. Before the file is kept, onnxruntime
    scores stays with it and the risks are compared with our own. Needs the extra `interop`.

    With --parquet, REFERENCE is a report, which stands for its whole study, or a result of preprocess, train, score,
    attack, certify or probe. Rows are stays, predictions, scores, changed values, with names as text and values in
    clinical units. Most tables have a row for each stay: those of credentialed data stay under its agreement.
    """
    from icudl.errors import ConfigError

    if (onnx is None) == (parquet is None):
        raise ConfigError("Give --onnx FILE for a fitted model, or --parquet FOLDER for results as tables.")
    if onnx is not None:
        _export_model(session, reference, onnx, member)
    elif parquet is not None:
        _export_tables(session, reference, parquet, tables)


def _export_model(session: Session, reference: str, path: Path, member: str) -> None:
    from icudl.interop.checkpoints.onnx import TOLERANCE, export_onnx

    manifest, training = load_result(session, reference, "train")
    difference = export_onnx(member_of(training, member, manifest), path)
    session.say(f"Checked with onnxruntime: risks differ by at most {difference:.1e} (allowed: {TOLERANCE:g}).")
    session.emit(str(path), {"path": str(path), "member": member, "largest_difference": difference})


def _export_tables(session: Session, reference: str, place: Path, tables: tuple[str, ...]) -> None:
    from icudl.errors import ConfigError
    from icudl.pipeline.results.gathered import Gathered
    from icudl.pipeline.results.tidy import NOTICE, write_tidy

    if place.suffix and (place.suffix != ".parquet" or len(tables) != 1):
        raise ConfigError(
            f"--parquet {str(place)!r} is to be a folder, or with one --table a file that ends in .parquet."
        )
    gathered = Gathered(session.store(), session.find(reference))
    try:
        written = write_tidy(gathered, place, tables, session.progress())
    except OSError as error:
        raise ConfigError(
            f"--parquet {str(place)!r} cannot be written: {error}. Name a place you may write to."
        ) from error
    if gathered.restricted:
        session.say(f"[yellow]![/] {escape(NOTICE)}")
    widest = max((len(str(path)) for path in written), default=0)
    plain = "\n".join(f"{path!s:{widest}}  {rows:,} rows" for path, rows in written.items())
    alone = tables[0] if place.suffix else ""
    files = [{"table": alone or path.stem, "path": str(path), "rows": rows} for path, rows in written.items()]
    session.emit(plain, {"restricted": gathered.restricted, "files": files})
