"""ONNX: a checkpoint with its scaler and imputation as one file that needs neither torch nor this package."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import icudl
from icudl.artifacts import Checkpoint, Floats
from icudl.errors import ConfigError, StageError
from icudl.interop.checkpoints.clinical import ClinicalModule
from icudl.interop.data_set import data_set_of
from icudl.interop.extra import require
from icudl.training.scores.scoring import risks
from icudl.variables import Variable

OPSET = 17
TOLERANCE = 1e-5
"""Largest difference of a risk from that of ``icudl predict``."""

CHECKED_STAYS = 40


def export_onnx(checkpoint: Checkpoint, path: Path) -> float:
    """Write a checkpoint as an ONNX model, and check it with onnxruntime against our own scoring.

    Inputs are ``values`` (B, T, F) float32 in clinical units, NaN where nothing was charted, ``lengths`` (B,) int64,
    and, if the model reads descriptors, ``statics`` (B, S) float32 with NaN where unknown. The output ``risk`` (B,)
    float32 is the probability of death. B and T are free. Variables, units and the decision threshold are in the
    metadata.

    Returns:
        The largest difference of a risk among ``CHECKED_STAYS`` made-up stays.

    Raises:
        PluginError: onnx or onnxruntime is not installed.
        StageError: The model has an operation that cannot be exported, or the file gives other risks.
        ConfigError: The file cannot be written.
    """
    onnx = require("onnx", "onnx")
    require("onnxruntime", "onnxruntime")
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(b"")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}. Name a place you may write to.") from error
    try:
        _trace(checkpoint, partial)
        model = onnx.load(str(partial))
        for key, value in metadata(checkpoint).items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        model.producer_name, model.producer_version = "icudl", icudl.__version__
        onnx.checker.check_model(model)
        onnx.save(model, str(partial))
        difference = _largest_difference(checkpoint, partial)
        if not difference <= TOLERANCE:
            raise StageError(
                f"The exported model gives other risks than the checkpoint, by up to {difference:.3g} (allowed: "
                f"{TOLERANCE:g}): {checkpoint.model['name']!r} decides by something that tracing cannot see. Nothing "
                "was written; use the checkpoint itself."
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return difference


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the metadata of the file: strings, some of them JSON."""
    return {
        "variables": json.dumps([_described(variable) for variable in checkpoint.variables], ensure_ascii=False),
        "statics": json.dumps(list(checkpoint.static_names)),
        "hours": str(checkpoint.n_hours),
        "threshold": repr(float(checkpoint.threshold)),
        "member": str(checkpoint.member),
        "model": json.dumps(dict(checkpoint.model), sort_keys=True),
        "inputs": json.dumps(dict(checkpoint.inputs), sort_keys=True),
        "output": "risk: probability of death in hospital; a death is called where it reaches the threshold",
        "warning": "Research software, not a medical device.",
    }


def _described(variable: Variable) -> dict[str, Any]:
    return {"name": variable.name, "label": variable.label, "unit": variable.unit}


def _trace(checkpoint: Checkpoint, path: Path) -> None:
    module = ClinicalModule(checkpoint).eval()
    values, lengths, statics = example_stays(checkpoint, 3, checkpoint.n_hours, np.random.default_rng(0))
    tensors = {"values": torch.from_numpy(values), "lengths": torch.from_numpy(lengths)}
    if checkpoint.static_names:
        tensors["statics"] = torch.from_numpy(statics)
    axes = {name: {0: "stays"} for name in (*tensors, "risk")}
    axes["values"][1] = "hours"
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with _silent_output(), warnings.catch_warnings(), torch.no_grad():
            # The exporter warns that it is old and that tracing fixes shapes; the check below covers both.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, tuple(tensors.values()), str(path), input_names=list(tensors), output_names=["risk"],
                dynamic_axes=axes, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise StageError(
            f"{checkpoint.model['name']!r} cannot be exported to ONNX: {str(error).splitlines()[0].rstrip('.')}. A "
            "model can be exported if every operation of its forward pass has an ONNX counterpart."
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _silent_output() -> Iterator[None]:
    """Discard standard output: torch's exporter prints its whole graph there when it fails."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def example_stays(
    checkpoint: Checkpoint, n_stays: int, n_hours: int, rng: np.random.Generator
) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Make up stays around the limits of a checkpoint's scaler: of any length, half of the cells not charted."""
    scaler = checkpoint.scaler
    middle, width = (scaler.lower + scaler.upper) / 2, scaler.upper - scaler.lower
    values = (middle + 0.6 * width * rng.normal(size=(n_stays, n_hours, middle.size))).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = np.nan
    values.transpose(0, 2, 1)[rng.random((n_stays, middle.size)) < 0.1] = np.nan  # variables never charted
    lengths = rng.integers(1, n_hours + 1, n_stays)
    lengths[0] = n_hours
    statics = scaler.static_median + scaler.static_scale * rng.normal(size=(n_stays, scaler.static_median.size))
    statics[rng.random(statics.shape) < 0.2] = np.nan
    return values, lengths.astype(np.int64), statics.astype(np.float32)


def _largest_difference(checkpoint: Checkpoint, path: Path) -> float:
    session = open_session(path)
    rng = np.random.default_rng(1)
    values, lengths, statics = example_stays(checkpoint, CHECKED_STAYS, checkpoint.n_hours, rng)
    grid = data_set_of(
        values, lengths, np.zeros(CHECKED_STAYS, np.int8), checkpoint.variables,
        statics=statics, static_names=checkpoint.static_names,
    )  # fmt: skip
    ours = risks(checkpoint, grid, np.arange(CHECKED_STAYS), "cpu")
    hours = int(np.median(lengths))
    short = np.flatnonzero(lengths <= hours)
    whole, one = np.arange(CHECKED_STAYS), np.arange(1)
    try:
        return max(
            float(np.abs(run_session(session, values[rows, :end], lengths[rows], statics[rows]) - ours[rows]).max())
            for rows, end in ((whole, checkpoint.n_hours), (one, checkpoint.n_hours), (short, hours))
        )
    except Exception as error:
        raise StageError(
            f"onnxruntime cannot run the exported {checkpoint.model['name']!r} on any number of stays and hours: "
            f"{str(error).splitlines()[0]} Nothing was written; use the checkpoint itself."
        ) from error


def open_session(path: Path) -> Any:
    """Return an ``onnxruntime.InferenceSession`` of a file, on one thread."""
    runtime = require("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_session(
    session: Any, values: Floats, lengths: npt.NDArray[np.int64], statics: Floats
) -> npt.NDArray[np.float64]:
    """Return (B,) risks; ``statics`` is not passed if the model reads no descriptors."""
    given = {"values": values, "lengths": lengths, "statics": statics}
    wanted = {entry.name for entry in session.get_inputs()}
    (risk,) = session.run(["risk"], {name: array for name, array in given.items() if name in wanted})
    return np.asarray(risk, np.float64)
