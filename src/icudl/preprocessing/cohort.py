"""Which stays are studied."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortOptions(Options):
    """Criteria of the cohort, applied in this order and counted in the attrition table."""

    table: ClassVar[str] = "cohort"

    min_age_years: float = option(18.0, "Youngest age at ICU admission, in years.", low=0, high=120)
    min_stay_hours: float = option(
        -1.0,
        "Shortest ICU stay in hours; -1 means the length of the window. A shorter one gives shorter sequences.",
        low=-1,
        high=8760,
    )
    alive_at_window_end: bool = option(
        True,
        "Leave out patients who died inside the window: the prediction is made at its end, about the living.",
    )
    first_stay_only: bool = option(False, "Keep only the first ICU stay of each patient.")
    min_measured_values: int = option(1, "Fewest hourly values charted inside the window.", low=0, high=100_000)
