"""Can ONE wrong number flip this prediction? Each cell that may change is tried over its whole range."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.attacks.base import Perturbation, TargetModel, allowed_change
from icudl.attacks.options import AttackOptions, SweepOptions
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import margins_of_moves
from icudl.attacks.target.threat import Entries

BISECTIONS = 14


@dataclasses.dataclass(frozen=True, eq=False)
class _Flips:
    """Intervals in which a single cell flips its stay; n intervals, by rising stay and cell.

    Attributes:
        stay: (n,) position of the stay.
        cell: (n,) position in the flattened (T, F) stay.
        low: (n,) change at the lowest flipping value.
        high: (n,) change at the highest flipping value.
    """

    stay: Tensor
    cell: Tensor
    low: Tensor
    high: Tensor


class OneValueAttack(abc.ABC):
    """Tries values of every cell alone, and bisects the ends of the intervals that flip the stay.

    Under the threat model ``measured`` a cell is a charted hourly mean, and its range what one wrong entry can do to
    it. All stays are searched side by side.

    Tables: ``sweep`` has one row per stay: stay, entries tried, at_risk (entries that can flip it alone).
    ``sweep_flips`` has one row per interval: stay, hour, variable, low, high (unit coordinates); under
    ``measured`` also entry_low, entry_high: the values of one entry that flip the stay, in clinical units.
    """

    @abc.abstractmethod
    def points(
        self, target: TargetModel, stays: Tensor, cells: Tensor, down: Tensor, up: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the changes to try, and which of them flip the stay.

        Args:
            target: B stays.
            stays: (n,) the stay of each cell.
            cells: (n,) positions in the flattened stay.
            down: (n,) most negative change of each.
            up: (n,) most positive change.

        Returns:
            (n, P) changes of each cell, rising from ``down`` to ``up``; (n, P) bool.
        """

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``."""
        down, up = (limit.flatten(1) for limit in allowed_change(target))
        stays, cells = (down < up).nonzero(as_tuple=True)
        flips = self._flips(target, stays, cells, down[stays, cells], up[stays, cells])
        at_risk = torch.unique(torch.stack([flips.stay, flips.cell]), dim=1)[0]
        n_stays = len(down)
        table = {
            "stay": torch.arange(n_stays),
            "entries": torch.bincount(stays, minlength=n_stays).cpu(),
            "at_risk": torch.bincount(at_risk, minlength=n_stays).cpu(),
        }
        found = self._smallest(target, flips)
        return dataclasses.replace(found, tables={"sweep": table, "sweep_flips": self._table(target, flips)})

    def _flips(self, target: TargetModel, stays: Tensor, cells: Tensor, down: Tensor, up: Tensor) -> _Flips:
        """Find the intervals of every cell."""
        changes, flips = self.points(target, stays, cells, down, up)
        padded = torch.nn.functional.pad(flips, (1, 1))
        starts, ends = (padded[:, 1:-1] & ~padded[:, :-2]), (padded[:, 1:-1] & ~padded[:, 2:])
        pair, first = starts.nonzero(as_tuple=True)
        _, last = ends.nonzero(as_tuple=True)
        beyond = (last + 1).clamp(max=changes.shape[1] - 1)
        # Both ends of all intervals are bisected together.
        outside = torch.cat([changes[pair, (first - 1).clamp(min=0)], changes[pair, beyond]])
        inside = torch.cat([changes[pair, first], changes[pair, last]])
        both = pair.repeat(2)
        for _ in range(BISECTIONS if len(pair) else 0):
            middle = (outside + inside) / 2
            flip = margins_of_moves(target, stays[both], cells[both, None], middle[:, None]) < 0
            outside, inside = torch.where(flip, outside, middle), torch.where(flip, middle, inside)
        low, high = inside.chunk(2) if len(pair) else (inside, inside)
        return _Flips(stays[pair], cells[pair], low, high)

    def _smallest(self, target: TargetModel, flips: _Flips) -> Perturbation:
        """Return the smallest change of one cell for each stay."""
        record = ExampleRecord(target.values)
        change = torch.where(flips.low.abs() < flips.high.abs(), flips.low, flips.high)
        # By stay, and within a stay by size; of two changes of one size, that of the earlier cell comes first.
        order = change.abs().argsort(stable=True)
        order = order[flips.stay[order].argsort(stable=True)]
        is_first = torch.ones_like(order, dtype=torch.bool)
        is_first[1:] = flips.stay[order[1:]] != flips.stay[order[:-1]]
        smallest = order[is_first]
        rows, cells, sizes = flips.stay[smallest], flips.cell[smallest], change[smallest]
        examples = torch.zeros_like(target.values[rows]).flatten(1).scatter_(1, cells[:, None], sizes[:, None])
        yes = torch.ones_like(rows, dtype=torch.bool)
        record.update(rows, examples.view(-1, *target.values.shape[1:]), yes, sizes.abs(), 1)
        return record.result()

    def _table(self, target: TargetModel, flips: _Flips) -> dict[str, Tensor]:
        stay, cell = flips.stay, flips.cell
        now = target.values.flatten(1)[stay, cell]
        low, high = now + flips.low, now + flips.high
        n_variables = target.values.shape[2]
        hour, variable = cell // n_variables, cell % n_variables
        table = {
            "stay": stay,
            "hour": hour.to(torch.int16),
            "variable": variable.to(torch.uint8),
            "low": low.float(),
            "high": high.float(),
        }
        entries = target.entries
        if entries is not None:
            where = (stay.cpu().numpy(), hour.cpu().numpy(), variable.cpu().numpy())
            bounds = [bound.flatten(1)[stay, cell].cpu().numpy() for bound in (target.lower, target.upper)]
            ends = entry_interval(entries, where, low.cpu().numpy(), high.cpu().numpy(), bounds[0], bounds[1])
            table |= {"entry_low": torch.from_numpy(ends[0]), "entry_high": torch.from_numpy(ends[1])}
        return table


class SweepAttack(OneValueAttack):
    """Tries ``sweep_points`` values over the range of every cell.

    The search is exact up to the spacing of the points: it can miss an interval between two of them. Its tables are
    those of ``OneValueAttack``.
    """

    Options: ClassVar[type[AttackOptions]] = SweepOptions
    needs_gradient: ClassVar[bool] = SweepOptions.needs_gradient

    def __init__(self, options: SweepOptions) -> None:
        self.options = options

    def points(
        self, target: TargetModel, stays: Tensor, cells: Tensor, down: Tensor, up: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ``OneValueAttack.points``."""
        share = torch.linspace(0.0, 1.0, self.options.sweep_points, dtype=down.dtype, device=down.device)
        changes = down[:, None] * (1.0 - share) + up[:, None] * share
        stays, cells = stays.repeat_interleave(len(share)), cells.repeat_interleave(len(share))
        flips = margins_of_moves(target, stays, cells[:, None], changes.flatten()[:, None]) < 0
        return changes, flips.view_as(changes)


