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
from icudl.attacks.refinement import margins_of
from icudl.attacks.target.threat import Entries

BISECTIONS = 14


@dataclasses.dataclass(frozen=True, eq=False)
class _Flips:
    """Intervals of one stay in which a single cell flips it; n intervals.

    Attributes:
        cell: (n,) position in the flattened (T, F) stay.
        low: (n,) lowest flipping value.
        high: (n,) highest flipping value.
    """

    cell: Tensor
    low: Tensor
    high: Tensor


class OneValueAttack(abc.ABC):
    """Tries values of every cell alone, and bisects the ends of the intervals that flip the stay.

    Under the threat model ``measured`` a cell is a charted hourly mean, and its range what one wrong entry can do to
    it.

    Tables: ``sweep`` has one row per stay: stay, entries tried, at_risk (entries that can flip it alone).
    ``sweep_flips`` has one row per interval: stay, hour, variable, low, high (unit coordinates); under
    ``measured`` also entry_low, entry_high: the values of one entry that flip the stay, in clinical units.
    """

    @abc.abstractmethod
    def points(self, target: TargetModel, row: int, cells: Tensor, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changes to try, and which of them flip the stay.

        Args:
            target: B stays.
            row: The stay.
            cells: (n,) positions in the flattened stay.
            down: (n,) most negative change of each.
            up: (n,) most positive change.

        Returns:
            (n, P) changes of each cell, rising from ``down`` to ``up``; (n, P) bool.
        """

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``."""
        down, up = allowed_change(target)
        record = ExampleRecord(target.values)
        summary, intervals = [], []
        for row in range(len(down)):
            cells = (down[row] < up[row]).flatten().nonzero().squeeze(1)
            flips = self._flips(target, row, cells, down[row].flatten(), up[row].flatten())
            intervals.append(flips)
            summary.append((len(cells), len(set(flips.cell.tolist()))))
            self._keep_smallest(target, record, row, flips)
        counts = torch.tensor(summary, dtype=torch.int64).view(-1, 2)
        table = {"stay": torch.arange(len(down)), "entries": counts[:, 0], "at_risk": counts[:, 1]}
        found = record.result()
        return dataclasses.replace(found, tables={"sweep": table, "sweep_flips": self._table(target, intervals)})

    def _flips(self, target: TargetModel, row: int, cells: Tensor, down: Tensor, up: Tensor) -> _Flips:
        """Find the intervals of one stay."""
        changes, flips = self.points(target, row, cells, down[cells], up[cells])
        padded = torch.nn.functional.pad(flips, (1, 1))
        starts, ends = (padded[:, 1:-1] & ~padded[:, :-2]), (padded[:, 1:-1] & ~padded[:, 2:])
        cell, first = starts.nonzero(as_tuple=True)
        _, last = ends.nonzero(as_tuple=True)
        low = self._edge(target, row, cells[cell], changes[cell, (first - 1).clamp(min=0)], changes[cell, first])
        beyond = (last + 1).clamp(max=changes.shape[1] - 1)
        high = self._edge(target, row, cells[cell], changes[cell, beyond], changes[cell, last])
        return _Flips(cells[cell], low, high)

    def _edge(self, target: TargetModel, row: int, cells: Tensor, outside: Tensor, inside: Tensor) -> Tensor:
        """Return the end of each flipping interval, between ``inside``, which flips, and ``outside``, which may not."""
        for _ in range(BISECTIONS if len(cells) else 0):
            middle = (outside + inside) / 2
            flips = flips_alone(target, row, cells, middle)
            outside, inside = torch.where(flips, outside, middle), torch.where(flips, middle, inside)
        return inside

    def _keep_smallest(self, target: TargetModel, record: ExampleRecord, row: int, flips: _Flips) -> None:
        if len(flips.cell) == 0:
            return
        change = torch.where(flips.low.abs() < flips.high.abs(), flips.low, flips.high)
        smallest = int(change.abs().argmin())
        example = torch.zeros_like(target.values[0]).flatten()
        example[flips.cell[smallest]] = change[smallest]
        rows = torch.tensor([row], device=example.device)
        yes = torch.ones(1, dtype=torch.bool, device=example.device)
        record.update(rows, example.view(1, *target.values.shape[1:]), yes, change[[smallest]].abs(), 1)

    def _table(self, target: TargetModel, intervals: list[_Flips]) -> dict[str, Tensor]:
        stay = torch.cat([torch.full_like(flips.cell, row) for row, flips in enumerate(intervals)])
        cell = torch.cat([flips.cell for flips in intervals])
        now = target.values.flatten(1)[stay, cell]
        low = now + torch.cat([flips.low for flips in intervals])
        high = now + torch.cat([flips.high for flips in intervals])
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

    def points(self, target: TargetModel, row: int, cells: Tensor, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        """See ``OneValueAttack.points``."""
        share = torch.linspace(0.0, 1.0, self.options.sweep_points, dtype=down.dtype, device=down.device)
        changes = down[:, None] * (1.0 - share) + up[:, None] * share
        flips = flips_alone(target, row, cells.repeat_interleave(len(share)), changes.flatten())
        return changes, flips.view_as(changes)


def flips_alone(target: TargetModel, row: int, cells: Tensor, change: Tensor) -> Tensor:
    """Return whether a stay flips when one cell each changes by ``change`` (n,)."""
    shape = target.values.shape[1:]
    flips: list[Tensor] = []
    for start in range(0, len(cells), 4096):
        part = cells[start : start + 4096]
        candidates = change.new_zeros(len(part), shape.numel())
        candidates[torch.arange(len(part), device=part.device), part] = change[start : start + 4096]
        rows = torch.full_like(part, row)
        flips.append(margins_of(target, rows, candidates.view(-1, *shape)) < 0)
    return torch.cat(flips) if flips else torch.zeros(0, dtype=torch.bool, device=change.device)


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
