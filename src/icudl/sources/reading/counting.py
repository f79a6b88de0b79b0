"""Rows of a table without reading its values, and how long an extraction takes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

import polars as pl

from icudl.errors import SourceError
from icudl.execution.context import ProgressTask, SilentProgress
from icudl.sources.locating import LocatedTable, Survey

LARGEST_COUNTED = 64 << 20
"""Size in bytes up to which a file is counted without being asked for; Parquet files know their rows."""

BYTES_A_SECOND = {".tar.gz": 1.5e6, ".tgz": 1.5e6, ".gz": 28e6, ".csv": 350e6, ".parquet": 30e6}
"""Bytes of tables that an extraction reads in a processor second, by the ending of the file.

Measured on CHARTEVENTS of synthetic hospitals in each format, on one EPYC virtual core with the compiled loop (numpy
takes twice as long), and on sets A and B of PhysioNet 2012 (docs/benchmarks/extraction.md).
"""

_BLOCK_BYTES = 1 << 22
_END_BYTES = 1 << 12
_WORTH_A_BAR = 1 << 24


def rows_in(path: Path, survey: Survey) -> int | None:
    """Return the number of rows of a CSV, CSV.gz or Parquet table below its header.

    Memory does not grow with the file. A line break between quotes begins no row; blank lines at the end are none.

    Args:
        path: The file.
        survey: Whether large files are counted; shows the bytes read.

    Returns:
        The number of rows; None for a large file that is not to be counted.

    Raises:
        SourceError: The file cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
        size = path.stat().st_size
        if size > LARGEST_COUNTED and not survey.counts_all:
            return None
        progress = survey.progress if size > _WORTH_A_BAR else SilentProgress()
        with progress.task(f"counting {path.name}", unit="bytes") as bar:
            return max(0, _lines_of(path, bar) - 1)
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path.name} cannot be read: {reason}. Download or copy the file again.") from error


def _lines_of(path: Path, bar: ProgressTask) -> int:
    """Return the lines of a text, line breaks between quotes not counted, up to the last that is not blank."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    breaks, is_quoted, end = 0, False, b""
    with cast("IO[bytes]", opened(path, "rb")) as handle:
        while block := handle.read(_BLOCK_BYTES):
            parts = block.split(b'"')
            breaks += sum(part.count(b"\n") for part in parts[is_quoted::2])
            is_quoted ^= len(parts) % 2 == 0
            end = (end + block)[-_END_BYTES:]
            bar.advance(len(block))
    last = end.rstrip()
    return breaks - end[len(last) :].count(b"\n") + bool(last)


def extraction_seconds(tables: Iterable[LocatedTable]) -> float | None:
    """Estimate the processor seconds of an extraction from the sizes of its tables; None where no size is known."""
    seconds = 0.0
    for table in tables:
        rate = next((rate for ending, rate in BYTES_A_SECOND.items() if table.file.lower().endswith(ending)), None)
        seconds += 0.0 if rate is None else (table.bytes or 0) / rate
    return seconds or None
