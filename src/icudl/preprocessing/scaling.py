"""From a grid in clinical units to model inputs; fitted on training stays only."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputOptions(Options):
    """How a model sees a stay."""

    table: ClassVar[str] = "inputs"

    imputation: str = option("linear", "Filling of unmeasured hours inside the window.", choices=("linear", "forward"))
    winsor_low: float = option(5.0, "Lower winsor limit, percentile of the training stays.", low=0, high=49)
    winsor_high: float = option(95.0, "Upper winsor limit, percentile of the training stays.", low=51, high=100)
    scaling: str = option(
        "minmax",
        "minmax maps the winsor limits to 0 and 1; standard has mean 0 and deviation 1.",
        choices=("minmax", "standard"),
    )
    channels: tuple[str, ...] = option(
        ("value",),
        "Channels per variable: value, observed, hours_since.",
        choices=("value", "observed", "hours_since"),
    )
    statics: tuple[str, ...] = option(
        (), "Static descriptors given to the model at every hour: age_years, sex_male, ..."
    )
