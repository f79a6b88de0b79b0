"""A hospital's own tables written from texts, and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources import WindowOptions
from icudl.sources.table import TableOptions, TableSource
from icudl.variables import select

STAYS = """stay_id,patient_id,age,sex,died,stay_hours,death_hours
1,10,60,F,0,72,
2,10,61,F,1,60,55
3,11,72.5,M,0,50,
"""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def tables_of(
    folder: Path, use: tuple[str, ...] = ("heartrate", "creatinine"), hours: int = 48, **options: Any
) -> SourceTables:
    """Read the tables of a folder."""
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    source = TableSource(TableOptions(path=str(folder), **options), 1)
    return source.extract(select(use), WindowOptions(hours=hours), context)


def read(
    folder: Path,
    measurements: str | bytes,
    stays: str | bytes = STAYS,
    use: tuple[str, ...] = ("heartrate", "creatinine"),
    **options: Any,
) -> SourceTables:
    """Write stays.csv and measurements.csv, and read them."""
    write(folder, {"stays.csv": stays, "measurements.csv": measurements})
    return tables_of(folder, use, **options)


def means(tables: SourceTables) -> list[tuple[int, int, str, float, int]]:
    """Stay, hour, variable, mean and count of each cell."""
    return [
        (stay, hour, tables.variables[variable].name, round(mean, 6), count)
        for stay, hour, variable, mean, count in tables.hours.rows()
    ]


def counts(tables: SourceTables, subject: str) -> dict[str, int]:
    """Rules that touched rows of a variable or table."""
    found = tables.cleaning.filter(tables.cleaning["variable"] == subject).select("rule", "rows").rows()
    return {rule: rows for rule, rows in found if rows}


def said(tables: SourceTables) -> str:
    return "\n".join(tables.warnings)
