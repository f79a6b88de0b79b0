"""Rows that name an owner, a moment and a value become hourly means: for formats whose rows do not name the ICU stay.

The owner is whoever a row belongs to: a patient, or a hospital admission. ``sources.mimic.binning`` has the fates of a
row and the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from icudl.artifacts import Schema
from icudl.sources.mimic.binning import (
    KEPT_SCHEMA,
    binned,
    classified,
    cleaning_table,
    tallied,
    totalled,
)
from icudl.sources.mimic.stays import StayIndex
from icudl.sources.reading.tallies import COUNTS_SCHEMA
from icudl.variables import Variable

SPANS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "intime": pl.Int64,  # whole seconds since 1970
    "outtime": pl.Int64,  # likewise; null where the end is unknown
}
"""Columns of ``EventBins``' stays besides the owner."""

_PART_ROWS = 4_000_000


class EventBins:
    """Takes event rows in any order and batches; kept ones go to a scratch folder, so memory does not grow with them.

    A row belongs to the owner's last stay that begins at or before its moment, if that stay has not ended by then.
    """

    def __init__(self, stays: pl.DataFrame, variables: Sequence[Variable], window_hours: int, scratch: Path) -> None:
        """Take the stays.

        Args:
            stays: ``SPANS_SCHEMA`` and owner (any type), sorted by stay_id.
            variables: The requested variables.
            window_hours: Length of the window.
            scratch: Folder of the kept rows.
        """
        owners = stays.select(pl.col("owner").unique().sort()).with_row_index("patient")
        self._owners = owners.with_columns(pl.col("patient").cast(pl.Int64))
        numbered = stays.join(self._owners, on="owner", maintain_order="left").rename({"patient": "patient_id"})
        self._index = StayIndex.of(numbered)
        self._stay_ids = stays["stay_id"]
        self._variables = tuple(variables)
        self._window_hours = window_hours
        self._scratch = scratch
        self._counts: list[pl.DataFrame] = []
        self._kept: list[pl.DataFrame] = [pl.DataFrame(schema=dict(KEPT_SCHEMA))]
        self._files: list[Path] = []

    def add(self, events: pl.DataFrame, table: pl.DataFrame) -> None:
        """Take rows; each is one of an item that the rules have, or left out.

        Args:
            events: owner, item, moment (whole seconds since 1970, null where there is none) and value (null where it is
                no number).
            table: The rules (``rules.RULE_COLUMNS``).
        """
        rows = events.join(self._owners, on="owner", how="left", maintain_order="left").select(
            "patient",
            pl.col("item").cast(pl.Int32),
            "moment",
            "value",
            is_error=pl.lit(value=False),
        )
        kept, counts = tallied(classified(rows, table, self._index, self._window_hours))
        self._kept.append(kept)
        self._counts.append(counts)
        if sum(map(len, self._kept)) >= _PART_ROWS:
            self._write()

    def result(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return ``HOURS_SCHEMA`` of all rows taken, and what became of them (``CLEANING_SCHEMA``)."""
        self._write()
        counts = totalled(self._counts) if self._counts else pl.DataFrame(schema=dict(COUNTS_SCHEMA))
        hours, total = binned(self._files, counts, self._stay_ids)
        return hours, cleaning_table(total, self._variables)

    def _write(self) -> None:
        path = self._scratch / f"kept-{len(self._files)}.parquet"
        pl.concat(self._kept).write_parquet(path, compression="lz4", statistics=False)
        self._files.append(path)
        self._kept = [pl.DataFrame(schema=dict(KEPT_SCHEMA))]
