"""A cohort of YAIB as a data source."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, OUTCOMES_SCHEMA, STAYS_SCHEMA, SourceTables, no_outcomes
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources import count_unknown_names
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.locating import Location, Survey
from icudl.sources.own_items import column_of, with_own_items
from icudl.sources.reading import hourly
from icudl.sources.yaib.cohort import Cohort, find_cohort
from icudl.sources.yaib.columns import LABELS, OTHER, SERIES, rule_book
from icudl.sources.yaib.locating import located
from icudl.sources.yaib.options import POPULATIONS, YaibOptions
from icudl.variables import Variable

HIDDEN_AGE_YEARS = 91.4
"""Age of those of 90 and above, whose age ricu gives as 90: the same as in the databases' own sources."""

HIDDEN, NO_ROW, IMPLAUSIBLE, UNREADABLE_SEX = (
    f"90 or above: {HIDDEN_AGE_YEARS}",
    "no row in sta.parquet: unknown",
    "implausible: unknown",
    "neither Female nor Male: unknown",
)
_HIDDEN_FROM, _HEIGHTS, _WEIGHTS = 90.0, (100.0, 250.0), (20.0, 500.0)
_NO_PATIENTS = (
    "YAIB's files do not say which stays are of one patient, so each counts as a patient of its own. A split of them "
    "may have a patient on both sides, and intervals are a little too narrow."
)
_STAYS_WITHOUT_ROWS = "stay without a row in dyn.parquet: of unknown length"


