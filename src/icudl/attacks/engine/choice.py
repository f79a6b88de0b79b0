"""The choice of an engine for a model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from icudl.attacks.engine.autograd import AutogradEngine
from icudl.attacks.engine.compiled.engine import CompiledEngine
from icudl.attacks.engine.compiled.library import passes
from icudl.attacks.engine.ends import EndStateEngine
from icudl.attacks.engine.hours import READOUTS, HoursEngine
from icudl.attacks.engine.protocol import Engine
from icudl.attacks.engine.stack import StackEngine
from icudl.attacks.engine.terms import RescaledEngine, TermEngine
from icudl.attacks.engine.wide import WideEngine
from icudl.models.base import SequenceClassifier
from icudl.models.encoding import SummaryEncoding
from icudl.models.ensemble import EnsembleClassifier
from icudl.models.recurrent.classifier import GruClassifier, LstmClassifier, RecurrentClassifier
from icudl.models.recurrent.summary import GruSummaryClassifier, LstmSummaryClassifier, SummaryRecurrentClassifier
from icudl.models.rescaled import RescaledClassifier
from icudl.models.summaries import SummaryClassifier, WidePath


class NotWrittenByHandError(Exception):
    """A part of a model has no hand-written pass."""


def make_engine(model: SequenceClassifier) -> Engine:
    """Return the fastest engine that is exact for a model.

    Recurrent networks, networks on window summaries, both side by side, and means of them have hand-written passes;
    other models, and classes derived from these, go through autograd.
    """
    try:
        terms = _grouped(list(_terms(model, 1.0)))
    except NotWrittenByHandError:
        return AutogradEngine(model)
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else TermEngine(terms)


def _terms(model: nn.Module, share: float) -> Iterator[tuple[float, nn.Module]]:
    """Yield the networks whose weighted differences add up to that of the model."""
    kind = type(model)
    if isinstance(model, EnsembleClassifier) and kind is EnsembleClassifier:
        for network in model.networks:
            yield from _terms(network, share / len(model.networks))
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


def _grouped(terms: list[tuple[float, nn.Module]]) -> list[tuple[float, Engine]]:
    """Return weights and engines; networks of one shape and weight share an engine where it can read them together."""
    grouped: list[tuple[float, Engine]] = []
    while terms:
        weight, first = terms[0]
        alike = [each for each in terms if each[0] == weight and _can_join(first, each[1])] or terms[:1]
        terms = [each for each in terms if all(each[1] is not other[1] for other in alike)]
        grouped.append((weight * len(alike), _engine_of([module for _, module in alike])))
    return grouped


def _can_join(first: nn.Module, other: nn.Module) -> bool:
    if isinstance(first, WidePath) and isinstance(other, WidePath):
        return _encode_alike(first.encoding, other.encoding)
    if isinstance(first, RecurrentClassifier) and isinstance(other, RecurrentClassifier):
        can_join = (_is_compiled(first) and _is_compiled(other)) or _reads_hours(first)
        return can_join and type(first) is type(other) and first.options == other.options
    return False


def _encode_alike(first: SummaryEncoding, other: SummaryEncoding) -> bool:
    pairs = zip(first.buffers(), other.buffers(), strict=True)
    return all(torch.equal(one, two) for one, two in pairs)


def _reads_hours(model: RecurrentClassifier) -> bool:
    return model.options.n_layers == 1 and model.options.readout in READOUTS


def _is_compiled(model: RecurrentClassifier) -> bool:
    """Tell whether the passes in C can be used."""
    options, weight = model.options, model.head.out.weight
    return (
        options.n_layers == 1
        and options.readout != "max"
        and (weight.device.type, weight.dtype) == ("cpu", torch.float32)
        and passes() is not None
    )


def _engine_of(modules: list[nn.Module]) -> Engine:
    """Return the engine of the mean of networks that can join."""
    first = modules[0]
    if isinstance(first, WidePath):
        return WideEngine([each for each in modules if isinstance(each, WidePath)])
    if isinstance(first, RescaledClassifier):
        engine = make_engine(first.network)
        if isinstance(engine, AutogradEngine):
            raise NotWrittenByHandError
        return RescaledEngine(first, engine)
    assert isinstance(first, RecurrentClassifier)  # noqa: S101 - _terms yields nothing else
    library = passes() if _is_compiled(first) else None
    if library is not None:
        return CompiledEngine([each for each in modules if isinstance(each, RecurrentClassifier)], library)
    if _reads_hours(first):
        return HoursEngine([each for each in modules if isinstance(each, RecurrentClassifier)])
    return (
        EndStateEngine(first) if first.options.n_layers == 1 and first.options.readout != "max" else StackEngine(first)
    )
