"""A MIMIC database from a folder of CSV, CSV.gz or Parquet files: each table is read once, in batches."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from icudl.artifacts import STAYS_SCHEMA, SourceTables, read_json, write_json
from icudl.errors import SourceError
from icudl.execution.context import Progress, RunContext
from icudl.files import write_atomically
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions, cautions_of_stored
from icudl.sources.locating import Location, Survey
from icudl.sources.mimic.binning import KEPT_SCHEMA, binned, classified, cleaning_table, tallied, totalled
from icudl.sources.mimic.folder import TableFile, find_tables, hash_tables, moment, require_event_tables, translated
from icudl.sources.mimic.layout import EXPECTED_ITEM, STORED, Layout
from icudl.sources.mimic.locating import located, looked_for
from icudl.sources.mimic.releases import departures, release_of
from icudl.sources.mimic.stays import TOLD, StayIndex, Stays, rules_of_stays
from icudl.sources.own_items import with_own_items
from icudl.sources.reading.hashing import fingerprint_of
from icudl.sources.reading.unreadable import cut_off
from icudl.sources.rules import TABLES, RuleBook
from icudl.variables import Variable

_BATCH_ROWS = 200_000
_BATCH_BYTES = 1 << 24


class MimicFiles(SourceBase):
    """The tables of a folder; the class of a database names its layout and joins its stays.

    Attributes:
        layout: Tables and columns of the database.
        restricted: True unless the options declare the data open.
        available: Names of the variables that have rules.
        outcomes: All but a column of one's own.
    """

    outcomes = TOLD
    layout: ClassVar[Layout]

    def __init__(
        self, options: SourceOptions, seed: int, *, path: str, by: str, items: Mapping[str, Any], is_open: bool
    ) -> None:
        """Take the folder, and item ids that replace those of the rules; nothing is read before it is asked for."""
        super().__init__(options, seed)
        self.folder = Path(path).expanduser()
        self.restricted = not is_open
        self._by = by
        self._rules = self.rules().with_items(items)
        self.available = frozenset(self._rules.variables)
        self._has_path = bool(path)

    @classmethod
    @abc.abstractmethod
    def rules(cls) -> RuleBook:
        """Return the rules of the database."""

    @classmethod
    def looked_for(cls) -> str:
        """Say which tables are looked for; see ``sources.locating.Locating``."""
        return looked_for(cls.layout)

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look for the tables of the database; see ``sources.locating.Locating``."""
        return located(path, cls.layout, cls.Options().name, cls.rules(), survey)

    @abc.abstractmethod
    def stays_of(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
        """Join the columns of the three small tables, times in whole seconds since 1970, to the ICU stays.

        Raises:
            SourceError: The tables contradict themselves or each other.
        """

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the tables by the hashes of their files and of the cleaning rules, not by the folder's path.

        Raises:
            SourceError: The folder or a table is missing or unreadable.
        """
        return fingerprint_of(rules_of_stays(self._rules), hash_tables(self._tables(), memory))

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the tables in one pass each; memory grows with the values kept, not with the tables.

        Raises:
            ConfigError: Two of the variables are read from the same item, or one names an item that cannot be.
            SourceError: A table or column is missing, a value cannot be read, or no value was found.
        """
        tables = self._tables()
        name = type(self).Options().name
        book = with_own_items(self._rules, variables, (name,), self.layout.place, EXPECTED_ITEM)
        book.require_one_variable_an_item(variables)
        require_event_tables(book, variables, tables, f"the folder {str(self.folder)!r}", self.layout)
        small = read_small_tables(tables)
        stays, rows = self.stays_of(*small.values()), {name: len(frame) for name, frame in small.items()}
        index = StayIndex.of(stays.table)
        files, counts = [], []
        for name in (name for name in TABLES if name in tables):
            rules = book.table(variables, name)
            if len(rules):
                target = context.scratch / f"{name}-{_key(tables[name], stays.table, rules, window)}.parquet"
                if not target.exists():
                    _write_kept(tables[name], rules, index, window.hours, target, context.progress)
                files.append(target)
                counts.append(pl.read_parquet(_counts_of(target)))
                rows[name] = read_json(_rows_of(target))
        if not files:
            raise SourceError("None of the chosen variables is measured in these tables. Choose others.")
        hours, total = binned(files, totalled(counts), stays.table["stay_id"])
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any ICU stay. Check that all tables are of one "
                "release, and the settings variables.use and window.hours."
            )
        cleaning = pl.concat([stays.cleaning, cleaning_table(total, variables, by_stored=self._by == "stored")])
        cautions: tuple[str, ...] = ()
        if self._by == "stored":
            cautions = cautions_of_stored(cleaning, self.layout.silent(tuple(name for name in TABLES if name in rows)))
        return SourceTables(
            stays.table.select(list(STAYS_SCHEMA)),
            hours,
            cleaning,
            variables,
            window.hours,
            population=self.population,
            warnings=(*_warnings(rows, self.layout), *cut_off(tables[name].path for name in rows), *cautions),
            outcomes=stays.outcomes,
        )

    def reach(self) -> str:
        """Look for the tables and their columns; see ``sources.base.DataSource``."""
        tables = self._tables()
        for table in tables.values():
            table.scan()
        return f"{len(tables)} tables in {self.folder}"

    def _tables(self) -> dict[str, TableFile]:
        if not self._has_path:
            raise SourceError(f"source.path is empty. Give the folder of the {self.layout.database} tables.")
        return find_tables(self.folder, self.layout.by(self._by))


