"""What the two sources of eICU share: stays, rules, and the passes over the event tables."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceBase, SourceOptions, WindowOptions, cautions_of_stored
from icudl.sources.eicu import binning, items, releases
from icudl.sources.eicu.folder import COLUMNS
from icudl.sources.eicu.stays import CITATIONS, POPULATION, Stays, stays_of
from icudl.sources.own_items import with_own_items
from icudl.sources.reading.tallies import COUNTS_SCHEMA
from icudl.sources.rules import RuleBook
from icudl.variables import Variable

_PART_ROWS = 4_000_000
_FEW = 0.5
"""Share of stays with rows below which a table is called incomplete."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Read:
    """An event table after reading.

    Attributes:
        files: Parquet files of the kept rows.
        kept: How many rows they hold.
        counts: ``tallies.COUNTS_SCHEMA``.
        rows: Rows of the table.
        stays: How many of the known stays have a row.
    """

    files: list[Path]
    kept: int
    counts: pl.DataFrame
    rows: int
    stays: int


class EventTable(Protocol):
    """A table of eICU, wherever it lies."""

    @property
    def table(self) -> str:
        """Its name in lower case."""
        ...

    @property
    def place(self) -> str:
        """What progress calls it."""
        ...

    def rows(self, labels: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the needed columns of the rows that may be of these labels; others may be among them."""
        ...

    def whole(self) -> tuple[int, pl.Series] | None:
        """Return the rows of the table, of any label, and the stays that have one; None where ``rows`` yields all."""
        ...


class EicuTables(SourceBase):
    """The eICU tables; a class derived from this one says where they lie.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: The patients of eICU; those of the demo are some of them.
        available: Names of the variables that have rules in the chosen tables.
        outcomes: Deaths in hospital and in the ICU, and the length of the stay: eICU follows nobody after discharge,
            and hospital stays of one year have no order in it.
        place: Where the tables lie, for messages.
        rules: What is read from which table.
    """

    citations = CITATIONS
    population = POPULATION
    outcomes = frozenset({"hospital_death", "icu_death", "long_stay"})
    place: str

    def __init__(self, options: SourceOptions, seed: int, *, vitals: tuple[str, ...], by: str, is_open: bool) -> None:
        """Take what the options of both sources have in common.

        Raises:
            ConfigError: ``source.vitals`` names a table twice or none.
        """
        super().__init__(options, seed)
        if not vitals or len(set(vitals)) < len(vitals):
            raise ConfigError(f"source.vitals = {list(vitals)!r}. Name at least one table, each once.")
        self.restricted = not is_open
        self._vitals, self._by_stored = vitals, by == "stored"
        self.rules = items.rule_book(tuple(sorted(vitals)))
        self.available = frozenset(self.rules.variables) & items.AVAILABLE

    @abc.abstractmethod
    def opened(self) -> contextlib.AbstractContextManager[Mapping[str, EventTable]]:
        """Return the tables by name, PATIENT among them, for as long as they are read.

        Raises:
            SourceError: A table is missing or cannot be read.
        """

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the tables in one pass each.

        Rows are read in blocks and kept rows go to the scratch folder, so memory does not grow with the tables.

        Raises:
            ConfigError: Two of the variables are read from the same rows, or one names an item that cannot be.
            SourceError: A table or column is missing, a value cannot be read, or no value was found.
        """
        labels = list(items.LABELS)
        # A variable of one's own is in the same place on a server as in files.
        name = type(self).Options().name.removesuffix("_postgres")
        rules = with_own_items(self.rules, variables, (name,), items.place_among(labels), items.EXPECTED_ITEM)
        rules.require_one_variable_an_item(variables)
        read: dict[str, _Read] = {}
        with self.opened() as tables:
            self._require_tables(variables, rules, tables)
            patients = pl.concat([pl.DataFrame(schema=dict(COLUMNS["patient"])), *tables["patient"].rows(())])
            stays = stays_of(patients)
            for name in (name for name in items.EVENT_TABLES if name in tables):
                book = rules.table(variables, name)
                if len(book):
                    read[name] = _read(tables[name], book, labels, stays, window, context, by_stored=self._by_stored)
        if not read:
            raise SourceError("None of the chosen variables is measured in these tables. Choose others.")
        files = [file for each in read.values() for file in each.files]
        hours, lost = binning.binned(files, sum(each.kept for each in read.values()), stays.table["stay_id"])
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any stay. Check the settings variables.use "
                "and window.hours, and that all tables are of one release."
            )
        counts = pl.concat([each.counts for each in read.values()]).group_by("variable", "fate").agg(pl.all().sum())
        fates = binning.cleaning_table(counts, lost, variables, by_stored=self._by_stored)
        cautions = cautions_of_stored(fates, ()) if self._by_stored else ()
        return SourceTables(
            stays.table,
            hours,
            pl.concat([stays.cleaning, fates]),
            variables,
            window.hours,
            population=self.population,
            warnings=(*stays.warnings, *_warnings(len(patients), len(stays.table), read), *cautions),
            outcomes=stays.outcomes,
        )

    def _require_tables(self, variables: Sequence[Variable], rules: RuleBook, tables: Mapping[str, EventTable]) -> None:
        """Check that every variable's tables exist: a variable whose table is missing would look uncharted.

        Raises:
            SourceError: A table is missing, or ``source.vitals`` names none that holds the variable.
        """
        for variable in variables:
            wanted = rules.tables_of(variable.name)
            elsewhere = items.tables_of(variable.name)
            if not wanted and elsewhere:
                raise SourceError(
                    f"The variable {variable.name!r} is read from {' or '.join(elsewhere)}, and source.vitals = "
                    f"{list(self._vitals)!r} names none of them. Name other variables in variables.use, or "
                    "another table."
                )
            for table in wanted:
                if table not in tables:
                    raise SourceError(
                        f"The variable {variable.name!r} is read from {table.upper()}, which the "
                        f"{self.place} lacks. Name other variables in variables.use, take vital signs from "
                        "other tables (source.vitals), or give data that hold the table."
                    )


