"""Derangements as data (``derangements.toml``), and records in which a derangement is charted."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from collections.abc import Collection
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Floats

COURSES = ("held", "worsening")
"""``held``: all charted values of the last hours; ``worsening``: a straight line from the normal value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One variable that goes from a normal value to a deranged one.

    Attributes:
        variable: Its name.
        normal: In its unit.
        end: In its unit.
    """

    variable: str
    normal: float
    end: float

    def at(self, level: float) -> float:
        """Return the value at a level: 0 is normal, 1 deranged."""
        return self.normal + level * (self.end - self.normal)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derangement:
    """A state that is worse than a normal one.

    Attributes:
        name: Identifier.
        label: Its name for clinicians.
        changes: One for each variable.
        source: Who says that it is dangerous.
    """

    name: str
    label: str
    changes: tuple[Change, ...]
    source: str

    @property
    def cited(self) -> str:
        """First author and year of the source."""
        author, year = self.source.partition(". ")[0], re.search(r"\b(?:19|20)\d\d\b", self.source)
        return f"{author} {year[0]}" if year else author

    @property
    def paired(self) -> bool:
        """Whether several variables change at once."""
        return len(self.changes) > 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Battery:
    """All derangements that are known.

    Attributes:
        derangements: By name; of one variable first, then of several.
        without: Variables of which nobody can say which way is worse, and why.
    """

    derangements: dict[str, Derangement]
    without: dict[str, str]

    def among(self, variables: Collection[str]) -> tuple[Derangement, ...]:
        """Return the derangements all of whose variables are ``variables``."""
        return tuple(
            each for each in self.derangements.values() if all(change.variable in variables for change in each.changes)
        )

    def untested(self, variables: Collection[str]) -> tuple[str, ...]:
        """Return the variables that no derangement changes, in their order."""
        tested = {change.variable for each in self.derangements.values() for change in each.changes}
        return tuple(name for name in variables if name not in tested)


@functools.cache
def battery() -> Battery:
    """Read the derangements."""
    data = tomllib.loads(files("icudl.probes").joinpath("derangements.toml").read_text("utf-8"))
    sources: dict[str, str] = data["sources"]
    found: dict[str, Derangement] = {}
    for name, entry in data["derangements"].items():
        change = Change(variable=entry["variable"], normal=float(entry["normal"]), end=float(entry["end"]))
        found[name] = Derangement(name=name, label=entry["label"], changes=(change,), source=sources[entry["source"]])
    for name, entry in data["combinations"].items():
        changes = tuple(found[part].changes[0] for part in entry["parts"])
        found[name] = Derangement(name=name, label=entry["label"], changes=changes, source=sources[entry["source"]])
    return Battery(derangements=found, without=data["without"])


def concerned_cells(
    values: Floats, lengths: npt.NDArray[np.integer], variable: int, hours: int
) -> npt.NDArray[np.bool_]:
    """Return the (B, T) charted cells of a variable in the last ``hours`` of each stay.

    Args:
        values: (B, T, F) clinical values, NaN where nothing was charted.
        lengths: (B,) hours of each stay.
        variable: Index of the variable.
        hours: How many hours count as the last ones.
    """
    hour = np.arange(values.shape[1])
    last = (hour < lengths[:, None]) & (hour >= lengths[:, None] - hours)
    return ~np.isnan(values[:, :, variable]) & last


def deranged(
    values: Floats,
    lengths: npt.NDArray[np.integer],
    change: Change,
    variable: int,
    *,
    level: float,
    course: str,
    hours: int,
) -> Floats:
    """Return records in which one variable is deranged; nothing is charted where nothing was.

    Args:
        values: (B, T, F) clinical values, NaN where nothing was charted.
        lengths: (B,) hours of each stay.
        change: What changes.
        variable: Index of its variable.
        level: 0 for the normal value, 1 for the deranged one.
        course: One of ``COURSES``. A worsening reaches ``level`` in the last hour of the stay.
        hours: Last hours that are changed.
    """
    cells = concerned_cells(values, lengths, variable, hours)
    reached = np.full(cells.shape, level)
    if course == "worsening":
        start = np.maximum(lengths[:, None] - hours, 0)
        reached = level * (np.arange(values.shape[1]) - start + 1) / np.maximum(lengths[:, None] - start, 1)
    changed: Floats = values.copy()
    changed[:, :, variable] = np.where(
        cells, change.normal + reached * (change.end - change.normal), values[:, :, variable]
    ).astype(np.float32)
    return changed
