"""Foolbox and ART, the real libraries: our checkpoints under their attacks, and their attacks in our runner."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import icudl.interop.extra
from attack_cases import make_case, make_checkpoint
from icudl.artifacts import Checkpoint, GridDataset
from icudl.attacks import distances
from icudl.attacks.base import make_attack
from icudl.attacks.options import GreedyOptions
from icudl.attacks.run.runner import run_attack
from icudl.attacks.target.verification import score
from icudl.errors import AttackError, ConfigError, PluginError, StageError
from icudl.execution.context import RunContext
from icudl.interop.checkpoints.module import CheckpointModule
from icudl.interop.peers.art import ArtAttack, art_classifier
from icudl.interop.peers.foolbox import FoolboxAttack, foolbox_model
from icudl.interop.peers.options import ArtOptions, FoolboxOptions, PeerOptions
from icudl.interop.peers.peer import MarginModel, PeerAttack
from icudl.models.options import GruOptions, LstmOptions
from icudl.preprocessing.scaling import InputOptions
from icudl.testing import LinearOracle
from icudl.testing.attack import (
    check_examples_flip,
    check_leaves_target_and_random_state,
    check_repeats_itself,
    check_stays_in_bounds,
    check_unreachable_is_no_example,
)
from training_grids import make_grid

pytestmark = pytest.mark.slow


def installed(module: str) -> Any:
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"the extra interop ({module}) is absent"
    )


needs_foolbox, needs_art = installed("foolbox"), installed("art")

PEERS = {
    "foolbox FMN-L0": (FoolboxAttack, "L0FMNAttack", {"steps": 60}, needs_foolbox),
    "foolbox PGD": (FoolboxAttack, "LinfPGD", {"steps": 20}, needs_foolbox),
    "art DeepFool": (ArtAttack, "DeepFool", {"max_iter": 20}, needs_art),
    "art PGD": (ArtAttack, "ProjectedGradientDescent", {"eps": 0.5, "max_iter": 20, "num_random_init": 1}, needs_art),
}
EACH_PEER = [
    # Projected gradients take longest; one attack of each library shows that the default suite can run them.
    pytest.param(name, marks=[case[3], *([pytest.mark.slow] if "PGD" in name else [])], id=name)
    for name, case in PEERS.items()
]


def factory(name: str, **more: Any) -> Callable[[], PeerAttack]:
    plugin, peer, arguments, _ = PEERS[name]
    return lambda: plugin(plugin.Options(peer=peer, peer_arguments=arguments, **more))


CHECKS = (
    check_stays_in_bounds,
    check_examples_flip,
    check_repeats_itself,
    check_leaves_target_and_random_state,
    check_unreachable_is_no_example,
)


@pytest.mark.parametrize("name", EACH_PEER)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_their_attacks_promise_here(name: str, check: Callable[[Any], None]) -> None:
    if (name, check) == ("foolbox FMN-L0", check_unreachable_is_no_example):
        with pytest.raises(AttackError, match="L0FMNAttack failed: IndexError"):
            check(factory(name))
        return
    check(factory(name))
    check(factory(name, refine=False))


@needs_foolbox
def test_stays_on_which_a_library_fails_count_as_not_flipped() -> None:
    oracle = LinearOracle.draw(4, 6, 3, seed=3)
    out_of_reach = oracle.bias + torch.tensor([0.0, 50.0, 0.0, 0.0])
    found = factory("foolbox FMN-L0")()(dataclasses.replace(oracle, bias=out_of_reach), range(4))
    assert found.found.tolist() == [True, False, True, True]


@pytest.mark.parametrize("name", EACH_PEER)
@pytest.mark.parametrize("threat_model", ["grid", "measured"])
def test_their_attacks_in_the_runner(name: str, threat_model: str, context: RunContext) -> None:
    grid, training = make_case(24, threshold=0.3)
    plugin, peer, arguments, _ = PEERS[name]
    options = plugin.Options(peer=peer, peer_arguments=arguments, threat_model=threat_model, batch_size=8)
    result = run_attack(training.checkpoints, grid, np.flatnonzero(grid.is_test), options, context)
    assert "success" in result.stays["status"]
    assert result.options["peer"] == peer
    flipped = result.stays.filter(status="success")
    assert ((flipped["best_probability"] >= 0.3) != (flipped["probability_before"] >= 0.3)).all()
    assert (flipped["first_iteration"] <= flipped["best_iteration"]).all()
    if threat_model == "measured":
        cells = result.perturbations
        rows = [grid.stay_ids.tolist().index(stay) for stay in cells["stay_id"]]
        assert not np.isnan(grid.values[rows, cells["hour"], cells["variable"]]).any()


MODELS = {"lstm": LstmOptions(hidden_size=5, fc_size=4), "gru": GruOptions(hidden_size=5, fc_size=4)}


def case_of(model: str) -> tuple[GridDataset, Checkpoint, CheckpointModule]:
    grid = make_grid(30, ragged=False)
    checkpoint = make_checkpoint(grid, "final", MODELS[model], threshold=0.35)
    return grid, checkpoint, CheckpointModule.of(checkpoint, grid, np.arange(16))


@needs_foolbox
@needs_art
@pytest.mark.parametrize("model", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_one_checkpoint_under_three_libraries(model: str) -> None:
    import foolbox
    from art.attacks.evasion import DeepFool

    _, checkpoint, module = case_of(model)
    says = module(module.inputs).argmax(dim=1)
    wrapped, classifier = foolbox_model(module), art_classifier(module)
    assert (wrapped(module.inputs).argmax(dim=1) == says).all()
    assert (classifier.predict(module.inputs.numpy(), batch_size=5).argmax(axis=1) == says.numpy()).all()
    torch.manual_seed(0)
    # ART's default overshoot of 1e-6 ends on the decision boundary, to within the rounding of single precision: which
    # side that is differs between machines. 0.02 is that of the method's paper (Moosavi-Dezfooli et al. 2016).
    deep_fool = DeepFool(classifier, max_iter=50, epsilon=0.02, verbose=False)
    found = {
        "foolbox": foolbox.attacks.L0FMNAttack(steps=60)(wrapped, module.inputs, says, epsilons=None)[0],
        "art": torch.from_numpy(deep_fool.generate(module.inputs.numpy())),
        "icudl": module.inputs + make_attack(GreedyOptions())(module.target, range(16)).best,
    }
    cells = {}
    for name, examples in found.items():
        after = score(module.model, module.target, examples.detach().clamp(0.0, 1.0))
        flips = after.says_death != (says == 1)
        assert flips.float().mean() > 0.9, name
        change = examples.detach() - module.inputs
        cells[name] = float(distances.l0(torch.where(change.abs() > 1e-7, change, 0.0))[flips].double().mean())
    assert cells["icudl"] <= cells["foolbox"] + 1e-9 < cells["art"], cells
    assert checkpoint.threshold == 0.35


@pytest.mark.parametrize(
    "inputs",
    [InputOptions(), InputOptions(channels=("value", "observed", "hours_since"), statics=("age_years",))],
    ids=["values", "all channels"],
)
def test_the_larger_logit_is_the_decision(inputs: InputOptions) -> None:
    grid = make_grid(24)
    checkpoint = make_checkpoint(grid, "final", inputs=inputs, threshold=0.2)
    module = CheckpointModule.of(checkpoint, grid)
    logits = module(module.inputs)
    decided = score(module.model, module.target, module.inputs)
    assert (logits.argmax(dim=1) == decided.says_death.long()).all()
    assert set(logits.argmax(dim=1).tolist()) == {0, 1}
    assert (module.labels.numpy() == grid.labels).all()
    leaf = module.inputs.clone().requires_grad_()
    difference = module(leaf) @ torch.tensor([-1.0, 1.0])
    (gradient,) = torch.autograd.grad(difference.sum(), leaf)
    signed = module.target.sign[:, None, None] * module.target.margin_and_gradient(module.inputs)[1]
    assert torch.allclose(gradient, signed, atol=1e-5)
    assert not module.train().training


def test_rows_that_cannot_be_told_apart_are_an_error() -> None:
    grid = make_grid(24)
    ragged = CheckpointModule.of(make_checkpoint(grid, "final"), grid)
    with pytest.raises(StageError, match="bound to 24 stays"):
        ragged(ragged.inputs[:5])
    one = CheckpointModule.of(make_checkpoint(grid, "final"), grid, np.array([3]))
    assert torch.allclose(one(one.inputs.repeat(4, 1, 1)), one(one.inputs).expand(4, 2), atol=1e-5)
    whole = make_grid(24, ragged=False)
    alike = CheckpointModule.of(make_checkpoint(whole, "final"), whole)
    assert torch.allclose(alike(alike.inputs[5:9]), alike(alike.inputs)[5:9], atol=1e-5)
    with pytest.raises(StageError, match="the checkpoint expects 6 of"):
        CheckpointModule.of(make_checkpoint(grid, "final"), make_grid(24, n_hours=7))


class HalfAtATime:
    """A library whose attack asks about one half of the rows after the other, then moves all cells to one end."""

    name = "Halves"

    def attacks(self) -> Mapping[str, Callable[..., Any]]:
        return {"Ends": object}

    def run(self, attack: Callable[..., Any], model: MarginModel, cells: Tensor) -> Tensor:
        half = (len(cells) + 1) // 2
        ends = [torch.zeros_like(cells), torch.ones_like(cells)]
        flips = [
            torch.cat([model(end[:half]), model(end[half:])] if half < len(cells) else [model(end)]) for end in ends
        ]
        first = flips[0].argmax(dim=1) == 1
        return torch.where(first[:, None, None], ends[0], ends[1])


def test_a_library_that_asks_about_some_rows_gets_one_stay_at_a_time() -> None:
    oracle = LinearOracle.draw(5, 6, 3, seed=2, reach=0.05)
    attack = PeerAttack(PeerOptions(peer="Ends", refine=False), HalfAtATime())
    together = attack(oracle, range(5))
    assert together.found.any()
    for stay in range(5):
        alone = attack(oracle.select(torch.tensor([stay])), [stay])
        assert torch.equal(alone.best[0], together.best[stay])
    assert (oracle.margin(oracle.values + together.best)[together.found] < 0).all()


@needs_foolbox
def test_a_checkpoint_module_is_never_put_in_training_mode() -> None:
    _, _, module = case_of("lstm")
    module.train()
    assert not any(part.training for part in module.modules())


@needs_foolbox
@needs_art
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (FoolboxOptions(), ConfigError, "names no attack of Foolbox"),
        (FoolboxOptions(peer="L0FMN"), ConfigError, "Did you mean 'L0FMNAttack'"),
        (ArtOptions(peer="ElasticNett"), ConfigError, "Did you mean 'ElasticNet'"),
        (ArtOptions(peer="DeepFool", peer_arguments={"eps": 1}), ConfigError, "peer_arguments"),
        (FoolboxOptions(peer="LinfPGD", peer_arguments={"stps": 1}), ConfigError, "stps"),
        (ArtOptions(peer="CarliniL0Method"), AttackError, "CarliniL0Method failed"),
    ],
    ids=["none", "unknown", "unknown in art", "argument", "argument in foolbox", "made for images"],
)
def test_what_cannot_be_run(options: PeerOptions, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_attack(options)(LinearOracle.draw(2, 4, 3, seed=1), range(2))


@needs_foolbox
@pytest.mark.skipif(importlib.util.find_spec("numba") is not None, reason="numba is installed")
def test_what_a_library_needs_unsaid() -> None:
    options = FoolboxOptions(peer="L2BrendelBethgeAttack")
    with pytest.raises(PluginError, match="pip install numba"):
        make_attack(options)(LinearOracle.draw(2, 4, 3, seed=1), range(2))


@pytest.mark.parametrize("options", [FoolboxOptions(peer="LinfPGD"), ArtOptions(peer="DeepFool")])
def test_without_the_extra(options: PeerOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])

    monkeypatch.setattr(icudl.interop.extra, "import_module", absent)
    with pytest.raises(
        PluginError, match=r"not installed. Install it with: pip install 'icu-deep-learning\[interop\]'"
    ):
        make_attack(options)