class Yaib(SourceBase):
    """The cohort in a folder.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: Stays of the database that the cohort was made of. Their patients are not known, so no other
            source's patients have the same ids.
        available: Names of the variables that YAIB's columns are.
        outcomes: What ``source.label`` says.
    """

    Options: ClassVar[type[SourceOptions]] = YaibOptions

    citations = ("yaib", "ricu")
    available = frozenset(SERIES)

    def __init__(self, options: YaibOptions, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``."""
        self.population = POPULATIONS.get(options.database, "yaib")
        super().__init__(options, seed)
        self.restricted = not options.open_data
        self.outcomes = frozenset({options.label})
        self._options = options

    @classmethod
    def looked_for(cls) -> str:
        """Say what is looked for; see ``sources.locating.Locating``."""
        return "YAIB cohort: dyn.parquet, sta.parquet and outc.parquet"

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look for a cohort; see ``sources.locating.Locating``."""
        return located(path, cls.Options().name, survey)

    def fingerprint(self, memory: Path) -> SourceFingerprint:  # noqa: ARG002 - the files are hashed each time
        """Identify the cohort by the hashes of its files and of the cleaning rules.

        Raises:
            SourceError: A file is missing or unreadable.
        """
        files, rules = self._cohort().describe(), rule_book().digest
        identity = {"rules": rules, "files": {name: file["sha256"] for name, file in files.items()}}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details={"files": files, "rules": rules})

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read and check the cohort.

        A stay is taken to last as many hours as it has rows, which is the least that it lasted. Times of death,
        patients and the order of a patient's stays are not known.

        Raises:
            SourceError: A file is missing, damaged or not of YAIB's form, or nothing was found.
        """
        cohort = self._cohort()
        labels = list(LABELS)
        place = column_of(labels, hourly.HOURLY)
        book = with_own_items(
            rule_book(), variables, (self.Options().name,), place, "a column of dyn.parquet in quotes"
        )
        book.require_one_variable_an_item(variables)
        with context.progress.task("reading the YAIB cohort"):
            outcomes, wide = cohort.outcomes(), cohort.hours()
            stays, counts = self._stays(outcomes, cohort.descriptors(), wide)
        hours, of_values = hourly.cleaned(wide, labels, book, outcomes["stay_id"], variables, window.hours)
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any stay. Check that dyn.parquet and "
                "outc.parquet are of one cohort, and the settings variables.use and window.hours."
            )
        told = no_outcomes()
        if self._options.label in OUTCOMES_SCHEMA:
            told = outcomes.select("stay_id", pl.col("label").alias(self._options.label))
        return SourceTables(
            stays,
            hours,
            pl.concat([counts, _unknown_columns(wide, labels), of_values]),
            variables,
            window.hours,
            population=self.population,
            warnings=self._warnings(stays, window),
            outcomes=told,
        )

    def reach(self) -> str:
        """Look for the files; see ``sources.base.DataSource``."""
        return f"{', '.join(path.name for path in self._cohort().files.values())} in {self._options.path}"

    def _cohort(self) -> Cohort:
        if not self._options.path:
            raise SourceError("source.path is empty. Give the folder with dyn.parquet, sta.parquet and outc.parquet.")
        if not self._options.database:
            raise SourceError(
                "source.database is empty, and YAIB's files do not say whose patients these are. Name the database "
                f"that the cohort was made of: {', '.join(POPULATIONS)}."
            )
        return find_cohort(Path(self._options.path).expanduser())

    def _stays(
        self, outcomes: pl.DataFrame, descriptors: pl.DataFrame, wide: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        absent = [name for name in ("age", "height", "weight") if name not in descriptors.columns]
        known = descriptors.with_columns(*(pl.lit(None, pl.Float64).alias(name) for name in absent))
        if "sex" not in known.columns:
            known = known.with_columns(sex=pl.lit(None, pl.String))
        known = known.select(
            "stay_id",
            pl.col("sex").cast(pl.String).str.to_lowercase(),
            *(pl.col(name).cast(pl.Float64, strict=False) for name in ("age", "height", "weight")),
            described=True,
        )
        lengths = wide.group_by("stay_id").agg(rows=pl.col("hour").max() + 1)
        joined = outcomes.join(known, on="stay_id", how="left").join(lengths, on="stay_id", how="left")
        age, height, weight = pl.col("age"), pl.col("height"), pl.col("weight")
        columns = {
            "stay_id": pl.col("stay_id"),
            "patient_id": pl.col("stay_id"),
            "admission_id": pl.col("stay_id"),
            "age_years": pl.when(age >= _HIDDEN_FROM).then(HIDDEN_AGE_YEARS).otherwise(age),
            "sex": pl.when(pl.col("sex") == "female").then(pl.lit("F")).when(pl.col("sex") == "male").then(pl.lit("M")),
            "icu_type": pl.lit(None),
            "height_cm": pl.when(height.is_between(*_HEIGHTS)).then(height),
            "weight_kg": pl.when(weight.is_between(*_WEIGHTS)).then(weight),
            "source_set": pl.lit(""),
            "stay_number": pl.lit(None),
            "stay_hours": pl.col("rows"),
            "death_hours": pl.lit(None),
            "died": pl.col("label") if self._options.label == "hospital_death" else pl.lit(None),
        }
        stays = joined.select(expression.cast(STAYS_SCHEMA[name]).alias(name) for name, expression in columns.items())
        counted = {
            ("age_years", HIDDEN): (joined["age"] >= _HIDDEN_FROM).sum(),
            ("sex", UNREADABLE_SEX): (stays["sex"].is_null() & joined["sex"].is_not_null()).sum(),
            ("height_cm", IMPLAUSIBLE): (stays["height_cm"].is_null() & joined["height"].is_not_null()).sum(),
            ("weight_kg", IMPLAUSIBLE): (stays["weight_kg"].is_null() & joined["weight"].is_not_null()).sum(),
            ("(stays)", NO_ROW): joined["described"].is_null().sum(),
            ("(stays)", _STAYS_WITHOUT_ROWS): joined["rows"].is_null().sum(),
        }
        rows = [(*subject, int(count)) for subject, count in counted.items() if count]
        return stays, pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")

    def _warnings(self, stays: pl.DataFrame, window: WindowOptions) -> tuple[str, ...]:
        found = [_NO_PATIENTS]
        longest = stays["stay_hours"].max()
        if isinstance(longest, float) and longest < window.hours:
            found.append(
                f"The cohort has no row after hour {longest:g} of a stay, and window.hours = {window.hours}. Set it to "
                f"{longest - 1:g} or less, or every stay is left out as too short."
            )
        return tuple(found)


def _unknown_columns(wide: pl.DataFrame, labels: list[str]) -> pl.DataFrame:
    """Return how many values stand in columns that are neither of the catalogue nor known to be YAIB's."""
    known = {"stay_id", "hour", *labels, *OTHER}
    strange = {name: len(wide) - wide[name].null_count() for name in wide.columns if name not in known}
    names = [name for name, values in strange.items() for _ in range(values)]
    return count_unknown_names(pl.Series("name", names, dtype=pl.String), known)
