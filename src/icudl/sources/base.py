"""The seam of clinical data sources."""

from __future__ import annotations

import abc
import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, suggestion
from icudl.execution.context import RunContext
from icudl.options import Options, option
from icudl.variables import ALL, CATALOGUE, STUDY_NAMES, Variable, select

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


BY = ("charted", "stored")
"""When a value counts as known: at its own time, or when it was stored."""

URL_DOC = (
    "PostgreSQL database (postgresql://USER@HOST:PORT/DATABASE). What is left out comes from libpq's environment "
    "variables, service file and .pgpass; best keep the password there."
)
BY_DOC = (
    "When a value counts as known: charted, at its own time; or stored: a value that is stored after the end of the "
    "window is left out and counted, where the tables tell when that was."
)

LATE = "dropped: stored after the window"
"""Rule of a cleaning table: the value was in the window and stored after its end. It comes after "outside the window",
and there is none unless values count from when they were stored."""


def cautions_of_stored(cleaning: pl.DataFrame, silent: Sequence[str]) -> tuple[str, ...]:
    """Return what a reader has to know where values count from when they were stored.

    Args:
        cleaning: ``CLEANING_SCHEMA``.
        silent: Tables that were read and do not tell when a row was stored, as their documentation writes them.
    """
    found = []
    if silent:
        found.append(
            f"source.by = 'stored', and {', '.join(silent)} does not tell when a row was stored: its values count from "
            "when they were charted."
        )
    if not cleaning.filter(pl.col("rule") == LATE)["rows"].sum():
        found.append(
            "source.by = 'stored' left out no value. Check that the tables tell when a row was stored: where they do "
            "not, its value counts from when it was charted."
        )
    return tuple(found)


