"""Prune, polish, shrink: make the adversarial examples of any attack smaller.

Every step keeps the example adversarial (margin below 0), inside the bounds and on the cells it already uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import (
    MovedTarget,
    Perturbation,
    TargetModel,
    allowed_change,
    anchored,
    differentiable,
    on_changed_cells,
)
from icudl.attacks.pace import chunk_for

FEW = 4
"""Moved cells up to which the columns that hold them are made, instead of all cells of a candidate."""

SECANTS = 6
POLISH_STEPS = 16


Refinement = Callable[[TargetModel, Tensor], Tensor]
"""(target, (K, T, F) examples) -> smaller examples."""


def refine(target: TargetModel, found: Perturbation, steps: Sequence[Refinement]) -> Perturbation:
    """Make the best examples smaller; the first examples are not changed.

    Args:
        target: The stays of ``found``.
        found: Examples that an attack found.
        steps: Some of ``prune``, ``polish`` and ``shrink``, in order. Polishing is for a small L1, not for few cells.
    """
    rows = found.found.nonzero().squeeze(1)
    if len(rows) == 0:
        return found
    chosen, change = target.select(rows), found.best[rows]
    for step in steps:
        change = step(chosen, change)
    best = found.best.clone()
    best[rows] = change
    return dataclasses.replace(found, best=best)


def prune(target: TargetModel, change: Tensor) -> Tensor:
    """Drop cells that the flip does not need: first all but the largest changes, then one cell at a time.

    Args:
        target: K stays.
        change: (K, T, F) examples.

    Returns:
        (K, T, F) examples from which no single cell can be dropped.
    """
    return leave_out(target, keep_largest(target, change))


def keep_largest(target: TargetModel, change: Tensor) -> Tensor:
    """Find by bisection a smallest number of largest changes that suffices."""
    flat = change.flatten(1)
    rank = flat.abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    too_few, enough = torch.zeros_like(rank[:, 0]), distances.l0(change)

    def largest(count: Tensor) -> Tensor:
        return torch.where(rank < count[:, None], flat, torch.zeros_like(flat)).view_as(change)

    while bool((enough - too_few > 1).any()):
        middle = (too_few + enough) // 2
        flips = target.margin(target.values + largest(middle)) < 0
        enough, too_few = torch.where(flips, middle, enough), torch.where(flips, too_few, middle)
    return largest(enough)


def leave_out(target: TargetModel, change: Tensor) -> Tensor:
    """Drop cells until no further one can be dropped.

    All candidates of all stays with one cell less are evaluated together. As many of them as would fit if their effects
    added up are dropped at once; if these are too many, only the cell that matters least is dropped.
    """
    change = change.clone()
    active = torch.arange(len(change), device=change.device)
    while len(active):
        every = torch.arange(len(active), device=change.device)
        current = change[active]
        near = target.select(active)
        found = anchored(near, near.values + current)
        now, near = found or (margins_of(target, active, current), near)
        stay, cell = current.flatten(1).nonzero(as_tuple=True)
        candidates = current.flatten(1)[stay]
        candidates[torch.arange(len(stay), device=stay.device), cell] = 0.0
        margins = margins_of(near, stay, candidates.view(-1, *change.shape[1:]))
        table = margins.new_full((len(active), change[0].numel()), torch.inf)
        table[stay, cell] = margins
        together = drop_together(current, table, now)
        works = margins_of(near, every, together) < 0
        single = table.min(dim=1)
        alone = current.flatten(1).clone()
        alone[every, single.indices] = 0.0
        can_drop = single.values < 0
        reduced = torch.where(works[:, None, None], together, alone.view_as(current))
        change[active[can_drop]] = reduced[can_drop]
        active = active[can_drop]
    return change


def drop_together(current: Tensor, table: Tensor, now: Tensor) -> Tensor:
    """Drop the cells that matter least, as many as fit if their effects on the margin add up (but at least one)."""
    order = table.argsort(dim=1, stable=True)
    rise = (table.gather(1, order) - now[:, None]).clamp(min=0.0)
    fits = now[:, None] + rise.cumsum(dim=1) < 0
    fits[:, 0] = True
    dropped = torch.zeros_like(fits).scatter(1, order, fits)
    return current.flatten(1).masked_fill(dropped, 0.0).view_as(current)


def margins_of(target: TargetModel, rows: Tensor, change: Tensor) -> Tensor:
    """Return the margins of many candidates, each a change (len(rows), T, F) of the stay at its row."""
    parts, chunk = [], chunk_for(change)
    for start in range(0, len(rows), chunk):
        chosen = target.select(rows[start : start + chunk])
        parts.append(chosen.margin(chosen.values + change[start : start + chunk]))
    return torch.cat(parts)


def margins_of_moves(target: TargetModel, rows: Tensor, cells: Tensor, change: Tensor) -> Tensor:
    """Return the margins of many candidates in which few cells change.

    Candidates of one hour are evaluated together: engines read only the hours from a change on.

    Args:
        target: B stays.
        rows: (n,) the stay of each candidate.
        cells: (n, k) positions in the flattened (T, F) stay; may repeat within a candidate.
        change: (n, k) change of each, the same where a position repeats.

    Returns:
        (n,) margins.
    """
    shape = target.values.shape[1:]
    moved = target if isinstance(target, MovedTarget) and cells.shape[1] <= FEW else None
    order = (cells[:, 0] // shape[1]).argsort(stable=True)
    margins, chunk = change.new_zeros(len(rows)), chunk_for(change)
    for start in range(0, len(order), chunk):
        chosen = order[start : start + chunk]
        if moved is not None:
            margins[chosen] = moved.margin_of_moves(rows[chosen], cells[chosen], change[chosen])
            continue
        candidates = change.new_zeros(len(chosen), shape.numel()).scatter_(1, cells[chosen], change[chosen])
        margins[chosen] = margins_of(target, rows[chosen], candidates.view(-1, *shape))
    return margins


def polish(target: TargetModel, change: Tensor, steps: int = POLISH_STEPS) -> Tensor:
    """Move magnitude from cells that do little per unit of change to those that do much: a smaller L1, the same cells.

    While the stay is flipped every cell gives up magnitude, the less efficient ones more; while it is not, every cell
    gains magnitude in proportion to its efficiency. The step falls from 0.1 to 0.002.

    Args:
        target: K stays.
        change: (K, T, F) examples.
        steps: Gradients per stay.

    Returns:
        (K, T, F) the examples with the smallest L1 that were met.
    """
    down, up = allowed_change(target)
    focused = on_changed_cells(differentiable(target, "polish"))
    direction = torch.sign(change)
    limit = torch.where(direction > 0, up, -down)
    best, best_l1 = change, distances.l1(change)
    size = change.abs()
    for step_number in range(steps):
        moved = direction * size
        margin, gradient = focused.margin_and_gradient(focused.values + moved)
        flips, length = margin < 0, distances.l1(moved)
        better = flips & (length < best_l1)
        best, best_l1 = torch.where(better[:, None, None], moved, best), torch.where(better, length, best_l1)
        efficiency = -torch.nan_to_num(gradient) * direction
        efficiency = efficiency / efficiency.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
        step = 0.1 * 0.02 ** (step_number / max(1, steps - 1))
        shift = torch.where(flips[:, None, None], efficiency - 1.1, efficiency)
        size = (size + step * shift.clamp(min=-2.0)).clamp(min=0.0)
        size = torch.minimum(size, limit) * (direction != 0)
    return best


def shrink(target: TargetModel, change: Tensor) -> Tensor:
    """Scale each example down as long as it stays adversarial.

    The factor is found by regula falsi with the Illinois rule (Dowell & Jarratt 1971): along the way the margin is
    smooth, so a few evaluations replace ten of a bisection.

    Args:
        target: K stays.
        change: (K, T, F) examples.
    """
    low, high = change.new_zeros(len(change)), change.new_ones(len(change))
    above, below = (target.margin(target.values + part) for part in (torch.zeros_like(change), change))
    smallest = high
    for _ in range(SECANTS):
        share = (above / (above - below)).clamp(0.02, 0.98).nan_to_num(0.5)
        middle = low + share * (high - low)
        excess = target.margin(target.values + change * middle[:, None, None])
        works = excess < 0
        smallest = torch.where(works, middle, smallest)
        # Halving the weight of the end that stays keeps it from staying for ever.
        above, below = torch.where(works, above / 2, excess), torch.where(works, excess, below / 2)
        low, high = torch.where(works, low, middle), torch.where(works, middle, high)
    return change * smallest[:, None, None]
