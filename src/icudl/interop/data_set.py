"""Arrays from outside the pipeline as a ``GridDataset``, which the pipeline's code reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import FLOW_SCHEMA, STAYS_SCHEMA, Floats, GridDataset
from icudl.errors import ConfigError
from icudl.variables import CATALOGUE, Variable

MOST_VARIABLES = 256
"""Tables of changes number the variables in one byte."""


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
    """Return a data set of N stays, numbered from 0, without further facts about them.

    Args:
        values: (N, T, F) float32, NaN where not measured.
        lengths: (N,) hours.
        labels: (N,) 0 or 1.
        variables: F variables.
        patients: (N,) patient of each stay; None makes each stay a patient of its own.
        statics: (N, S) descriptors; None for a data set without descriptors.
        static_names: S names.
        is_test: Whether all stays are test stays; otherwise all belong to fold 0.
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
        population="",
    )


def variables_of(
    given: Sequence[Variable | str] | None, lowest: Sequence[float], highest: Sequence[float]
) -> tuple[Variable, ...]:
    """Return F variables from their names; a variable that is not in the catalogue has no unit.

    Args:
        given: F names or variables; ``variable_0``, ... where None.
        lowest: F ends of the range of a variable that is not in the catalogue.
        highest: The other ends.

    Raises:
        ConfigError: The number of names is not that of the variables, or exceeds ``MOST_VARIABLES``.
    """
    n_variables = len(lowest)
    names = [f"variable_{number}" for number in range(n_variables)] if given is None else list(given)
    if len(names) != n_variables or n_variables > MOST_VARIABLES:
        raise ConfigError(
            f"{len(names)} variables are named and the inputs have {n_variables}. Expected one name for each, and at "
            f"most {MOST_VARIABLES}."
        )
    chosen: list[Variable] = []
    for name, low, high in zip(names, lowest, highest, strict=True):
        if isinstance(name, Variable):
            chosen.append(name)
        else:
            unknown = Variable(name=name, label=name, unit="", low=low, high=high, group="other")
            chosen.append(CATALOGUE.get(name, unknown))
    if len({variable.name for variable in chosen}) < n_variables:
        raise ConfigError(
            f"The variables are named {[variable.name for variable in chosen]}. Expected different names."
        )
    return tuple(chosen)
