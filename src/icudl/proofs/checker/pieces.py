"""Bounds the pieces of a proof again.

A piece that is too wide for its bounds is halved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from icudl.artifacts import Certificates, Checkpoint, GridDataset, PieceVerdict
from icudl.attacks.target.checkpoint import decision_shift
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.imputation import impute
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics, to_unit
from icudl.proofs.checker.arithmetic import Floats, Form, Pass
from icudl.proofs.checker.networks import difference

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

    def faults(self, count: int, rng: np.random.Generator) -> list[str]:
        """Check ``count`` pieces and as many witnesses, drawn at random; return a line for each that does not hold."""
        decided = [PieceVerdict.HOLDS.value, PieceVerdict.FLIPS.value]
        pieces = self.proofs.pieces.filter(self.proofs.pieces["verdict"].is_in(decided))
        found = []
        for row in _drawn(pieces.height, count, rng):
            piece = pieces.row(row, named=True)
            if not self.piece_holds(piece, float(piece["low"]), float(piece["high"]), DEPTH):
                found.append(f"a piece of {self._name(piece)} is not found to be {piece['verdict']!r} again")
        flips = self.proofs.values.filter(self.proofs.values["witness"].is_not_null())
        for row in _drawn(flips.height, count, rng):
            value = flips.row(row, named=True)
            lead, _ = self._bounds(value, value["witness"], value["witness"])
            if lead >= SLACK:
                found.append(f"the witness of {self._name(value)} flips nothing")
        return found

    def piece_holds(self, piece: Mapping[str, Any], low: float, high: float, depth: int) -> bool:
        """Tell whether the verdict of a piece is confirmed from ``low`` to ``high``."""
        least, most = self._bounds(piece, low, high)
        if (least > SLACK) if piece["verdict"] == PieceVerdict.HOLDS else (most < -SLACK):
            return True
        if depth == 0:
            return False
        middle = (low + high) / 2
        return self.piece_holds(piece, low, middle, depth - 1) and self.piece_holds(piece, middle, high, depth - 1)

    def _bounds(self, value: Mapping[str, Any], low: float, high: float) -> tuple[float, float]:
        """Return the least and greatest lead of the present class while a value moves from ``low`` to ``high``."""
        row = self._row_of[value["stay_id"]]
        checkpoint = self.checkpoints[self._member_of[value["stay_id"]]]
        weights = {name: np.asarray(array, np.float64) for name, array in checkpoint.weights.items()}
        place = (value["hour"], value["variable"])
        now, below, above = (self._inputs(checkpoint, row, place, to) for to in (None, low, high))
        shift = decision_shift(checkpoint.threshold, checkpoint.curve)
        still = [Form(hour, np.zeros((0, len(hour)))) for hour in now]
        present = difference(weights, checkpoint.model, still, at=Pass()).middle[0]
        hours = [Form((a + b) / 2, ((b - a) / 2)[None]) for a, b in zip(below, above, strict=True)]
        form = difference(weights, checkpoint.model, hours, at=Pass())
        sign = 1.0 if present >= shift else -1.0
        middle, reach = sign * (form.middle[0] - shift), form.reach[0]
        return middle - reach, middle + reach

    def _inputs(self, checkpoint: Checkpoint, row: int, place: tuple[int, int], to: float | None) -> Floats:
        """Return the (length, C) inputs of a stay, with the unit coordinate of one value set to ``to``."""
        grid, options, scaler = self.grid, InputOptions.from_dict(checkpoint.inputs), checkpoint.scaler
        lengths = grid.lengths[row : row + 1]
        statics = select_statics(dataclasses.replace(grid, statics=grid.statics[row : row + 1]), options)
        prepared = prepare_inputs(scaler, options, grid.values[row : row + 1], lengths, statics)
        unit = prepared.unit
        if to is not None and self.proofs.threat_model == "measured":
            charted = np.where(prepared.observed, to_unit(scaler, grid.values[row : row + 1]), np.float32(np.nan))
            charted[0, place[0], place[1]] = to
            unit = impute(charted, lengths, to_unit(scaler, scaler.median), scaler.imputation)
        elif to is not None:
            unit = unit.copy()
            unit[0, place[0], place[1]] = to
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


def _drawn(total: int, count: int, rng: np.random.Generator) -> list[int]:
    return sorted(rng.choice(total, min(count, total), replace=False).tolist()) if total else []
