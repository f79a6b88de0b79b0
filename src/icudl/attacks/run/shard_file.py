"""The file in which a finished shard waits for the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from icudl.attacks.run.outcome import ShardArrays
from icudl.files import write_atomically


def write_shard(path: Path, arrays: ShardArrays) -> None:
    """Write a shard's arrays; the file is whole or not there."""
    # A column cut out of a matrix would be written as the memory lies, not as the array reads.
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # The format sorts its arrays; the columns of the tables have the order in which the attack made them.
    order = {"order": json.dumps(list(arrays))}
    write_atomically(path, lambda partial: safetensors.numpy.save_file(whole, partial, metadata=order))


def read_shard(path: Path) -> ShardArrays:
    """Read what ``write_shard`` wrote: the same arrays in the same order."""
    with safetensors.safe_open(path, framework="numpy") as file:
        names: list[str] = json.loads(file.metadata()["order"])
        return {name: file.get_tensor(name) for name in names}
