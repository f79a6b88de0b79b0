"""What a folder holds of a MIMIC database: version, tables, rows, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icudl.artifacts import read_json
from icudl.errors import IcudlError, SourceError
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.mimic.folder import TableFile, files_of
from icudl.sources.mimic.layout import Layout
from icudl.sources.mimic.releases import departures, releases_of
from icudl.sources.reading.counting import rows_in
from icudl.sources.rules import RuleBook

TELLING_TABLES = ("patients", "icustays")
"""Tables whose columns tell one MIMIC database from another."""

SMALL_TABLES = ("patients", "admissions", "icustays")
"""Tables that are always counted."""

_SYNTHETIC_MARK = "synthetic.json"


def looked_for(layout: Layout) -> str:
    """Say which tables a folder of the database holds."""
    return f"{layout.database}: {', '.join(map(layout.shown_place, layout.required))} as .csv, .csv.gz or .parquet"


def located(folder: Path, layout: Layout, plugin: str, book: RuleBook, survey: Survey) -> Location | None:
    """Look at a folder for the tables of a database; see ``sources.locating.Locating``.

    Args:
        folder: The folder itself.
        layout: The database.
        plugin: Name of the source that reads it.
        book: Its rules, which tell the variables of each table.
        survey: How closely to look.
    """
    if not folder.is_dir():
        return None
    try:
        paths = {name: found for name, found in files_of(folder, layout).items() if name in layout.columns}
    except OSError:
        return None
    files = {name: TableFile(name, found[0], layout) for name, found in paths.items()}
    faults = {name: fault for name, file in files.items() if (fault := _fault(file))}
    if not any(name in files and name not in faults for name in TELLING_TABLES):
        return None
    notes = [
        f"The table {layout.shown(name)} has {len(found)} files: keep one of "
        f"{', '.join(path.relative_to(folder).as_posix() for path in found)}."
        for name, found in paths.items()
        if len(found) > 1
    ]
    rows: dict[str, int | None] = {}
    for name, file in files.items():
        try:
            rows[name] = None if name in faults else rows_in(file.path, survey)
        except SourceError as error:
            rows[name], faults[name] = None, str(error)
    counted = {name: number for name, number in rows.items() if number is not None}
    release, remark = _release(counted, layout, folder)
    if remark:
        notes.append(remark)
    notes += [f"{departure}, which {release} has." for departure in departures(counted, layout, release)]
    notes += faults.values()
    mark = _synthetic(folder)
    if mark:
        notes.append("Written by `icudl synth`: the patients are simulated.")
    expected = layout.releases.get(release, {})
    return Location(
        database=mark or release or f"{layout.database}, version unknown",
        source=plugin,
        settings={"path": str(folder)} | ({"open_data": True} if mark or is_demo(release, counted, layout) else {}),
        tables=tuple(
            LocatedTable(
                name=layout.shown(name),
                file=files[name].path.relative_to(folder).as_posix(),
                bytes=files[name].path.stat().st_size,
                rows=rows[name],
                expected_rows=expected.get(name),
            )
            for name in layout.columns
            if name in files
        ),
        missing=tuple(
            MissingTable(
                name=layout.shown_place(name),
                is_required=name in layout.required,
                variables=tuple(variable for variable in book.variables if book.tables_of(variable) == (name,)),
            )
            for name in layout.columns
            if name not in files or name in faults or len(paths[name]) > 1
        ),
        patients=counted.get("patients"),
        stays=counted.get("icustays"),
        notes=tuple(notes),
    )


def _fault(file: TableFile) -> str:
    """Return why a table cannot be read, as far as its beginning tells; "" where it can."""
    try:
        file.scan()
    except SourceError as error:
        return str(error)
    return ""


def _release(rows: Mapping[str, int], layout: Layout, folder: Path) -> tuple[str, str]:
    """Return the release, and a remark where the rows that were counted leave a choice."""
    if "patients" not in rows:
        return "", ""
    same = releases_of(rows, layout)
    if len(same) < 2:
        return same[0] if same else "", ""
    named = [name for name in same if name.rpartition("v")[2] in folder.parts]
    if len(named) == 1:
        return named[0], f"The rows are those of {' and '.join(same)}; the folder's name says {named[0]}."
    return same[-1], f"The rows that were counted are those of {' and '.join(same)}; --count tells them apart."


def is_demo(release: str, rows: Mapping[str, int], layout: Layout) -> bool:
    """Tell whether patients, admissions and stays are all those of an open demo."""
    known = layout.releases.get(release, {})
    return "Demo" in release and all(rows.get(name) == known[name] for name in SMALL_TABLES)


def _synthetic(folder: Path) -> str:
    """Return the name of the synthetic hospital that a folder holds, or ""."""
    mark = folder / _SYNTHETIC_MARK
    if not mark.is_file():
        return ""
    try:
        content: Any = read_json(mark)
        return f"Synthetic hospital of {int(content['patients']):,} patients"
    except (IcudlError, KeyError, TypeError, ValueError):
        return ""
