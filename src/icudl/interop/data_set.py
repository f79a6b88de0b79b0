"""Arrays as a ``GridDataset``: what comes from outside the pipeline, in the shape that the pipeline's code reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import FLOW_SCHEMA, STAYS_SCHEMA, Floats, GridDataset
from icudl.variables import Variable


def data_set_of(
    values: Floats,
    lengths: npt.NDArray[np.integer],
    labels: npt.NDArray[np.integer],
    variables: Sequence[Variable],
    *,
    patients: npt.NDArray[np.integer] | None = None,
    statics: Floats | None = None,
    static_names: tuple[str, ...] = (),
    is_test: bool = False,
) -> GridDataset:
    """Return N stays, numbered from 0, of which nothing else is known.

    Args:
        values: (N, T, F) float32, NaN where not measured.
        lengths: (N,) hours.
        labels: (N,) 0 or 1.
        variables: F variables.
        patients: (N,) whose stay it is; each stay a patient of its own where None.
        statics: (N, S) descriptors; none where None.
        static_names: S names.
        is_test: All are test stays, else all are of fold 0.
    """
    n_stays = len(values)
    known = {
        "stay_id": np.arange(n_stays),
        "patient_id": np.arange(n_stays) if patients is None else patients,
        "died": np.asarray(labels) == 1,
    }
    columns = [pl.lit(None, dtype).alias(name) for name, dtype in STAYS_SCHEMA.items() if name not in known]
    stays = pl.DataFrame(known).with_columns(columns)
    return GridDataset(
        values=values,
        counts=(~np.isnan(values)).astype(np.uint16),
        lengths=np.asarray(lengths).astype(np.int16),
        labels=np.asarray(labels).astype(np.int8),
        statics=np.zeros((n_stays, 0), np.float32) if statics is None else statics,
        static_names=static_names,
        stays=stays.select(pl.col(name).cast(dtype) for name, dtype in STAYS_SCHEMA.items()),
        is_test=np.full(n_stays, is_test),
        folds=np.full(n_stays, -1 if is_test else 0, np.int8),
        flow=pl.DataFrame(schema=dict(FLOW_SCHEMA)),
        variables=tuple(variables),
    )
