"""Training of one model: loss, optimiser, epochs, early stopping, resumption.

All randomness comes from the seed and the number of the epoch, so a run that is killed and resumed from its snapshot
ends with the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.context import seed_for
from icudl.execution.recording import Recorder
from icudl.models.base import SequenceClassifier, whole_stays
from icudl.models.build import build_model, to_device
from icudl.models.encoding import settled
from icudl.models.options import ModelOptions
from icudl.training.data import Stays, epoch_order
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.fitting import encoder_of, pretrain
from icudl.training.pretraining.unlabelled import UnlabelledStays
from icudl.training.recorded import RecordedGradients, can_be_recorded, recorder_for
from icudl.training.robust.lessons import Batch, RobustLessons
from icudl.training.scores.metrics import score
from icudl.training.snapshot import Epoch, Snapshot, optimizer_tensors, restore_optimizer
from icudl.training.steps import DivergenceError, leave_gradients, optimizer_of, set_rate

SCORING_BATCH, WIDE_SCORING_BATCH = 512, 4096
"""Stays scored at once, on a CPU and on other devices."""

OnEpoch = Callable[[Epoch], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model, with the weights of its best epoch.

    Attributes:
        model: In eval mode, on the device of training.
        history: Every epoch.
        best_epoch: The epoch whose weights the model has.
    """

    model: SequenceClassifier
    history: tuple[Epoch, ...]
    best_epoch: int


def fit(
    model_options: ModelOptions,
    options: TrainingOptions,
    train: Stays,
    valid: Stays | None,
    *,
    seed: int,
    epochs: int | None = None,
    robust: RobustLessons | None = None,
    unlabelled: UnlabelledStays | None = None,
    name: str = "model",
    device: str = "cpu",
    snapshot: Path | None = None,
    tick: Tick | None = None,
    on_epoch: OnEpoch | None = None,
    on_pretraining: OnEpoch | None = None,
    recorder: Recorder | None = None,
) -> Fitted:
    """Train until the validation score has not risen for ``options.patience`` epochs, or for a given number of epochs.

    Args:
        model_options: Architecture.
        options: Optimisation.
        train: Stays to fit.
        valid: Stays that choose the epoch; none of them is fitted. None where ``epochs`` is given.
        seed: Root of the initial weights, the order of the stays and the dropout.
        epochs: Number of epochs to train for; the weights of the last one are kept.
        robust: The same stays as ``train``, with what a robust training does to them; None for the usual training.
        unlabelled: The same stays as ``train``, on which the network is pretrained; None where it is not.
        name: Name of the model in error messages.
        device: Where to compute.
        snapshot: File of the state after each epoch; training resumes from it if it exists. The state of an
            unfinished pretraining is kept beside it.
        tick: Called for every finished epoch, and at the end for the epochs that were not needed.
        on_epoch: Called after every epoch, those taken from the snapshot included; may raise to end the training.
        on_pretraining: Called after every epoch of a pretraining, those taken from its snapshot included.
        recorder: Records the steps where they can be; by default on a CUDA device alone.

    Raises:
        StageError: The training stays are all of one class.
        DivergenceError: The loss is no longer finite.
    """
    _require_both_classes(name, train)
    with torch.random.fork_rng(devices=[]):
        looked_at = None if valid is None else valid.to(device)
        recorder = recorder or recorder_for(device)
        run = _Run(
            model_options,
            options,
            train.to(device),
            looked_at,
            seed,
            epochs,
            robust,
            unlabelled,
            name,
            device,
            recorder,
        )
        if snapshot is not None and snapshot.exists():
            if tick is not None and unlabelled is not None:
                tick(unlabelled.options.epochs)
            run.restore(Snapshot.read(snapshot))
            for epoch in run.history:
                _tell(epoch, tick, on_epoch)
        elif unlabelled is not None:
            beside = None if snapshot is None else _beside(snapshot)
            run.pretrain(unlabelled, beside, partial(_tell, tick=tick, on_epoch=on_pretraining))
        while not run.finished:
            epoch = run.advance()
            if snapshot is not None:
                run.snapshot().write(snapshot)
            _tell(epoch, tick, on_epoch)
        if tick is not None:
            tick(options.max_epochs - len(run.history))
        return run.result()


