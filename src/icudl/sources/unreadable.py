"""What readers of files raise where a file is damaged, cut off or not what its name says."""

from __future__ import annotations

import csv
import zlib

import polars as pl

UNREADABLE: tuple[type[BaseException], ...] = (
    pl.exceptions.PolarsError,
    # A damaged Parquet file can make polars panic, which is no Exception.
    pl.exceptions.PanicException,
    OSError,
    EOFError,
    UnicodeError,
    csv.Error,
    zlib.error,
)
