"""Small source tables, written out stay by stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA, HOURS_SCHEMA, STAYS_SCHEMA, SourceTables
from icudl.variables import Variable, select

_STAY: dict[str, Any] = {
    "age_years": 60.0,
    "sex": "F",
    "icu_type": None,
    "height_cm": None,
    "weight_kg": None,
    "source_set": "",
    "stay_number": 1,
    "stay_hours": 100.0,
    "death_hours": None,
    "died": False,
}


def stay(stay_id: int, **columns: Any) -> dict[str, Any]:
    """One stay: of its own patient and admission, an adult who stayed 100 hours and survived, unless told."""
    return {"stay_id": stay_id, "patient_id": stay_id, "admission_id": stay_id} | _STAY | columns


def tables(
    stays: Iterable[Mapping[str, Any]],
    hours: Iterable[tuple[int, int, int, float, int]] | None = None,
    *,
    variables: tuple[Variable, ...] = select(("heartrate", "lactate")),
    window_hours: int = 48,
) -> SourceTables:
    """Tables of these stays; without ``hours`` each stay has one heart rate of 80 in hour 0."""
    frame = pl.DataFrame(list(stays), schema=dict(STAYS_SCHEMA))
    if hours is None:
        hours = [(stay_id, 0, 0, 80.0, 1) for stay_id in frame["stay_id"]]
    return SourceTables(
        stays=frame,
        hours=pl.DataFrame(list(hours), schema=dict(HOURS_SCHEMA), orient="row"),
        cleaning=pl.DataFrame(schema=dict(CLEANING_SCHEMA)),
        variables=variables,
        window_hours=window_hours,
        population="synthetic",
    )