def _beside(snapshot: Path) -> Path:
    """Return the file of the state of a pretraining."""
    return snapshot.with_name(f"{snapshot.stem}.pretraining{snapshot.suffix}")


def _tell(epoch: Epoch, tick: Tick | None, on_epoch: OnEpoch | None) -> None:
    if tick is not None:
        tick(1)
    if on_epoch is not None:
        on_epoch(epoch)


def logits_of(model: SequenceClassifier, stays: Stays) -> Tensor:
    """Return (n, 2) logits of all stays in their order, on the CPU; the model is left in eval mode."""
    model.eval()
    device = next(model.parameters()).device
    size = SCORING_BATCH if device.type == "cpu" else WIDE_SCORING_BATCH
    with torch.no_grad():
        parts = [
            model(stays.features[start : start + size].to(device), stays.lengths[start : start + size].to(device))
            for start in range(0, len(stays), size)
        ]
    return torch.cat(parts).cpu() if parts else torch.zeros(0, 2)


def probabilities_of(logits: Tensor) -> npt.NDArray[np.float64]:
    """Return (n,) risks of death: the softmax of the logits, in double precision."""
    risks: npt.NDArray[np.float64] = torch.softmax(logits.double(), dim=1)[:, 1].numpy()
    return risks


def learning_rate_at(options: TrainingOptions, epoch: int) -> float:
    """Return the learning rate of an epoch (from 1): warm-up, then constant or a cosine down to a hundredth."""
    if epoch <= options.warmup_epochs:
        return options.learning_rate * epoch / (options.warmup_epochs + 1)
    if options.schedule == "constant":
        return options.learning_rate
    span = max(1, options.max_epochs - options.warmup_epochs - 1)
    progress = (epoch - options.warmup_epochs - 1) / span
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def loss_of(options: TrainingOptions, labels: Tensor) -> nn.Module:
    """Return the training loss: cross-entropy of the logits, weighted by class where the options say so."""
    weight = None
    if options.class_balance == "weight":
        counts = torch.bincount(labels, minlength=2).to(torch.float32)
        weight = len(labels) / (2 * counts)
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=options.label_smoothing)


