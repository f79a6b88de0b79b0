"""The safetensors files of the store, and the JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from decisions import Decisions
from stored import STORED
from target import Target, seeds_of

from icudl.artifacts import FeatureScaler, GridDataset, TrainingResult

TOKENS = (b"\0", b"\xff" * 8, b"{", b"}", b'"F32"', b'"F64"', b"NaN", b"9" * 30, b"[" * 500, b"null", b'"', b",")
DTYPES: tuple[str, ...] = ("float32", "float64", "float16", "int8", "int16", "int64", "uint16", "uint8", "bool")
HEADER_VALUES: tuple[Any, ...] = (
    None, 0, -1, 2**63, 1e30, "", "F8_E4M3", "F64", "BF16", "I64", "X", [], [0], [0, 0], [0, 2**63], [-1, 4], [4, 0],
    {}, [2**32, 2**32], [1, 1, 1, 1, 1], True, "\ud800",
)  # fmt: skip


def _header_changed(content: bytes, decisions: Decisions) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    name = decisions.of(sorted(header))
    match decisions.below(4):
        case 0:
            header[name][decisions.of(("dtype", "shape", "data_offsets", "x"))] = decisions.of(HEADER_VALUES)
        case 1:
            header[decisions.of(("", "x", "values", "__metadata__"))] = header.pop(name)
        case 2:
            header[name] = header[decisions.of(sorted(header))]
        case _:
            header[name] = decisions.of(HEADER_VALUES)
    text = json.dumps(header).encode()
    length = len(text) + decisions.of((0, 0, 0, 1, -1, 2**40))
    return (length % 2**64).to_bytes(8, "little") + text + content[8 + size :]


def _arrays_changed(content: bytes, decisions: Decisions) -> bytes:
    arrays = safetensors.numpy.load(content)
    name = decisions.of(sorted(arrays))
    array = arrays[name]
    match decisions.below(6):
        case 0:
            del arrays[name]
        case 1:
            with np.errstate(invalid="ignore"):
                arrays[name] = array.astype(decisions.of(DTYPES))
        case 2:
            arrays[name] = array[: decisions.below(len(array) + 1)]
        case 3:
            arrays[name] = array[..., None]
        case 4:
            arrays[name] = array.ravel()
        case _:
            arrays[decisions.of(("x", "values", "weights.x", "scaler.x", "scaler.lower"))] = array
    return safetensors.numpy.save({key: np.ascontiguousarray(value) for key, value in arrays.items()})


def _json_changed(content: bytes, decisions: Decisions) -> bytes:
    value: Any = json.loads(content)
    odd = (None, 0, -1, 1.5, float("nan"), "", "x", [], [1], {}, {"x": 1}, "../x", True, 2**70)
    if isinstance(value, list) or decisions.one_in(8):
        return json.dumps(decisions.of((*odd, ["../fold-0"], ["fold-0", "fold-0"], ["x"], [None]))).encode()
    key = decisions.of(sorted(value))
    inner = value[key]
    if isinstance(inner, list) and inner and isinstance(inner[0], dict) and decisions.one_in(2):
        inner[decisions.below(len(inner))][decisions.of(("name", "low", "x"))] = decisions.of(odd)
    elif decisions.one_in(3):
        del value[key]
    else:
        value[decisions.of((key, key, key, "x"))] = decisions.of(odd)
    return json.dumps(value).encode()


def _correct(artifact: object) -> None:
    """What was read must hang together."""
    if isinstance(artifact, GridDataset):
        n, hours, variables = artifact.values.shape
        assert (artifact.values.dtype, artifact.counts.dtype) == (np.float32, np.uint16)
        assert artifact.counts.shape == (n, hours, variables)
        assert len(artifact.variables) == variables
        assert artifact.statics.shape == (n, len(artifact.static_names))
        for array in (artifact.lengths, artifact.labels, artifact.is_test, artifact.folds, artifact.stay_ids):
            assert array.shape == (n,)
        assert artifact.is_test.dtype == bool
        assert ((artifact.lengths >= 0) & (artifact.lengths <= hours)).all()
        assert np.isin(artifact.labels, (0, 1)).all()
    elif isinstance(artifact, TrainingResult):
        for member, checkpoint in artifact.checkpoints.items():
            assert str(checkpoint.member) == member
            assert 0 <= checkpoint.threshold <= 1
            for name in FeatureScaler.ARRAYS:
                array = getattr(checkpoint.scaler, name)
                expected = checkpoint.static_names if name.startswith("static") else checkpoint.variables
                assert array.shape == (len(expected),)
                assert array.dtype == np.float32


def feed(data: bytes, folder: Path) -> None:
    """Change one file of the grid or of a checkpoint, and read the artifact."""
    STORED.keep(folder)
    decisions = Decisions(data)
    names = [key for key in STORED.files if key[0] in {"preprocess", "train"} and not key[1].endswith(".parquet")]
    node, name = decisions.of(names)
    content = STORED.files[node, name]
    kind = decisions.below(8)
    if kind == 7:
        content = decisions.rest()
    elif kind >= 5:
        content = decisions.spoilt(content, TOKENS)
    elif name.endswith(".json"):
        content = _json_changed(content, decisions)
    else:
        content = (_header_changed if kind % 2 else _arrays_changed)(content, decisions)
    _correct(STORED.load(node, name, content))


TARGET = Target("arrays", feed, seeds_of(24))
