"""The networks that a model is made of."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from icudl.models.ensemble import EnsembleClassifier
from icudl.models.recurrent.classifier import GruClassifier, LstmClassifier
from icudl.models.recurrent.summary import GruSummaryClassifier, LstmSummaryClassifier, SummaryRecurrentClassifier
from icudl.models.rescaled import RescaledClassifier
from icudl.models.summaries import SummaryClassifier


class NotWrittenByHandError(Exception):
    """A part of a model has no hand-written pass."""


def parts_of(model: nn.Module, share: float = 1.0) -> Iterator[tuple[float, nn.Module]]:
    """Yield the networks whose weighted differences add up to ``share`` of that of the model.

    They are recurrent paths (of ``RecurrentClassifier``, also where a path on summaries stands beside), paths on
    window summaries (``WidePath``) and ``RescaledClassifier``.

    Raises:
        NotWrittenByHandError: The model has another part, or one of a class derived from ours.
    """
    kind = type(model)
    if isinstance(model, EnsembleClassifier) and kind is EnsembleClassifier:
        for network in model.networks:
            yield from parts_of(network, share / len(model.networks))
    elif isinstance(model, SummaryRecurrentClassifier) and kind in {LstmSummaryClassifier, GruSummaryClassifier}:
        wide_share = model.options.summary_share
        yield share * (1 - wide_share), model
        yield share * wide_share, model.wide
    elif isinstance(model, SummaryClassifier) and kind is SummaryClassifier:
        yield share, model.wide
    elif kind in {LstmClassifier, GruClassifier, RescaledClassifier}:
        yield share, model
    else:
        raise NotWrittenByHandError
