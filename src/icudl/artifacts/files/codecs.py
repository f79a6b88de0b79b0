"""The three kinds of files: JSON, Parquet and safetensors.

A file that cannot be read, or does not hold what is expected, raises ``StoreError``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import safetensors.numpy

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.stored import TableFile, map_arrays, readable
from icudl.errors import StageError, StoreError
from icudl.variables import Variable


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys and without NaN, so that one value has one text."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StoreError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path} cannot be read as JSON ({error}). Delete the artifact and run its stage again."
        ) from error


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a table as Parquet."""
    frame.write_parquet(path, compression="zstd", statistics=False)


def read_frame(path: Path, schema: Schema | None = None) -> pl.DataFrame:
    """Read a whole table and check its columns.

    Raises:
        StoreError: The file is missing, is not Parquet, or lacks a declared column.
    """
    frame = TableFile(path).read()
    return frame if schema is None else _checked(path, frame, schema)


def table_file(path: Path, schema: Schema | None = None) -> TableFile:
    """Check the columns of a table, which stays in its file.

    Raises:
        StoreError: The file is missing, is not Parquet, or lacks a declared column.
    """
    with readable(path):
        found = pl.read_parquet_schema(path)
    if schema is not None:
        _checked(path, pl.DataFrame(schema=found), schema)
    return TableFile(path)


def _checked(path: Path, frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    try:
        return check_schema(path.name, frame, schema)
    except StageError as error:
        raise StoreError(f"{path} holds another table: {error} Delete the artifact and run its stage again.") from error


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays by name as safetensors."""
    # Not np.ascontiguousarray, which would make an array of one element of a single number.
    safetensors.numpy.save_file({key: np.asarray(value, order="C") for key, value in arrays.items()}, path)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a safetensors file into memory.

    Raises:
        StoreError: The file is missing or is not safetensors.
    """
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise StoreError(
            f"{path} cannot be read as safetensors ({error}). Delete the artifact and run its stage again."
        ) from error


def map_large_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map the arrays of three and more axes read-only and read the others into memory.

    Raises:
        StoreError: The file is missing, is not safetensors, or holds a type that no artifact has.
    """
    try:
        arrays = map_arrays(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read as safetensors ({error}). Delete the artifact and run its stage again."
        ) from error
    return {name: array if array.ndim > 2 else array.copy() for name, array in arrays.items()}


def variables_to_json(variables: tuple[Variable, ...]) -> list[dict[str, Any]]:
    """Return variables as JSON objects, without the items by which sources find them."""
    names = [field.name for field in dataclasses.fields(Variable) if field.name != "items"]
    return [{name: getattr(variable, name) for name in names} for variable in variables]


def variables_from_json(items: list[dict[str, Any]]) -> tuple[Variable, ...]:
    """Return the variables that ``variables_to_json`` gave."""
    return tuple(Variable(**item) for item in items)
