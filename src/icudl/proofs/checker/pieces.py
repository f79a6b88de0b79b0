"""Bounds the pieces of a proof again.

A piece that is too wide for its bounds is halved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import torch

from icudl.artifacts import Certificates, Checkpoint, GridDataset, PieceVerdict
from icudl.attacks.target.checkpoint import decision_shift
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.imputation import impute
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics, static_columns, to_unit
from icudl.proofs.checker.arithmetic import Floats, Form, Pass
from icudl.proofs.checker.charted import bounds_of_logit
from icudl.proofs.checker.networks import difference
from icudl.proofs.checker.parts import deal, held

SLACK = 1e-7
"""Logits that every bound has to spare: many times what float64 rounds away in a pass."""

DEPTH = 6
"""Times a piece is halved before its bounds are given up."""


class Checker:
    """Checks the pieces and witnesses of one proof.

    Args:
        proofs: What is claimed.
        grid: The stays, with the variables of the checkpoints.
        checkpoints: By member.
    """

    def __init__(self, proofs: Certificates, grid: GridDataset, checkpoints: Mapping[str, Checkpoint]) -> None:
        self.proofs, self.grid, self.checkpoints = proofs, grid, checkpoints
        self._row_of = {int(stay): row for row, stay in enumerate(grid.stay_ids)}
        self._member_of = dict(proofs.stays.select("stay_id", "member").iter_rows())

    def to_check(self, count: int) -> int:
        """Return how many pieces and witnesses ``faults`` checks."""
        return min(count, self._decided().height) + min(count, self._witnesses().height)

    def faults(self, count: int, rng: np.random.Generator, tick: Callable[[int], None] = lambda _: None) -> list[str]:
        """Check ``count`` pieces and as many witnesses, drawn at random; return a line for each that does not hold.

        Args:
            count: Of either.
            rng: Draws them.
            tick: Called with 1 for each that is checked.
        """
        pieces, found = self._decided(), []
        for row in _drawn(pieces.height, count, rng):
            piece = pieces.row(row, named=True)
            if not self.piece_holds(piece, float(piece["low"]), float(piece["high"]), DEPTH):
                found.append(f"a piece of {self._name(piece)} is not found to be {piece['verdict']!r} again")
            tick(1)
        flips = self._witnesses()
        for row in _drawn(flips.height, count, rng):
            value = flips.row(row, named=True)
            if not self._may_flip(value):
                found.append(f"the witness of {self._name(value)} flips nothing")
            tick(1)
        return found

    def _decided(self) -> pl.DataFrame:
        decided = [PieceVerdict.HOLDS.value, PieceVerdict.FLIPS.value]
        return self.proofs.pieces.filter(self.proofs.pieces["verdict"].is_in(decided))

    def _witnesses(self) -> pl.DataFrame:
        return self.proofs.values.filter(self.proofs.values["witness"].is_not_null())

    def piece_holds(self, piece: Mapping[str, Any], low: float, high: float, depth: int) -> bool:
        """Tell whether the verdict of a piece is confirmed from ``low`` to ``high``."""
        checkpoint = self._checkpoint_of(piece)
        if _reads_charted_values(checkpoint):
            scaler, variable = checkpoint.scaler, piece["variable"]
            base = float(scaler.lower[variable])
            width = float(scaler.upper[variable]) - base
            ends = np.float32(base + low * width), np.float32(base + high * width)
            return self._holds_between(piece, checkpoint, *ends)
        if _reads_parts(checkpoint):
            # Nothing beyond the winsor limits needs a piece of its own.
            low, high = min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)
        least, most = self._bounds(piece, low, high)
        if (least > SLACK) if piece["verdict"] == PieceVerdict.HOLDS else (most < -SLACK):
            return True
        if depth == 0 or low == high:
            return False
        middle = (low + high) / 2
        return self.piece_holds(piece, low, middle, depth - 1) and self.piece_holds(piece, middle, high, depth - 1)

    def _checkpoint_of(self, value: Mapping[str, Any]) -> Checkpoint:
        return self.checkpoints[self._member_of[value["stay_id"]]]

    def _may_flip(self, value: Mapping[str, Any]) -> bool:
        """Tell whether the witness of a value does not leave the prediction as it is."""
        checkpoint = self._checkpoint_of(value)
        if not _reads_charted_values(checkpoint):
            return self._bounds(value, value["witness"], value["witness"])[0] < SLACK
        base = float(checkpoint.scaler.lower[value["variable"]])
        at = np.float32(base + value["witness"] * (float(checkpoint.scaler.upper[value["variable"]]) - base))
        return self._charted_bounds(value, checkpoint, at, at)[0] <= 0

    def _holds_between(
        self, piece: Mapping[str, Any], checkpoint: Checkpoint, low: np.float32, high: np.float32
    ) -> bool:
        """Tell whether the verdict of a piece is confirmed for all numbers in single precision between two of them."""
        sign = 1 if piece["verdict"] == PieceVerdict.HOLDS else -1
        waiting = [(low, high)]
        while waiting:
            low, high = waiting.pop()
            least, most = sorted(sign * end for end in self._charted_bounds(piece, checkpoint, low, high))
            if least > 0:
                continue
            if most < 0:
                return False
            middle = np.float32((float(low) + float(high)) / 2)
            if low < middle < high:
                waiting += [(low, middle), (middle, high)]
            elif any(max(sign * end for end in self._charted_bounds(piece, checkpoint, x, x)) < 0 for x in (low, high)):
                return False
        return True

    def _charted_bounds(
        self, value: Mapping[str, Any], checkpoint: Checkpoint, low: np.float32, high: np.float32
    ) -> tuple[float, float]:
        """Return the least and greatest lead of the present class for a model of charted values."""
        grid, row = self.grid, self._row_of[value["stay_id"]]
        series = grid.values[row, : int(grid.lengths[row])]
        options = InputOptions.from_dict(checkpoint.inputs)
        statics = grid.statics[row, static_columns(grid, options)]
        place = value["hour"], value["variable"]
        shift = decision_shift(checkpoint.threshold, checkpoint.curve)
        now = float(series[place])
        present = bounds_of_logit(checkpoint.weights, checkpoint.folds, series, statics, (*place, now, now))
        least, most = bounds_of_logit(
            checkpoint.weights, checkpoint.folds, series, statics, (*place, float(low), float(high))
        )
        if sum(present) / 2 >= shift:
            return least - shift, most - shift
        return shift - most, shift - least

    def _bounds(self, value: Mapping[str, Any], low: float, high: float) -> tuple[float, float]:
        """Return the least and greatest lead of the present class while a value moves from ``low`` to ``high``."""
        checkpoint = self._checkpoint_of(value)
        shift = decision_shift(checkpoint.threshold, checkpoint.curve)
        bounds = self._bounds_in_parts if _reads_parts(checkpoint) else self._bounds_of_whole
        present, least, most = bounds(value, checkpoint, low, high)
        return (least - shift, most - shift) if present >= shift else (shift - most, shift - least)

    def _bounds_of_whole(
        self, value: Mapping[str, Any], checkpoint: Checkpoint, low: float, high: float
    ) -> tuple[float, float, float]:
        """Return the present score of a stay that is read once, and the least and greatest one."""
        series = self.grid.values[self._row_of[value["stay_id"]]]
        return self._score(value, checkpoint, series), *self._moved(value, checkpoint, series, low, high)

    def _bounds_in_parts(
        self, value: Mapping[str, Any], checkpoint: Checkpoint, low: float, high: float
    ) -> tuple[float, float, float]:
        """Return the same of a stay that is read whole and in parts; what the others outvote is not bounded."""
        row, limit = self._row_of[value["stay_id"]], float(checkpoint.model["parts_limit"])
        whole, *hands = deal(self.grid.values[row], int(self.grid.lengths[row]), int(checkpoint.model["parts"]))
        scores = np.array([self._score(value, checkpoint, hand) for hand in hands])
        present = held(self._score(value, checkpoint, whole), scores, limit)
        own = next(k for k, hand in enumerate(hands) if not np.isnan(hand[value["hour"], value["variable"]]))
        extremes, shift = [], decision_shift(checkpoint.threshold, checkpoint.curve)
        for far in (-np.inf, np.inf):
            scores[own] = far
            extremes.append(held(far, scores, limit))
        if extremes[0] - SLACK > shift or extremes[1] + SLACK < shift:
            return present, extremes[0], extremes[1]
        ends = []
        of_whole, of_part = (self._moved(value, checkpoint, hand, low, high) for hand in (whole, hands[own]))
        for end in range(2):
            scores[own] = of_part[end]
            ends.append(held(of_whole[end], scores, limit))
        return present, ends[0], ends[1]

    def _score(self, value: Mapping[str, Any], checkpoint: Checkpoint, series: Floats) -> float:
        """Return the score of one reading of an unchanged stay."""
        hours = self._inputs(checkpoint, value, series, None)
        still = [Form(hour, np.zeros((0, len(hour)))) for hour in hours]
        return float(difference(_weights(checkpoint), checkpoint.model, still, at=Pass()).middle[0])

    def _moved(
        self, value: Mapping[str, Any], checkpoint: Checkpoint, series: Floats, low: float, high: float
    ) -> tuple[float, float]:
        """Return the least and greatest score of one reading while a value moves from ``low`` to ``high``."""
        below, above = (self._inputs(checkpoint, value, series, to) for to in (low, high))
        hours = [Form((a + b) / 2, ((b - a) / 2)[None]) for a, b in zip(below, above, strict=True)]
        form = difference(_weights(checkpoint), checkpoint.model, hours, at=Pass())
        middle, reach = float(form.middle[0]), float(form.reach[0])
        return middle - reach, middle + reach

    def _inputs(self, checkpoint: Checkpoint, value: Mapping[str, Any], series: Floats, to: float | None) -> Floats:
        """Return the (length, C) inputs of one reading, with the unit coordinate of one value set to ``to``.

        Beyond the winsor limits the limit is read.
        """
        grid, options, scaler = self.grid, InputOptions.from_dict(checkpoint.inputs), checkpoint.scaler
        row = self._row_of[value["stay_id"]]
        lengths = grid.lengths[row : row + 1]
        statics = select_statics(dataclasses.replace(grid, statics=grid.statics[row : row + 1]), options)
        prepared = prepare_inputs(scaler, options, series[None], lengths, statics)
        unit = prepared.unit
        if to is not None and self.proofs.threat_model == "measured":
            charted = np.where(prepared.observed, to_unit(scaler, series[None]), np.float32(np.nan))
            charted[0, value["hour"], value["variable"]] = min(max(to, 0.0), 1.0)
            unit = impute(charted, lengths, to_unit(scaler, scaler.median), scaler.imputation)
        elif to is not None:
            unit = unit.copy()
            unit[0, value["hour"], value["variable"]] = to
        features = assemble_features(
            torch.from_numpy(unit),
            torch.from_numpy(prepared.observed),
            torch.from_numpy(prepared.hours_since),
            torch.from_numpy(prepared.statics),
            torch.from_numpy(lengths.astype(np.int64)),
            scaler,
            options,
        )
        inputs: Floats = features[0, : int(lengths[0])].double().numpy()
        return inputs

    def _name(self, value: Mapping[str, Any]) -> str:
        variable = self.proofs.variables[value["variable"]].name
        return f"stay {value['stay_id']}, hour {value['hour']}, {variable}"


def _reads_charted_values(checkpoint: Checkpoint) -> bool:
    return any(name.endswith(("threshold", "coefficient")) for name in checkpoint.weights)


def _reads_parts(checkpoint: Checkpoint) -> bool:
    return int(checkpoint.model.get("parts", 1)) > 1


def _weights(checkpoint: Checkpoint) -> dict[str, Floats]:
    return {name: np.asarray(array, np.float64) for name, array in checkpoint.weights.items()}


def _drawn(total: int, count: int, rng: np.random.Generator) -> list[int]:
    return sorted(rng.choice(total, min(count, total), replace=False).tolist()) if total else []
