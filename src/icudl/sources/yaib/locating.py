"""What a folder holds of a YAIB cohort."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from icudl.errors import SourceError
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.reading.counting import rows_in
from icudl.sources.yaib.cohort import FILES, Cohort, files_in, readable

ID_RANGES: dict[str, tuple[int, int]] = {
    "mimic3": (200_001, 299_999),
    "mimic4": (30_000_000, 39_999_999),
    "eicu": (141_168, 3_353_263),
}
"""Ids of ICU stays in each database, both ends included."""


def located(path: Path, plugin: str, survey: Survey) -> Location | None:
    """Look at a folder for the three files; see ``sources.locating.Locating``.

    The database is told by the range of its ids: that of MIMIC-III lies within that of eICU, so ids of which all lie in
    the smaller range are taken to be MIMIC-III's. AmsterdamUMCdb, HiRID and SICdb number stays from 1 or so and are not
    told.
    """
    found = files_in(path)
    if not {"dyn", "outc"} <= set(found):
        return None
    tables, notes, stays = [], [], None
    for name, file in found.items():
        try:
            rows = rows_in(file, survey)
        except SourceError as error:
            rows = None
            notes.append(str(error))
        tables.append(LocatedTable(name=name, file=file.name, bytes=file.stat().st_size, rows=rows))
    missing = tuple(MissingTable(name=name, is_required=True) for name in FILES if name not in found)
    settings = {"path": str(path)}
    try:
        with readable(found["outc"]):
            ids = pl.read_parquet(found["outc"], columns=["stay_id"], glob=False)["stay_id"].cast(pl.Int64)
        stays, (low, high) = ids.n_unique(), _ends(ids)
        database = _database(low, high)
        if database:
            settings["database"] = database
            notes.append(f"Ids of stays run from {low} to {high}, as those of {database}: check source.database.")
        else:
            notes.append("Which database the cohort was made of is not told by its ids: set source.database.")
    except SourceError as error:
        notes.append(str(error))
    if not missing:
        try:
            deaths = int(Cohort(found).outcomes()["label"].sum())
            notes.append(
                f"{deaths:,} stays have the label 1. Set outcome.event to what it says (source.label): icu_death for "
                "YAIB's mortality24."
            )
        except SourceError as error:
            notes.append(str(error))
    return Location(
        database="YAIB cohort",
        source=plugin,
        settings=settings,
        tables=tuple(tables),
        missing=missing,
        stays=stays,
        notes=tuple(notes),
    )


def _ends(ids: pl.Series) -> tuple[int, int]:
    """Return the smallest and the largest id; there is at least one."""
    ordered = ids.drop_nulls().sort()
    return (int(ordered[0]), int(ordered[-1])) if len(ordered) else (0, 0)


def _database(low: int, high: int) -> str:
    return next((name for name, (first, last) in ID_RANGES.items() if first <= low and high <= last), "")
