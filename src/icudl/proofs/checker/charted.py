"""Models of charted values in the arithmetic of the second program.

While one charted value moves over an interval, each window summary of its variable is an affine form. A tree can end in
every leaf that the intervals of its summaries allow; logistic regression is a sum of clipped forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icudl.models.charted.window import SUMMARIES
from icudl.proofs.checker.arithmetic import Floats, Form, Pass

Arrays = Mapping[str, npt.NDArray[np.generic]]

NEAR = 1e-12
"""Summaries this near to a threshold, relatively, may lie on either side: two ways to add give two last digits."""


def bounds_of_logit(
    arrays: Arrays,
    folds: int,
    series: npt.NDArray[np.floating],
    statics: npt.NDArray[np.float32],
    moving: tuple[int, int, float, float],
) -> tuple[float, float]:
    """Return the least and greatest logit of a stay while one charted value moves.

    Args:
        arrays: Of the model; of a model of several folds, ``networks.K.NAME``.
        folds: Models whose mean it is; 0 for one model.
        series: (T, F) clinical values of the stay, NaN where nothing was charted.
        statics: (S,) descriptors.
        moving: Hour, variable, and the ends of the interval, in clinical units.
    """
    starts = sorted({name.rsplit(".", 1)[0] + "." for name in arrays}) if folds else [""]
    columns, own = _columns(series, statics, moving)
    found = []
    for start in starts:
        model = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
        rule = _trees if "threshold" in model else _regression
        found.append(rule(model, columns, own, moving[1] * len(SUMMARIES)))
    low, high = np.mean(np.array(found), axis=0)
    return float(low), float(high)


def _columns(
    series: npt.NDArray[np.floating], statics: npt.NDArray[np.float32], moving: tuple[int, int, float, float]
) -> tuple[Floats, Form]:
    """Return the summaries of the stay, and those of the moving variable, but the count, as a form."""
    hour, variable, low, high = moving
    plain = []
    own = None
    for place in range(series.shape[1]):
        when = np.flatnonzero(~np.isnan(series[:, place]))
        points = [Form(np.array([float(series[at, place])]), np.zeros((0, 1))) for at in when]
        if place == variable:
            moved = [
                Form(np.array([(low + high) / 2]), np.array([[(high - low) / 2]])) if at == hour else point
                for at, point in zip(when.tolist(), points, strict=True)
            ]
            own = _summaries(moved, when)
        plain.append(_numbers([float(point.middle[0]) for point in points], when))
    if own is None:
        raise ValueError(f"there is no variable {variable}")
    return np.concatenate([*plain, statics.astype(np.float64)]), own


def _numbers(values: Sequence[float], when: npt.NDArray[np.int64]) -> Floats:
    if not values:
        return np.array([np.nan] * (len(SUMMARIES) - 1) + [0.0])
    x, late = np.array(values), when - when.mean()
    square = float((late**2).sum())
    deviation = np.sqrt(((x - x.mean()) ** 2).sum() / max(len(x) - 1, 1))
    slope = float((x * late).sum()) / (square or 1.0)
    return np.array([x[0], x[-1], x.min(), x.max(), x.mean(), deviation, slope, len(x)])


def _summaries(own: Sequence[Form], when: npt.NDArray[np.int64]) -> Form:
    at = Pass()
    smallest = largest = own[0]
    for each in own[1:]:
        largest = at.settled(at.largest(largest, each))
        smallest = at.settled(at.largest(smallest.minus(), each.minus()).minus())
    mean = at.total(own).times(1 / len(own))
    away = [at.add(each, mean.minus()) for each in own]
    squares = at.total([at.multiply(each, each) for each in away]).times(1 / max(len(own) - 1, 1))
    late = when - when.mean()
    square = float((late**2).sum()) or 1.0
    slope = at.total([each.times(float(day) / square) for each, day in zip(own, late, strict=True)])
    parts = [own[0], own[-1], smallest, largest, mean, at.root(squares, 0.0), slope]
    parts = [at.settled(part) for part in parts]
    rows = max(len(part.noise) for part in parts)
    return Form(
        np.concatenate([part.middle for part in parts]), np.concatenate([part.rows(rows) for part in parts], axis=1)
    )


def _trees(model: Arrays, columns: Floats, own: Form, first: int) -> tuple[float, float]:
    low, high = columns.copy(), columns.copy()
    near = NEAR * (1 + np.abs(own.middle))
    places = slice(first, first + len(own.middle))
    low[places], high[places] = own.middle - own.reach - near, own.middle + own.reach + near
    column, threshold = model["column"].astype(int), model["threshold"].astype(float)
    left, right = model["left"].astype(int), model["right"].astype(int)
    missing = np.isnan(columns[column])
    to_left = np.where(missing, model["missing_left"].astype(bool), low[column] <= threshold)
    to_right = np.where(missing, ~model["missing_left"].astype(bool), high[column] > threshold)
    leaf = left == np.arange(len(left))
    value = model["value"].astype(float)
    total = np.full(2, float(model["base"].sum()) if model["base"].size else 0.0)
    for root in model["root"].astype(int).tolist():
        reached, least, most = [root], np.inf, -np.inf
        while reached:
            node = reached.pop()
            if leaf[node]:
                least, most = min(least, value[node]), max(most, value[node])
                continue
            reached += [int(left[node])] if to_left[node] else []
            reached += [int(right[node])] if to_right[node] else []
        total += (least, most)
    scale, shift = model["line"].astype(float)
    ends = scale * total + shift
    return float(ends.min()), float(ends.max())


def _regression(model: Arrays, columns: Floats, own: Form, first: int) -> tuple[float, float]:
    arrays = {name: array.astype(float) for name, array in model.items()}
    limits, coefficient = (arrays["low"], arrays["high"]), arrays["coefficient"]
    scores = (np.clip(columns, *limits) - arrays["mean"]) / arrays["deviation"]
    scores = np.nan_to_num(scores, nan=0.0)
    places = slice(first, first + len(own.middle))
    scores[places] = 0.0
    at = Pass()
    at.unknowns = len(own.noise)
    kept = at.settled(at.between(own, limits[0][places], limits[1][places]))
    weight = (coefficient / arrays["deviation"])[places]
    offset = float((scores * coefficient).sum() + arrays["intercept"].sum() - (weight * arrays["mean"][places]).sum())
    form = at.linear(kept, weight[None], np.array([offset]))
    return float(form.middle[0] - form.reach[0]), float(form.middle[0] + form.reach[0])
