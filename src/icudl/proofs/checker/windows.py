"""The network on window summaries, in the arithmetic of the second program."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icudl.models.encoding import LEAST_VARIANCE, NARROWEST, RIDGE, SCALE, SCORE_LIMIT, SCORE_SCALE, SUMMARIES
from icudl.proofs.checker.arithmetic import Floats, Form, Pass

Weights = Mapping[str, npt.NDArray[np.float64]]

NORM_ROOM = 1e-5
"""What a layer normalisation of torch adds to the variance."""


def windows(weights: Weights, hours: Sequence[Form], prefix: str, at: Pass) -> Form:
    """Return the logit difference of a network on window summaries.

    Args:
        weights: Of the whole model.
        hours: Inputs of each hour of the stay.
        prefix: Of the names of the network's weights.
        at: The arithmetic.
    """
    constants = {
        name: weights[f"{prefix}encoding.{name}"] for name in ("charted_by", "used", "knots", "centre", "spread")
    }
    n_features = len(constants["charted_by"])
    middle = np.stack([hour.middle for hour in hours])
    always = np.ones((len(hours), 1))
    counted = np.concatenate([middle, always], axis=1)[:, constants["charted_by"].astype(int)] > 0.5
    used = constants["used"].reshape(len(SUMMARIES), n_features)
    columns = np.flatnonzero(used.any(axis=0))
    inner, around = (weights[f"{prefix}{name}.weight"] for name in ("hidden.1", "around"))
    weight = np.concatenate([inner, around[1:] - around[:1]]).reshape(len(inner) + 1, -1, len(SUMMARIES), n_features)
    bias = np.append(
        weights[f"{prefix}hidden.1.bias"], weights[f"{prefix}around.bias"][1] - weights[f"{prefix}around.bias"][0]
    )
    parts = [Form(bias, np.zeros((0, len(bias))))]
    for column in columns.tolist():
        own = [
            Form(hours[hour].middle[[column]], hours[hour].noise[:, [column]], _error(hours[hour], column))
            for hour in np.flatnonzero(counted[:, column]).tolist()
        ]
        knots, centre, spread = (
            constants[name].reshape(-1, len(SUMMARIES), n_features)[:, :, column]
            for name in ("knots", "centre", "spread")
        )
        known = np.array([float(bool(own))] * (len(SUMMARIES) - 1) + [1.0]) * used[:, column]
        for block, form in enumerate(
            _encoded(own, np.flatnonzero(counted[:, column]), knots, centre[0], spread[0], at)
        ):
            place = weight[:, block, :, column] * known
            parts.append(at.linear(form, place, np.zeros(len(bias))))
        presence = SCALE * (known - 0.5 * used[:, column])
        parts.append(Form(weight[:, -1, :, column] @ presence, np.zeros((0, len(bias)))))
    first = at.total(parts)
    hidden = at.settled(first.cut(0, len(bias) - 1))
    normal = _normalised(hidden, weights[f"{prefix}hidden.2.weight"], weights[f"{prefix}hidden.2.bias"], at)
    out = weights[f"{prefix}out.weight"], weights[f"{prefix}out.bias"]
    logit = at.linear(at.activation(normal, "gelu"), out[0][1:] - out[0][:1], out[1][1:] - out[1][:1])
    return at.add(logit, first.cut(len(bias) - 1, len(bias)))


def _error(hour: Form, column: int) -> Floats | float:
    return hour.error if isinstance(hour.error, float) else hour.error[[column]]


def _encoded(
    own: Sequence[Form],
    when: npt.NDArray[np.int64],
    knots: Floats,
    centre: Floats,
    spread: Floats,
    at: Pass,
) -> list[Form]:
    """Return the places of the eight summaries of one column between the knots, then their standard scores."""
    summaries = _summaries(own, when, at)
    found = []
    for low, high in itertools.pairwise(knots):
        width = np.maximum(high - low, NARROWEST * spread)
        place = Form(summaries.middle - low, summaries.noise, summaries.error).times(1 / width)
        kept = at.between(place, 0.0, 1.0).times(SCALE)
        found.append(Form(kept.middle - SCALE / 2, kept.noise, kept.error))
    score = Form(summaries.middle - centre, summaries.noise, summaries.error).times(1 / spread)
    found.append(at.between(score, -SCORE_LIMIT, SCORE_LIMIT).times(SCORE_SCALE * SCALE))
    return [at.settled(each) for each in found]


def _summaries(own: Sequence[Form], when: npt.NDArray[np.int64], at: Pass) -> Form:
    """Return the eight summaries of one column from its counted hours."""
    if not own:
        return Form(np.zeros(len(SUMMARIES)), np.zeros((0, len(SUMMARIES))))
    count = len(own)
    smallest = largest = own[0]
    for each in own[1:]:
        largest = at.settled(at.largest(largest, each))
        smallest = at.settled(at.largest(smallest.minus(), each.minus()).minus())
    mean = at.settled(at.total(own).times(1 / count))
    away = [at.settled(at.add(each, mean.minus())) for each in own]
    squares = at.total([at.multiply(each, each) for each in away]).times(1 / max(count - 1, 1))
    deviation = at.root(Form(squares.middle + LEAST_VARIANCE, squares.noise, squares.error), LEAST_VARIANCE)
    late = when / 24 - (when / 24).mean()
    square = float((late**2).sum()) + RIDGE
    slope = at.total([each.times(float(day) / square) for each, day in zip(own, late, strict=True)])
    number = Form(np.array([np.log1p(count)]), np.zeros((0, 1)))
    parts = [own[0], own[-1], smallest, largest, mean, deviation, slope, number]
    settled = [at.settled(part) for part in parts]
    rows = max(len(part.noise) for part in settled)
    return Form(
        np.concatenate([part.middle for part in settled]),
        np.concatenate([part.rows(rows) for part in settled], axis=1),
    )


def _normalised(form: Form, gain: Floats, bias: Floats, at: Pass) -> Form:
    """Return a layer normalisation."""
    size = len(form.middle)
    away = at.linear(form, np.eye(size) - 1 / size, np.zeros(size))
    variance = at.linear(at.multiply(away, away), np.full((1, size), 1 / size), np.full(1, NORM_ROOM))
    scaled = at.multiply(away, at.settled(at.inverse(variance, 0.5)))
    return at.settled(Form(gain * scaled.middle + bias, gain * scaled.noise, np.abs(gain) * scaled.error))
