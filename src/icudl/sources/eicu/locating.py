"""What a folder holds of the eICU Collaborative Research Database."""

from __future__ import annotations

from pathlib import Path

from icudl.errors import SourceError
from icudl.sources.eicu import items
from icudl.sources.eicu.folder import COLUMNS, find_tables
from icudl.sources.eicu.releases import RELEASES, departures
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.reading.counting import rows_in


def located(folder: Path, plugin: str, survey: Survey) -> Location | None:
    """Look at a folder for PATIENT and an event table; see ``sources.locating.Locating``.

    The columns are not looked at: the names of the event tables are eICU's alone.
    """
    try:
        tables = find_tables(folder, {})
    except (OSError, SourceError):
        return None
    if not set(tables) & set(items.EVENT_TABLES):
        return None
    rows: dict[str, int] = {}
    notes = []
    for name, table in tables.items():
        try:
            count = rows_in(table.path, survey)
        except SourceError as error:
            notes.append(str(error))
        else:
            rows |= {} if count is None else {name: count}
    stays = rows.get("patient")
    release = next((name for name, known in RELEASES.items() if known["patient"] == stays), "")
    if stays is not None:
        notes += [f"{departure}." for departure in departures(rows)]
    expected = RELEASES.get(release, {})
    return Location(
        database=release or "eICU-CRD, version unknown",
        source=plugin,
        settings={"path": str(folder)},
        tables=tuple(
            LocatedTable(
                name=name,
                file=table.path.name,
                bytes=table.path.stat().st_size,
                rows=rows.get(name),
                expected_rows=expected.get(name),
            )
            for name, table in tables.items()
        ),
        missing=tuple(
            MissingTable(
                name=name,
                is_required=False,
                variables=tuple(variable for variable in items.SERIES if items.tables_of(variable) == (name,)),
            )
            for name in COLUMNS
            if name not in tables
        ),
        stays=stays,
        notes=tuple(notes),
    )
