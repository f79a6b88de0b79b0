"""An LSTM small enough to try every combination of cells: greedy finds the true smallest number of changed cells."""

import itertools

import torch

from icudl.attacks import distances
from icudl.attacks.methods.greedy import GreedyAttack
from icudl.attacks.options import GreedyOptions
from icudl.interop.module.target import ModuleTarget
from icudl.models.options import LstmOptions
from icudl.models.recurrent.classifier import LstmClassifier

N_STAYS, N_HOURS, N_VARIABLES = 12, 4, 2
VALUES = (0.0, 0.25, 0.5, 0.75, 1.0)


def make_target() -> tuple[LstmClassifier, torch.Tensor, ModuleTarget]:
    torch.manual_seed(3)
    model = LstmClassifier(LstmOptions(hidden_size=5, fc_size=4), N_VARIABLES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    cells = torch.rand(N_STAYS, N_HOURS, N_VARIABLES)
    lengths = torch.full((N_STAYS,), N_HOURS)
    with torch.no_grad():
        logits = model(cells, lengths)
    shift = float((logits[:, 1] - logits[:, 0]).quantile(0.05))
    bounds = torch.zeros_like(cells), torch.ones_like(cells)
    allowed = torch.ones_like(cells, dtype=torch.bool)
    return model, cells, ModuleTarget.bind(model, cells, *bounds, allowed, lengths, shift)


def smallest_by_trying(target: ModuleTarget, stay: int) -> int:
    """Return the fewest cells of a stay that flip it when they take any of ``VALUES``; one more than all if none do."""
    n_cells = N_HOURS * N_VARIABLES
    for count in range(1, n_cells + 1):
        candidates = []
        for chosen in itertools.combinations(range(n_cells), count):
            for values in itertools.product(VALUES, repeat=count):
                candidate = target.values[stay].flatten().clone()
                candidate[list(chosen)] = torch.tensor(values)
                candidates.append(candidate.view(N_HOURS, N_VARIABLES))
        rows = torch.full((len(candidates),), stay)
        if bool((target.select(rows).margin(torch.stack(candidates)) < 0).any()):
            return count
    return n_cells + 1


def test_greedy_finds_the_fewest_cells() -> None:
    _, _, target = make_target()
    found = GreedyAttack(GreedyOptions())(target, range(N_STAYS))
    smallest = torch.tensor([smallest_by_trying(target, stay) for stay in range(N_STAYS)])
    assert len(smallest.unique()) >= 2, "the stays are all alike"
    assert bool(found.found.all())
    assert distances.l0(found.best).tolist() == smallest.tolist()
