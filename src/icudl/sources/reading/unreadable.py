"""How a file shows that it is damaged, cut off or not what its name says."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import polars as pl
from isal.igzip_lib import IsalError

# isal's stubs declare an exception where its module has the class.
DAMAGED: tuple[type[BaseException], ...] = (EOFError, zlib.error, cast("type[Exception]", IsalError))
"""Raised where a compressed file is damaged or cut off."""

UNREADABLE: tuple[type[BaseException], ...] = (
    pl.exceptions.PolarsError,
    # A damaged Parquet file can make polars panic, which is no Exception.
    pl.exceptions.PanicException,
    OSError,
    UnicodeError,
    csv.Error,
    *DAMAGED,
)


def cut_off(files: Iterable[Path]) -> tuple[str, ...]:
    """Return a warning for each plain CSV file whose last line does not end.

    A file that was cut within the last field of a row has whole rows only. Compressed files say themselves where they
    end.

    Raises:
        OSError: A file cannot be read.
    """
    warnings = []
    for path in (path for path in files if path.suffix.lower() == ".csv"):
        with path.open("rb") as handle:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) not in (b"\n", b"\r"):
                warnings.append(
                    f"{path.name} has no line break at its end: its last value may be cut, and rows may be missing. "
                    "Compare its size with the original, or add the line break if the file is whole."
                )
    return tuple(warnings)
