"""One rule for all times of a CLIF data set: a time with a zone is the instant that it names."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.errors import SourceError
from icudl.sources.table.texts import typed_moments

_MICROSECONDS = 1_000_000


@dataclasses.dataclass
class Clock:
    """Reads times as whole seconds since 1970, and remembers which tables have a zone.

    Attributes:
        zone: Zone of times without one; "" for none.
        aware: Columns with times that have a zone, and how many.
        naive: Columns with times that have none, and how many.
        twice: Times that fall into an hour that the clock shows twice; the first is taken.
    """

    zone: str
    aware: dict[str, int] = dataclasses.field(default_factory=dict)
    naive: dict[str, int] = dataclasses.field(default_factory=dict)
    twice: int = 0

    def seconds(self, frame: pl.DataFrame, table: str, column: str) -> pl.Series:
        """Return the times of a column, null where there is none.

        Raises:
            SourceError: A text is no time.
        """
        read = typed_moments(frame[column], self.zone)
        lost = frame.filter(read.moment.is_null() & frame[column].is_not_null())
        if frame[column].dtype == pl.String:
            lost = lost.filter(pl.col(column).str.strip_chars().str.len_bytes() > 0)
        if len(lost):
            raise SourceError(
                f"{table} has {len(lost):,} times in {column} that cannot be read, the first {str(lost[column][0])!r}. "
                "Expected YYYY-MM-DD HH:MM:SS with an offset from UTC, as 2150-01-01 10:00:00+00:00."
            )
        place = f"{table}.{column}"
        for counts, number in ((self.aware, read.aware), (self.naive, read.naive)):
            if number:
                counts[place] = counts.get(place, 0) + number
        self.twice += read.twice
        return (read.moment // _MICROSECONDS).alias(column)

    def require_one(self) -> None:
        """Check that either all times have a zone or none, unless the zone of the others is stated.

        Raises:
            SourceError: They are mixed, and no zone is stated.
        """
        if self.aware and self.naive and not self.zone:
            raise SourceError(
                f"Times of {', '.join(self.naive)} have no zone, and times of {', '.join(self.aware)} have one. Their "
                'differences would be hours off: state the zone of the former, for example source.time_zone = "UTC".'
            )
