"""Stays bound to a model, as attacks read them: cells with their limits."""

from __future__ import annotations

import dataclasses
import functools

from torch import Tensor

from icudl.attacks.target.threat import Cells, Entries


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BoundCells:
    """B of the N stays that were bound to a model; the part of a ``attacks.base.TargetModel`` that no model changes.

    Attributes:
        bound_cells: Cells of the N stays under the threat model.
        rows: (B,) positions of these stays among those bound.
    """

    bound_cells: Cells
    rows: Tensor

    @functools.cached_property
    def cells(self) -> Cells:
        """Cells of these stays under the threat model."""
        return self.bound_cells.select(self.rows)

    @functools.cached_property
    def values(self) -> Tensor:
        """(B, T, F) numbers of the unchanged stays; 0 where nothing was charted and nothing is filled in."""
        return self.bound_cells.values[self.rows]

    @property
    def lower(self) -> Tensor:
        """(B, T, F) smallest values."""
        return self.cells.lower

    @property
    def upper(self) -> Tensor:
        """(B, T, F) largest values."""
        return self.cells.upper

    @property
    def attackable(self) -> Tensor:
        """(B, T, F) bool."""
        return self.cells.attackable

    @property
    def entries(self) -> Entries | None:
        """What was charted, where the threat model works on charted values."""
        return self.cells.entries
