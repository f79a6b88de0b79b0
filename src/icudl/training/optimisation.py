"""Loss, optimiser and learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from icudl.training.options import TrainingOptions


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


def optimizer_of(options: TrainingOptions, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a model's parameters; its learning rate is set epoch by epoch."""
    makers: Mapping[str, Callable[[], torch.optim.Optimizer]] = {
        "adam": lambda: torch.optim.Adam(model.parameters(), weight_decay=options.weight_decay, fused=True),
        "adamw": lambda: torch.optim.AdamW(model.parameters(), weight_decay=options.weight_decay, fused=True),
        "rmsprop": lambda: torch.optim.RMSprop(model.parameters(), weight_decay=options.weight_decay),
        "sgd": lambda: torch.optim.SGD(model.parameters(), momentum=0.9, weight_decay=options.weight_decay),
    }
    return makers[options.optimizer]()
