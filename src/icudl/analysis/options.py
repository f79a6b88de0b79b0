"""Options of the analysis."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnalysisOptions(Options):
    """Filters and intervals of the susceptibility measures."""

    table: ClassVar[str] = "analysis"

    min_length: int = option(1, "Shortest sequence, in hours, of the stays analysed.", low=1, high=720)
    min_changed: int = option(1, "Fewest changed cells of the examples analysed.", low=1, high=1_000_000)
    max_changed: int = option(0, "Most changed cells of the examples analysed; 0 sets no limit.", low=0, high=1_000_000)
    bootstrap_samples: int = option(500, "Bootstrap resamples over stays behind each interval.", low=10, high=100_000)
    importance_stays: int = option(
        500,
        "Attacked stays explained by integrated gradients, half of each direction of the flip, to "
        "tell important from susceptible variables; 0 explains none.",
        low=0,
        high=1_000_000,
    )
    importance_steps: int = option(32, "Nodes of the quadrature behind each integrated gradient.", low=1, high=1000)