def read_small_tables(tables: Mapping[str, TableFile]) -> dict[str, pl.DataFrame]:
    """Return the tables of patients, admissions and ICU stays, in this order, times as whole seconds since 1970.

    Raises:
        SourceError: A table cannot be read, or a row is not whole.
    """
    return {name: _small_table(tables[name]) for name in ("patients", "admissions", "icustays")}


def _small_table(file: TableFile) -> pl.DataFrame:
    file.require_whole_rows()
    with translated(file):
        frame = file.scan()
        times = file.layout.times(file.table)
        return frame.with_columns(moment(frame, column).alias(column) for column in times).collect()


def _events(frame: pl.LazyFrame, items: list[int]) -> pl.LazyFrame:
    """Return patient, item, moment, value and is_error of the wanted rows of an event table."""
    columns = frame.collect_schema().names()
    value = "valuenum" if "valuenum" in columns else "value"
    stored = {"stored": moment(frame, STORED)} if STORED in columns else {}
    flag = next((column for column in ("error", "iserror") if column in columns), None)
    return frame.filter(pl.col("itemid").is_in(items)).select(
        patient=pl.col("subject_id").cast(pl.Int64),
        item="itemid",
        moment=moment(frame, "charttime"),
        value=value,
        is_error=pl.lit(value=False) if flag is None else (pl.col(flag) == 1).fill_null(value=False),
        **stored,
    )


def _batches(file: TableFile, items: list[int]) -> Iterator[tuple[pl.DataFrame, int]]:
    """Yield the wanted rows of an event table, and how many rows of all kinds they were found among.

    The rows of interest are a small part of each piece of file. They are gathered into batches before they are
    classified: expressions cost by the call as well as by the row.
    """
    if file.is_parquet:
        rows = file.scan().select(pl.len()).collect().item()
        for batch in _events(file.scan(), items).collect_batches(
            chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming"
        ):
            yield batch, rows
            rows = 0
        return
    gathered: list[bytes] = []
    rows = 0
    for block in file.blocks(items):
        gathered.append(block.content)
        rows += block.rows
        if sum(map(len, gathered)) >= _BATCH_BYTES:
            yield _events(file.parsed(b"".join(gathered)), items).collect(), rows
            gathered, rows = [], 0
    yield _events(file.parsed(b"".join(gathered)), items).collect(), rows


def _key(file: TableFile, stays: pl.DataFrame, rules: pl.DataFrame, window: WindowOptions) -> str:
    """Return a key that tells intermediate files apart, so that a resumed run reuses only its own."""
    with translated(file):
        state = file.path.stat()
    parts = [str(file.path.resolve()), str(state.st_size), str(state.st_mtime_ns), str(window.hours)]
    parts.append("stored" if STORED in file.layout.columns[file.table] else "charted")
    digest = hashlib.sha256("|".join(parts).encode())
    for frame in (stays, rules):
        digest.update(frame.write_csv().encode())
    return digest.hexdigest()[:16]


def _counts_of(target: Path) -> Path:
    return target.with_suffix(".counts")


def _rows_of(target: Path) -> Path:
    return target.with_suffix(".rows")


def _write_kept(
    file: TableFile, rules: pl.DataFrame, index: StayIndex, window_hours: int, target: Path, progress: Progress
) -> None:
    """Read an event table once; write its kept rows to ``target``, and beside them what became of all its rows."""
    kept, counts, rows = [pl.DataFrame(schema=KEPT_SCHEMA)], [], 0
    with progress.task(f"reading {file.path.name}", unit="rows") as bar, translated(file):
        for batch, read in _batches(file, rules["item"].to_list()):
            rows += read
            part, count = tallied(classified(batch, rules, index, window_hours))
            kept.append(part)
            counts.append(count)
            bar.advance(len(batch))
    write_atomically(_counts_of(target), totalled(counts).write_parquet)
    write_atomically(_rows_of(target), lambda path: write_json(path, rows))
    write_atomically(target, lambda path: pl.concat(kept).write_parquet(path, compression="lz4", statistics=False))


def _warnings(rows: Mapping[str, int], layout: Layout) -> tuple[str, ...]:
    """Tell which tables do not have the rows of the release that they are of."""
    release = release_of(rows, layout)
    return tuple(
        f"{departure}, which {release} has: a copy or download broke off, or the table was edited. Results rest on "
        "these rows; download the table again."
        for departure in departures(rows, layout, release)
    )
