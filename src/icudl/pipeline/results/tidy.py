"""Results written as Parquet files that any program reads: tidy tables, and what their columns mean."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from icudl import __version__
from icudl.analysis import tidy
from icudl.analysis.numbers.models.quality import own_models
from icudl.analysis.tidy import TABLES, Frames, TidyTable
from icudl.artifacts import AttackResult, Certificates, Probes, Scores, TrainingResult
from icudl.artifacts.files.stored import ROW_GROUP
from icudl.errors import StoreError
from icudl.execution.context import Progress
from icudl.pipeline.results.gathered import Gathered

CONTENTS = "tables.json"
"""File that says what the tables of a folder hold."""

NOTICE = (
    "Derived from credentialed data: the data use agreement of the source holds for this file. Rows about single stays "
    "must not be passed on."
)


def tidy_frames(gathered: Gathered, name: str) -> Frames:
    """Yield the blocks of one tidy table.

    Args:
        gathered: The results.
        name: One of ``TABLES``.
    """
    match name:
        case "cohort" | "measurements":
            make = tidy.cohort if name == "cohort" else tidy.measurements
            for part in gathered.of("preprocess"):
                yield from make(part.data, gathered.grid(part.data))
        case "predictions" | "scores":
            yield from _judged(gathered, name)
        case "attacks" | "changes":
            for part in gathered.of("attack"):
                names, result = (part.data, part.model, part.attack), gathered.load(AttackResult, part)
                yield from (
                    tidy.attacks(*names, result)
                    if name == "attacks"
                    else tidy.changes(*names, result, gathered.grid(part.data))
                )
        case "proofs" | "flipping_entries":
            of_proofs = tidy.proofs if name == "proofs" else tidy.flipping_entries
            for part in gathered.of("certify"):
                yield from of_proofs(part.data, part.model, gathered.load(Certificates, part))
        case _:
            of_probes = tidy.responses if name == "responses" else tidy.verdicts
            for part in gathered.of("probe"):
                yield from of_probes(part.data, part.model, gathered.load(Probes, part))


def _judged(gathered: Gathered, name: str) -> Frames:
    make = tidy.predictions if name == "predictions" else tidy.scores
    own: dict[str, tuple[str, ...]] = {}
    for part in gathered.of("train"):
        training = gathered.load(TrainingResult, part)
        own[part.model] = own_models(training)
        table = training.predictions if name == "predictions" else training.metrics
        yield from make(part.data or gathered.main, part.model, own[part.model], table)
    for part in gathered.of("score"):
        scores = gathered.load(Scores, part)
        table = scores.predictions if name == "predictions" else scores.metrics
        yield from make(part.data, part.model, own.get(part.model, tuple(table["model"].unique())), table)


def write_tidy(gathered: Gathered, place: Path, names: Collection[str], progress: Progress) -> dict[Path, int]:
    """Write tidy tables; each file appears in one step.

    Args:
        gathered: The results.
        place: A file for one table; a folder for a file each, with what their columns mean in ``tables.json``.
        names: Which tables; empty for all that the results fill.
        progress: Told how many tables are written.

    Returns:
        Rows by file.

    Raises:
        StoreError: The results hold no row of a table that was asked for.
        OSError: The place cannot be written.
    """
    alone = place.suffix == ".parquet"
    folder = place.parent if alone else place
    folder.mkdir(parents=True, exist_ok=True, mode=0o700 if gathered.restricted else 0o777)
    written: dict[Path, int] = {}
    wanted = list(names or TABLES)
    with (
        progress.task("Writing tables", total=len(wanted), unit="tables") as bar,
        tempfile.TemporaryDirectory(prefix=".icudl-", dir=folder) as scratch,
    ):
        for name in wanted:
            table = TABLES[name]
            file = Path(scratch) / f"{name}.parquet"
            rows = _write(table, tidy_frames(gathered, name), file, Path(scratch), _described(gathered, table))
            if rows:
                target = place if alone else folder / file.name
                if gathered.restricted:
                    file.chmod(0o600)
                written[file.replace(target)] = rows
            elif names:
                raise StoreError(
                    f"{gathered.manifest.name} ({gathered.manifest.reference}) fills no table {name!r}. Give a report, "
                    "or leave the table out."
                )
            bar.advance(1)
        if not alone:
            contents = Path(scratch) / CONTENTS
            contents.write_text(json.dumps(_contents(gathered, written), indent=1, ensure_ascii=False) + "\n", "utf-8")
            contents.replace(folder / CONTENTS)
    return written


def _write(table: TidyTable, frames: Frames, file: Path, scratch: Path, described: Mapping[str, str]) -> int:
    """Write a table through parts of bounded size, and return its rows."""
    parts: list[Path] = []
    rows = 0
    for frame in _at_least_one(frames, table):
        parts.append(scratch / f"{table.name}-{len(parts)}.part")
        frame.write_parquet(parts[-1])
        rows += frame.height
    if rows:
        pl.scan_parquet(parts).sink_parquet(
            file, compression="zstd", row_group_size=ROW_GROUP, maintain_order=True, metadata=dict(described)
        )
    for part in parts:
        part.unlink()
    return rows


def _at_least_one(frames: Frames, table: TidyTable) -> Iterator[pl.DataFrame]:
    yield pl.DataFrame(schema=dict(table.schema))
    yield from frames


def _described(gathered: Gathered, table: TidyTable) -> dict[str, str]:
    """Return what stands in the file itself, so that a copy of it still says whose data it holds."""
    told = {
        "icudl.table": table.name,
        "icudl.result": gathered.manifest.reference,
        "icudl.version": __version__,
        "icudl.restricted": str(gathered.restricted).lower(),
    }
    return told | ({"icudl.notice": NOTICE} if gathered.restricted else {})


def _contents(gathered: Gathered, written: Mapping[Path, int]) -> dict[str, Any]:
    outcome = gathered.grid(gathered.main).outcome
    tables = {
        path.stem: {
            "a_row_is": TABLES[path.stem].text,
            "rows": rows,
            "columns": {name: text for name, (_, text) in TABLES[path.stem].columns.items()},
        }
        for path, rows in written.items()
    }
    told = {
        "result": gathered.manifest.reference,
        "name": gathered.manifest.name,
        "version": __version__,
        "outcome": outcome.phrase,
        "restricted": gathered.restricted,
    }
    return told | ({"notice": NOTICE} if gathered.restricted else {}) | {"tables": tables}
