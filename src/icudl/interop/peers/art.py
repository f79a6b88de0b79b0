"""Adversarial Robustness Toolbox: a checkpoint as a ``PyTorchClassifier``, and its attacks as the plug-in ``art``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from icudl.attacks.options import AttackOptions
from icudl.interop.checkpoints.module import CheckpointModule
from icudl.interop.extra import require
from icudl.interop.peers.options import ArtOptions
from icudl.interop.peers.peer import MarginModel, PeerAttack, attack_classes, make

NAME = "ART"
EVASION = "art.attacks.evasion"


def art_classifier(module: CheckpointModule) -> Any:
    """Return an ``art.estimators.classification.PyTorchClassifier`` of a checkpoint.

    Inputs are (B, T, F) unit coordinates with clip values 0 and 1; class 1 is death.

    Raises:
        PluginError: ART is not installed.
    """
    return _classifier(module, module.inputs)


def _classifier(module: nn.Module, cells: Tensor) -> Any:
    classification = require("art.estimators.classification", NAME)
    return classification.PyTorchClassifier(
        module.eval(),
        nn.CrossEntropyLoss(),
        tuple(cells.shape[1:]),
        nb_classes=2,
        clip_values=(0.0, 1.0),
        device_type="cpu" if cells.device.type == "cpu" else "gpu",
    )


class ArtAttack(PeerAttack):
    """Attack plug-in ``art``: the classes of ``art.attacks.evasion``; see ``interop.peers.peer``."""

    Options: ClassVar[type[AttackOptions]] = ArtOptions

    def __init__(self, options: ArtOptions) -> None:
        super().__init__(options, _Art(options))


class _Art:
    name = NAME

    def __init__(self, options: ArtOptions) -> None:
        self.options = options

    def attacks(self) -> Mapping[str, Callable[..., Any]]:
        """See ``interop.peers.peer.Library``."""
        return attack_classes(require(EVASION, NAME), require("art.attacks.attack", NAME).EvasionAttack)

    def run(self, attack: Callable[..., Any], model: MarginModel, cells: Tensor) -> Tensor:
        """See ``interop.peers.peer.Library``."""
        arguments = dict(self.options.peer_arguments)
        if "verbose" in inspect.signature(attack).parameters:
            arguments.setdefault("verbose", False)
        if "batch_size" in inspect.signature(attack).parameters:
            arguments.setdefault("batch_size", len(cells))
        classifier = _classifier(model, cells)
        made = make(lambda **given: attack(classifier, **given), NAME, arguments)
        # Without labels, untargeted attacks take the model's own class as the true one, and the saliency attack aims at
        # the other class. Given labels, the saliency attack would aim at them.
        aim = np.tile([0.0, 1.0], (len(cells), 1)) if made.targeted else None
        return torch.from_numpy(np.asarray(made.generate(cells.cpu().numpy(), y=aim))).to(cells.device)
