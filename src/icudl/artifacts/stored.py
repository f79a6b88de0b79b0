"""Values that stay in their files: arrays that are mapped, tables that are read when they are asked for.

What is larger than memory can be worked on piece by piece, and what is never looked at is never read.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import polars as pl
import safetensors

from icudl.errors import StoreError

ROW_GROUP = 1 << 17
"""Rows of a row group. Fixed, so that a table has the same bytes whether it was written at once or piece by piece."""

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


Question = Callable[[pl.LazyFrame], pl.LazyFrame]
"""From a table to what is asked of it."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say in one way that a table cannot be read.

    Raises:
        StoreError: polars could not read ``path``.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise StoreError(
            f"{path} cannot be read as Parquet ({error}). Delete the artifact and run its stage again."
        ) from error


def map_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map the arrays of a safetensors file read-only; pages are read when they are touched.

    The layout is that of https://github.com/huggingface/safetensors#format: a JSON header behind its length
    (8 bytes, little endian), then the arrays.

    Raises:
        ValueError: The file is not one, or holds a type that no artifact has.
        OSError: It cannot be read.
    """
    try:
        # The library holds the header against the file; what is behind it can then be mapped without a second thought.
        with safetensors.safe_open(path, framework="numpy"):
            pass
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        header: dict[str, Any] = json.loads(handle.read(length))
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{name} has the type {entry['dtype']}")
        start, end = entry["data_offsets"]
        flat = np.frombuffer(mapped, np.uint8, end - start, 8 + length + start)
        arrays[name] = flat.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def forget_pages(array: npt.NDArray[Any]) -> None:
    """Take the pages of a mapped array out of this process's memory; they are read again when they are touched.

    Does nothing to an array that is not mapped, or where the system cannot.
    """
    base: object = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A table in a Parquet file that nobody has asked for yet.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self) -> pl.DataFrame:
        """Read the whole table.

        Raises:
            StoreError: It cannot be read as Parquet.
        """
        with readable(self.path):
            return pl.read_parquet(self.path)

    def answer(self, question: Question) -> pl.DataFrame:
        """Read as much as a query needs, some row groups at a time.

        Raises:
            StoreError: What the query needs cannot be read as Parquet.
        """
        with readable(self.path):
            return question(pl.scan_parquet(self.path)).collect(engine="streaming")


class Table:
    """A field of a dataclass that holds a frame, or a ``TableFile`` that is read when the field is first asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Table: ...

    @overload
    def __get__(self, instance: object, owner: type) -> pl.DataFrame: ...

    def __get__(self, instance: object | None, owner: type) -> pl.DataFrame | Table:
        """Return the frame."""
        if instance is None:
            # Without a value on the class, the field has no default.
            raise AttributeError(self._name)
        value = vars(instance)[self._name]
        if isinstance(value, TableFile):
            value = vars(instance)[self._name] = value.read()
        frame: pl.DataFrame = value
        return frame

    def __set__(self, instance: object, value: pl.DataFrame | TableFile) -> None:
        """Hold a frame or its file."""
        vars(instance)[self._name] = value


class TableFiles(Mapping[str, pl.DataFrame]):
    """Tables by name, each read when it is asked for."""

    def __init__(self, files: Mapping[str, TableFile]) -> None:
        self.files = dict(files)

    def __getitem__(self, name: str) -> pl.DataFrame:
        """Read a table."""
        return self.files[name].read()

    def __iter__(self) -> Iterator[str]:
        """Names in order."""
        return iter(self.files)

    def __len__(self) -> int:
        """How many tables there are."""
        return len(self.files)


def answer(table: pl.DataFrame | TableFile, question: Question) -> pl.DataFrame:
    """Put a question to a table, of which no more is read than it needs.

    Raises:
        StoreError: The table is in a file that cannot be read.
    """
    return table.answer(question) if isinstance(table, TableFile) else question(table.lazy()).collect()


def write_table(path: Path, table: pl.DataFrame | TableFile) -> None:
    """Write a table as Parquet; a table that is in a file already is copied."""
    if isinstance(table, TableFile):
        shutil.copyfile(table.path, path)
    else:
        table.write_parquet(path, compression="zstd", statistics=False, row_group_size=ROW_GROUP)


def join_tables(parts: Iterable[Path], path: Path) -> None:
    """Write one table from parts that follow one another, without holding it."""
    pl.scan_parquet(list(parts)).sink_parquet(
        path, compression="zstd", statistics=False, row_group_size=ROW_GROUP, maintain_order=True
    )
