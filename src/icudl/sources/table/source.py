"""A hospital's own tables as a data source."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.reading.unreadable import cut_off
from icudl.sources.table import cleaning, columns, files, measurements, stays, texts, units
from icudl.sources.table.columns import STAY_COLUMNS, VALUE_COLUMNS
from icudl.sources.table.files import Tables
from icudl.sources.table.naming import Names, has_brackets
from icudl.sources.table.options import TableOptions
from icudl.sources.table.reading import Notes, shown
from icudl.variables import CATALOGUE, Variable

TOLD = frozenset({"hospital_death", "icu_death", "long_stay"})
"""The outcomes that every table of stays tells."""


class TableSource(SourceBase):
    """Stays and measurements of a folder.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        population: ``source.population``; without it, tables of all folders count as those of one hospital.
        available: The whole catalogue: which names a table has is known when it is read.
        outcomes: Deaths in hospital and in the ICU, the length of the stay and, where ``source.stay_columns`` names
            what tells them, readmission and a column of the hospital's own.
    """

    Options: ClassVar[type[SourceOptions]] = TableOptions

    available = frozenset(CATALOGUE)

    def __init__(self, options: TableOptions, seed: int) -> None:
        """Check what the options say about names, units and columns; nothing is read yet.

        Raises:
            ConfigError: A name, unit, column, zone or format is illegal.
        """
        self.population = options.population
        super().__init__(options, seed)
        self.restricted = not options.open_data
        self._options = options
        self._names = Names.of(options.names, options.units, options.ignore)
        self._stay_columns = columns.checked("stay_columns", options.stay_columns, STAY_COLUMNS)
        self._tells_readmission = stays.tells_readmission(self._stay_columns)
        self.outcomes = TOLD | ({"column"} if "outcome" in self._stay_columns else frozenset())
        self.outcomes |= {"readmission"} if self._tells_readmission else frozenset()
        self._value_columns = columns.checked("value_columns", options.value_columns, VALUE_COLUMNS, several=True)
        texts.require_format(options.time_format)
        texts.require_zone(options.time_zone)
        if options.separator and len(options.separator) != 1:
            raise ConfigError(f"source.separator = {options.separator!r}. Expected one character.")
        for one, other in (("deaths", "survivals"), ("females", "males")):
            if both := sorted(set(getattr(options, one)) & set(getattr(options, other))):
                raise ConfigError(f"source.{one} and source.{other} both hold {both[0]!r}. Keep one of the two.")

    def fingerprint(self, memory: Path) -> SourceFingerprint:  # noqa: ARG002 - the files are hashed each time
        """Identify the tables by the hashes of their files and of the conversions of units.

        Raises:
            SourceError: A table is missing or unreadable.
        """
        tables = self._tables()
        described = {"stays": tables.stays.describe()} | {
            f"measurements {number}": table.describe() for number, table in enumerate(tables.measurements, 1)
        }
        details = {"tables": described, "units": units.DIGEST}
        if self._tells_readmission:
            details["told"] = "readmission"
        if any(map(has_brackets, self._options.names)):
            details["units in brackets of stated names"] = "read"
        digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details=details)

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the tables; all of them are held in memory.

        What was guessed, left out or looked odd is told in ``SourceTables.warnings`` and counted in the cleaning table.

        Raises:
            SourceError: A table, a column or an outcome is missing or unreadable, or values without a stated unit look
                like another unit than the catalogue's.
        """
        tables, notes = self._tables(), Notes()
        frame = self._read(tables.stays)
        found = columns.found(frame.columns, self._stay_columns, STAY_COLUMNS, "stay_columns", tables.stays.name)
        needed = ("stay_id",) if "outcome" in found.headers else ("stay_id", "died")
        found.require(needed, "stay_columns", tables.stays.name, frame.columns)
        guesses = [f"{found.headers[role]!r} of {tables.stays.name} is {role}" for role in found.guessed]
        read = stays.stays_of(frame, found, self._options, tables.stays, notes)
        entries = []
        frames = [self._read(table) for table in tables.measurements]
        headers = {table.name: each.columns for table, each in zip(tables.measurements, frames, strict=True)}
        columns.require_met(self._value_columns, headers, "value_columns")
        for table in tables.measurements:
            with context.progress.task(f"reading {table.name}"):
                entries.append(measurements.entries_of(table, frames.pop(0), self._options, self._value_columns))
        times = [*read.times, *(each.times for each in entries if each.times is not None)]
        measurements.require_one_clock(times, self._options.time_zone)
        measurements.notes_on_summer_time(times, notes)
        if any(each.times is not None for each in entries) and "in_time" not in found.headers:
            raise SourceError(
                f"The measurements have timestamps, and {tables.stays.name} has no time of ICU admission to count "
                f'from. Name its column: source.stay_columns = {{ in_time = "..." }}.'
            )
        guesses += [text for each in entries for text in each.guesses]
        if guesses:
            notes.say(f"Guessed from headers: {shown(guesses, 40)}.")
        if tables.unread:
            notes.say(
                f"Tables in the folder that are not read: {shown(tables.unread)}. Name them in source.measurements if "
                "they belong to the data."
            )
        if not self._options.encoding.lower().startswith(("utf-16", "utf_16", "utf-32", "utf_32")):
            for warning in cut_off(table.path for table in (tables.stays, *tables.measurements)):
                notes.say(warning)
        rows = pl.concat([each.rows for each in entries])
        cleaned = cleaning.cleaned(rows, read.starts, self._names.with_own(variables), variables, window.hours, notes)
        if cleaned.hours.is_empty():
            raise SourceError(
                f"No value of the chosen variables lies in the window of any stay. {' '.join(notes.warnings)}"
            )
        return SourceTables(
            read.table,
            cleaned.hours,
            pl.concat([notes.cleaning(), cleaned.counts]),
            variables,
            window.hours,
            population=self.population,
            warnings=tuple(notes.warnings),
            outcomes=read.outcomes,
        )

    def reach(self) -> str:
        """Look for the tables; see ``sources.base.DataSource``."""
        tables = self._tables()
        return (
            f"{tables.stays.name} and {', '.join(table.name for table in tables.measurements)} in {self._options.path}"
        )

    def _tables(self) -> Tables:
        if not self._options.path:
            raise SourceError("source.path is empty. Give the folder that holds the tables of stays and measurements.")
        return files.find(Path(self._options.path).expanduser(), self._options.stays, self._options.measurements)

    def _read(self, table: files.Table) -> pl.DataFrame:
        return files.read(table, self._options.separator, self._options.encoding)
