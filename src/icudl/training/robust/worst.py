"""Charted values changed on purpose: a cheap search for what one wrong entry does to the verdict.

The gradient of the logits tells what moving each charted mean to either of its bounds would do if the network were
linear. It is blind to a value that would become the largest of its window, and to all else that bends on the way, so
further changes are drawn at random; a forward pass picks the worst of them all. Madry et al. (2018) walk along the
gradient with small steps in every cell; here few values change, each as far as one wrong entry can move it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from icudl.models.base import SequenceClassifier
from icudl.preprocessing.charted import ChartedMeans
from icudl.training.data import Stays
from icudl.training.robust.options import RobustOptions


class Changeable(Protocol):
    """Stays whose charted means may change; ``training.robust.lessons.Batch`` is one."""

    @property
    def stays(self) -> Stays:
        """The stays."""

    @property
    def means(self) -> ChartedMeans | None:
        """Their charted means, and how far these may move."""

    def changed(self, values: Tensor) -> Tensor:
        """Return the features with other charted means."""


def worst_change(
    model: SequenceClassifier, batch: Changeable, options: RobustOptions, rng: np.random.Generator
) -> Tensor:
    """Return (B, T, C) features in which ``changed_values`` charted means moved to a bound, towards the wrong verdict.

    The search sees the network without dropout; the network is left as it was. A stay that has fewer values to change
    changes them all.

    Args:
        model: The network, on the device of the batch.
        batch: Stays and what may change.
        options: ``changed_values`` and ``tries``.
        rng: Stream of the random tries.

    Raises:
        ValueError: The batch knows no charted means.
    """
    means = batch.means
    if means is None:
        raise ValueError("Changes are sought in charted means, and this batch has none.")
    was_training = model.training
    model.eval()
    towards = 1.0 - 2.0 * batch.stays.labels.to(means.values.dtype)  # up for a survivor, down for a death
    by_gradient = (options.tries + 1) // 2
    with torch.enable_grad():
        values = means.values.detach().clone().requires_grad_()
        wrongness = towards * _difference(model, batch.changed(values), batch.stays.lengths)
        (slope,) = torch.autograd.grad(wrongness.sum(), values)
    with torch.no_grad():
        best, best_values = wrongness.detach(), means.values
        for candidate in _by_gradient(means, slope, by_gradient, options.changed_values) + _at_random(
            means, options.tries - by_gradient, options.changed_values, rng
        ):
            found = towards * _difference(model, batch.changed(candidate), batch.stays.lengths)
            worse = found > best
            best = torch.where(worse, found, best)
            best_values = torch.where(worse[:, None, None], candidate, best_values)
        features = batch.changed(best_values)
    model.train(was_training)
    return features


def _difference(model: SequenceClassifier, features: Tensor, lengths: Tensor) -> Tensor:
    logits = model(features, lengths)
    difference: Tensor = logits[:, 1] - logits[:, 0]
    return difference


def _by_gradient(means: ChartedMeans, slope: Tensor, candidates: int, changed: int) -> list[Tensor]:
    """Return candidates of moved means: the first moves the ``changed`` cells of the largest gain, and so on."""
    ends = torch.where(slope > 0, means.upper, means.lower)
    gain = torch.where(means.changeable, slope * (ends - means.values), -torch.inf).flatten(1)
    wanted = min(candidates * changed, gain.shape[1])
    gains, cells = gain.topk(wanted, dim=1)
    return [
        _moved(means, ends, cells[:, start : start + changed], gains[:, start : start + changed] > -torch.inf)
        for start in range(0, wanted, changed)
    ]


def _at_random(means: ChartedMeans, candidates: int, changed: int, rng: np.random.Generator) -> list[Tensor]:
    """Return candidates in which ``changed`` cells, drawn at random, move to a bound drawn at random."""
    found = []
    shape = means.values.flatten(1).shape
    for _ in range(candidates):
        rank = torch.from_numpy(rng.random(shape, np.float32)).to(means.values)
        upward = torch.from_numpy(rng.random(shape, np.float32) < 0.5).to(means.changeable)
        ends = torch.where(upward.view_as(means.values), means.upper, means.lower)
        ranks, cells = torch.where(means.changeable.flatten(1), rank, -1.0).topk(min(changed, shape[1]), dim=1)
        found.append(_moved(means, ends, cells, ranks >= 0))
    return found


def _moved(means: ChartedMeans, ends: Tensor, cells: Tensor, legal: Tensor) -> Tensor:
    """Return the means with (B, k) cells at their ends, where these are legal."""
    flat = means.values.flatten(1)
    moved = torch.where(legal, ends.flatten(1).gather(1, cells), flat.gather(1, cells))
    return flat.scatter(1, cells, moved).view_as(means.values)