class _Run:
    """A training run between two epochs."""

    def __init__(
        self,
        model_options: ModelOptions,
        options: TrainingOptions,
        train: Stays,
        valid: Stays | None,
        seed: int,
        epochs: int | None,
        robust: RobustLessons | None,
        unlabelled: UnlabelledStays | None,
        name: str,
        device: str,
        recorder: Recorder | None,
    ) -> None:
        self.options, self.train, self.valid, self.seed, self.name = options, train, valid, seed, name
        self.epochs, self.robust = epochs, robust
        torch.manual_seed(seed_for(seed, "weights"))
        self.model = to_device(build_model(model_options, train.features.shape[2]), device)
        self.model.prepare(train.features, train.lengths, train.columns)
        if unlabelled is None:
            self.optimizer = optimizer_of(options, self.model)
        else:
            share = unlabelled.options.encoder_rate
            self.optimizer = optimizer_of(options, self.model, encoder_of(self.model), share)
        self.loss = loss_of(options, train.labels)
        self.train_labels = train.labels.cpu().numpy()
        self.mean = _copy(self.model)
        # A robust training shortens stays and draws on the host.
        self.whole = robust is None and bool((train.lengths == train.features.shape[1]).all())
        self.recorder = recorder if can_be_recorded(self.model, train, whole=self.whole) else None
        self.recorded: RecordedGradients | None = None
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.history: list[Epoch] = []

    @property
    def finished(self) -> bool:
        done = len(self.history)
        if self.epochs is not None:
            return done >= self.epochs
        return done >= self.options.max_epochs or (done > 0 and done - self.best_epoch >= self.options.patience)

    def pretrain(self, stays: UnlabelledStays, snapshot: Path | None, on_epoch: OnEpoch) -> None:
        """Fit the recurrent layers without outcomes; the fit starts from their weights."""
        pretrain(self.model, stays, self.options, seed=self.seed, name=self.name, snapshot=snapshot, on_epoch=on_epoch)
        self.mean = _copy(self.model)

    def advance(self) -> Epoch:
        """Train one epoch and score it."""
        number = len(self.history) + 1
        rate = learning_rate_at(self.options, number)
        set_rate(self.optimizer, rate)
        with settled(self.model), whole_stays() if self.whole else contextlib.nullcontext():
            train_loss = self._train_epoch(number)
        epoch = self._score(number, train_loss, rate)
        if not (math.isfinite(epoch.train_loss) and (self.valid is None or math.isfinite(epoch.valid_loss))):
            raise DivergenceError(
                f"Training of {self.name} diverged in epoch {number}: training loss {epoch.train_loss}, validation "
                f"loss {epoch.valid_loss}. Expected finite numbers. Lower training.learning_rate "
                f"(now {self.options.learning_rate:g}) or set training.gradient_clip."
            )
        self.history.append(epoch)
        if self._is_kept(epoch):
            self.best, self.best_epoch = self._scored_weights(), number
        return epoch

    def _train_epoch(self, number: int) -> float:
        order = torch.from_numpy(
            epoch_order(
                self.train_labels,
                self.options.class_balance,
                np.random.default_rng(seed_for(self.seed, "order", number)),
            )
        ).to(self.train.labels.device)
        torch.manual_seed(seed_for(self.seed, "dropout", number))
        changes = np.random.default_rng(seed_for(self.seed, "robust", number))
        self.model.train()
        total = torch.zeros((), device=self.train.labels.device)
        batches = torch.split(order, self.options.batch_size)
        for index, rows in enumerate(batches):
            if self.robust is None:
                loss = self._usual_gradients(rows)
            else:
                batch = self.robust.batch(self.train, rows, changes)
                loss = self._gradients(self._robust_loss(self.robust, batch, changes))
            self.optimizer.step()
            total += loss * len(rows)
            if self.options.ema_decay > 0:
                self._update_mean((number - 1) * len(batches) + index)
        return float(total) / len(order)

    def _usual_gradients(self, rows: Tensor) -> Tensor:
        """Leave the gradients of a batch in the parameters, and return its loss."""
        if self.recorder is None or len(rows) != self.options.batch_size:
            return self._gradients(self._usual_loss(self.train.select(rows)))
        if self.recorded is None:
            self.recorded = RecordedGradients(
                lambda chosen: self._gradients(self._usual_loss(self.train.select(chosen))),
                self.model,
                rows,
                self.recorder,
                self.name,
            )
        return self.recorded(rows)

    def _usual_loss(self, batch: Stays) -> Tensor:
        return self._loss_of(self._logits(batch.features, batch.lengths), batch)

    def _robust_loss(self, robust: RobustLessons, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Return the loss of altered stays, and of the same with charted values changed on purpose."""
        options, stays = robust.options, batch.stays
        if not options.searches:
            return self._usual_loss(stays)
        changed = robust.worst(self.model, batch, rng)
        both = self._logits(torch.cat([stays.features, changed]), torch.cat([stays.lengths, stays.lengths]))
        before, after = zip(*(logits.chunk(2) for logits in both), strict=True)
        share = options.adversarial_share
        loss = (1 - share) * self._loss_of(before, stays) + share * self._loss_of(after, stays)
        return loss + options.consistency * _divergence(before, after) if options.consistency > 0 else loss

    def _logits(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the float32 logits that are trained."""
        half = self.options.precision == "bfloat16"
        with torch.autocast(features.device.type, torch.bfloat16, enabled=half):
            every = self.model.training_logits(features, lengths)
        return tuple(logits.float() for logits in every)

    def _loss_of(self, every: tuple[Tensor, ...], batch: Stays) -> Tensor:
        targets = batch.labels if batch.targets is None else batch.targets
        return torch.stack([self.loss(logits, targets) for logits in every]).mean()

    def _gradients(self, loss: Tensor) -> Tensor:
        """Leave the gradients of a loss in the parameters, and return it."""
        return leave_gradients(self.optimizer, loss, self.model, self.options.gradient_clip)

    def _update_mean(self, step: int) -> None:
        # The first steps forget faster, so that the initial weights drop out of the mean.
        decay = min(self.options.ema_decay, step / (step + 9))
        parameters = dict(self.model.named_parameters())
        means = [self.mean[name] for name in parameters]
        torch._foreach_lerp_(means, [each.detach() for each in parameters.values()], 1 - decay)

    def _score(self, number: int, train_loss: float, rate: float) -> Epoch:
        if self.valid is None:
            return Epoch(
                epoch=number,
                train_loss=train_loss,
                valid_loss=math.nan,
                valid_auroc=math.nan,
                valid_auprc=math.nan,
                learning_rate=rate,
            )
        current = _copy(self.model)
        self.model.load_state_dict(self._scored_weights())
        logits = logits_of(self.model, self.valid)
        self.model.load_state_dict(current)
        risks, labels = probabilities_of(logits), self.valid.labels.cpu().numpy()
        return Epoch(
            epoch=number,
            train_loss=train_loss,
            valid_loss=float(nn.functional.cross_entropy(logits.double(), self.valid.labels.cpu())),
            valid_auroc=score("auroc", labels, risks),
            valid_auprc=score("auprc", labels, risks),
            learning_rate=rate,
        )

    def _scored_weights(self) -> dict[str, Tensor]:
        if self.options.ema_decay > 0:
            return {name: tensor.clone() for name, tensor in self.mean.items()}
        return _copy(self.model)

    def _is_kept(self, epoch: Epoch) -> bool:
        """Tell whether the weights after this epoch are kept: always for a given number of epochs, else if best."""
        if self.epochs is not None or not self.best:
            return True
        return self._merit(epoch) > self._merit(self.history[self.best_epoch - 1])

    def _merit(self, epoch: Epoch) -> float:
        """Return the monitored score, larger being better; the loss where validation stays are of one class."""
        merit = {"auroc": epoch.valid_auroc, "auprc": epoch.valid_auprc}.get(self.options.monitor, math.nan)
        return -epoch.valid_loss if math.isnan(merit) else merit

    def snapshot(self) -> Snapshot:
        """Return the state after the last epoch."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        if self.options.ema_decay > 0:
            tensors |= {f"mean.{name}": tensor for name, tensor in self.mean.items()}
        return Snapshot(tensors | optimizer_tensors(self.optimizer), tuple(self.history), self.best_epoch)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a state."""
        self.model.load_state_dict(snapshot.part("model"))
        restore_optimizer(self.optimizer, snapshot.part("optimizer"))
        device = self.train.labels.device
        self.best = {name: tensor.to(device) for name, tensor in snapshot.part("best").items()}
        self.mean |= {name: tensor.to(device) for name, tensor in snapshot.part("mean").items()}
        self.best_epoch, self.history = snapshot.best_epoch, list(snapshot.history)

    def result(self) -> Fitted:
        """Return the model with the weights of its best epoch."""
        self.model.load_state_dict(self.best)
        # What was recorded holds memory of the device, and this run.
        self.recorded = None
        return Fitted(self.model.eval(), tuple(self.history), self.best_epoch)


def _require_both_classes(name: str, train: Stays) -> None:
    deaths = int(train.labels.sum())
    if deaths in (0, len(train)):
        raise StageError(
            f"The {len(train)} training stays of {name} hold {deaths} deaths; both outcomes are needed to learn from. "
            "Use more stays, fewer folds, or a smaller training.validation_fraction."
        )


def _divergence(before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> Tensor:
    """Return the mean Kullback-Leibler divergence of the risks after from those before."""
    parts = [
        nn.functional.kl_div(
            nn.functional.log_softmax(changed, dim=1),
            nn.functional.log_softmax(unchanged, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        for unchanged, changed in zip(before, after, strict=True)
    ]
    return torch.stack(parts).mean()


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