_OWN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnVariableOptions(Options):
    """A variable beside the catalogue, read by every source that its items name."""

    table: ClassVar[str] = "variables.NAME"

    unit: str = option("", "Unit of its values in every source; nothing is converted.")
    range: tuple[float, ...] = option(
        (), "Plausible range in that unit, both ends included: [0, 500]. It must be given."
    )
    items: Mapping[str, Any] = option(
        {},
        'Where each source finds it: { mimic3 = [50889], mimic4 = [50889], eicu = ["CRP"], yaib = ["crp"], '
        'physionet2019 = ["Chloride"], table = ["C-reaktives Protein"] }. Items outside the laboratory and the charts '
        'stand below their table: { mimic4 = { outputevents = [226559] }, eicu = { nursecharting = ["Pain '
        'Score|Pain Score"] } }.',
    )
    label: str = option("", "Its name on the page; empty: its name.")
    group: str = option("other", "What it is counted among.", choices=("lab", "vital", "other"))

    @classmethod
    def variable(cls, name: str, values: object) -> Variable:
        """Return the variable of a table ``[variables.NAME]``.

        Raises:
            ConfigError: The name or a value is illegal.
        """
        where = f"variables.{name}"
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where} = {values!r} is not a table. Write [{where}] and its keys below it.")
        if name in CATALOGUE:
            raise ConfigError(
                f"[{where}] has the name of a variable of the catalogue. Choose another name; variables.ranges changes "
                "its range, and source.items, where a source has it, its items."
            )
        if not _OWN_NAME.fullmatch(name) or name == ALL:
            raise ConfigError(
                f"[{where}] cannot be a name. Expected a letter, then letters, digits or _, and not {ALL!r}."
            )
        fields = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in fields:
                raise ConfigError(
                    f"Unknown key {where}.{key}.{suggestion(str(key), fields)} Known: {', '.join(fields)}."
                )
        texts = {key: values[key] for key in ("unit", "label", "group") if key in values}
        for key, value in texts.items():
            if not isinstance(value, str):
                raise ConfigError(f"{where}.{key} = {value!r} has the wrong type. Expected a string in quotes.")
        items = values.get("items", {})
        if not isinstance(items, Mapping):
            raise ConfigError(f"{where}.items = {items!r} is not a table. Expected {{ mimic4 = [50889] }}.")
        low, high = _span(f"{where}.range", values.get("range", ()))
        made = cls.checked(where, {**texts, "range": (low, high), "items": dict(items)})
        return Variable(
            name=name, label=made.label or name, unit=made.unit, low=low, high=high, group=made.group, items=made.items
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariableOptions(Options):
    """Which variables are read."""

    table: ClassVar[str] = "variables"
    named: ClassVar[tuple[str, type[Options]] | None] = ("own", OwnVariableOptions)

    use: tuple[str, ...] = option(
        STUDY_NAMES,
        'Names of the variables, in the order of the model\'s inputs; ["all"] takes all that the source measures.',
    )
    ranges: Mapping[str, Any] = option(
        {},
        "Plausible range of a variable in its unit instead of the catalogue's, both ends included: "
        "{ potassium = [2, 10] }.",
    )
    own: Mapping[str, Any] = option(
        {},
        "Variables beside the catalogue, each a table [variables.NAME] with unit, range and items. They are read after "
        "those of variables.use, unless it names them.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.owned()

    def owned(self) -> dict[str, Variable]:
        """Return the variables beside the catalogue by name.

        Raises:
            ConfigError: One is illegal.
        """
        return {name: OwnVariableOptions.variable(name, values) for name, values in self.own.items()}

    def chosen(self, available: Collection[str] | None = None) -> tuple[Variable, ...]:
        """Return the variables asked for, with their ranges.

        Args:
            available: Names of the variables that the source measures; None if it may measure any variable.

        Raises:
            ConfigError: A name is unknown, or a range is not two numbers, the smaller first.
        """
        own = self.owned()
        asked = self.use if self.use == (ALL,) else (*self.use, *(name for name in own if name not in self.use))
        variables = select(asked, available, own)
        if self.ranges:
            select(self.ranges, own=own, key="variables.ranges")
        spans = {name: _span(f"variables.ranges.{name}", span) for name, span in self.ranges.items()}
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
        raise ConfigError(f"{name} = {span!r}. Expected two numbers, the smaller first.")
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


@runtime_checkable
class TellsOutcomes(Protocol):
    """A source that says which outcomes its data tell.

    Attributes:
        outcomes: Some of ``icudl.artifacts.data.outcome.EVENTS``. A table [outcome] that asks for another is refused
            before anything is read.
    """

    outcomes: frozenset[str]


@runtime_checkable
class TakesOwnVariables(Protocol):
    """A source that is identified by the rows that it reads, and so has to know the variables beside the catalogue."""

    def with_own(self, own: Sequence[Variable]) -> DataSource:
        """Return the source that reads these variables too; what it knows already changes nothing.

        Raises:
            ConfigError: A variable names an item that cannot be.
        """
        ...


def prepared(source: DataSource, variables: VariableOptions) -> DataSource:
    """Return a source that knows the variables beside the catalogue, before it is asked for its fingerprint."""
    own = tuple(variables.owned().values())
    return source.with_own(own) if own and isinstance(source, TakesOwnVariables) else source


USUAL_OUTCOMES = frozenset({"hospital_death", "long_stay"})
"""What the table of stays tells."""


def outcomes_told(source: DataSource) -> frozenset[str]:
    """Return the outcomes that the data of a source tell: ``USUAL_OUTCOMES`` if it does not say."""
    return source.outcomes if isinstance(source, TellsOutcomes) else USUAL_OUTCOMES


class SourceBase(abc.ABC):
    """Defaults of a source; see ``DataSource`` for the meaning of each attribute and method.

    Attributes:
        Options: Class that validates the table [source].
        restricted: True unless the source says otherwise.
        citations: Empty.
        population: Name of the plug-in: all data read by it count as those of the same patients.
        available: None.
        outcomes: ``USUAL_OUTCOMES``; see ``TellsOutcomes``.
    """

    Options: ClassVar[type[SourceOptions]] = SourceOptions

    restricted: bool = True
    citations: tuple[str, ...] = ()
    population: str = ""
    available: frozenset[str] | None = None
    outcomes: frozenset[str] = USUAL_OUTCOMES

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
