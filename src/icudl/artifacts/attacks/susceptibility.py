"""The measures over the adversarial examples of an attack."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import polars as pl

from icudl.artifacts.files.codecs import read_frame, read_json, write_frame, write_json


@dataclasses.dataclass(frozen=True, eq=False)
class SusceptibilityResult:
    """How susceptible predictions are: measures over the adversarial examples.

    Attributes:
        tables: By name, each a polars frame with one row per observation; the names and columns are documented in
            ``icudl.analysis.susceptibility``.
    """

    tables: Mapping[str, pl.DataFrame]

    def write(self, folder: Path) -> None:
        """Write one Parquet file for each table."""
        for name, table in self.tables.items():
            write_frame(folder / f"{name}.parquet", table)
        write_json(folder / "tables.json", sorted(self.tables))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        names = read_json(folder / "tables.json")
        return cls(tables={name: read_frame(folder / f"{name}.parquet") for name in names})
