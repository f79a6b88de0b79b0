"""The seam of clinical data sources."""

from __future__ import annotations

import abc
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

NAME_DOC = "Source plug-in: synthetic, mimic3, ..."
PATH_DOC = "Folder (or file) of the data; a relative path starts at the configuration file."


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Which database is read.

    Each source derives a class from this one, beside its code, that adds the options of the source. The source names
    this class as its ``Options``. Its default of ``name`` is the plug-in's name.
    """

    table: ClassVar[str] = "source"

    name: str = option("synthetic", NAME_DOC)


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
            available: Names of the variables that the source measures; None if it may measure any variable.

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
    """The observation window. It starts at ICU admission; values after its end are never read."""

    table: ClassVar[str] = "window"

    hours: int = option(48, "Length of the window in hours.", low=1, high=720)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFingerprint:
    """Identity of the data behind a source: equal fingerprint, equal tables.

    Attributes:
        digest: Hexadecimal SHA-256 that identifies the data; artifact ids contain it instead of a path.
        details: JSON-able details for the manifest (rows, bytes and hash of each table), without path or credentials.
    """

    digest: str
    details: Mapping[str, Any]


@runtime_checkable
class DataSource(Protocol):
    """A clinical database.

    ``SourceBase`` has defaults for everything but ``fingerprint`` and ``extract``.

    Attributes:
        restricted: True where the data are credentialed: everything derived from them is marked restricted.
        citations: Keys of the works to cite (``icudl.report.citations``).
        population: Whose patients these are (``"mimic-iii"``). Two data sets of one population are the same patients
            under the same ids, whatever folder, server or split they came by: that decides which stays a model has
            not seen.
        available: Names of the variables that ``variables.use = ["all"]`` takes; None if the data may hold every
            variable of the catalogue.
    """

    restricted: bool
    citations: tuple[str, ...]
    population: str
    available: frozenset[str] | None

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

    def reach(self) -> str:
        """Check whether the data can be reached, without reading them all, and describe them in a few words.

        Raises:
            SourceError: The data are missing or cannot be reached.
        """
        ...


class SourceBase(abc.ABC):
    """Defaults of a source; see ``DataSource`` for the meaning of each attribute and method.

    Attributes:
        Options: Class that validates the table [source].
        restricted: True unless the source says otherwise.
        citations: Empty.
        population: Name of the plug-in: all data read by it count as those of the same patients.
        available: None.
    """

    Options: ClassVar[type[SourceOptions]] = SourceOptions

    restricted: bool = True
    citations: tuple[str, ...] = ()
    population: str = ""
    available: frozenset[str] | None = None

    def __init__(self, options: SourceOptions, seed: int) -> None:  # noqa: ARG002 - for sources that draw numbers
        """Make the source; nothing is read yet.

        Args:
            options: An instance of the class's ``Options``.
            seed: Root of the run's random streams.
        """
        self.population = self.population or options.name

    @abc.abstractmethod
    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the data without extracting them; see ``DataSource``."""

    @abc.abstractmethod
    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin the data; see ``DataSource``."""

    def reach(self) -> str:
        """Say that the data were not looked for; see ``DataSource``."""
        return "not looked for its data"
