"""CLIF 2.1 as a data source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.clif import items
from icudl.sources.clif.clock import Clock
from icudl.sources.clif.events import Items, entries
from icudl.sources.clif.folder import COLUMNS, PREFIX, find_tables
from icudl.sources.clif.locating import LOOKED_FOR, MIMIC_HOSPITAL, located
from icudl.sources.clif.options import ClifOptions
from icudl.sources.clif.stays import stays_of
from icudl.sources.locating import Location, Survey
from icudl.sources.mimic4.layout import POPULATION as MIMIC4_POPULATION
from icudl.sources.reading.blocks import TableFile
from icudl.sources.reading.events import EventBins
from icudl.sources.reading.hashing import fingerprint_of, hash_files
from icudl.sources.reading.unreadable import cut_off
from icudl.sources.rules import MOST_ITEMS
from icudl.sources.table.reading import Notes, several, shown
from icudl.sources.table.texts import require_zone
from icudl.variables import Variable


class Clif(SourceBase):
    """The CLIF tables of a folder.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: ``source.population``; without it, tables of all folders count as those of one consortium.
        available: Names of the variables that the format has.
    """

    Options: ClassVar[type[SourceOptions]] = ClifOptions

    citations: tuple[str, ...] = ("clif",)
    available = items.AVAILABLE

    def __init__(self, options: ClifOptions, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``.

        Raises:
            ConfigError: ``source.time_zone`` is no time zone.
        """
        self.population = options.population
        super().__init__(options, seed)
        require_zone(options.time_zone)
        if options.population == MIMIC4_POPULATION:
            self.citations = ("clif", "mimic4", "physionet")
        self.restricted = not options.open_data
        self._options = options

    @classmethod
    def looked_for(cls) -> str:
        """Say what is looked for; see ``sources.locating.Locating``."""
        return LOOKED_FOR

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look for CLIF tables; see ``sources.locating.Locating``."""
        return located(path, cls.Options().name, survey)

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the tables by the hashes of their files and of the rules, not by the folder's path.

        Raises:
            SourceError: The folder or a table is missing or unreadable.
        """
        found = self._tables()
        files = {name: table.path for name, table in found.items()}
        tables = hash_files(files, memory, lambda name: found[name].readable())
        return fingerprint_of(items.DIGEST, tables)

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the tables in one pass each.

        Raises:
            ConfigError: Two of the variables are read from the same rows.
            SourceError: A table or column is missing, a value or time cannot be read, times with and without a zone are
                mixed, the patients are MIMIC-IV's and ``source.population`` does not say so, or no value was found.
        """
        tables, notes, clock = self._tables(), Notes(), Clock(self._options.time_zone)
        known = Items(variables)
        wanted = self._wanted_tables(variables, tables, notes)
        stays = stays_of(
            _whole(tables["patient"]),
            _whole(tables["hospitalization"]),
            _whole(tables["adt"]),
            clock,
            self._options.gap_hours,
            notes,
        )
        self._require_population(stays.hospitals)
        bins = EventBins(stays.spans, variables, window.hours, context.scratch)
        for name in wanted:
            with context.progress.task(f"reading {tables[name].path.name}", unit="rows") as bar:
                for batch in tables[name].batches():
                    bins.add(*known.numbered(name, entries(name, batch, clock)))
                    bar.advance(len(batch))
        clock.require_one()
        if known.count > MOST_ITEMS:
            raise SourceError(
                f"The chosen variables have {known.count} names in units of their own; a reader can tell {MOST_ITEMS} "
                "apart. Choose fewer variables."
            )
        hours, cleaning = bins.result()
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any ICU stay. Check the settings variables.use "
                "and window.hours, and that all tables are of one data set."
            )
        _note_unread(known, clock, notes)
        return SourceTables(
            stays.table,
            hours,
            pl.concat([notes.cleaning(), cleaning, known.cleaning()]),
            variables,
            window.hours,
            population=self.population,
            warnings=(*notes.warnings, *cut_off(table.path for table in tables.values())),
        )

    def reach(self) -> str:
        """Look for the tables and their columns; see ``sources.base.DataSource``."""
        tables = self._tables()
        for table in tables.values():
            table.header()
        return f"{', '.join(tables)} in {self._options.path}"

    def _tables(self) -> dict[str, TableFile]:
        if not self._options.path:
            raise SourceError("source.path is empty. Give the folder of the CLIF tables.")
        return find_tables(Path(self._options.path).expanduser())

    def _wanted_tables(
        self, variables: Sequence[Variable], tables: Mapping[str, TableFile], notes: Notes
    ) -> tuple[str, ...]:
        """Return the tables of measurements that are read: a variable whose tables are missing would look uncharted.

        Raises:
            SourceError: CLIF has none of the variables, or a variable lacks all its tables.
        """
        wanted = []
        for variable in variables:
            places = items.tables_of(variable.name)
            there = [place for place in places if place in tables]
            if places and not there:
                raise SourceError(
                    f"The variable {variable.name!r} is read from {' and '.join(PREFIX + place for place in places)}, "
                    f"which the folder {self._options.path!r} lacks. Name other variables in variables.use, or give "
                    "data that hold the table."
                )
            for place in (place for place in places if place not in tables):
                notes.say(f"{variable.name} is read without {PREFIX}{place}, which the folder lacks.")
            wanted += there
        if not wanted:
            raise SourceError("None of the chosen variables is measured in CLIF. Choose others.")
        absent = [variable.name for variable in variables if not items.tables_of(variable.name)]
        if absent:
            notes.say(f"CLIF has no {', '.join(absent)}: these inputs stay empty.")
        return tuple(name for name in COLUMNS if name in wanted)

    def _require_population(self, hospitals: frozenset[str]) -> None:
        if hospitals == {MIMIC_HOSPITAL} and not self._options.population:
            raise SourceError(
                f"The hospital of adt is {MIMIC_HOSPITAL!r}: these are MIMIC-IV's patients under MIMIC-IV's ids. Set "
                f'source.population = "{MIMIC4_POPULATION}", so that a model of MIMIC-IV is not scored on patients '
                "whom it has met."
            )


def _whole(table: TableFile) -> pl.DataFrame:
    """Return all rows of a small table.

    Raises:
        SourceError: It cannot be read, or has no rows.
    """
    frames = list(table.batches())
    if not sum(map(len, frames)):
        raise SourceError(f"{table.path.name} has no rows. Expected a header and data: make the table again.")
    return pl.concat(frames)


def _note_unread(known: Items, clock: Clock, notes: Notes) -> None:
    if known.odd:
        listed = [f"{unit!r} of {variable} ({several(rows, 'row')})" for (variable, unit), rows in known.odd.items()]
        notes.say(f"Units that are not known for their variable; these rows are not read: {shown(listed, 20)}.")
    if known.unknown:
        listed = [
            f"{category!r} of {table} ({several(rows, 'row')})" for (table, category), rows in known.unknown.items()
        ]
        notes.say(f"Categories that CLIF 2.1 does not have; these rows are not read: {shown(listed, 20)}.")
    notes.count(
        "(times)",
        "hour that the clock shows twice: the first is taken",
        clock.twice,
        f"{clock.twice:,} times fall into the hour that the clock shows twice when summer time ends. The first is "
        "taken, so they may be an hour early.",
    )
