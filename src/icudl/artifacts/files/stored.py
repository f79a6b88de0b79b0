"""Values that stay in their files: mapped arrays, and tables that are read when they are asked for.

So a stage can work piece by piece on data that are larger than memory, and reads no more than it needs.
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
"""Rows of a row group. The number is fixed, so that a table has the same bytes when it is written piece by piece."""

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
"""A query: takes the whole table and returns what is asked of it."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Translate every error of reading a Parquet file into one ``StoreError``.

    Raises:
        StoreError: Polars cannot read ``path``.
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
        ValueError: The file is not safetensors, or holds a type that no artifact has.
        OSError: The file cannot be read.
    """
    try:
        # The library checks the header against the size of the file, so that the arrays can be mapped safely.
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

    Does nothing to an array that is not mapped, or on a system without ``madvise``.
    """
    base: object = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A table in a Parquet file that has not been read yet.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self) -> pl.DataFrame:
        """Read the whole table.

        Raises:
            StoreError: The file cannot be read as Parquet.
        """
        with readable(self.path):
            return pl.read_parquet(self.path)

    def answer(self, question: Question) -> pl.DataFrame:
        """Read only what a query needs, a few row groups at a time.

        Raises:
            StoreError: The file cannot be read as Parquet.
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
        """Iterate over the names."""
        return iter(self.files)

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(self.files)


def answer(table: pl.DataFrame | TableFile, question: Question) -> pl.DataFrame:
    """Answer a question about a table and read no more of the table than that takes.

    Raises:
        StoreError: The file of the table cannot be read.
    """
    return table.answer(question) if isinstance(table, TableFile) else question(table.lazy()).collect()


def write_table(path: Path, table: pl.DataFrame | TableFile) -> None:
    """Write a table as Parquet; copy the file of a table that has not been read."""
    if isinstance(table, TableFile):
        shutil.copyfile(table.path, path)
    else:
        table.write_parquet(path, compression="zstd", statistics=False, row_group_size=ROW_GROUP)


def join_tables(parts: Iterable[Path], path: Path) -> None:
    """Write one table from the files of its consecutive parts, without holding the table in memory."""
    pl.scan_parquet(list(parts)).sink_parquet(
        path, compression="zstd", statistics=False, row_group_size=ROW_GROUP, maintain_order=True
    )
