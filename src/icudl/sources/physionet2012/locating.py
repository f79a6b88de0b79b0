"""What a folder or archive holds of the PhysioNet/CinC Challenge 2012."""

from __future__ import annotations

from pathlib import Path

from icudl.errors import SourceError
from icudl.sources.locating import LocatedTable, Location, MissingTable, Survey
from icudl.sources.physionet2012.files import find_sets, holds_sets
from icudl.sources.reading.counting import rows_in

RECORDS_OF_A_SET = 4000
"""Records of each of the sets a, b and c."""

_DATABASE = "PhysioNet/CinC Challenge 2012"


def located(path: Path, plugin: str, survey: Survey) -> Location | None:
    """Look at a folder or an archive for sets of the challenge; see ``sources.locating.Locating``."""
    if not holds_sets(path):
        return None
    settings = {"path": str(path)}
    try:
        sets = find_sets(path)
    except SourceError as error:
        missing = (MissingTable(name="Outcomes-a.txt or a set", is_required=True),)
        return Location(database=_DATABASE, source=plugin, settings=settings, missing=missing, notes=(str(error),))
    base = path if path.is_dir() and path not in {found.path for found in sets} else path.parent
    tables, notes, stays = [], [], 0
    for found in sets:
        try:
            rows = rows_in(found.outcomes, survey)
        except SourceError as error:
            rows = None
            notes.append(str(error))
        stays += rows or 0
        tables += [
            LocatedTable(
                name=f"set-{found.name}",
                file=found.path.relative_to(base).as_posix(),
                bytes=found.path.stat().st_size if found.path.is_file() else None,
            ),
            LocatedTable(
                name=f"Outcomes-{found.name}",
                file=found.outcomes.relative_to(base).as_posix(),
                bytes=found.outcomes.stat().st_size,
                rows=rows,
                expected_rows=RECORDS_OF_A_SET if found.name in {"a", "b", "c"} else None,
            ),
        ]
    names = ", ".join(found.name.upper() for found in sets)
    return Location(
        database=f"{_DATABASE}, set{'s' if len(sets) > 1 else ''} {names}",
        source=plugin,
        settings=settings,
        tables=tuple(tables),
        patients=stays,
        stays=stays,
        notes=tuple(notes),
    )
