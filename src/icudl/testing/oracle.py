"""A model whose smallest adversarial change is a formula."""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.target.threat import Entries


@dataclasses.dataclass(frozen=True, eq=False)
class LinearOracle:
    """A target whose margin is linear: margin = sum of weights x values + bias, stay by stay.

    Cell i can lower the margin by at most a_i = |w_i| r_i, r_i being the room to the bound on the side that lowers it
    (zero where the cell may not change). The margin m of the unchanged stay must fall below 0, so changes must gain
    more than g = m:

    * smallest L0: the fewest of the largest a_i whose sum exceeds g;
    * smallest L1: fill the cells with the largest |w_i| first, each up to r_i (a fractional knapsack);
    * smallest L2: change_i = min(t |w_i|, r_i) with the t at which the gain is g (Lagrange conditions with a box);
    * smallest Linf: change_i = min(e, r_i) with the e at which the gain is g.

    Attributes:
        values: (B, T, F).
        lower: (B, T, F).
        upper: (B, T, F).
        attackable: (B, T, F) bool.
        weights: (B, T, F) slope of each stay's margin.
        bias: (B,).
        entries: What was charted; None where the cells are not charted values.
    """

    values: Tensor
    lower: Tensor
    upper: Tensor
    attackable: Tensor
    weights: Tensor
    bias: Tensor
    entries: Entries | None = None

    @classmethod
    def draw(cls, n_stays: int, n_hours: int, n_variables: int, *, seed: int, reach: float = 0.3) -> Self:
        """Draw stays, weights, lengths and masks; ``reach`` of all that the cells can gain flips a stay.

        Stays differ in length, a quarter of the cells is locked, and the dtype is float64.
        """
        rng = torch.Generator().manual_seed(seed)
        shape = (n_stays, n_hours, n_variables)

        def uniform(size: tuple[int, ...]) -> Tensor:
            return torch.rand(size, generator=rng, dtype=torch.float64)

        values = uniform(shape)
        weights = uniform(shape) ** 3 * torch.sign(uniform(shape) - 0.5)
        lengths = torch.randint(max(1, n_hours // 2), n_hours + 1, (n_stays,), generator=rng)
        inside = torch.arange(n_hours) < lengths[:, None]
        attackable = (uniform(shape) < 0.75) & inside[:, :, None]
        values = torch.where(inside[:, :, None], values, torch.zeros_like(values))
        weights = torch.where(inside[:, :, None], weights, torch.zeros_like(weights))
        lower, upper = torch.zeros_like(values), torch.ones_like(values)
        oracle = cls(values, lower, upper, attackable, weights, torch.zeros(n_stays, dtype=torch.float64))
        wanted = reach * oracle.gains().sum(dim=(1, 2))
        return dataclasses.replace(oracle, bias=wanted - oracle.margin(values))

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values``."""
        return (self.weights * values).sum(dim=(1, 2)) + self.bias

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margins and the weights."""
        return self.margin(values), self.weights.clone()

    def pieces(self, row: int, cell: int) -> tuple[Tensor, bool]:
        """Return the bounds of a cell: the margin is linear between them; see ``attacks.base.PiecewiseTarget``."""
        return torch.stack([bound.flatten(1)[row, cell] for bound in (self.lower, self.upper)]), False

    def single_margins(self, row: int, cell: int | Tensor, values: Tensor) -> Tensor:
        """Return the (n,) margins of a stay in which one cell takes each of ``values`` (n,)."""
        change = values - self.values.flatten(1)[row, cell]
        return self.margin(self.values)[row] + self.weights.flatten(1)[row, cell] * change

    def representable(self, cell: int, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """Return ``values`` themselves: every number is one that the oracle takes."""
        return values, values, values

    def select(self, indices: Tensor) -> Self:
        """Return the oracle of the stays at ``indices``."""
        tensors = ("values", "lower", "upper", "attackable", "weights", "bias")
        entries = None if self.entries is None else self.entries.select(indices)
        return dataclasses.replace(self, **{name: getattr(self, name)[indices] for name in tensors}, entries=entries)

    def with_confidence(self, kappa: float) -> Self:
        """Return the oracle bound with a confidence: the other class must win by ``kappa``, so each margin is higher.

        Every target does this when it is bound. An attack learns of the confidence by the margin alone.
        """
        return dataclasses.replace(self, bias=self.bias + kappa)

    def room(self) -> Tensor:
        """Return r (B, T, F): how far each cell can move in the direction that lowers the margin."""
        room = torch.where(self.weights > 0, self.values - self.lower, self.upper - self.values)
        return torch.where(self.attackable, room, torch.zeros_like(room))

    def gains(self) -> Tensor:
        """Return a = |w| r (B, T, F): what each cell can take off the margin."""
        return self.weights.abs() * self.room()

    def smallest(self, norm: str) -> Tensor:
        """Return the (B,) smallest distances (``"l0"``, ``"l1"``, ``"l2"``, ``"linf"``) that flip; inf where none does.

        For L1, L2 and Linf it is the infimum: the margin there is 0 exactly.
        """
        goal = self.margin(self.values)
        slope, room = self.weights.abs().flatten(1), self.room().flatten(1)
        if norm == "l0":
            smallest = _fewest(slope * room, goal)
        elif norm == "l1":
            smallest = _knapsack(slope, room, goal)
        elif norm == "l2":
            smallest = distances.l2(torch.minimum(_level(slope, slope, room, goal)[:, None] * slope, room))
        elif norm == "linf":
            smallest = _level(slope, torch.ones_like(slope), room, goal)
        else:
            raise ValueError(f"norm = {norm!r} is not one of 'l0', 'l1', 'l2', 'linf'.")
        return torch.where((slope * room).sum(dim=1) > goal, smallest, torch.full_like(smallest, torch.inf))


def _fewest(gains: Tensor, goal: Tensor) -> Tensor:
    gained = gains.sort(dim=1, descending=True).values.cumsum(dim=1)
    return ((gained <= goal[:, None]).sum(dim=1) + 1).to(goal.dtype)


def _knapsack(slope: Tensor, room: Tensor, goal: Tensor) -> Tensor:
    order = slope.argsort(dim=1, descending=True)
    slope, room = slope.gather(1, order), room.gather(1, order)
    before = (slope * room).cumsum(dim=1) - slope * room
    missing = (goal[:, None] - before).clamp(min=0.0)
    return torch.minimum(room, missing / slope.clamp(min=1e-300)).sum(dim=1)


def _level(slope: Tensor, direction: Tensor, room: Tensor, goal: Tensor) -> Tensor:
    """Solve sum_i slope_i min(t direction_i, room_i) = goal for t: piecewise linear and rising in t."""
    level = (room / direction.clamp(min=1e-300)).sort(dim=1)
    slope, direction, room = (part.gather(1, level.indices) for part in (slope, direction, room))
    full = (slope * room).cumsum(dim=1)
    rate = (slope * direction).flip(1).cumsum(dim=1).flip(1)
    # Before breakpoint k (in order) cells 0..k-1 are at their bounds and the others rise at the common rate.
    filled = torch.cat([torch.zeros_like(full[:, :1]), full[:, :-1]], dim=1)
    reached = filled + level.values * rate
    index = (reached < goal[:, None]).sum(dim=1, keepdim=True).clamp(max=slope.shape[1] - 1)
    return ((goal[:, None] - filled.gather(1, index)) / rate.gather(1, index).clamp(min=1e-300)).squeeze(1)
