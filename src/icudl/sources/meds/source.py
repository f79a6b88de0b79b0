"""MEDS data as a data source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.locating import Location, Survey
from icudl.sources.meds.codes import code_table
from icudl.sources.meds.folder import Shard, shards_of
from icudl.sources.meds.locating import LOOKED_FOR, etl_of, located
from icudl.sources.meds.options import MedsOptions
from icudl.sources.meds.ready import RESULT, ready
from icudl.sources.meds.stays import stays_of
from icudl.sources.reading.events import EventBins
from icudl.sources.reading.hashing import hash_files
from icudl.sources.table.reading import Notes
from icudl.variables import CATALOGUE, Variable


class Meds(SourceBase):
    """The events of a MEDS data set; splits are not looked at, because the pipeline makes its own.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: ``source.population``, or the patients of the database that the ready table is of.
        available: Names of the variables that have codes; the whole catalogue where the ETL is unknown.
    """

    Options: ClassVar[type[SourceOptions]] = MedsOptions

    def __init__(self, options: MedsOptions, seed: int) -> None:
        """Check the options and choose the table of codes; for ``source.etl = "auto"`` the metadata are looked at.

        Raises:
            ConfigError: ``source.codes``, ``source.units`` or ``source.events`` names something unknown.
        """
        self._folder = Path(options.path).expanduser()
        etl = options.etl
        if etl == "auto":
            etl = etl_of(self._folder) if options.path else ""
        self._ready = ready(etl) if etl not in {"", "none"} else None
        self._is_told = bool(etl) or bool(options.codes)
        self._codes = code_table(self._ready, options.codes, options.units, options.events)
        self.population = options.population or (self._ready.population if self._ready else "")
        self.citations = ("meds", *(self._ready.citations if self._ready else ()))
        super().__init__(options, seed)
        self.restricted = not options.open_data
        # Which ETL made the data is known when they are read.
        self.available = self._codes.variables or frozenset(CATALOGUE)
        self._has_path = bool(options.path)

    @classmethod
    def looked_for(cls) -> str:
        """Say what is looked for; see ``sources.locating.Locating``."""
        return LOOKED_FOR

    @classmethod
    def locate(cls, path: Path, survey: Survey) -> Location | None:
        """Look for a MEDS data set; see ``sources.locating.Locating``."""
        return located(path, cls.Options().name, survey)

    def fingerprint(self, memory: Path) -> SourceFingerprint:
        """Identify the events by the hashes of their files and of the table of codes, not by the folder's path.

        Raises:
            SourceError: The folder holds no events, or a file is unreadable.
        """
        shards = {shard.name: shard for shard in self._shards()}
        files = hash_files(
            {name: shard.path for name, shard in shards.items()}, memory, lambda name: shards[name].readable()
        )
        # How the events are cut into files, and into splits, changes nothing: no file needs a name.
        identity = {"rules": self._codes.digest, "files": sorted(file["sha256"] for file in files.values())}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details={"tables": files, "rules": self._codes.digest})

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Read the events file by file: first those that make stays, then the measurements.

        Raises:
            ConfigError: Two of the variables are read from the same code.
            SourceError: A file cannot be read or lacks a column, a subject is in two files, the ETL is unknown, or no
                value was found.
        """
        shards, notes = self._shards(), Notes()
        self._require_codes()
        patterns = [pattern for group in self._codes.events.values() for pattern in group]
        events, counts = [], []
        with context.progress.task("reading stays", total=len(shards), unit="files") as bar:
            for shard in shards:
                events.append(shard.events(patterns))
                counts.append(shard.codes())
                bar.advance(1)
        _require_whole_subjects(shards, events)
        stays = stays_of(pl.concat(events), self._codes, self._ready, notes)
        codes = pl.concat(counts).group_by("code").agg(pl.col("rows").sum())
        found = self._codes.found(codes["code"].drop_nulls(), variables)
        self._note_absent(variables, {rule.variable for rule in found.book.rules}, notes)
        bins = EventBins(stays.spans, variables, window.hours, context.scratch)
        table, numbered = found.book.table(variables, "events"), found.numbered()
        total = int(codes.filter(pl.col("code").is_in(list(found.codes)))["rows"].sum())
        with context.progress.task("reading measurements", total=total, unit="rows") as bar:
            for shard in shards:
                for batch in shard.values(numbered):
                    bins.add(batch, table)
                    bar.advance(len(batch))
        hours, cleaning = bins.result()
        if hours.is_empty():
            raise SourceError(
                "No value of the chosen variables lies in the window of any ICU stay. Check source.codes, and the "
                "settings variables.use and window.hours."
            )
        if self._ready is not None and self._ready.late and any(code.startswith(RESULT) for code in found.codes):
            notes.say(self._ready.late)
        warnings = (*(self._ready.notes if self._ready else ()), *notes.warnings, *found.warnings)
        return SourceTables(
            stays.table,
            hours,
            pl.concat([notes.cleaning(), cleaning]),
            variables,
            window.hours,
            population=self.population,
            warnings=warnings,
        )

    def reach(self) -> str:
        """Look for the files of events and their columns; see ``sources.base.DataSource``."""
        shards = self._shards()
        for shard in shards:
            shard.columns()
        codes = f"codes of {self._ready.name}" if self._ready else "codes of the configuration"
        return f"{len(shards)} files of events in {self._folder}, {codes}"

    def _shards(self) -> tuple[Shard, ...]:
        if not self._has_path:
            raise SourceError(
                "source.path is empty. Give the folder of the MEDS data, which holds data/ and metadata/."
            )
        return shards_of(self._folder)

    def _require_codes(self) -> None:
        if not self._is_told:
            raise SourceError(
                f"Neither metadata/dataset.json nor the codes tell which ETL made {str(self._folder)!r}. Set "
                'source.etl to "mimic4" or "eicu", or say what the codes mean: source.etl = "none" and source.codes = '
                '{ heartrate = ["VITAL//HR//*"] }.'
            )

    def _note_absent(self, variables: tuple[Variable, ...], there: set[str], notes: Notes) -> None:
        absent = [variable.name for variable in variables if variable.name not in there]
        if len(absent) == len(variables):
            raise SourceError(
                "No code of the data measures one of the chosen variables. Set source.etl to the ETL that made them, "
                'or name their codes: source.codes = { heartrate = ["VITAL//HR//*"] }.'
            )
        if absent:
            notes.say(f"No code of the data is of {', '.join(absent)}: these inputs stay empty.")


def _require_whole_subjects(shards: Sequence[Shard], events: Sequence[pl.DataFrame]) -> None:
    """Refuse a copy of a file beside it, and parts of two data sets: MEDS keeps all events of a subject in one file.

    Raises:
        SourceError: A subject has events in two files.
    """
    home = pl.DataFrame(schema={"subject_id": pl.Int64, "shard": pl.Int64})
    for number, found in enumerate(events):
        subjects = found.select(pl.col("subject_id").unique())
        twice = home.join(subjects, on="subject_id", how="semi").sort("subject_id")
        if not twice.is_empty():
            subject, first = twice.row(0)
            raise SourceError(
                f"Subject {subject} has events in {shards[first].name} and in {shards[number].name}, and {len(twice)} "
                "of these files' subjects are in both. MEDS keeps a subject in one file: remove the copy, or the files "
                "of another data set."
            )
        home = pl.concat([home, subjects.with_columns(shard=pl.lit(number, pl.Int64))])
