"""Small data sets with a known signal, for tests of training."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.artifacts import FLOW_SCHEMA, STAYS_SCHEMA, GridDataset
from icudl.variables import STUDY_VARIABLES


def make_grid(
    n_stays: int = 120,
    *,
    n_hours: int = 6,
    n_variables: int = 3,
    n_folds: int = 3,
    test_share: float = 0.2,
    death_share: float = 0.3,
    signal: float = 1.5,
    ragged: bool = True,
    seed: int = 0,
) -> GridDataset:
    """Draw stays whose first variable lies ``signal`` deviations higher in those who die; two stays a patient."""
    rng = np.random.default_rng(seed)
    patients = np.arange(n_stays) // 2
    died = rng.random(n_stays) < death_share
    died[:4] = [True, False, True, False]
    values = rng.normal(size=(n_stays, n_hours, n_variables)).astype(np.float32)
    values[:, :, 0] += (signal * died)[:, None]
    values[rng.random(values.shape) < 0.3] = np.nan
    lengths = rng.integers(1, n_hours + 1, n_stays) if ragged else np.full(n_stays, n_hours)
    values[np.arange(n_hours) >= lengths[:, None]] = np.nan
    division = rng.permutation(patients.max() + 1)
    is_test = division[patients] < test_share * (patients.max() + 1)
    folds = np.where(is_test, -1, division[patients] % n_folds).astype(np.int8)
    stays = pl.DataFrame(
        {
            "stay_id": 1000 + np.arange(n_stays),
            "patient_id": patients,
            "admission_id": np.arange(n_stays),
            "age_years": rng.uniform(20, 95, n_stays),
            "sex": rng.choice(["F", "M"], n_stays),
            "icu_type": rng.choice(["MICU", "CCU"], n_stays),
            "height_cm": [None] * n_stays,
            "weight_kg": [None] * n_stays,
            "source_set": [""] * n_stays,
            "stay_number": [1] * n_stays,
            "stay_hours": np.full(n_stays, 72.0),
            "death_hours": [100.0 if dead else None for dead in died],
            "died": died,
        },
        schema=dict(STAYS_SCHEMA),
    )
    return GridDataset(
        values=values,
        counts=(~np.isnan(values)).astype(np.uint16),
        lengths=lengths.astype(np.int16),
        labels=died.astype(np.int8),
        statics=np.stack([stays["age_years"].to_numpy()], axis=1).astype(np.float32),
        static_names=("age_years",),
        stays=stays,
        is_test=is_test,
        folds=folds,
        flow=pl.DataFrame(schema=dict(FLOW_SCHEMA)),
        variables=STUDY_VARIABLES[:n_variables],
        population="synthetic",
    )
