"""Torch: TorchScript archives and programs of torch.export."""

from __future__ import annotations

import dataclasses
import io
import warnings
from typing import Any

from icudl.errors import StageError
from icudl.models.outside.predictor import Predictor
from icudl.models.outside.readers.objects import of_module


def read_script(data: bytes) -> Predictor:
    """Read a TorchScript archive.

    Raises:
        StageError: The bytes are no such archive: a file of ``torch.save`` is a pickle and is not loaded.
    """
    import torch

    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated, and still what many models are kept in.
            warnings.simplefilter("ignore")
            load: Any = torch.jit.load
            module = load(io.BytesIO(data), map_location="cpu").eval()
    except Exception as error:
        raise StageError(
            "The file is no TorchScript archive. What torch.save writes is a pickle and is not loaded, and weights "
            "alone are no model. Save it with torch.jit.save(torch.jit.script(model), 'model.pt') or "
            "torch.export.save(torch.export.export(model, (example,)), 'model.pt2')."
        ) from error
    return of_module("The TorchScript model", module)


def read_export(data: bytes) -> Predictor:
    """Read a program of torch.export.

    Raises:
        StageError: The bytes are no such program.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(data))
            module: Any = program.module()
    except Exception as error:
        raise StageError(
            f"The file is no program of torch.export: {str(error).splitlines()[0]} Save it with "
            "torch.export.save(torch.export.export(model, (example,), dynamic_shapes=...), 'model.pt2')."
        ) from error
    return dataclasses.replace(of_module("The exported torch model", module), at_once=_fixed_number(program))


def _fixed_number(program: Any) -> int | None:
    """Return the number of stays that an export without dynamic shapes holds, which is that of its example."""
    inputs = set(program.graph_signature.user_inputs)
    shapes = [
        node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs
    ]
    first = shapes[0][0] if shapes and len(shapes[0]) else None
    return first if isinstance(first, int) else None
