"""Maps over hours and variables: measures of an analysis, importance, and where one wrong value is enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.measures import MEASURES
from icudl.artifacts import AttackResult, SusceptibilityResult
from icudl.errors import ConfigError, suggestion

CAP = 99.0
"""A colour scale ends at this percentile of the known cells, so that one cell cannot darken all others."""


@dataclasses.dataclass(frozen=True, eq=False)
class CellMap:
    """A number for each variable and hour.

    Attributes:
        variables: Names of the F variables.
        values: (F, T) float64, NaN where there is nothing to tell.
        stays: How many stays the numbers are of.
    """

    variables: tuple[str, ...]
    values: npt.NDArray[np.float64]
    stays: int


def measure_map(result: SusceptibilityResult, measure: str, condition: str, example: str) -> CellMap:
    """Return one measure of an example set; NaN where no example changes anything.

    Raises:
        ConfigError: There is no such measure.
    """
    if measure not in MEASURES:
        raise ConfigError(f"measure = {measure!r} is not one of {', '.join(MEASURES)}." + suggestion(measure, MEASURES))
    cells = result.tables["cells"].filter(pl.col("condition") == condition, pl.col("example") == example)
    changed = pl.when(pl.col("changed") > 0).then(pl.col(measure)).alias("value")
    return _map_of(cells.with_columns(changed), "value")


def importance_map(result: SusceptibilityResult, condition: str) -> CellMap | None:
    """Return the importance of cells to the model; None where it was not computed."""
    table = result.tables.get("importance_cells")
    if table is None:
        return None
    cells = table.filter(pl.col("condition") == condition)
    return None if cells.is_empty() else _map_of(cells, "importance")


def _map_of(cells: pl.DataFrame, column: str) -> CellMap:
    variables = tuple(cells["variable"].unique(maintain_order=True).to_list())
    values = cells.sort("hour", maintain_order=True)[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    shaped = values.reshape(-1, len(variables)).T if variables else np.zeros((0, 0))
    return CellMap(variables, shaped, int(cells["stays"][0]) if cells.height else 0)


def colour_limit(maps: list[CellMap]) -> tuple[float, bool]:
    """Return the value at which a colour scale that all maps share ends, and whether some cells lie above it."""
    known = np.concatenate([np.zeros(0), *(each.values[~np.isnan(each.values)] for each in maps)])
    if not len(known):
        return 1.0, False
    top = float(np.percentile(known, CAP))
    return max(top, 1e-12), bool(known.max() > top)


def single_value_maps(attack: AttackResult, conditions: pl.DataFrame) -> Mapping[str, CellMap]:
    """Return, by condition, the share of attacked stays whose prediction one value at each cell can flip.

    Args:
        attack: With the table ``sweep_flips``.
        conditions: ``stay_id, condition`` of the attacked stays.
    """
    names = tuple(variable.name for variable in attack.variables)
    cells = attack.curves["sweep_flips"].select("stay_id", "hour", "variable").unique()
    cells = cells.join(conditions, on="stay_id", how="inner")
    counted = cells.group_by("condition", "hour", "variable").agg(n=pl.len())
    maps = {}
    for condition in CONDITIONS:
        stays = conditions.filter(pl.col("condition") == condition).height
        values = np.full((len(names), attack.n_hours), np.nan)
        rows = counted.filter(pl.col("condition") == condition)
        for hour, variable, n in rows.select("hour", "variable", "n").iter_rows():
            values[int(variable), int(hour)] = n / stays
        maps[condition] = CellMap(names, values, stays)
    return maps
