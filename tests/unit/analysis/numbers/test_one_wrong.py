"""Verdicts that one wrong value reverses, from what is proved of whole ranges."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from certificate_cases import certificates
from icudl.analysis.numbers.proofs.one_wrong import reversed_by_one
from icudl.artifacts import Certificates

FLIPS_ABOVE = {(1, 3): 0.75, (1, 4): None, (2, 0): None, (3, 0): 0.0}
"""By stay and hour, from which part of its range a value flips its stay; None for one that does not."""
EDGE = 0.01


def proofs() -> Certificates:
    """Three stays looked at, one of them flipped by any number, and one that the model gets wrong."""
    stays = {1: ("flips", 2), 2: ("proven", 1), 3: ("flips", 1), 4: ("misclassified", 0)}
    values, pieces = [], []
    for (stay, hour), start in FLIPS_ABOVE.items():
        place = {"stay_id": stay, "hour": hour, "variable": 2}
        values.append(place | {"verdict": "proven" if start is None else "flips", "lower": -1.0, "upper": 3.0})
        cuts = [(0.0, 1.0, "holds")] if start is None else [(start, 1.0, "flips")]
        if start:
            cuts += [(0.0, start - EDGE, "holds"), (start - EDGE, start, "edge")]
        pieces += [place | {"low": -1 + 4 * low, "high": -1 + 4 * high, "verdict": what} for low, high, what in cuts]
    looked_at = [{"stay_id": stay, "status": status, "values": number} for stay, (status, number) in stays.items()]
    return certificates(stays=looked_at, values=values, pieces=pieces)


def test_wrong_numbers_that_are_drawn_reverse_as_many() -> None:
    found = reversed_by_one(proofs())
    assert found is not None
    rng = np.random.default_rng(0)
    draws, reversed_ = 40_000, 0
    for stay in (1, 2, 3):
        starts = np.array([2.0 if start is None else start for (own, _), start in FLIPS_ABOVE.items() if own == stay])
        wrong = rng.integers(0, len(starts), draws)
        reversed_ += int((rng.random(draws) >= starts[wrong]).sum())
    drawn = 1000 * reversed_ / (3 * draws)
    assert found.least == pytest.approx(drawn, rel=0.03)
    assert found.stays == 3
    # An edge of a hundredth of the range of one of two values is all that is not known.
    assert found.most - found.least == pytest.approx(1000 * EDGE / 2 / 3)
    assert found.worst == pytest.approx(1000 * (1 / 2 + 1) / 3)
    assert found.low <= found.least <= found.most <= found.high <= found.worst_high


def test_nothing_is_said_where_nothing_was_looked_at() -> None:
    assert reversed_by_one(dataclasses.replace(proofs(), stays=proofs().stays[3:])) is None
