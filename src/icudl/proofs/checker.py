"""A second program that bounds the pieces of a proof again; it knows nothing of the search that made the proof.

It is short, slow and plain: one piece at a time in NumPy, no reduction of unknowns, other relaxations, and inputs that
are made by imputing the record with the value at either end of the piece. It checks the real-valued network; that the
rounding of float32 changes nothing is the matter of the first program. Where a piece is too wide for its bounds, it is
halved.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from icudl.artifacts import Certificates, Checkpoint, GridDataset, PieceVerdict
from icudl.attacks.target.checkpoint import decision_shift
from icudl.preprocessing.features import assemble_features
from icudl.preprocessing.imputation import impute
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics, to_unit

Floats = npt.NDArray[Any]
Weights = Mapping[str, npt.NDArray[np.float64]]

SLACK = 1e-7
"""Logits that every bound has to spare: many times what float64 rounds away in a pass."""

DEPTH = 6
"""Times a piece is halved before its bounds are given up."""


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """Numbers ``middle + sum_i e_i noise_i``, each up to an error, with unknowns e_i between -1 and 1.

    All forms of a piece share the unknowns, of which the first is the value.

    Attributes:
        middle: (n,).
        noise: (k, n).
        error: (n,) or 0.
    """

    middle: Floats
    noise: Floats
    error: Floats | float = 0.0

    @property
    def reach(self) -> Floats:
        """(n,), the largest distance from the middle."""
        return np.asarray(np.abs(self.noise).sum(axis=0) + self.error)

    def cut(self, start: int, end: int) -> Form:
        """Return the components from ``start`` up to ``end``."""
        error = self.error if isinstance(self.error, float) else self.error[start:end]
        return Form(self.middle[start:end], self.noise[:, start:end], error)

    def minus(self) -> Form:
        """Return the negative."""
        return Form(-self.middle, -self.noise, self.error)

    def rows(self, count: int) -> Floats:
        """Return the noise with rows of zeros up to ``count``."""
        return np.pad(self.noise, ((0, count - len(self.noise)), (0, 0)))


class Pass:
    """The arithmetic of one piece; counts the unknowns that it has given out."""

    def __init__(self) -> None:
        self.unknowns = 1

    def settled(self, form: Form) -> Form:
        """Return the form with a new unknown for the error of each component."""
        if not np.any(form.error):
            return form
        size = len(form.middle)
        fresh = np.zeros((self.unknowns - len(form.noise) + size, size))
        fresh[-size:] = np.diag(np.broadcast_to(form.error, size))
        self.unknowns += size
        return Form(form.middle, np.concatenate([form.noise, fresh]))

    def linear(self, form: Form, weight: Floats, bias: Floats) -> Form:
        """Return ``weight`` x + ``bias``."""
        form = self.settled(form)
        return Form(weight @ form.middle + bias, form.noise @ weight.T)

    def add(self, first: Form, second: Form) -> Form:
        """Return the sum."""
        count = max(len(first.noise), len(second.noise))
        return Form(first.middle + second.middle, first.rows(count) + second.rows(count), first.error + second.error)

    def multiply(self, first: Form, second: Form) -> Form:
        """Return the product: linear but for the product of the two noises, which is an error."""
        count = max(len(first.noise), len(second.noise))
        noise = first.middle * second.rows(count) + second.middle * first.rows(count)
        error = np.abs(first.middle) * second.error + np.abs(second.middle) * first.error
        return Form(first.middle * second.middle, noise, error + first.reach * second.reach)

    def apply(
        self, form: Form, function: Callable[[Floats], Floats], least: Callable[[Floats, Floats], Floats]
    ) -> Form:
        """Return a function whose slope is at least ``least`` on an interval: less that line, it never falls."""
        low, high = form.middle - form.reach, form.middle + form.reach
        slope = least(low, high)
        bottom, top = function(low) - slope * low, function(high) - slope * high
        error = np.abs(slope) * form.error + (top - bottom) / 2
        return Form(slope * form.middle + (bottom + top) / 2, slope * form.noise, error)

    def sigmoid(self, form: Form) -> Form:
        """Return the logistic function."""
        return self.apply(form, _sigmoid, lambda low, high: np.minimum(_bell(low), _bell(high)))

    def tanh(self, form: Form) -> Form:
        """Return the hyperbolic tangent."""
        return self.apply(form, np.tanh, lambda low, high: 1 - np.maximum(np.tanh(low) ** 2, np.tanh(high) ** 2))

    def activation(self, form: Form, name: str) -> Form:
        """Return an activation by its name."""
        if name == "tanh":
            return self.tanh(form)
        if name == "relu":
            return self.apply(form, lambda x: np.maximum(x, 0), lambda low, _: (low >= 0).astype(float))
        if name == "gelu":
            # Its slope is at least 1/2 above 0, and nowhere below -0.13.
            return self.apply(form, _gelu, lambda low, _: np.where(low >= 0, 0.5, -0.13))
        return form

    def largest(self, first: Form, second: Form) -> Form:
        """Return the larger of two, component by component."""
        return self.add(first, self.activation(self.add(second, first.minus()), "relu"))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _bell(x: Floats) -> Floats:
    return np.asarray(_sigmoid(x) * (1 - _sigmoid(x)))


def _gelu(x: Floats) -> Floats:
    return np.asarray(x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))


def difference(
    weights: Weights, model: Mapping[str, Any], hours: Sequence[Form], prefix: str = "", *, at: Pass
) -> Form:
    """Return the logit difference of a network, read from the names of its weights.

    Args:
        weights: Of the whole model.
        model: Its options.
        hours: Inputs of each hour of the stay.
        prefix: Of the names of the network's weights.
        at: The arithmetic.
    """
    parts = {name[len(prefix) :].split(".")[1] for name in weights if name.startswith(f"{prefix}networks.")}
    if parts:
        found = [
            difference(weights, model, hours, f"{prefix}networks.{part}.", at=at) for part in sorted(parts, key=int)
        ]
        total = found[0]
        for each in found[1:]:
            total = at.add(total, each)
        return Form(total.middle / len(found), total.noise / len(found), total.error / len(found))
    if f"{prefix}gain" in weights:
        gain, bias, low, high = (weights[f"{prefix}{name}"] for name in ("gain", "bias", "low", "high"))

        def clipped(x: Floats) -> Floats:
            return np.clip(x, low, high)

        def slope(a: Floats, b: Floats) -> Floats:
            return np.asarray((a >= low) & (b <= high), float)

        moved = [Form(gain * hour.middle + bias, gain * hour.noise) for hour in hours]
        kept = [at.settled(at.apply(hour, clipped, slope)) for hour in moved]
        return difference(weights, model, kept, f"{prefix}network.", at=at)
    form = at.activation(_read_out(weights, model, hours, prefix, at), model["activation"])
    if f"{prefix}head.fc.weight" in weights:
        form = at.linear(form, weights[f"{prefix}head.fc.weight"], weights[f"{prefix}head.fc.bias"])
        form = at.activation(form, model["fc_activation"])
    weight, bias = weights[f"{prefix}head.out.weight"], weights[f"{prefix}head.out.bias"]
    return at.linear(form, weight[1:] - weight[:1], bias[1:] - bias[:1])


def _read_out(weights: Weights, model: Mapping[str, Any], hours: Sequence[Form], prefix: str, at: Pass) -> Form:
    """Return what the head reads."""
    ways: list[list[Form]] = []
    for layer in range(model["n_layers"]):
        ways = []
        for suffix in ("", "_reverse") if model["bidirectional"] else ("",):
            names = (
                f"{prefix}rnn.{kind}_l{layer}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            own = [weights[name] for name in names]
            order = list(reversed(hours)) if suffix else list(hours)
            outputs = _gru(order, own, at) if "gru" in model["name"] else _lstm(order, own, at)
            ways.append(list(reversed(outputs)) if suffix else outputs)
        hours = [_beside(parts) for parts in zip(*ways, strict=True)]
    match model["readout"]:
        case "last_hour":
            return hours[-1]
        case "final":
            return _beside([ways[0][-1], *(way[0] for way in ways[1:])])
        case "mean":
            total = hours[0]
            for hour in hours[1:]:
                total = at.add(total, hour)
            return Form(total.middle / len(hours), total.noise / len(hours), total.error / len(hours))
        case _:
            largest = hours[0]
            for hour in hours[1:]:
                largest = at.settled(at.largest(largest, hour))
            return largest


def _beside(parts: Sequence[Form]) -> Form:
    count = max(len(part.noise) for part in parts)
    return Form(
        np.concatenate([part.middle for part in parts]), np.concatenate([part.rows(count) for part in parts], axis=1)
    )


def _lstm(hours: Sequence[Form], weights: Sequence[Floats], at: Pass) -> list[Form]:
    size = weights[1].shape[1]
    hidden = memory = Form(np.zeros(size), np.zeros((0, size)))
    outputs = []
    for hour in hours:
        gates = at.add(at.linear(hour, weights[0], weights[2]), at.linear(hidden, weights[1], weights[3]))
        enter, forget, candidate, leave = (gates.cut(k * size, (k + 1) * size) for k in range(4))
        kept = at.multiply(at.sigmoid(forget), memory)
        memory = at.settled(at.add(kept, at.multiply(at.sigmoid(enter), at.tanh(candidate))))
        hidden = at.settled(at.multiply(at.sigmoid(leave), at.tanh(memory)))
        outputs.append(hidden)
    return outputs


def _gru(hours: Sequence[Form], weights: Sequence[Floats], at: Pass) -> list[Form]:
    size = weights[1].shape[1]
    hidden = Form(np.zeros(size), np.zeros((0, size)))
    outputs = []
    for hour in hours:
        inputs, recalled = at.linear(hour, weights[0], weights[2]), at.linear(hidden, weights[1], weights[3])
        of_inputs, of_hidden = ([both.cut(k * size, (k + 1) * size) for k in range(3)] for both in (inputs, recalled))
        reset, update = (at.sigmoid(at.add(of_inputs[k], of_hidden[k])) for k in range(2))
        candidate = at.settled(at.tanh(at.add(of_inputs[2], at.multiply(reset, of_hidden[2]))))
        moved = at.multiply(update, at.add(hidden, candidate.minus()))
        hidden = at.settled(at.add(candidate, moved))
        outputs.append(hidden)
    return outputs


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
