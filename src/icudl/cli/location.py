"""How located databases are shown: in words, as a table, as JSON, and as the configuration that reads them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from icudl.options import masked
from icudl.sources.reading.counting import extraction_seconds

if TYPE_CHECKING:
    from icudl.cli.session import Session
    from icudl.sources.locating import LocatedTable, Location
    from icudl.sources.searching import Found


def described(session: Session, found: Found, place: str) -> list[str]:
    """Return paragraphs about one database."""
    location = found.location
    facts = [("at", _at(found, place) + _relation(found, place))]
    facts.append(("read by", f"source {location.source}" if location.source else "no source yet"))
    if location.patients is not None:
        facts.append(("patients", f"{location.patients:,}"))
    if location.stays is not None:
        facts.append(("ICU stays", f"{location.stays:,}"))
    if location.bytes:
        facts.append(("disk", f"{size_of(location.bytes)} in {len(location.tables)} tables"))
    if location.is_readable and (seconds := extraction_seconds(location.tables)) is not None:
        facts.append(
            ("time", f"extraction takes about {duration(seconds)} of one processor (estimated from the sizes)")
        )
    parts = ["\n".join([location.database, *(f"  {name:10}{text}" for name, text in facts)])]
    if location.tables:
        parts.append(session.drawn(_table(location.tables)))
    if location.missing:
        lines = ["Missing:"]
        for table in location.missing:
            needed = "nothing can be read without it" if table.is_required else "needed for"
            variables = "" if table.is_required else f" {', '.join(table.variables) or 'no variable alone'}"
            lines.append(f"  {table.name}: {needed}{variables}")
        parts.append("\n".join(lines))
    if location.notes:
        parts.append("\n".join(["Notes:", *(f"  {note}" for note in location.notes)]))
    return parts


def _at(found: Found, place: str) -> str:
    if "url" in found.location.settings:
        return masked(place)
    return str(found.folder)


def _relation(found: Found, place: str) -> str:
    """Tell where a database lies if not at the path that was given."""
    if "url" in found.location.settings:
        return ""
    given = Path(place).expanduser().resolve()
    if given == found.folder:
        return ""
    return " (the given path lies within it)" if found.folder in given.parents else " (below the given path)"


def _table(tables: Sequence[LocatedTable]) -> Table:
    table = Table("table", "file", box=None, pad_edge=False)
    for heading in ("size", "rows", "release"):
        table.add_column(heading, justify="right")
    for one in tables:
        differs = None not in (one.rows, one.expected_rows) and one.rows != one.expected_rows
        table.add_row(
            escape(one.name),
            escape(one.file),
            "" if one.bytes is None else size_of(one.bytes),
            "not counted" if one.rows is None and one.expected_rows is not None else _number(one.rows),
            _number(one.expected_rows) + (" !" if differs else ""),
        )
    return table


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def size_of(size: int) -> str:
    """Write a number of bytes as a person says it."""
    value, units = float(size), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Write a number of seconds as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def configuration(location: Location) -> str:
    """Return the TOML that reads a database."""
    settings = {"name": location.source} | dict(location.settings)
    lines = [f"# {location.database}, as `icudl locate` found it.", "[source]"]
    return "\n".join([*lines, *(f"{name} = {_toml(value)}" for name, value in settings.items())])


def _toml(value: object) -> str:
    # Basic strings, true and false are written alike in TOML and JSON; no path holds a character that differs.
    return json.dumps(masked(value) if isinstance(value, str) else value, ensure_ascii=False)


def as_json(place: str, found: Sequence[Found]) -> dict[str, Any]:
    """Return all that is known, for --json."""
    return {
        "place": masked(place),
        "found": [
            {
                "database": one.location.database,
                "at": _at(one, place),
                "source": one.location.source or None,
                "is_readable": one.location.is_readable,
                "patients": one.location.patients,
                "stays": one.location.stays,
                "bytes": one.location.bytes,
                "seconds": extraction_seconds(one.location.tables),
                "tables": [dataclasses.asdict(table) for table in one.location.tables],
                "missing": [dataclasses.asdict(table) for table in one.location.missing],
                "notes": list(one.location.notes),
                "toml": configuration(one.location) if one.location.is_readable else None,
            }
            for one in found
        ],
    }
