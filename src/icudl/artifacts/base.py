"""What every artifact offers, and the check of a table against its declared columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.errors import StageError

Floats = npt.NDArray[np.float32]
"""An array of 32-bit numbers."""

Schema = Mapping[str, pl.DataType | type[pl.DataType]]
"""The columns of a table, in order, and their types."""


@runtime_checkable
class Warned(Protocol):
    """An artifact whose readers have to know something about it."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What they have to know, in sentences."""


class Artifact(Protocol):
    """A value that crosses a stage and can be kept in a folder."""

    def write(self, folder: Path) -> None:
        """Write the value's files into an empty folder; the same value gives the same bytes."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""


def check_schema(name: str, frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return ``frame`` with exactly the declared columns, in order.

    Raises:
        StageError: A column is missing or of another type.
    """
    for column, dtype in schema.items():
        if column not in frame.columns:
            raise StageError(f"{name} lacks the column {column!r}. Expected {list(schema)}.")
        if frame.schema[column] != dtype:
            raise StageError(f"{name}.{column} is {frame.schema[column]}; expected {dtype}.")
    return frame.select(list(schema))
