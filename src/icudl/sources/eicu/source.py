"""The eICU Collaborative Research Database as a data source."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions, cautions_of_stored
from icudl.sources.blocks import TableFile
from icudl.sources.eicu import binning, items, releases
from icudl.sources.eicu.folder import COLUMNS, check_files, find_tables
from icudl.sources.eicu.locating import located
from icudl.sources.eicu.options import EicuOptions
from icudl.sources.eicu.stays import CITATIONS, POPULATION, Stays, stays_of
from icudl.sources.hashing import fingerprint_of, hash_files
from icudl.sources.locating import Location, Survey
from icudl.sources.own_items import with_own_items
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
        counts: ``binning.COUNTS_SCHEMA``.
        rows: Rows of the table.
        stays: How many of the known stays have a row.
    """

    files: list[Path]
    kept: int
    counts: pl.DataFrame
    rows: int
    stays: int


class Eicu(SourceBase):
    """The eICU tables of a folder.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: The patients of eICU; those of the demo are some of them.
        available: Names of the variables that have rules in the chosen tables.
        outcomes: Deaths in hospital and in the ICU, and the length of the stay: eICU follows nobody after discharge,
            and hospital stays of one year have no order in it.
    """

    Options: ClassVar[type[SourceOptions]] = EicuOptions

    citations = CITATIONS
    population = POPULATION
    outcomes = frozenset({"hospital_death", "icu_death", "long_stay"})

    def __init__(self, options: EicuOptions, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``.

        Raises:
            ConfigError: ``source.files`` names an unknown table, or ``source.vitals`` names one twice or none.
        """
        super().__init__(options, seed)
        if not options.vitals or len(set(options.vitals)) < len(options.vitals):
            raise ConfigError(f"source.vitals = {list(options.vitals)!r}. Name at least one table, each once.")
        check_files(options.files)
        self.restricted = not options.open_data
        self._options = options
        self._book = items.rule_book(tuple(sorted(options.vitals)))
        self.available = frozenset(self._book.variables) & items.AVAILABLE

    @classmethod
    def looked_for(cls) -> str:
        """Say what is looked for; see ``sources.locating.Locating``."""
        return f"eICU: patient and one of {', '.join(items.EVENT_TABLES)} as .csv, .csv.gz or .parquet"

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look for the tables of eICU; see ``sources.locating.Locating``."""
        return located(path, cls.Options().name, survey)

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the tables by the hashes of their files and of the cleaning rules, not by the folder's path.

        Raises:
            SourceError: The folder or a table is missing or unreadable.
        """
        found = self._tables()
        files = {name: table.path for name, table in found.items()}
        tables = hash_files(files, memory, lambda name: found[name].readable())
        return fingerprint_of(self._book.digest, tables)

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the tables in one pass each.

        Rows are read in blocks and kept rows go to the scratch folder, so memory does not grow with the tables.

        Raises:
            ConfigError: Two of the variables are read from the same rows, or one names an item that cannot be.
            SourceError: A table or column is missing, a value cannot be read, or no value was found.
        """
        tables = self._tables()
        labels = list(items.LABELS)
        name = type(self).Options().name
        rules = with_own_items(self._book, variables, (name,), items.place_among(labels), items.EXPECTED_ITEM)
        rules.require_one_variable_an_item(variables)
        self._require_tables(variables, rules, tables)
        patients = pl.concat([pl.DataFrame(schema=dict(COLUMNS["patient"])), *tables["patient"].batches()])
        stays = stays_of(patients)
        by_stored = self._options.by == "stored"
        read: dict[str, _Read] = {}
        for name in (name for name in items.EVENT_TABLES if name in tables):
            book = rules.table(variables, name)
            if len(book):
                read[name] = _read(tables[name], book, labels, stays, window, context, by_stored=by_stored)
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
        fates = binning.cleaning_table(counts, lost, variables, by_stored=by_stored)
        cautions = cautions_of_stored(fates, ()) if by_stored else ()
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

    def reach(self) -> str:
        """Look for the tables and their columns; see ``sources.base.DataSource``."""
        tables = self._tables()
        for table in tables.values():
            table.header()
        return f"{', '.join(tables)} in {self._options.path}"

    def _tables(self) -> dict[str, TableFile]:
        if not self._options.path:
            raise SourceError("source.path is empty. Give the folder of the eICU tables.")
        return find_tables(Path(self._options.path).expanduser(), self._options.files, self._options.by)

    def _require_tables(self, variables: Sequence[Variable], rules: RuleBook, tables: Mapping[str, TableFile]) -> None:
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
                    f"{list(self._options.vitals)!r} names none of them. Name other variables in variables.use, or "
                    "another table."
                )
            for table in wanted:
                if table not in tables:
                    raise SourceError(
                        f"The variable {variable.name!r} is read from {table.upper()}, which the folder "
                        f"{self._options.path!r} lacks. Name other variables in variables.use, take vital signs from "
                        "other tables (source.vitals), or give data that hold the table."
                    )


def _read(
    file: TableFile,
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
    counts = [pl.DataFrame(schema=dict(binning.COUNTS_SCHEMA))]
    seen = pl.Series("patientunitstayid", [], dtype=pl.Int64)
    rows = total = 0

    def write() -> None:
        path = context.scratch / f"{file.table}-{len(files)}.parquet"
        pl.concat([pl.DataFrame(schema=dict(binning.KEPT_SCHEMA)), *kept]).write_parquet(path, compression="lz4")
        files.append(path)
        kept.clear()

    with context.progress.task(f"reading {file.path.name}", unit="rows") as bar:
        for batch in file.batches():
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
