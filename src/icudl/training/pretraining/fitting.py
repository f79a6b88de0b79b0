"""The recurrent layers of a network learn to tell hidden charted values, epoch by epoch; a killed run goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from icudl.errors import StageError
from icudl.execution.context import seed_for
from icudl.models.base import SequenceClassifier
from icudl.models.recurrent import RecurrentClassifier
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.pretraining.unlabelled import Riddle, UnlabelledStays
from icudl.training.snapshot import Epoch, Snapshot, optimizer_tensors, restore_optimizer
from icudl.training.steps import DivergenceError, optimizer_of, set_rate, take_step


def pretrain(
    model: SequenceClassifier,
    stays: UnlabelledStays,
    training: TrainingOptions,
    *,
    seed: int,
    name: str = "model",
    snapshot: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Epoch, ...]:
    """Fit the recurrent layers of a network, in place, so that a linear layer on their states tells hidden values.

    The loss is the mean squared error over the hidden values of a batch, on the scale of the value channel. Read-out,
    head and all else keep their weights; the linear layer is forgotten. Optimiser, weight decay, batch size, clipping
    and precision are those of the fit that follows.

    Args:
        model: A network with recurrent layers.
        stays: Stays to fit, with what is hidden of them.
        training: Optimisation.
        seed: Root of the linear layer's weights, the order of the stays, the dropout and what is hidden.
        name: Name of the model in error messages.
        snapshot: File of the state after each epoch; pretraining resumes from it if it exists.
        on_epoch: Called after every epoch, those taken from the snapshot included.

    Returns:
        The epochs; of their numbers, training loss and learning rate alone are known.

    Raises:
        StageError: The network has no recurrent layers.
        DivergenceError: The loss is no longer finite.
    """
    run = _Run(_recurrent(model), stays, training, seed, name)
    tell = on_epoch or (lambda _epoch: None)
    if snapshot is not None and snapshot.exists():
        run.restore(Snapshot.read(snapshot))
        for epoch in run.history:
            tell(epoch)
    while len(run.history) < stays.options.epochs:
        run.advance()
        if snapshot is not None:
            run.snapshot().write(snapshot)
        tell(run.history[-1])
    return tuple(run.history)


def encoder_of(model: SequenceClassifier) -> nn.Module:
    """Return the layers that are pretrained.

    Raises:
        StageError: The network has no recurrent layers.
    """
    return _recurrent(model).encoder


def _recurrent(model: SequenceClassifier) -> RecurrentClassifier:
    if not isinstance(model, RecurrentClassifier):
        raise StageError(
            f"{type(model).__name__} has no recurrent layers, which alone can be pretrained. Set pretrain.epochs = 0 "
            "for this model, or choose lstm, gru, lstm_summary or gru_summary."
        )
    return model


def rate_at(options: PretrainOptions, epoch: int) -> float:
    """Return the learning rate of an epoch (from 1): a cosine from the first one down to a hundredth at the last."""
    progress = (epoch - 1) / max(1, options.epochs - 1)
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def told(states: Tensor, out: nn.Module, riddle: Riddle) -> Tensor:
    """Return the mean squared error of what a linear layer tells of the hidden values; 0 where none is hidden."""
    errors = (out(states).float() - riddle.answers) ** 2
    mean: Tensor = (errors * riddle.hidden).sum() / riddle.hidden.sum().clamp(min=1)
    return mean


class _Run:
    """Pretraining between two epochs."""

    def __init__(
        self, model: RecurrentClassifier, stays: UnlabelledStays, training: TrainingOptions, seed: int, name: str
    ) -> None:
        self.model, self.stays, self.training, self.seed, self.name = model, stays, training, seed, name
        self.device = next(model.parameters()).device
        torch.manual_seed(seed_for(seed, "pretrain", "out"))
        self.out = nn.Linear(model.n_states, stays.n_variables).to(self.device)
        self.fitted = nn.ModuleDict({"encoder": model.encoder, "out": self.out})
        self.optimizer = optimizer_of(training, self.fitted)
        self.history: list[Epoch] = []

    def advance(self) -> None:
        """Pretrain for one epoch."""
        number = len(self.history) + 1
        rate = rate_at(self.stays.options, number)
        set_rate(self.optimizer, rate)
        loss = self._epoch(number)
        if not math.isfinite(loss):
            raise DivergenceError(
                f"Pretraining of {self.name} diverged in epoch {number}: loss {loss}. Expected a finite number. Lower "
                f"pretrain.learning_rate (now {self.stays.options.learning_rate:g}) or set training.gradient_clip."
            )
        self.history.append(
            Epoch(
                epoch=number,
                train_loss=loss,
                valid_loss=math.nan,
                valid_auroc=math.nan,
                valid_auprc=math.nan,
                learning_rate=rate,
            )
        )

    def _epoch(self, number: int) -> float:
        rng = np.random.default_rng(seed_for(self.seed, "pretrain", "hidden", number))
        torch.manual_seed(seed_for(self.seed, "pretrain", "dropout", number))
        order = rng.permutation(len(self.stays)).astype(np.int64)
        self.model.train()
        total = torch.zeros((), device=self.device)
        for start in range(0, len(order), self.training.batch_size):
            rows = order[start : start + self.training.batch_size]
            loss = self._loss(self.stays.riddle(rows, rng).to(self.device))
            total += take_step(self.optimizer, loss, self.fitted, self.training.gradient_clip) * len(rows)
        return float(total) / len(order)

    def _loss(self, riddle: Riddle) -> Tensor:
        half = self.training.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            states = self.model.hourly_states(riddle.features, riddle.lengths)
            return told(states, self.out, riddle)

    def snapshot(self) -> Snapshot:
        """Return the state after the last epoch."""
        tensors = {f"fitted.{name}": tensor for name, tensor in self.fitted.state_dict().items()}
        return Snapshot(tensors | optimizer_tensors(self.optimizer), tuple(self.history), len(self.history))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a state."""
        self.fitted.load_state_dict(snapshot.part("fitted"))
        restore_optimizer(self.optimizer, snapshot.part("optimizer"))
        self.history = list(snapshot.history)
