"""The attacks that beside_peers.py compares ours with: attack libraries, and the original study's algorithm.

All of them go through the library's module and autograd. Peers run with their defaults unless the name says otherwise;
what they cannot know (bounds, labels) is given to them.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

Run = Callable[[], Tensor]


def all_peers(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    """Return the attacks by name; each gives (B, T, F) cells that may or may not flip the decision.

    Args:
        model: Cells to two logits, of which the larger one is the decision.
        cells: (B, T, F) between 0 and 1.
        labels: (B,) decisions for ``cells``.

    Raises:
        ImportError: The libraries are not installed.
    """
    return {
        **_foolbox(model, cells, labels),
        **_adversarial_library(model, cells, labels),
        **_attackbench(model, cells, labels),
        **_art_and_torchattacks(model, cells, labels),
    }


def original(model: nn.Module, cells: Tensor, labels: Tensor, iterations: int) -> Tensor:
    """Attack as the original study does, step by step as it stands there.

    One Adam for the whole batch on the mean over stays of max(margin, -kappa) + lambda ||P||, with the norm its code
    takes (``matrix_norm(ord=1)``, the largest column sum); soft threshold lambda; clamp to the bounds; the best example
    of a stay has the lowest loss. kappa = 0, lambda = 0.003, learning rate 0.02.
    """
    lambda_1 = 0.003
    change = torch.zeros_like(cells, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=0.02)
    best, lowest = cells.clone(), torch.full((len(cells),), torch.inf)
    stays = torch.arange(len(cells))
    for _ in range(iterations):
        logits = model(cells + change)
        margin = logits[stays, labels] - logits[stays, 1 - labels]
        losses = margin.clamp(min=0.0) + lambda_1 * torch.linalg.matrix_norm(change, ord=1)
        better = (margin.detach() < 0) & (losses.detach() < lowest)
        best[better], lowest[better] = (cells + change).detach()[better], losses.detach()[better]
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        with torch.no_grad():
            change.copy_(torch.sign(change) * (change.abs() - lambda_1).clamp(min=0.0))
            change.copy_((cells + change).clamp(0.0, 1.0) - cells)
    return best


def _foolbox(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    import foolbox
    from foolbox import attacks

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def run(attack: object) -> Tensor:
        return attack(wrapped, cells, labels, epsilons=None)[0]

    start = attacks.SaltAndPepperNoiseAttack()
    return {
        "Foolbox EAD (L1 rule, 9 x 200)": partial(run, attacks.EADAttack(9, 200, decision_rule="L1")),
        "Foolbox FMN-L0, 200": partial(run, attacks.L0FMNAttack(steps=200)),
        "Foolbox Brendel-Bethge L0, 300": partial(run, attacks.L0BrendelBethgeAttack(start, steps=300)),
        "Foolbox Brendel-Bethge L1, 300": partial(run, attacks.L1BrendelBethgeAttack(start, steps=300)),
    }


def _adversarial_library(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    # __init__ imports torchvision for attacks on images, and the logger of curves visdom, a server to draw them: the
    # modules wanted here need neither, but name the logger's class in a signature.
    bare_package("adv_lib", "attacks")
    logger = types.ModuleType("adv_lib.utils.visdom_logger")
    logger.__dict__["VisdomLogger"] = type("VisdomLogger", (), {})
    sys.modules[logger.__name__] = logger
    from adv_lib.attacks.auto_pgd import minimal_apgd
    from adv_lib.attacks.fast_minimum_norm import fmn
    from adv_lib.attacks.primal_dual_gradient_descent import pdpgd
    from adv_lib.attacks.sigma_zero import sigma_zero
    from adv_lib.attacks.stochastic_sparse_attacks import vfga

    return {
        "adv-lib sigma-zero, 200": lambda: sigma_zero(model, cells.clone(), labels, num_steps=200),
        "adv-lib sigma-zero, 1000": lambda: sigma_zero(model, cells.clone(), labels, num_steps=1000),
        "adv-lib FMN-L0, 200": lambda: fmn(model, cells.clone(), labels, norm=0, steps=200),
        "adv-lib VFGA": lambda: vfga(model, cells.clone(), labels, targeted=False),
        # AttackBench's settings of both: the proximal operator of the 2/3 norm for L0, three phases for L1.
        "adv-lib PDPGD-L0, 500": lambda: pdpgd(model, cells.clone(), labels, norm=0, proximal_operator=23),
        "adv-lib PDPGD-L1, 500": lambda: pdpgd(model, cells.clone(), labels, norm=1),
        # The ratio of logits that APGD follows otherwise needs a third class.
        "adv-lib APGD-L1, 12 budgets x 100": lambda: minimal_apgd(
            model,
            cells.clone(),
            labels,
            norm=1,
            max_eps=32.0,
            binary_search_steps=12,
            loss_function="ce",
            use_large_reps=True,
        ),
    }


def _attackbench(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    for folder in ("", "attacks", "attacks.original"):
        bare_package("attackbench", folder)
    from attackbench.attacks.original.pgd_lzero import PGD0_minimal

    return {"AttackBench PGD0, 10 budgets x 100": lambda: PGD0_minimal(model, cells.clone(), labels)}


def bare_package(name: str, folder: str) -> None:
    """Let modules of an installed package be imported without what the ``__init__`` of its ``folder`` imports.

    Raises:
        ImportError: The package is not installed.
    """
    loaded = sys.modules.get(name)
    spec = None if loaded else importlib.util.find_spec(name)
    places = loaded.__path__ if loaded else spec.submodule_search_locations if spec else None
    if not places:
        raise ImportError(f"{name} is not installed")
    module = types.ModuleType(f"{name}.{folder}" if folder else name)
    module.__path__ = [str(Path(places[0]).joinpath(*folder.split(".")))]
    sys.modules[module.__name__] = module


def _art_and_torchattacks(model: nn.Module, cells: Tensor, labels: Tensor) -> dict[str, Run]:
    import torchattacks
    from art.attacks.evasion import ElasticNet, SaliencyMapMethod
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(cells.shape[1:]), 2, clip_values=(0, 1))
    array = cells.numpy()
    flipped = torch.nn.functional.one_hot(1 - labels, 2).numpy()
    elastic = partial(ElasticNet, classifier, decision_rule="L1", batch_size=256, verbose=False)
    saliency = SaliencyMapMethod(classifier, theta=0.3, batch_size=256, verbose=False)
    return {
        "ART EAD (L1 rule, beta .01)": lambda: torch.from_numpy(elastic(beta=0.01).generate(array)),
        "ART JSMA (theta .3)": lambda: torch.from_numpy(saliency.generate(array, y=flipped)),
        "torchattacks SparseFool": lambda: torchattacks.SparseFool(model)(cells.clone(), labels),
    }
