"""How probable it is that errors of entry reverse the verdict on a stay.

A charted value whose hour holds k entries is wrong with the chance q = 1 - (1 - rate)^k, each value by itself. What is
wrong then is one of the errors that can happen to the value: a kind by its weight, and an error of the kind by chance.
So the number of wrong values of a stay is known in distribution. With exactly one, every error is tried: that part is
an exact sum. With two or more, records are drawn. An error that the cleaning drops changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from icudl.attacks.base import TargetModel
from icudl.attacks.methods.entry_errors import Error, possible_errors
from icudl.attacks.refinement import margins_of
from icudl.attacks.target.threat import Entries
from icudl.errors import StageError
from icudl.preprocessing.mistakes import KINDS
from icudl.probes.options import ProbeOptions

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

LEVELS = ("low", "usual", "high")
"""Names of ``ProbeOptions.rates``."""

VERDICT_COLUMNS = {
    "row": pl.Int64,
    "level": pl.String,
    "rate": pl.Float64,
    "expected_errors": pl.Float64,
    "one": pl.Float64,
    "one_reversed": pl.Float64,
    "several": pl.Float64,
    "draws": pl.Int32,
    "several_reversed": pl.Int32,
}
SLIP_COLUMNS = {
    "row": pl.Int64,
    "kind": pl.String,
    "errors": pl.Int32,
    "caught": pl.Int32,
    "reversing": pl.Int32,
    "weight": pl.Float64,
    "weight_reversing": pl.Float64,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Slips:
    """The errors that can happen to one stay, sorted by the value that is wrong.

    Attributes:
        errors: n errors.
        value: (n,) which of the m values each concerns; an exchange of two fields counts as one of the first field.
        weight: (n,) chance of the error, given that its value is wrong.
        entries: (m,) entries behind each value.
    """

    errors: tuple[Error, ...]
    value: Int64s
    weight: Float64s
    entries: Int64s

    @classmethod
    def of(cls, entries: Entries, row: int, allowed: npt.NDArray[np.bool_], weights: Sequence[float]) -> Self:
        """List the errors of a stay.

        Args:
            entries: What was charted.
            row: The stay.
            allowed: (T, F) bool, cells that may change.
            weights: Of each kind, in the order of ``KINDS``.
        """
        found = [error for error in possible_errors(entries, row, allowed) if weights[error.kind] > 0]
        places = [error.cells[0][:2] for error in found]
        order = sorted(range(len(found)), key=places.__getitem__)
        errors = tuple(found[index] for index in order)
        cells = sorted(set(places))
        number = {cell: index for index, cell in enumerate(cells)}
        value = np.array([number[places[index]] for index in order], np.int64)
        kind = np.array([error.kind for error in errors], np.int64)
        alike = np.zeros((len(cells), len(KINDS)))
        np.add.at(alike, (value, kind), 1.0)
        total = np.where(alike > 0, np.asarray(weights, np.float64), 0.0).sum(axis=1)
        weight: Float64s = np.asarray(weights, np.float64)[kind] / alike[value, kind] / total[value]
        counts = np.array([max(int(entries.counts[row, hour, variable]), 1) for hour, variable in cells], np.int64)
        return cls(errors, value, weight, counts)

    def wrong(self, rate: float) -> Float64s:
        """Return the (m,) chance that each value is wrong."""
        chance: Float64s = 1.0 - (1.0 - rate) ** self.entries.astype(np.float64)
        return chance

    def draw(self, values: Int64s, rng: np.random.Generator) -> list[Error]:
        """Draw one error for each of ``values``, none twice."""
        chosen = []
        for value in values.tolist():
            first, last = np.searchsorted(self.value, [value, value + 1])
            cumulated = np.cumsum(self.weight[first:last])
            place = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
            chosen.append(self.errors[first + min(place, int(last - first) - 1)])
        return chosen


def draw_several(chance: Float64s, rng: np.random.Generator) -> Int64s:
    """Draw which values are wrong, given that at least two are.

    The first wrong value is drawn from its distribution given that another one follows, the second from its
    distribution given that there is one; the values after it are wrong or not by themselves.

    Args:
        chance: (m,) of each value; at least two are positive.
        rng: Stream.
    """
    right = np.concatenate([[1.0], np.cumprod(1.0 - chance)[:-1]])  # none before
    follows = 1.0 - np.concatenate([np.cumprod((1.0 - chance)[::-1])[::-1][1:], [1.0]])  # some after
    first = _pick(right * chance * follows, rng)
    rest = chance[first + 1 :]
    before = np.concatenate([[1.0], np.cumprod(1.0 - rest)[:-1]])
    second = first + 1 + _pick(before * rest, rng)
    others = second + 1 + np.flatnonzero(rng.random(len(chance) - second - 1) < chance[second + 1 :])
    return np.array([first, second, *others], np.int64)


def _pick(weights: Float64s, rng: np.random.Generator) -> int:
    cumulated = np.cumsum(weights)
    place = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
    return min(place, int(np.flatnonzero(weights)[-1]))


def number_wrong(chance: Float64s) -> tuple[Float64s, float]:
    """Return the (m,) chances that a value is the only wrong one, and the chance that several are wrong."""
    others = np.ones_like(chance)
    if len(chance):
        left = np.concatenate([[1.0], np.cumprod(1.0 - chance)[:-1]])
        right = np.concatenate([np.cumprod((1.0 - chance)[::-1])[::-1][1:], [1.0]])
        others = left * right
    alone: Float64s = chance * others
    none = float(np.prod(1.0 - chance))
    return alone, max(0.0, 1.0 - none - float(alone.sum()))


def reversals(
    target: TargetModel, rows: Int64s, seeds: Int64s, options: ProbeOptions
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return how probable it is that errors reverse the verdict on each stay, and how the kinds of errors do alone.

    Args:
        target: B stays under the threat model ``measured``.
        rows: (B,) positions of the stays in their data set.
        seeds: (B,) one seed a stay.
        options: Rates, weights, draws.

    Returns:
        A row for each stay and rate: ``row, level, rate, expected_errors`` (mean number of wrong values), ``one``
        (chance of exactly one), ``one_reversed`` (chance of exactly one that reverses the verdict), ``several``
        (chance of two or more), ``draws`` and ``several_reversed`` (of these draws).

        And a row for each stay and kind that can happen: ``row, kind, errors`` (that reach the model), ``caught``
        (that the cleaning drops), ``reversing``, and the weights of all of them (``weight``, caught ones included)
        and of those that reverse (``weight_reversing``).

    Raises:
        StageError: The target has no charted values.
    """
    entries = target.entries
    if entries is None:
        raise StageError("Errors of entry need charted values. Bind the model under the threat model 'measured'.")
    weights = [float(getattr(options, f"weight_{kind}")) for kind in KINDS]
    verdicts, slips = [pl.DataFrame(schema=VERDICT_COLUMNS)], [pl.DataFrame(schema=SLIP_COLUMNS)]
    for row in range(len(rows)):
        own = Slips.of(entries, row, target.attackable[row].cpu().numpy(), weights)
        reverses = _reverses(target, row, [[error] for error in own.errors])
        slips.append(_by_kind(own, reverses, int(rows[row])))
        rng = np.random.default_rng([int(seeds[row]), 1])
        found = _by_rate(target, row, own, reverses, options, rng)
        verdicts.append(found.with_columns(row=pl.lit(int(rows[row]), pl.Int64)))
    return pl.concat(verdicts), pl.concat(slips)


