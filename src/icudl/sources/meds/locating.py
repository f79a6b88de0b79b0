"""What a folder holds of a MEDS data set, and which ETL made it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from icudl.errors import SourceError
from icudl.sources.locating import LocatedTable, Location, Survey
from icudl.sources.meds.codes import code_table, is_one_of
from icudl.sources.meds.folder import Shard, description, listed_codes, shards_of
from icudl.sources.meds.ready import EVENTS, READY, ready
from icudl.sources.reading.unreadable import UNREADABLE
from icudl.variables import CATALOGUE

LOOKED_FOR = "MEDS: data/**/*.parquet with subject_id, time, code and numeric_value, and metadata/"
_MOST_FILES = 12
"""Files that are listed one by one; of more, each folder is one line."""

_FEWEST_CODES = 5
"""Variables that the codes of a data set must have before a ready table is taken to be its ETL's."""


def etl_of(folder: Path) -> str:
    """Return the ready table of a data set, judged by its description, then by its codes; "" where neither tells."""
    told = description(folder)
    names = " ".join(str(told.get(key, "")) for key in ("dataset_name", "etl_name")).casefold()
    for name in READY:
        if any(mark in names for mark in ready(name).marks):
            return name
    codes = listed_codes(folder)
    variables = tuple(CATALOGUE[name] for name in CATALOGUE if name != "potassium_serum")
    found = {
        name: len({rule.variable for rule in code_table(ready(name), {}, {}, {}).found(codes, variables).book.rules})
        for name in READY
    }
    best = max(found, key=lambda name: found[name])
    return best if found[best] >= _FEWEST_CODES else ""


def located(folder: Path, plugin: str, survey: Survey) -> Location | None:  # noqa: ARG001 - files know their rows
    """Look at a folder for events and their metadata; see ``sources.locating.Locating``."""
    try:
        shards = shards_of(folder)
    except (OSError, SourceError):
        return None
    if not (folder / "metadata").is_dir() and not _is_meds(shards[0]):
        return None
    notes: list[str] = []
    tables: list[LocatedTable] = []
    stays = patients = 0
    for shard in shards:
        rows = None
        try:
            shard.columns()
            with shard.readable():
                frame = pl.scan_parquet(shard.path, glob=False)
                admitted = is_one_of(EVENTS["icu_admission"])
                rows, subjects, icu = (
                    frame.select(pl.len(), pl.col("subject_id").n_unique().alias("n"), admitted.sum().alias("icu"))
                    .collect(engine="streaming")
                    .row(0)
                )
            # A subject is in one file only.
            patients += subjects
            stays += icu
        except SourceError as error:
            notes.append(str(error))
        tables.append(LocatedTable(name=shard.name, file=shard.name, bytes=shard.path.stat().st_size, rows=rows))
    if len(tables) > _MOST_FILES:
        tables = _by_folder(tables)
    told = description(folder)
    etl = etl_of(folder)
    if not etl:
        notes.append(
            "Neither metadata/dataset.json nor the codes tell the ETL: name the codes of the variables in source.codes."
        )
    if not stays:
        notes.append("No code is an ICU admission: name its codes in source.events.")
    name = " ".join(str(told[key]) for key in ("dataset_name", "dataset_version") if told.get(key))
    return Location(
        database=f"MEDS: {name}" if name else "MEDS",
        source=plugin,
        settings={"path": str(folder)} | ({"etl": etl} if etl else {}),
        tables=tuple(tables),
        patients=patients or None,
        stays=stays or None,
        notes=tuple(notes),
    )


def _by_folder(tables: list[LocatedTable]) -> list[LocatedTable]:
    folders: dict[str, list[LocatedTable]] = {}
    for table in tables:
        folders.setdefault(table.file.rpartition("/")[0], []).append(table)
    return [
        LocatedTable(
            name=f"{folder} ({len(files)} files)",
            file=f"{folder}/*.parquet",
            bytes=sum(file.bytes or 0 for file in files),
            rows=sum(file.rows or 0 for file in files),
        )
        for folder, files in folders.items()
    ]


def _is_meds(shard: Shard) -> bool:
    try:
        return {"subject_id", "time", "code"} <= set(pl.scan_parquet(shard.path, glob=False).collect_schema().names())
    except UNREADABLE:
        return False
