"""The PhysioNet/CinC Challenge 2019: open data, forty thousand ICU stays by the hour, with a label of sepsis."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, STAYS_SCHEMA, SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.locating import LocatedTable, Location, Survey
from icudl.sources.own_items import column_of, with_own_items
from icudl.sources.physionet2019.columns import LABELS, MEASURED, SERIES, rule_book
from icudl.sources.physionet2019.options import PhysioNet2019Options
from icudl.sources.physionet2019.records import RecordSet, find_sets, read_rows
from icudl.sources.reading import hourly
from icudl.variables import Variable

HIDDEN_AGE_YEARS = 91.4
"""Age of those of 90 and above, whose age the challenge gives as 100: the same as in the other sources."""

_HIDDEN = 100.0
_DATABASE = "PhysioNet/CinC Challenge 2019"


class PhysioNet2019(SourceBase):
    """The sets found at ``source.path``, in one cohort; the column source_set tells them apart.

    The challenge tells no deaths. Its label is sepsis: SepsisLabel is 1 from six hours before its onset on.

    Attributes:
        restricted: False: the data are open.
        citations: Works to cite.
        population: The patients of the challenge, all sets together.
        available: Variables that the challenge has.
        outcomes: The label of sepsis, as a column, and the length of the stay as far as it was recorded.
    """

    Options: ClassVar[type[SourceOptions]] = PhysioNet2019Options

    restricted = False
    citations = ("physionet2019", "physionet")
    population = "physionet-2019"
    available = frozenset(SERIES)
    outcomes = frozenset({"column", "long_stay"})

    def __init__(self, options: PhysioNet2019Options, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``."""
        super().__init__(options, seed)
        self._path = options.path

    @classmethod
    def looked_for(cls) -> str:
        """Say what is looked for; see ``sources.locating.Locating``."""
        return f"{_DATABASE}: training_setA.tar.gz or training_setA/, or B"

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:  # noqa: ARG003 - records are not counted
        """Look for sets of the challenge; see ``sources.locating.Locating``."""
        try:
            sets = find_sets(path)
        except (SourceError, OSError):
            return None
        tables = tuple(
            LocatedTable(
                name=f"training_set{found.name.upper()}",
                file=found.path.name,
                bytes=found.path.stat().st_size if found.path.is_file() else None,
            )
            for found in sets
        )
        note = 'The label is sepsis, and deaths are not told: set outcome.event = "column", outcome.name = "sepsis".'
        settings = {"path": str(path)}
        return Location(database=_DATABASE, source=cls.Options().name, settings=settings, tables=tables, notes=(note,))

    def fingerprint(self, memory: Path) -> SourceFingerprint:  # noqa: ARG002
        """Identify the sets by the hashes of their files and of the cleaning rules.

        Raises:
            SourceError: A file is missing or unreadable.
        """
        sets = {record_set.name: record_set.describe() for record_set in self._sets()}
        rules = rule_book().digest
        identity = {"rules": rules, "sets": {name: described["sha256"] for name, described in sets.items()}}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details={"sets": sets, "rules": rules})

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read and check all sets.

        A stay lasts as long as it was recorded. Deaths are not told, and each record is a patient.

        Raises:
            SourceError: Files are missing, damaged or not as declared, or nothing was found.
        """
        labels = list(LABELS)
        place = column_of(labels, hourly.HOURLY)
        book = with_own_items(rule_book(), variables, (self.Options().name,), place, f"one of {', '.join(MEASURED)}")
        book.require_one_variable_an_item(variables)
        with context.progress.task("reading PhysioNet 2019", unit="records") as bar:
            parts = [read_rows(found, bar).with_columns(source_set=pl.lit(found.name)) for found in self._sets()]
        rows = pl.concat(parts)
        rows = rows.sort("stay_id", "hour")
        stays, outcomes, counts = _stays(rows)
        hours, of_values = hourly.cleaned(rows, labels, book, stays["stay_id"], variables, window.hours)
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any record. Check the settings variables.use "
                "and window.hours."
            )
        return SourceTables(
            stays,
            hours,
            pl.concat([counts, of_values]),
            variables,
            window.hours,
            population=self.population,
            outcomes=outcomes,
        )

    def reach(self) -> str:
        """Look for the sets; see ``sources.base.DataSource``."""
        return f"{', '.join(found.path.name for found in self._sets())} in {self._path}"

    def _sets(self) -> tuple[RecordSet, ...]:
        if not self._path:
            raise SourceError("source.path is empty. Give the folder that holds training_setA.tar.gz or training_setA.")
        return find_sets(Path(self._path).expanduser())


def _stays(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return stays, outcomes and what was counted, from rows sorted by stay and hour."""
    sepsis = pl.col("SepsisLabel") == 1
    known = rows.group_by("stay_id", maintain_order=True).agg(
        pl.col("source_set", "Age", "Gender", "Unit1", "Unit2").first(),
        hours=pl.col("hour").max() + 1,
        column=sepsis.any(),
        column_hours=pl.col("hour").filter(sepsis).min(),
    )
    twice = rows.select("stay_id", "source_set").unique().filter(pl.col("stay_id").is_duplicated())
    if len(twice):
        raise SourceError(f"Record p{twice['stay_id'][0]:06d} is in two sets. Expected each record once.")
    age, gender = pl.col("Age"), pl.col("Gender")
    columns = {
        "stay_id": pl.col("stay_id"),
        "patient_id": pl.col("stay_id"),
        "admission_id": pl.col("stay_id"),
        "age_years": pl.when(age >= _HIDDEN).then(HIDDEN_AGE_YEARS).otherwise(age),
        "sex": pl.when(gender == 1).then(pl.lit("M")).when(gender == 0).then(pl.lit("F")),
        "icu_type": pl.when(pl.col("Unit1") == 1).then(pl.lit("MICU")).when(pl.col("Unit2") == 1).then(pl.lit("SICU")),
        "height_cm": pl.lit(None),
        "weight_kg": pl.lit(None),
        "source_set": pl.col("source_set"),
        "stay_number": pl.lit(1),
        "stay_hours": pl.col("hours"),
        "death_hours": pl.lit(None),
        "died": pl.lit(None),
    }
    stays = known.select(expression.cast(STAYS_SCHEMA[name]).alias(name) for name, expression in columns.items())
    outcomes = known.select("stay_id", "column", pl.col("column_hours").cast(pl.Float64))
    hidden = int((known["Age"] >= _HIDDEN).sum())
    counted = [("age_years", f"hidden: {HIDDEN_AGE_YEARS}", hidden)] if hidden else []
    return stays, outcomes, pl.DataFrame(counted, schema=dict(CLEANING_SCHEMA), orient="row")