def entry_interval(
    entries: Entries,
    where: tuple[npt.NDArray[np.int64], ...],
    low: npt.NDArray[Any],
    high: npt.NDArray[Any],
    lower: npt.NDArray[Any],
    upper: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return which values of one entry move an hour's mean into an interval.

    The mean of k values is m; it becomes u where one of them reads m + k (u - m). An interval that ends at the bound of
    its cell extends, as an entry, to the end of the plausible range: beyond a winsor limit the model sees one value.

    Args:
        entries: What was charted.
        where: Stay, hour and variable of each interval, (n,) each.
        low: (n,) lower ends in unit coordinates.
        high: (n,) upper ends.
        lower: (n,) lower bounds of the cells.
        upper: (n,) upper bounds.
    """
    variable = where[2]
    limits = np.array([(each.low, each.high) for each in entries.variables])[variable]
    mean, count = entries.means[where], np.maximum(entries.counts[where], 1)
    ends = []
    for end, bound, limit in ((low, lower, limits[:, 0]), (high, upper, limits[:, 1])):
        entry = mean + count * (entries.clinical_at(variable, end) - mean)
        ends.append(np.where(np.isclose(end, bound, atol=1e-6), limit, np.clip(entry, limits[:, 0], limits[:, 1])))
    return ends[0], ends[1]
