"""Candidates with few moved cells, of which only the columns that hold them are made."""

import numpy as np
import pytest
import torch

from attack_cases import make_checkpoint
from icudl.attacks import refinement
from icudl.attacks.base import MovedTarget, allowed_change
from icudl.attacks.run.shards import Shard, bind_shard
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.models.build import load_model
from icudl.models.options import LstmOptions, ModelOptions
from icudl.preprocessing.scaling import InputOptions, select_statics
from training_grids import make_grid


def bound(model: ModelOptions, inputs: InputOptions, threat_model: str) -> CheckpointTarget:
    grid = make_grid(12)
    checkpoint = make_checkpoint(grid, "final", model, inputs)
    rows = np.arange(12)
    shard = Shard(
        member="final",
        rows=rows,
        values=grid.values,
        counts=grid.counts,
        statics=select_statics(grid, inputs),
        lengths=grid.lengths,
        labels=grid.labels,
        seeds=rows,
    )
    return bind_shard(checkpoint, load_model(checkpoint, "cpu"), shard, threat_model, (), "cpu")


@pytest.mark.parametrize("n_cells", [1, 2])
@pytest.mark.parametrize("threat_model", ["grid", "measured"])
@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (LstmOptions(hidden_size=5), InputOptions()),
        (LstmOptions(hidden_size=5, readout="max"), InputOptions()),
        (LstmOptions(hidden_size=5), InputOptions(channels=("value", "observed"), scaling="standard")),
        (LstmOptions(hidden_size=5), InputOptions(imputation="forward", channels=("value", "hours_since"))),
    ],
    ids=["values", "whole", "masks", "forward"],
)
def test_they_read_what_whole_candidates_read(
    model: ModelOptions, inputs: InputOptions, threat_model: str, n_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = bound(model, inputs, threat_model)
    assert isinstance(target, MovedTarget)
    target = target.select(torch.tensor([7, 2, 2, 9, 0, 11]))
    down, up = (each.flatten(1) for each in allowed_change(target))
    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(6, (40,), generator=rng)
    cells = torch.stack([torch.multinomial((up - down > 0)[row].float(), n_cells, generator=rng) for row in rows])
    # The last candidate names one cell twice.
    cells[-1] = cells[-1, 0]
    share = torch.rand(40, 1, generator=rng)
    change = down[rows[:, None], cells] * share + up[rows[:, None], cells] * (1 - share)
    moved = refinement.margins_of_moves(target, rows, cells, change)
    monkeypatch.setattr(refinement, "FEW", 0)
    torch.testing.assert_close(moved, refinement.margins_of_moves(target, rows, cells, change), rtol=0, atol=0)
