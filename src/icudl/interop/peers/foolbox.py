"""Foolbox: a checkpoint as a ``PyTorchModel``, and Foolbox's attacks as the attack plug-in ``foolbox``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from icudl.attacks.options import AttackOptions
from icudl.interop.checkpoints.module import CheckpointModule
from icudl.interop.extra import require
from icudl.interop.peers.options import FoolboxOptions
from icudl.interop.peers.peer import MarginModel, PeerAttack, attack_classes, make

NAME = "Foolbox"


def foolbox_model(module: CheckpointModule) -> Any:
    """Return a ``foolbox.PyTorchModel`` of a checkpoint: (B, T, F) unit coordinates, bounds 0 and 1.

    Raises:
        PluginError: Foolbox is not installed.
    """
    foolbox = require("foolbox", NAME)
    return foolbox.PyTorchModel(module.eval(), bounds=(0.0, 1.0), device=module.device)


class FoolboxAttack(PeerAttack):
    """Attack plug-in ``foolbox``; see ``interop.peers.peer``.

    Attacks that look for the smallest change run as they are. Those that take a budget try ``options.budgets`` from the
    smallest, and each stay keeps the first that flips it.
    """

    Options: ClassVar[type[AttackOptions]] = FoolboxOptions

    def __init__(self, options: FoolboxOptions) -> None:
        super().__init__(options, _Foolbox(options))


class _Foolbox:
    name = NAME

    def __init__(self, options: FoolboxOptions) -> None:
        self.options = options

    def attacks(self) -> Mapping[str, Callable[..., Any]]:
        """See ``interop.peers.peer.Library``."""
        return attack_classes(require("foolbox.attacks", NAME), require("foolbox.attacks.base", NAME).Attack)

    def run(self, attack: Callable[..., Any], model: MarginModel, cells: Tensor) -> Tensor:
        """See ``interop.peers.peer.Library``."""
        foolbox = require("foolbox", NAME)
        made = make(attack, NAME, self.options.peer_arguments)
        wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0.0, 1.0), device=cells.device)
        present = torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
        if not isinstance(made, require("foolbox.attacks.base", NAME).FixedEpsilonAttack):
            given: Tensor = made(wrapped, cells, present, epsilons=None)[0]
            return given
        _, clipped, success = made(wrapped, cells, present, epsilons=sorted(self.options.budgets))
        budget = success.long().argmax(dim=0)
        return torch.stack(list(clipped))[budget, torch.arange(len(cells), device=cells.device)]