def _by_rate(
    target: TargetModel,
    row: int,
    own: Slips,
    reverses: npt.NDArray[np.bool_],
    options: ProbeOptions,
    rng: np.random.Generator,
) -> pl.DataFrame:
    reversing = np.zeros(len(own.entries))
    np.add.at(reversing, own.value, own.weight * reverses)
    lines: list[dict[str, Any]] = []
    records: list[list[Error]] = []
    for level, rate in zip(LEVELS, options.rates, strict=True):
        chance = own.wrong(rate)
        alone, several = number_wrong(chance)
        draws = options.draws if (chance > 0).sum() > 1 else 0
        records += [own.draw(draw_several(chance, rng), rng) for _ in range(draws)]
        lines.append(
            {
                "row": 0,
                "level": level,
                "rate": rate,
                "expected_errors": float(chance.sum()),
                "one": float(alone.sum()),
                "one_reversed": float((alone * reversing).sum()),
                "several": several if draws else 0.0,
                "draws": draws,
            }
        )
    drawn = _reverses(target, row, records)
    start = 0
    for line in lines:
        line["several_reversed"] = int(drawn[start : start + line["draws"]].sum())
        start += line["draws"]
    return pl.DataFrame(lines, schema=VERDICT_COLUMNS)


def _by_kind(own: Slips, reverses: npt.NDArray[np.bool_], row: int) -> pl.DataFrame:
    kind = np.array([error.kind for error in own.errors], np.int64)
    plausible = np.array([error.plausible for error in own.errors], bool)
    # A value with more entries is wrong more often.
    weight = own.weight * own.entries[own.value] if len(own.errors) else np.zeros(0)

    def total(which: npt.NDArray[np.bool_], by: Float64s | None = None) -> npt.NDArray[Any]:
        return np.bincount(kind[which], None if by is None else by[which], minlength=len(KINDS))

    every = np.ones(len(kind), bool)
    frame = pl.DataFrame(
        {
            "row": np.full(len(KINDS), row),
            "kind": list(KINDS),
            "errors": total(plausible),
            "caught": total(~plausible),
            "reversing": total(reverses),
            "weight": total(every, weight),
            "weight_reversing": total(reverses, weight),
        }
    )
    return frame.cast(SLIP_COLUMNS).filter(pl.col("weight") > 0)  # type: ignore[arg-type]


def _reverses(target: TargetModel, row: int, records: Sequence[Sequence[Error]]) -> npt.NDArray[np.bool_]:
    """Return whether each record of one stay, with its errors, has another verdict than the stay itself.

    An error that the cleaning catches changes nothing. Where two errors meet in one value, the later one counts.
    """
    found = np.zeros(len(records), bool)
    reaching = [[error for error in record if error.plausible] for record in records]
    asked = [index for index, record in enumerate(reaching) if record]
    if not asked:
        return found
    values = target.values[row]
    changes = torch.zeros(len(asked), *values.shape, dtype=values.dtype, device=values.device)
    for number, index in enumerate(asked):
        for error in reaching[index]:
            for hour, variable, _, unit in error.cells:
                changes[number, hour, variable] = unit - values[hour, variable]
    margins = margins_of(target, torch.full((len(asked),), row, device=values.device), changes)
    found[asked] = (margins < 0).cpu().numpy()
    return found
