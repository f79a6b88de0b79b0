"""Test split and folds: by patient, stratified by outcome."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitOptions(Options):
    """How stays are divided. All stays of a patient stay together; strata keep the share of deaths."""

    table: ClassVar[str] = "split"

    test_fraction: float = option(0.2, "Share of patients held out for testing.", low=0.0, high=0.9)
    folds: int = option(5, "Folds of cross-validation among the other patients.", low=2, high=100)
    test_sets: tuple[str, ...] = option((), "Source sets (column source_set) held out whole instead of a random share.")
