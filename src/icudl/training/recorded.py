"""Gradients of full batches from recorded work, which one call of the host starts on a GPU (docs/decisions/0178)."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from icudl.execution.recording import CudaRecorder, Recorder, recorded
from icudl.models.recurrent.classifier import GruClassifier, LstmClassifier, RecurrentClassifier
from icudl.models.recurrent.summary import GruSummaryClassifier, LstmSummaryClassifier
from icudl.models.summaries import SummaryClassifier
from icudl.training.data import Stays

RECORDED = (LstmClassifier, GruClassifier, LstmSummaryClassifier, GruSummaryClassifier, SummaryClassifier)
"""Models whose steps can be recorded; what a class derived from them does on the host would be done once."""

_LOGGER = logging.getLogger(__name__)


def recorder_for(device: str) -> Recorder | None:
    """Return what records steps on a device; None where nothing is gained, on a CPU."""
    chosen = torch.device(device)
    return CudaRecorder(chosen) if chosen.type == "cuda" else None


def can_be_recorded(model: nn.Module, stays: Stays, *, whole: bool) -> bool:
    """Tell whether steps of a model do the same things each time, without waiting for the device.

    Batches of stays of several lengths are packed, which asks for the lengths. Dropout between recurrent layers has
    random numbers of cuDNN's own, which cannot be put back.
    """
    if type(model) not in RECORDED or not whole or len(stays) == 0:
        return False
    return not isinstance(model, RecurrentClassifier) or model.rnn.dropout == 0.0


class RecordedGradients:
    """Loss and gradients of batches of one size.

    Args:
        gradients: Leaves the gradients in the parameters, given the (n,) rows of a batch, and returns the loss.
        model: Whose parameters these are.
        like: (n,) rows of the first batch.
        recorder: Records the work.
        name: Name of the model in messages.
    """

    def __init__(
        self, gradients: Callable[[Tensor], Tensor], model: nn.Module, like: Tensor, recorder: Recorder, name: str
    ) -> None:
        self._gradients, self._parameters = gradients, list(model.parameters())
        self._recorder, self._name = recorder, name
        self._rows = like.clone()
        self._loss = torch.zeros((), device=like.device)
        self._results: list[Tensor | None] = []
        self._again: Callable[[], None] | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        """Leave the gradients of a batch in the parameters, and return its loss, which the next batch overwrites."""
        self._rows.copy_(rows)
        if self._again is None:
            self._again = self._record()
        else:
            self._again()
        for parameter, result in zip(self._parameters, self._results, strict=True):
            parameter.grad = result
        return self._loss

    def _record(self) -> Callable[[], None]:
        device = self._rows.device
        state = _random_state(device)
        self._gradients(self._rows)
        self._results = [None if each.grad is None else torch.zeros_like(each) for each in self._parameters]
        results = [result for result in self._results if result is not None]
        again, reason = recorded(self._recorder, self._work, [self._loss, *results], lambda: _put_back(device, state))
        if reason:
            _LOGGER.warning("Training of %s is not recorded on %s: %s", self._name, device, reason)
        return again

    def _work(self) -> None:
        self._loss.copy_(self._gradients(self._rows))
        found = [each.grad for each in self._parameters if each.grad is not None]
        torch._foreach_copy_([result for result in self._results if result is not None], found)


def _random_state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)


def _put_back(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)
