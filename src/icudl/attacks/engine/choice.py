"""The choice of an engine for a model."""

from __future__ import annotations

from icudl.attacks.engine.autograd import AutogradEngine, Engine
from icudl.attacks.engine.ends import EndStateEngine
from icudl.attacks.engine.stack import StackEngine
from icudl.models.base import SequenceClassifier
from icudl.models.recurrent.classifier import GruClassifier, LstmClassifier


def make_engine(model: SequenceClassifier) -> Engine:
    """Return the fastest engine that is exact for a model: hand-written for LSTM and GRU, else autograd."""
    if type(model) is not LstmClassifier and type(model) is not GruClassifier:
        return AutogradEngine(model)
    reads_ends = model.options.readout in {"final", "last_hour"} and model.options.n_layers == 1
    return EndStateEngine(model) if reads_ends else StackEngine(model)
