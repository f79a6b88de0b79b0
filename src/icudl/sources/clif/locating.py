"""What a folder holds of CLIF tables."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from icudl.errors import SourceError
from icudl.sources.clif import items
from icudl.sources.clif.folder import COLUMNS, PREFIX, REQUIRED, files_of
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.mimic4.layout import POPULATION as MIMIC4_POPULATION
from icudl.sources.reading.counting import rows_in
from icudl.sources.reading.unreadable import UNREADABLE

LOOKED_FOR = "CLIF: clif_patient, clif_hospitalization and clif_adt as .parquet, .csv or .csv.gz"
MIMIC_HOSPITAL = "mimic"
"""hospital_id that the CLIF of MIMIC-IV has."""


def located(folder: Path, plugin: str, survey: Survey) -> Location | None:
    """Look at a folder for CLIF's tables; see ``sources.locating.Locating``."""
    if not folder.is_dir():
        return None
    try:
        found = files_of(folder)
    except OSError:
        return None
    if not set(found) & set(REQUIRED):
        return None
    rows: dict[str, int] = {}
    notes = [
        f"The table {name} has {len(paths)} files: keep one of {', '.join(path.name for path in paths)}."
        for name, paths in found.items()
        if len(paths) > 1
    ]
    for name, paths in found.items():
        try:
            count = rows_in(paths[0], survey)
        except SourceError as error:
            notes.append(str(error))
        else:
            rows |= {} if count is None else {name: count}
    read = [name for name in COLUMNS if name in found]
    is_mimic = "adt" in found and _hospitals(found["adt"][0]) == {MIMIC_HOSPITAL}
    if is_mimic:
        notes.append("The hospital is MIMIC-IV's: its patients are those of MIMIC-IV, under the same ids.")
    return Location(
        database="CLIF 2.1, made from MIMIC-IV" if is_mimic else "CLIF 2.1",
        source=plugin,
        settings={"path": str(folder)} | ({"population": MIMIC4_POPULATION} if is_mimic else {}),
        tables=tuple(
            LocatedTable(
                name=f"{PREFIX}{name}",
                file=found[name][0].name,
                bytes=found[name][0].stat().st_size,
                rows=rows.get(name),
            )
            for name in read
        ),
        missing=tuple(
            MissingTable(
                name=f"{PREFIX}{name}",
                is_required=name in REQUIRED,
                variables=tuple(
                    dict.fromkeys(
                        each.variable for each in items.CATEGORIES if items.tables_of(each.variable) == (name,)
                    )
                ),
            )
            for name in COLUMNS
            if name not in found
        ),
        patients=rows.get("patient"),
        notes=tuple(notes),
    )


def _hospitals(adt: Path) -> set[str]:
    """Return the ids of hospitals; none where the file does not tell."""
    try:
        scan = pl.scan_parquet(adt, glob=False) if adt.suffix.lower() == ".parquet" else pl.scan_csv(adt, glob=False)
        names = {name.strip().lower(): name for name in scan.collect_schema().names()}
        if "hospital_id" not in names:
            return set()
        return set(
            scan.select(pl.col(names["hospital_id"]).cast(pl.String)).unique().collect().to_series().drop_nulls()
        )
    except UNREADABLE:
        return set()
