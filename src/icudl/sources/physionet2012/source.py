"""The PhysioNet/CinC Challenge 2012: open data, twelve thousand ICU stays of 48 hours (Silva et al. 2012)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, STAYS_SCHEMA, SourceTables
from icudl.errors import SourceError
from icudl.execution.context import ProgressTask, RunContext
from icudl.sources import rules
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.locating import Location, Survey
from icudl.sources.physionet2012 import cleaning
from icudl.sources.physionet2012.files import RecordSet, find_sets
from icudl.sources.physionet2012.locating import located
from icudl.sources.physionet2012.options import PhysioNet2012Options
from icudl.sources.physionet2012.parameters import AVAILABLE, ICU_TYPES, rule_book
from icudl.sources.physionet2012.records import read_lines, read_outcomes
from icudl.variables import Variable

RECORD_HOURS = 48.0
"""Every record covers the first 48 hours of an ICU stay that lasted at least as long."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """The data of one set."""

    stays: pl.DataFrame
    hours: pl.DataFrame  # ``HOURS_SCHEMA``
    counts: pl.DataFrame  # ``CLEANING_SCHEMA``


class PhysioNet2012(SourceBase):
    """The sets found at ``source.path``, in one cohort; the column source_set tells them apart.

    Attributes:
        restricted: False: the data are open.
        citations: Works to cite.
        population: The patients of the challenge, all sets together.
        available: Variables that the challenge has.
        outcomes: Death in hospital: every stay is said to be as long as the challenge's 48 hours.
    """

    Options: ClassVar[type[SourceOptions]] = PhysioNet2012Options

    restricted = False
    citations = ("physionet2012", "physionet")
    population = "physionet-2012"
    available = AVAILABLE
    outcomes = frozenset({"hospital_death"})

    def __init__(self, options: PhysioNet2012Options, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``."""
        super().__init__(options, seed)
        self._path = options.path

    @classmethod
    def looked_for(cls) -> str:
        """Say what is looked for; see ``sources.locating.Locating``."""
        return "PhysioNet/CinC Challenge 2012: set-a.tar.gz or set-a/, and Outcomes-a.txt beside it (or b, c)"

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look for sets of the challenge; see ``sources.locating.Locating``."""
        return located(path, cls.Options().name, survey)

    def fingerprint(self, memory: Path) -> SourceFingerprint:  # noqa: ARG002
        """Identify the sets by the hashes of their files and of the cleaning rules.

        Raises:
            SourceError: A file is missing or unreadable.
        """
        sets = {record_set.name: record_set.describe() for record_set in self._sets()}
        rules = rule_book().digest
        hashes = {name: {part: file["sha256"] for part, file in files.items()} for name, files in sets.items()}
        digest = hashlib.sha256(json.dumps({"rules": rules, "sets": hashes}, sort_keys=True).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details={"sets": sets, "rules": rules})

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read, clean and bin all sets.

        The challenge tells neither the time of death nor the length of the stay: death_hours is null and stay_hours
        48. Records without a time series are left out and counted. A variable that the challenge lacks has no values.

        Raises:
            SourceError: Files are missing, damaged or not as declared, records and outcomes do not match, or nothing
                was found.
        """
        with context.progress.task("reading PhysioNet 2012", unit="records") as bar:
            parts = [_read(record_set, variables, window, bar) for record_set in self._sets()]
        stays = pl.concat([part.stays for part in parts])
        repeated = stays.filter(pl.col("stay_id").is_duplicated()).sort("stay_id", "source_set")
        if not repeated.is_empty():
            raise SourceError(
                f"Record {repeated['stay_id'][0]} is in set {repeated['source_set'][0]} and in set "
                f"{repeated['source_set'][1]}. Expected each record once; remove one of the sets."
            )
        hours = pl.concat([part.hours for part in parts])
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any record. "
                "Check the settings variables.use and window.hours."
            )
        counts = pl.concat([part.counts for part in parts]).group_by("variable", "rule").agg(pl.col("rows").sum())
        return SourceTables(
            stays, hours, counts.select(list(CLEANING_SCHEMA)), variables, window.hours, population=self.population
        )

    def reach(self) -> str:
        """Look for the sets; see ``sources.base.DataSource``."""
        return f"sets {', '.join(record_set.name for record_set in self._sets())} in {self._path}"

    def _sets(self) -> tuple[RecordSet, ...]:
        if not self._path:
            raise SourceError("source.path is empty. Give the folder that holds set-a.tar.gz and Outcomes-a.txt.")
        return find_sets(Path(self._path).expanduser())


def _read(record_set: RecordSet, variables: tuple[Variable, ...], window: WindowOptions, bar: ProgressTask) -> _Part:
    text, records = read_lines(record_set, bar)
    outcomes = read_outcomes(record_set)
    _check_match(record_set, records, outcomes)
    lines = cleaning.numbered(text, record_set.path.name)
    known, counts = cleaning.descriptors(lines.frame, records)
    with_series = lines.frame.filter(cleaning.is_series())["record"].unique()
    studied = known.filter(pl.col("record").is_in(with_series.implode()))
    of_studied = lines.frame.filter(pl.col("record").is_in(with_series.implode()))
    judged = cleaning.judged(of_studied, variables, window.hours)
    left_out = known.height - studied.height
    of_records = {"records read": known.height, "records without a time series": left_out}
    return _Part(
        stays=_stays(studied.join(outcomes, on="record"), record_set.name),
        hours=rules.means(cleaning.totals(judged).rename({"record": "stay_id"})),
        counts=pl.concat(
            [
                counts,
                lines.counts,
                cleaning.counted("(records)", of_records),
                cleaning.count_fates(judged, variables),
            ]
        ),
    )


def _check_match(record_set: RecordSet, records: pl.Series, outcomes: pl.DataFrame) -> None:
    ids = records.to_frame()
    for left, right, what in (
        (ids, outcomes, f"{record_set.path.name} holds {{n}} records, the first {{id}}, that {{other}} lacks"),
        (
            outcomes,
            ids,
            f"{{other}} holds {{n}} outcomes, the first of record {{id}}, that {record_set.path.name} lacks",
        ),
    ):
        alone = left.join(right, on="record", how="anti")["record"].sort()
        if len(alone):
            text = what.format(n=len(alone), id=alone[0], other=record_set.outcomes.name)
            raise SourceError(f"{text}. Expected the two files of one set; download both again.")


def _stays(studied: pl.DataFrame, source_set: str) -> pl.DataFrame:
    icu_type = pl.col("ICUType").cast(pl.Int64).replace_strict(dict(ICU_TYPES), default=None)
    columns = {
        "stay_id": pl.col("record"),
        "patient_id": pl.col("record"),
        "admission_id": pl.col("record"),
        "age_years": pl.col("Age"),
        "sex": pl.when(pl.col("Gender") == 1).then(pl.lit("M")).when(pl.col("Gender") == 0).then(pl.lit("F")),
        "icu_type": icu_type,
        "height_cm": pl.col("Height"),
        "weight_kg": pl.col("Weight"),
        "source_set": pl.lit(source_set),
        "stay_number": pl.lit(1),
        "stay_hours": pl.lit(RECORD_HOURS),
        "death_hours": pl.lit(None),
        "died": pl.col("died"),
    }
    return studied.select(expression.cast(STAYS_SCHEMA[name]).alias(name) for name, expression in columns.items())
