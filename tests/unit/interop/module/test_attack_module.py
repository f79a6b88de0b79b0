"""Any torch module under the attacks: what is found holds, and is what the pipeline would have found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import icudl
from attack_cases import make_case
from icudl.analysis.options import AnalysisOptions
from icudl.artifacts import AttackStatus
from icudl.attacks.engine import AutogradEngine
from icudl.attacks.options import GreedyOptions, NoiseOptions, ProximalOptions
from icudl.attacks.run.runner import run_attack
from icudl.errors import AttackError, ConfigError, IcudlError, PluginError
from icudl.execution.context import RunContext
from icudl.interop.module.target import ModuleTarget
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics
from icudl.variables import CATALOGUE

N, T, F = 12, 6, 3


class Reader(nn.Module):
    """A GRU as a reader would write it; random weights large enough that its decisions differ."""

    def __init__(self, n_logits: int = 2, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.gru = nn.GRU(F, 8, batch_first=True, dtype=dtype)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, n_logits, dtype=dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(4.0)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(self.dropout(self.gru(inputs)[0][:, -1]))


class OneLogit(nn.Module):
    """The same decisions as ``Reader`` by one logit, centred so that both classes occur."""

    def __init__(self, *, shape: str = "column", shift: float = 0.0) -> None:
        super().__init__()
        self.reader, self.shape, self.shift = Reader(), shape, shift

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.reader(inputs)
        z = logits[:, 1:] - logits[:, :1] - self.shift
        return {"column": z, "flat": z[:, 0], "pair": torch.cat([torch.zeros_like(z), z], dim=1)}[self.shape]


class Sums(nn.Module):
    """A linear module with lengths: the sum of the first variable over a stay's hours, minus one."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(inputs.shape[1]) < lengths[:, None]
        return torch.where(inside, inputs[:, :, 0], 0.0).sum(dim=1) - 1.0