def _read(
    file: EventTable,
    book: pl.DataFrame,
    labels: Sequence[items.Item],
    stays: Stays,
    window: WindowOptions,
    context: RunContext,
    *,
    by_stored: bool,
) -> _Read:
    """Read an event table once; write its kept rows into the scratch folder."""
    kept: list[pl.DataFrame] = []
    files: list[Path] = []
    counts = [pl.DataFrame(schema=dict(COUNTS_SCHEMA))]
    seen = pl.Series("patientunitstayid", [], dtype=pl.Int64)
    rows = total = 0
    chosen = set(book["item"].to_list())
    wanted = [label for number, (table, label) in enumerate(labels) if table == file.table and number in chosen]

    def write() -> None:
        path = context.scratch / f"{file.table}-{len(files)}.parquet"
        pl.concat([pl.DataFrame(schema=dict(binning.KEPT_SCHEMA)), *kept]).write_parquet(path, compression="lz4")
        files.append(path)
        kept.clear()

    with context.progress.task(f"reading {file.place}", unit="rows") as bar:
        for batch in file.rows(wanted):
            rows += len(batch)
            seen = pl.concat([seen, batch["patientunitstayid"].unique()]).unique()
            part, count = binning.tallied(
                binning.judged(
                    binning.entries(file.table, batch, labels), stays.ends, book, window.hours, by_stored=by_stored
                )
            )
            kept.append(part)
            total += len(part)
            counts.append(count)
            if sum(map(len, kept)) >= _PART_ROWS:
                write()
            bar.advance(len(batch))
    write()
    if (whole := file.whole()) is not None:
        rows, seen = whole
    known = seen.is_in(stays.table["stay_id"].to_list()).sum()
    return _Read(files, total, pl.concat(counts), rows, int(known))


def _warnings(patients: int, stays: int, read: Mapping[str, _Read]) -> list[str]:
    rows = {"patient": patients} | {name: each.rows for name, each in read.items()}
    found = [
        f"{departure}: a copy or download broke off, or the table was edited. Results rest on these rows."
        for departure in releases.departures(rows)
    ]
    found += [
        f"{name.upper()} has rows of {each.stays:,} of {stays:,} stays only. For all others its variables look as if "
        "nobody had measured them: a model of these data learns who is in the table."
        for name, each in read.items()
        if each.stays < _FEW * stays
    ]
    return found
