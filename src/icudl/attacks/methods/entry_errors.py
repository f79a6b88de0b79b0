"""Which of the errors that people make, in one entry of a record, flips the prediction?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.attacks import distances
from icudl.attacks.base import Perturbation, TargetModel
from icudl.attacks.options import AttackOptions, EntryErrorOptions
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import margins_of_moves
from icudl.attacks.target.threat import Entries
from icudl.errors import AttackError
from icudl.preprocessing.mistakes import KINDS, NEIGHBOURS, Charting, wrong_values

Float64s = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Error:
    """One wrong record of a stay.

    Attributes:
        kind: Index into ``KINDS``.
        cells: (hour, variable, wrong entry, unit coordinate of the hour's mean with it): one cell, two where values
            change places.
        plausible: Whether it reaches the model; the cleaning drops the others.
    """

    kind: int
    cells: tuple[tuple[int, int, float, float], ...]
    plausible: bool = True


class EntryErrorAttack:
    """Enumerates, for every charted hour, the wrong entries that people make.

    * ``transposition``: two neighbouring digits change places (135 becomes 153).
    * ``decimal``: the decimal point is off by one place.
    * ``unit``: the value is charted in another unit in use, or taken for one (Fahrenheit and Celsius, mg/dL and
      mmol/L).
    * ``neighbour``: the values of two fields side by side change places.
    * ``sign``: the sign is lost; only where negative values are plausible.
    * ``copy_forward``: the last value is entered again.

    One of the k values of an hour, taken to equal the mean, is entered wrongly: the mean moves by 1/k of the error. An
    entry outside the plausible range counts as caught: the cleaning of the data drops it.

    Tables: ``entry_errors`` has one row per stay: stay, and for each kind KIND_tried, KIND_caught and KIND_flips.
    ``entry_flips`` has one row per error that flips: stay, kind (index into ``KINDS``), hour, variable, entry_before
    and entry_after in clinical units (of the first cell where two change places).
    """

    Options: ClassVar[type[AttackOptions]] = EntryErrorOptions
    needs_gradient: ClassVar[bool] = EntryErrorOptions.needs_gradient

    def __init__(self, options: EntryErrorOptions) -> None:
        self.options = options

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:  # noqa: ARG002 - draws nothing
        """See ``attacks.base.Attack``.

        Raises:
            AttackError: The target has no charted values.
        """
        entries = target.entries
        if entries is None:
            raise AttackError(
                "attack.name = 'entry_errors' needs charted values. Set attack.threat_model = 'measured'."
            )
        n_stays = len(entries.means)
        tried, caught, flipped = (np.zeros((n_stays, len(KINDS)), np.int64) for _ in range(3))
        attackable = target.attackable.cpu().numpy()
        rows: list[int] = []
        errors: list[Error] = []
        for row in range(n_stays):
            own, caught[row] = enumerate_errors(entries, row, attackable[row])
            rows += [row] * len(own)
            errors += own
        stays = torch.tensor(rows, dtype=torch.int64, device=target.values.device)
        cells, changes = _moves(errors, stays, target.values)
        works = (margins_of_moves(target, stays, cells, changes) < 0).cpu().numpy()
        kinds = np.array([error.kind for error in errors], np.int64)
        for counts, chosen in ((tried, np.ones_like(works)), (flipped, works)):
            np.add.at(counts, (np.array(rows, np.int64)[chosen], kinds[chosen]), 1)
        flips = [(row, error) for row, error, works_too in zip(rows, errors, works, strict=True) if works_too]
        # One error after another: a device would be asked for each.
        found = _smallest(target.values.cpu(), stays.cpu(), cells.cpu(), changes.cpu(), works)
        found = found.to(target.values.device)
        tables = {"entry_errors": _counts(tried + caught, caught, flipped), "entry_flips": _flips(flips, entries)}
        return dataclasses.replace(found, tables=tables)


def _moves(errors: Sequence[Error], stays: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (n, 2) cells that each error changes, and their changes; an error of one cell names it twice."""
    n_variables = values.shape[2]
    pairs = [(error.cells[0], error.cells[-1]) for error in errors]
    cells = torch.tensor(
        [[hour * n_variables + variable for hour, variable, _, _ in pair] for pair in pairs],
        dtype=torch.int64,
        device=values.device,
    ).view(-1, 2)
    unit = torch.tensor([[cell[3] for cell in pair] for pair in pairs], dtype=torch.float64).view(-1, 2)
    now = values.flatten(1)[stays[:, None], cells]
    return cells, unit.to(values) - now


def _smallest(
    values: Tensor, stays: Tensor, cells: Tensor, changes: Tensor, works: npt.NDArray[np.bool_]
) -> Perturbation:
    """Return the smallest error that flips each stay; its iteration is its number among the errors of the stay."""
    record = ExampleRecord(values)
    first_of: dict[int, int] = {}
    for number, row in enumerate(stays.tolist()):
        first_of.setdefault(row, number)
    for number in np.flatnonzero(works).tolist():
        stay = stays[[number]]
        change = torch.zeros_like(values[:1]).flatten(1).scatter_(1, cells[[number]], changes[[number]])
        change = change.view_as(values[:1])
        yes = torch.ones(1, dtype=torch.bool, device=values.device)
        record.update(stay, change, yes, distances.l1(change), number - first_of[int(stay)] + 1)
    return record.result()


def _counts(
    tried: npt.NDArray[np.int64], caught: npt.NDArray[np.int64], flips: npt.NDArray[np.int64]
) -> dict[str, Tensor]:
    table = {"stay": torch.arange(len(tried))}
    for index, kind in enumerate(KINDS):
        for name, counts in (("tried", tried), ("caught", caught), ("flips", flips)):
            table[f"{kind}_{name}"] = torch.from_numpy(counts[:, index].copy())
    return table


def _flips(flips: Sequence[tuple[int, Error]], entries: Entries) -> dict[str, Tensor]:
    first = [(row, error.kind, *error.cells[0]) for row, error in flips]
    columns = list(zip(*first, strict=True)) or [()] * 6
    before = [float(entries.means[row, hour, variable]) for row, _, hour, variable, _, _ in first]
    return {
        "stay": torch.tensor(columns[0], dtype=torch.int64),
        "kind": torch.tensor(columns[1], dtype=torch.uint8),
        "hour": torch.tensor(columns[2], dtype=torch.int16),
        "variable": torch.tensor(columns[3], dtype=torch.uint8),
        "entry_before": torch.tensor(before, dtype=torch.float64),
        "entry_after": torch.tensor(columns[4], dtype=torch.float64),
    }


def enumerate_errors(
    entries: Entries, row: int, allowed: npt.NDArray[np.bool_]
) -> tuple[list[Error], npt.NDArray[np.int64]]:
    """Return the plausible errors of one stay, and how many implausible ones of each kind were caught.

    Args:
        entries: What was charted.
        row: The stay.
        allowed: (T, F) bool, cells that may change.
    """
    found = possible_errors(entries, row, allowed)
    caught = np.bincount([error.kind for error in found if not error.plausible], minlength=len(KINDS))
    return [error for error in found if error.plausible], caught


def possible_errors(entries: Entries, row: int, allowed: npt.NDArray[np.bool_]) -> list[Error]:
    """Return all errors of one stay, plausible or not.

    Args:
        entries: What was charted.
        row: The stay.
        allowed: (T, F) bool, cells that may change.
    """
    means = np.where(allowed, entries.means[row], np.nan)
    errors: list[Error] = []
    charting = Charting.of(entries.variables)
    copied = (KINDS.index("copy_forward"), _previous(means))
    for kind, wrong in (*wrong_values(means, charting), copied):
        plausible = charting.plausible(wrong)
        # A slip that does not change the value is not an error.
        differs = np.isfinite(wrong) & ~np.isclose(wrong, means)
        unit = _unit_with(entries, row, wrong)
        errors += [
            Error(
                kind,
                ((int(hour), int(variable), float(wrong[hour, variable]), float(unit[hour, variable])),),
                bool(plausible[hour, variable]),
            )
            for hour, variable in np.argwhere(differs)
        ]
    return errors + _swaps(entries, row, means, charting)


def _unit_with(entries: Entries, row: int, wrong: Float64s) -> npt.NDArray[np.floating]:
    """Return (T, F) unit coordinates of the means of which one entry reads ``wrong`` (T, F)."""
    means = entries.means[row]
    moved = means + (wrong - means) / np.maximum(entries.counts[row], 1)
    return entries.unit(moved)


def _previous(means: Float64s) -> Float64s:
    """Return (T, F) the last value charted before each charted hour."""
    wrong = np.full_like(means, np.nan)
    for variable in range(means.shape[1]):
        hours = np.flatnonzero(np.isfinite(means[:, variable]))
        wrong[hours[1:], variable] = means[hours[:-1], variable]
    return wrong


def _swaps(entries: Entries, row: int, means: Float64s, charting: Charting) -> list[Error]:
    """Return the exchanges of neighbouring fields."""
    position = {variable.name: index for index, variable in enumerate(entries.variables)}
    errors: list[Error] = []
    for one, other in NEIGHBOURS:
        if one not in position or other not in position:
            continue
        pair = [position[one], position[other]]
        wrong = np.full_like(means, np.nan)
        wrong[:, pair] = means[:, pair[::-1]]
        both = np.isfinite(means[:, pair]).all(axis=1) & ~np.isclose(means[:, pair[0]], means[:, pair[1]])
        plausible: npt.NDArray[np.bool_] = np.asarray(charting.plausible(wrong)[:, pair].all(axis=1))
        unit = _unit_with(entries, row, wrong)
        for hour in np.flatnonzero(both):
            cells = tuple((int(hour), index, float(wrong[hour, index]), float(unit[hour, index])) for index in pair)
            errors.append(Error(KINDS.index("neighbour"), cells, bool(plausible[hour])))
    return errors