@pytest.fixture(scope="module")
def cells() -> Tensor:
    return torch.rand(N, T, F, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def reader(cells: Tensor) -> OneLogit:
    module = OneLogit(shape="pair").eval()
    with torch.no_grad():
        logits = module(cells)
    module.shift = float(logits[:, 1].sort().values[N // 2 - 1 : N // 2 + 1].mean())
    return module


def decisions(module: nn.Module, inputs: Any) -> np.ndarray:
    with torch.no_grad():
        return module.eval()(torch.as_tensor(inputs)).argmax(dim=1).numpy()


@pytest.mark.parametrize("name", ["greedy", "proximal", "pgd", "sweep", "noise"])
def test_examples_flip_inside_the_bounds(name: str, reader: OneLogit, cells: Tensor) -> None:
    found = icudl.attack_module(reader, cells, attack=name)
    assert found.flipped.any()
    for example in (found.first, found.best):
        flips = decisions(reader, example) != decisions(reader, cells)
        assert (flips == found.flipped).all()
        assert (example >= 0).all()
        assert (example <= 1).all()
    assert (found.best[~found.flipped] == cells.numpy()[~found.flipped]).all()
    changed = found.result.perturbations.filter(example="best")
    assert len(changed) == (found.best != cells.numpy()).sum()
    assert set(found.result.stays["status"]) <= {"success", "failed"}


def test_our_own_module_gives_what_the_pipeline_gives(context: RunContext) -> None:
    grid, training = make_case(30, threshold=0.4)
    checkpoint, rows = training.checkpoints["final"], np.flatnonzero(grid.is_test)
    options = GreedyOptions(batch_size=4)
    pipeline = run_attack(training.checkpoints, grid, rows, options, context)
    inputs = InputOptions.from_dict(checkpoint.inputs)
    lengths = grid.lengths[rows].astype(np.int64)
    prepared = prepare_inputs(checkpoint.scaler, inputs, grid.values[rows], lengths, select_statics(grid, inputs)[rows])
    found = icudl.attack_module(
        load_model(checkpoint, "cpu"), prepared.unit, grid.labels[rows], lengths=lengths, attack=options,
        variables=grid.variables, threshold=checkpoint.threshold,
    )  # fmt: skip
    assert "success" in pipeline.stays["status"]
    assert found.result.stays["status"].to_list() == pipeline.stays["status"].to_list()
    for column in ("best_l0", "first_iteration", "best_l1", "best_probability"):
        ours, theirs = (result.stays[column].cast(float).fill_null(-1) for result in (found.result, pipeline))
        assert (ours - theirs).abs().max() < 1e-4, column  # type: ignore[operator]


def test_the_other_class_wins_by_the_confidence(reader: OneLogit, cells: Tensor) -> None:
    found = icudl.attack_module(reader, cells, attack=GreedyOptions(kappa=0.4))
    assert found.flipped.any()
    with torch.no_grad():
        logits = reader.eval()(torch.as_tensor(found.best)).numpy()
    margins = np.abs(logits[:, 1] - logits[:, 0])[found.flipped]
    assert (margins > 0.4).all()
    assert margins.min() < 0.41


def test_our_own_module_takes_the_fast_engine() -> None:
    _, training = make_case(30)
    model = load_model(training.checkpoints["final"], "cpu")
    cells, lengths = torch.rand(2, 6, 3), torch.tensor([6, 4])
    bounds = torch.zeros_like(cells), torch.ones_like(cells)
    target = ModuleTarget.bind(model, cells, *bounds, torch.ones_like(cells, dtype=torch.bool), lengths, 0.0)
    assert not isinstance(target.engine, AutogradEngine)


@pytest.mark.parametrize("shape", ["column", "flat"])
def test_one_logit_stands_for_two(shape: str, reader: OneLogit, cells: Tensor) -> None:
    two = icudl.attack_module(reader, cells)
    one = icudl.attack_module(OneLogit(shape=shape, shift=reader.shift), cells)
    assert (one.best == two.best).all()
    assert one.result.stays.equals(two.result.stays)


def test_nothing_of_the_caller_is_changed(reader: OneLogit, cells: Tensor) -> None:
    reader.train()
    reader.reader.gru.eval()
    reader.reader.out.weight.requires_grad_(requires_grad=False)
    before = {name: tensor.clone() for name, tensor in reader.state_dict().items()}
    inputs, state, numpy_state = cells.clone(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    icudl.attack_module(reader, inputs, attack="noise")
    assert torch.equal(inputs, cells)
    assert torch.equal(state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002
    assert (reader.training, reader.reader.dropout.training, reader.reader.gru.training) == (True, True, False)
    assert [p.requires_grad for p in reader.reader.out.parameters()] == [False, True]
    assert all(parameter.grad is None for parameter in reader.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in reader.state_dict().items())
    reader.reader.out.weight.requires_grad_(requires_grad=True)


def test_a_failed_call_restores_the_module_too(reader: OneLogit) -> None:
    reader.train()
    with pytest.raises(AttackError, match="failed on inputs"):
        icudl.attack_module(reader, torch.rand(2, T, F + 1))
    assert reader.training
    assert all(parameter.requires_grad for parameter in reader.parameters())


def test_batches_do_not_matter_and_the_seed_does(reader: OneLogit, cells: Tensor) -> None:
    noise = NoiseOptions()
    whole = icudl.attack_module(reader, cells, attack=noise, seed=3)
    parts = icudl.attack_module(reader, cells, attack=dataclasses.replace(noise, batch_size=5), seed=3)
    assert np.allclose(whole.best, parts.best, atol=1e-6)
    other = icudl.attack_module(reader, cells, attack=noise, seed=4)
    assert not (whole.best == other.best).all()


def test_units_of_the_module_are_kept(reader: OneLogit, cells: Tensor) -> None:
    """The same module behind a change of units: the same changes, told in those units."""
    low, width = torch.tensor([90.0, -5.0, 0.0]), torch.tensor([60.0, 10.0, 0.5])

    class InUnits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = reader

        def forward(self, inputs: Tensor) -> Tensor:
            return self.reader((inputs - low) / width)

    plain = icudl.attack_module(reader, cells)
    scaled = icudl.attack_module(
        InUnits(), low + width * cells, bounds=(low, low + width), variables=["sodium", "own", "ph"]
    )
    assert np.allclose(scaled.best, (low + width * torch.from_numpy(plain.best)).numpy(), rtol=1e-5, atol=1e-4)
    assert scaled.result.variables[0] == CATALOGUE["sodium"]
    assert (scaled.result.variables[1].low, scaled.result.variables[1].high) == (-5.0, 5.0)
    first = scaled.result.perturbations.filter(example="best").row(0, named=True)
    cell = first["stay_id"], first["hour"], first["variable"]
    assert first["after_clinical"] == pytest.approx(float(scaled.best[cell]), rel=1e-6)
    assert first["before_clinical"] == pytest.approx(float((low + width * cells)[cell]), rel=1e-6)
    unit = (first["after_clinical"] - first["before_clinical"]) / float(width[cell[2]])
    assert first["change"] == pytest.approx(unit, abs=1e-4)


def test_double_precision_modules(cells: Tensor) -> None:
    module = Reader(dtype=torch.float64)
    found = icudl.attack_module(module, cells, threshold=0.5)
    assert found.best.dtype == np.float64
    assert (decisions(module, found.best) != decisions(module, cells.double()))[found.flipped].all()


def test_locked_cells_and_padding_stay(cells: Tensor) -> None:
    lengths = torch.tensor([1, 2, 3, 4, 5, 6] * 2)
    mask = torch.ones(T, F, dtype=torch.bool)
    mask[0] = False
    inputs = cells.clone()
    inputs[torch.arange(T) >= lengths[:, None]] = torch.nan
    inputs[:, 0] = 7.0  # locked, so it may lie outside the bounds
    inputs[:, 0, 0] = 0.3
    found = icudl.attack_module(Sums(), inputs, lengths=lengths, mask=mask)
    status = found.result.stays["status"].to_list()
    assert [status[row] for row in (0, 6)] == [AttackStatus.NOTHING_TO_CHANGE.value] * 2
    assert found.flipped[[4, 5, 10, 11]].all()
    same = (found.best == inputs.numpy()) | np.isnan(inputs.numpy())
    assert same[:, 0].all()
    assert same[np.arange(T) >= lengths.numpy()[:, None]].all()
    assert same[:, :, 1:].all(), "the module does not read these"


def test_named_variables_alone_move(reader: OneLogit, cells: Tensor) -> None:
    options = GreedyOptions(variables=("b",))
    found = icudl.attack_module(reader, cells, attack=options, variables=["a", "b", "c"])
    assert found.flipped.any()
    assert (found.best[:, :, [0, 2]] == cells.numpy()[:, :, [0, 2]]).all()


def test_labels_and_threshold_decide_who_is_attacked(reader: OneLogit, cells: Tensor) -> None:
    says = decisions(reader, cells)
    labels = says.copy()
    labels[:2] = 1 - labels[:2]
    found = icudl.attack_module(reader, cells, labels)
    assert (found.result.stays["status"].to_numpy() == "misclassified").tolist() == [True, True, *[False] * (N - 2)]
    with torch.no_grad():
        risk = torch.softmax(reader(cells), dim=1)[:, 1].numpy()
    strict = icudl.attack_module(reader, cells, threshold=0.9)
    assert (strict.result.stays["label"].to_numpy() == (risk >= 0.9)).all()
    assert np.allclose(strict.result.stays["probability_before"].to_numpy(), risk, atol=1e-6)
    after = strict.result.stays["best_probability"].to_numpy()
    assert ((after >= 0.9) != (risk >= 0.9))[strict.flipped].all()


def test_measures_are_those_of_the_examples(reader: OneLogit, cells: Tensor) -> None:
    found = icudl.attack_module(reader, cells)
    table = found.susceptibility(AnalysisOptions(bootstrap_samples=10)).tables["cells"]
    says = found.result.stays["label"].to_numpy()
    chosen = found.flipped & (says == 0)
    share = (found.best != cells.numpy())[chosen].mean(axis=0)
    part = table.filter(condition="survival_to_death", example="best")
    assert np.allclose(part["gpp"].to_numpy().reshape(T, F), share)
    assert table.equals(found.susceptibility(AnalysisOptions(bootstrap_samples=20)).tables["cells"])


def test_stays_without_a_logit_are_told(reader: OneLogit, cells: Tensor) -> None:
    class SometimesNothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = reader

        def forward(self, inputs: Tensor) -> Tensor:
            return torch.where(inputs[:, :1, 0] == cells[3, 0, 0], torch.nan, self.reader(inputs))

    found = icudl.attack_module(SometimesNothing(), cells)
    assert found.result.stays["status"][3] == AttackStatus.INVALID_OUTPUT
    assert not found.flipped[3]


class Broken(nn.Module):
    def __init__(self, forward: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.way = forward

    def forward(self, inputs: Tensor) -> Any:
        return self.way(inputs)


def with_nan(cells: Tensor) -> Tensor:
    return cells.masked_fill(torch.arange(F) == 1, torch.nan)


BAD_MODULES = {
    "three classes": (lambda x: x[:, 0, :3], r"gives \(12, 3\)|gives \(4, 3\)"),
    "a tuple": (lambda x: (x[:, 0, :2], x), "gives tuple"),
    "a row for the batch": (lambda x: x.mean().reshape(1, 1), "two logits a stay"),
    "no gradient": (lambda x: (x[:, :, 0] > 0.5).float().sum(1, keepdim=True) - 2.9, "not differentiable"),
    "random": (lambda x: x[:, 0, :2] + torch.rand(len(x), 2), "the second time"),
    "mixes stays": (lambda x: x[:, 0, :2] - x[:, 0, :2].mean(dim=0), "batch_first"),
    "raises": (lambda x: x @ torch.ones(99), "RuntimeError"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_MODULES)
def test_modules_that_cannot_be_attacked(name: str, cells: Tensor) -> None:
    way, message = BAD_MODULES[name]
    with pytest.raises(AttackError, match=message):
        icudl.attack_module(Broken(way), cells)


BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], type[IcudlError], str]] = {
    "shape": ({"inputs": torch.rand(4, 3)}, AttackError, r"shape \(4, 3\)"),
    "text": ({"inputs": "abc"}, AttackError, "array of numbers"),
    "nothing": ({"inputs": torch.rand(0, 4, 3)}, AttackError, r"\(0, 4, 3\)"),
    "nan": ({"inputs": with_nan(torch.rand(N, T, F))}, AttackError, "impute"),
    "outside": ({"bounds": (0.4, 0.6)}, AttackError, "outside its bounds"),
    "reversed": ({"bounds": (1.0, 0.0)}, AttackError, "the low one first"),
    "infinite": ({"bounds": (0.0, np.inf)}, AttackError, "finite"),
    "one bound": ({"bounds": 1.0}, AttackError, r"\(low, high\)"),
    "bounds shape": ({"bounds": (torch.zeros(5), torch.ones(5))}, AttackError, "broadcasts"),
    "mask shape": ({"mask": torch.ones(2, dtype=torch.bool)}, AttackError, "broadcasts"),
    "mask type": ({"mask": torch.ones(T, F)}, AttackError, "booleans"),
    "lengths range": ({"lengths": [7] * N}, AttackError, r"lengths\[0\] is 7"),
    "lengths not taken": ({"lengths": [6] * N}, AttackError, "lengths only to one"),
    "labels": ({"labels": [2] * N}, AttackError, r"labels\[0\] is 2"),
    "labels number": ({"labels": [0, 1]}, AttackError, r"\(12,\)"),
    "variables": ({"variables": ["a"]}, ConfigError, "one name for each"),
    "variables twice": ({"variables": ["a", "b", "a"]}, ConfigError, "different names"),
    "unknown attack": ({"attack": "greedi"}, PluginError, "greedy"),
    "measured": ({"attack": ProximalOptions(threat_model="measured")}, ConfigError, "threat_model"),
    "unknown variable": ({"attack": ProximalOptions(variables=("x",))}, ConfigError, "variable_0"),
    "threshold": ({"threshold": 1.0}, ConfigError, "between 0 and 1"),
    "entry errors": ({"attack": "entry_errors"}, AttackError, "charted"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_arguments_that_make_no_sense(name: str, reader: OneLogit, cells: Tensor) -> None:
    arguments, error, message = BAD_ARGUMENTS[name]
    with pytest.raises(error, match=message):
        icudl.attack_module(reader, **({"inputs": cells} | arguments))


@pytest.mark.gpu
def test_on_a_gpu_in_eval_mode(reader: OneLogit, cells: Tensor) -> None:
    """cuDNN refuses the backward pass of an RNN in eval mode; the attack must not."""
    here = icudl.attack_module(reader, cells)
    there = icudl.attack_module(reader.cuda(), cells)
    assert next(reader.parameters()).is_cuda
    assert (here.flipped == there.flipped).all()
    reader.cpu()
