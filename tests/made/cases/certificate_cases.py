"""Proofs as a run would have made them, with the rows that a test needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from icudl.artifacts import Certificates
from icudl.artifacts.attacks.certificates import TABLES
from icudl.variables import STUDY_VARIABLES


def certificates(options: Mapping[str, Any] | None = None, **tables: Iterable[Mapping[str, Any]]) -> Certificates:
    """Return proofs of charted values whose tables hold these rows; what a row does not say is null."""
    frames = {
        name: pl.DataFrame([dict.fromkeys(schema) | dict(row) for row in tables.get(name, ())], dict(schema))
        for name, schema in TABLES.items()
    }
    return Certificates(**frames, variables=STUDY_VARIABLES, n_hours=48, threat_model="measured", options=options or {})
