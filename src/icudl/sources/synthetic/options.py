"""Options of the synthetic hospital, apart from its generator so that a configuration is read without it."""

from __future__ import annotations

import dataclasses

from icudl.options import option
from icudl.sources.base import NAME_DOC, SourceOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticOptions(SourceOptions):
    """Which synthetic hospital is read."""

    name: str = option("synthetic", NAME_DOC)
    patients: int = option(3000, "Patients in the synthetic hospital.", low=20, high=10_000_000)
    seed: int = option(
        -1,
        "Root of the hospital's random streams; -1 takes run.seed. Hospitals of different seeds have different "
        "patients.",
        low=-1,
        high=2**53,
    )
