"""The seam of clinical data sources."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError
from icudl.execution.context import RunContext
from icudl.options import Options, option
from icudl.variables import STUDY_NAMES, Variable, select


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Which database is read. Each source uses the options that concern it."""

    table: ClassVar[str] = "source"

    name: str = option("synthetic", "Source plug-in: synthetic, mimic3, ...")
    path: str = option(
        "", "Folder (or file) of the data; a relative path starts at the configuration file.", identity=False
    )
    url: str = option(
        "",
        "PostgreSQL database of the source mimic3_postgres (postgresql://USER@HOST:PORT/DATABASE). What is left out "
        "comes from libpq's environment variables, service file and .pgpass; best keep the password there.",
        identity=False,
        secret=True,
    )
    schema: str = option("mimiciii", "Schema of the tables in that database.", identity=False)
    items: Mapping[str, Any] = option(
        {},
        "Item ids of a variable in MIMIC-III instead of those of the rules: { potassium = [50822, 50971] }. An id that "
        "the rules know keeps its unit, gate and repair; any other is taken to be in the variable's unit.",
    )
    open_data: bool = option(
        False,
        "The data at source.path are open (the MIMIC-III demo): nothing made from them is marked restricted.",
    )
    patients: int = option(3000, "Patients in the synthetic hospital.", low=20, high=10_000_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariableOptions(Options):
    """Which variables are read."""

    table: ClassVar[str] = "variables"

    use: tuple[str, ...] = option(
        STUDY_NAMES,
        'Names of the variables, in the order of the model\'s inputs; ["all"] takes all that the source measures.',
    )
    ranges: Mapping[str, Any] = option(
        {},
        "Plausible range of a variable in its unit instead of the catalogue's, both ends included: "
        "{ potassium = [2, 10] }.",
    )

    def chosen(self, available: Collection[str] | None = None) -> tuple[Variable, ...]:
        """Return the variables asked for, with their ranges.

        Args:
            available: Names of the variables that the source measures; None where every one may be.

        Raises:
            ConfigError: A name is unknown, or a range is not two numbers, the smaller first.
        """
        variables = select(self.use, available)
        select(self.ranges or self.use)
        spans = {name: _span(name, span) for name, span in self.ranges.items()}
        return tuple(
            dataclasses.replace(variable, low=spans[variable.name][0], high=spans[variable.name][1])
            if variable.name in spans
            else variable
            for variable in variables
        )


def _span(name: str, span: object) -> tuple[float, float]:
    ends = tuple(span) if isinstance(span, list | tuple) else ()
    if (
        len(ends) != 2
        or not all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
        or ends[0] >= ends[1]
    ):
        raise ConfigError(f"variables.ranges.{name} = {span!r}. Expected two numbers, the smaller first.")
    return float(ends[0]), float(ends[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowOptions(Options):
    """The observation window. It starts at ICU admission; what lies after it is never read."""

    table: ClassVar[str] = "window"

    hours: int = option(48, "Length of the window in hours.", low=1, high=720)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFingerprint:
    """Identity of the data behind a source: equal fingerprint, equal tables.

    Attributes:
        digest: Hexadecimal SHA-256 over whatever identifies the data; stands in for the path in artifact ids.
        details: JSON-able account for the manifest (rows, bytes and hash of each table). No path, no credentials.
    """

    digest: str
    details: Mapping[str, Any]


@runtime_checkable
class DataSource(Protocol):
    """A clinical database.

    Attributes:
        restricted: True where the data are credentialed: everything derived from them is marked restricted.
        citations: Keys of the works to cite (``icudl.report.citations``).

    A source that measures only some of the catalogue may say so by a further attribute, ``available``: the names of
    the variables that ``variables.use = ["all"]`` takes. One that can tell quickly whether its data are there may do so
    by a further method, ``reach() -> str``: it returns what was found in a few words, for `icudl doctor`, or raises
    SourceError.
    """

    restricted: bool
    citations: tuple[str, ...]

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the data without extracting them.

        Args:
            memory: Folder where hashes of large files may be remembered by path, size, inode and times of change.

        Raises:
            SourceError: The data are missing or unreadable.
        """
        ...

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the data.

        One row per ICU stay, hours counted from ICU admission, canonical units, nothing at or after the end of the
        window.

        Raises:
            SourceError: A table or column is missing, a value cannot be read, or nothing was found.
        """
        ...
