"""The eICU Collaborative Research Database from a folder of CSV, CSV.gz or Parquet files."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.eicu import items
from icudl.sources.eicu.folder import check_files, find_tables
from icudl.sources.eicu.locating import located
from icudl.sources.eicu.options import EicuOptions
from icudl.sources.eicu.reading import EicuTables, EventTable
from icudl.sources.locating import Location, Survey
from icudl.sources.reading.blocks import TableFile
from icudl.sources.reading.hashing import fingerprint_of, hash_files
from icudl.sources.reading.unreadable import cut_off
from icudl.variables import Variable


@dataclasses.dataclass(frozen=True)
class FileTable:
    """A table in a file, as ``reading.EventTable`` asks for it."""

    file: TableFile

    @property
    def table(self) -> str:
        """Name of the table."""
        return self.file.table

    @property
    def place(self) -> str:
        """Name of the file."""
        return self.file.path.name

    def rows(self, labels: Sequence[str]) -> Iterator[pl.DataFrame]:  # noqa: ARG002 - a file is read whole
        """Yield the needed columns of all rows."""
        return self.file.batches()

    def whole(self) -> None:
        """Return nothing: ``rows`` yields all."""


class Eicu(EicuTables):
    """The eICU tables of a folder.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        available: Names of the variables that have rules in the chosen tables.
    """

    Options: ClassVar[type[SourceOptions]] = EicuOptions

    def __init__(self, options: EicuOptions, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``.

        Raises:
            ConfigError: ``source.files`` names an unknown table, or ``source.vitals`` names one twice or none.
        """
        super().__init__(options, seed, vitals=options.vitals, by=options.by, is_open=options.open_data)
        check_files(options.files)
        self._options = options
        self.place = f"folder {options.path!r}"

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
        return fingerprint_of(self.rules.digest, tables)

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read the tables as ``EicuTables`` does; warn of files that a copy may have left cut off."""
        tables = super().extract(variables, window, context)
        warnings = cut_off(table.path for table in self._tables().values())
        return dataclasses.replace(tables, warnings=(*tables.warnings, *warnings))

    def reach(self) -> str:
        """Look for the tables and their columns; see ``sources.base.DataSource``."""
        tables = self._tables()
        for table in tables.values():
            table.header()
        return f"{', '.join(tables)} in {self._options.path}"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Mapping[str, EventTable]]:
        """Yield the tables of the folder."""
        yield {name: FileTable(table) for name, table in self._tables().items()}

    def _tables(self) -> dict[str, TableFile]:
        if not self._options.path:
            raise SourceError("source.path is empty. Give the folder of the eICU tables.")
        return find_tables(Path(self._options.path).expanduser(), self._options.files, self._options.by)
