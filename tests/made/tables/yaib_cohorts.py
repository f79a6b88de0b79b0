"""A small cohort as YAIB writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext
from icudl.sources.base import WindowOptions
from icudl.sources.yaib.options import YaibOptions
from icudl.sources.yaib.source import Yaib
from icudl.variables import CATALOGUE

HOURS = 60


def cohort_frames(stays: int = 12) -> dict[str, pl.DataFrame]:
    """Stays 201001, 201002, ... of 60 hours, every third of which has the label 1."""
    rng = np.random.default_rng(13)
    ids = np.arange(201001, 201001 + stays, dtype=np.int32)
    size = stays * HOURS

    def column(low: float, high: float, share: float) -> list[float | None]:
        return [
            float(value) if seen else None
            for value, seen in zip(rng.uniform(low, high, size), rng.random(size) < share, strict=True)
        ]

    dyn = pl.DataFrame(
        {
            "stay_id": np.repeat(ids, HOURS),
            "time": np.tile(np.arange(HOURS), stays),
            "hr": column(60, 120, 0.9),
            "k": column(3, 6, 0.1),
            "fio2": column(21, 100, 0.2),
            "crp": column(1, 200, 0.1),
        }
    ).with_columns(pl.duration(hours="time", time_unit="ms").alias("time"))
    sta = pl.DataFrame(
        {
            "stay_id": ids,
            "age": np.linspace(40, 90, stays),
            "sex": ["Female" if number % 2 else "Male" for number in range(stays)],
            "height": np.full(stays, 170.0),
            "weight": np.full(stays, 80.0),
        }
    )
    outc = pl.DataFrame({"stay_id": ids, "label": (np.arange(stays) % 3 == 0).astype(np.int32)})
    return {"dyn": dyn, "sta": sta, "outc": outc}


def write_cohort(folder: Path, frames: dict[str, pl.DataFrame] | None = None) -> Path:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in (frames or cohort_frames()).items():
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def yaib_folder(folder: Path) -> None:
    """Write a cohort into a folder."""
    write_cohort(folder)


def read(folder: Path, context: RunContext, use: tuple[str, ...], hours: int = 24, **options: Any) -> SourceTables:
    """Read a cohort."""
    source = Yaib(YaibOptions(path=str(folder), **({"database": "mimic3"} | options)), 1)
    return source.extract(tuple(CATALOGUE[name] for name in use), WindowOptions(hours=hours), context)
