"""The networks of the second program, read from the names of their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from icudl.proofs.checker.arithmetic import Floats, Form, Pass
from icudl.proofs.checker.windows import Weights, windows


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
        return at.total(found).times(1 / len(found))
    if f"{prefix}gain" in weights:
        gain, bias, low, high = (weights[f"{prefix}{name}"] for name in ("gain", "bias", "low", "high"))
        moved = [Form(gain * hour.middle + bias, gain * hour.noise) for hour in hours]
        kept = [at.settled(at.between(hour, low, high)) for hour in moved]
        return difference(weights, model, kept, f"{prefix}network.", at=at)
    paths = []
    if f"{prefix}wide.around.weight" in weights:
        paths.append((windows(weights, hours, f"{prefix}wide.", at), model.get("summary_share", 1.0)))
    if f"{prefix}rnn.weight_hh_l0" in weights:
        paths.append((_recurrent(weights, model, hours, prefix, at), 1 - model.get("summary_share", 0.0)))
    return at.total([path.times(share) for path, share in paths])


def _recurrent(weights: Weights, model: Mapping[str, Any], hours: Sequence[Form], prefix: str, at: Pass) -> Form:
    """Return the logit difference of recurrent layers with a head."""
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
            # An LSTM has four gates, a GRU three.
            read = _lstm if len(own[1]) == 4 * own[1].shape[1] else _gru
            outputs = read(order, own, at)
            ways.append(list(reversed(outputs)) if suffix else outputs)
        hours = [_beside(parts) for parts in zip(*ways, strict=True)]
    match model["readout"]:
        case "last_hour":
            return hours[-1]
        case "final":
            return _beside([ways[0][-1], *(way[0] for way in ways[1:])])
        case "mean":
            return at.total(hours).times(1 / len(hours))
        case "attention":
            return _attended(weights, hours, f"{prefix}attention.", at)
        case _:
            largest = hours[0]
            for hour in hours[1:]:
                largest = at.settled(at.largest(largest, hour))
            return largest


def _attended(weights: Weights, hours: Sequence[Form], prefix: str, at: Pass) -> Form:
    """Return the mean of the hours, weighted by the softmax of their scores."""
    score, none = weights[f"{prefix}score.weight"], np.zeros(1)
    scores = []
    for hour in hours:
        projected = at.linear(hour, weights[f"{prefix}project.weight"], weights[f"{prefix}project.bias"])
        scores.append(at.linear(at.tanh(projected), score, none))
    highest = max(float(each.middle[0]) for each in scores)
    powers = [at.settled(at.exp(Form(each.middle - highest, each.noise, each.error))) for each in scores]
    inverse = at.settled(at.inverse(at.total(powers)))
    shares = [at.settled(at.multiply(power, inverse)) for power in powers]
    return at.settled(at.total([at.multiply(share, hour) for share, hour in zip(shares, hours, strict=True)]))


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
