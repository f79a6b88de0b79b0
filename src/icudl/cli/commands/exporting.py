"""The command that takes a model out: export."""

from __future__ import annotations

from pathlib import Path

import click

from icudl.cli.commands.results import load_result, member_of
from icudl.cli.session import Session, examples, shared_options


@click.command(epilog=examples("icudl export train/3f1c --onnx model.onnx --member fold-0"))
@click.argument("checkpoint")
@click.option(
    "--onnx", "path", type=click.Path(path_type=Path), required=True, help="File to write, such as model.onnx."
)
@click.option("--member", default="final", show_default=True, help="Which fitted model: final, fold-0, ...")
@shared_options
def export(session: Session, checkpoint: str, path: Path, member: str) -> None:
    """Write a fitted model as ONNX.

    CHECKPOINT is a result of train. The file contains its scaler and imputation: it takes hourly values in clinical
    units, NaN where nothing was charted, and gives the risk of death. Before the file is kept, onnxruntime scores
    stays with it and the risks are compared with our own. Needs the extra `interop`.
    """
    from icudl.interop.checkpoints.onnx import TOLERANCE, export_onnx

    manifest, training = load_result(session, checkpoint, "train")
    difference = export_onnx(member_of(training, member, manifest), path)
    session.say(f"Checked with onnxruntime: risks differ by at most {difference:.1e} (allowed: {TOLERANCE:g}).")
    session.emit(str(path), {"path": str(path), "member": member, "largest_difference": difference})
