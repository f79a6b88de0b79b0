"""The choice of an engine for a model."""

from __future__ import annotations

import functools

import torch
from torch import nn

from icudl.attacks.engine.autograd import AutogradEngine
from icudl.attacks.engine.compiled.engine import CompiledEngine
from icudl.attacks.engine.compiled.library import passes
from icudl.attacks.engine.device import DeviceEngine, score_of
from icudl.attacks.engine.ends import EndStateEngine
from icudl.attacks.engine.hours import READOUTS, HoursEngine
from icudl.attacks.engine.parts import NotWrittenByHandError, parts_of
from icudl.attacks.engine.protocol import Engine
from icudl.attacks.engine.stack import StackEngine
from icudl.attacks.engine.terms import RescaledEngine, TermEngine
from icudl.attacks.engine.wide import WideEngine
from icudl.execution.recording import CudaRecorder, Recorder
from icudl.models.base import SequenceClassifier
from icudl.models.encoding import SummaryEncoding
from icudl.models.recurrent.classifier import RecurrentClassifier
from icudl.models.recurrent.summary import SummaryRecurrentClassifier
from icudl.models.rescaled import RescaledClassifier
from icudl.models.summaries import WidePath

LARGE = {"last_hour": 8192, "final": 16384}
"""Stays from which the pass by hours is faster on a GPU, by read-out (docs/decisions/0178)."""


def make_engine(model: SequenceClassifier) -> Engine:
    """Return the fastest engine that is exact for a model.

    Recurrent networks, networks on window summaries, both side by side, and means of them have hand-written passes on a
    CPU and recorded ones on a CUDA device; other models, and classes derived from these, go through autograd.
    """
    try:
        weight = next(model.parameters(), None)
        if weight is None or weight.device.type != "cuda":
            return engine_by_hours(model)
        return device_engine(model, _recorder(weight.device))
    except NotWrittenByHandError:
        return AutogradEngine(model)


def device_engine(model: SequenceClassifier, recorder: Recorder) -> DeviceEngine:
    """Return the engine of CUDA devices for a model.

    Which pass reads a batch depends on model and size alone, never on a measurement: results may not depend on it.

    Raises:
        NotWrittenByHandError: The model has a part that is none of ours.
    """
    score = score_of(model)
    if isinstance(model, RecurrentClassifier) and not isinstance(model, SummaryRecurrentClassifier):
        options = model.options
        if options.n_layers == 1 and options.readout in LARGE:
            return DeviceEngine(score, recorder, engine_by_hours(model), LARGE[options.readout])
    return DeviceEngine(score, recorder)


@functools.cache
def _recorder(device: torch.device) -> CudaRecorder:
    """Return the one recorder of a device: its graphs share memory."""
    return CudaRecorder(device)


def engine_by_hours(model: SequenceClassifier) -> Engine:
    """Return the engine of hand-written passes for a model, that of a CPU.

    Raises:
        NotWrittenByHandError: The model has a part that is none of ours.
    """
    terms = _grouped(list(parts_of(model)))
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else TermEngine(terms)


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
