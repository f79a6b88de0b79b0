"""Checkpoints for other libraries: plain torch modules and ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.interop.checkpoints.clinical import ClinicalModule
    from icudl.interop.checkpoints.module import CheckpointModule
    from icudl.interop.checkpoints.onnx import export_onnx

_HOMES = {
    "CheckpointModule": "icudl.interop.checkpoints.module",
    "ClinicalModule": "icudl.interop.checkpoints.clinical",
    "export_onnx": "icudl.interop.checkpoints.onnx",
}

__all__ = ["CheckpointModule", "ClinicalModule", "export_onnx"]

# Whoever wants a torch module need not have the packages of ONNX.
__getattr__ = imported_on_use(__name__, _HOMES)
