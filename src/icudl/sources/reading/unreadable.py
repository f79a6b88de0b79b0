"""What readers of files raise where a file is damaged, cut off or not what its name says."""

from __future__ import annotations

import csv
import zlib
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
