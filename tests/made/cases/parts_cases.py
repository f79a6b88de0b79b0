"""Networks with large random weights that read records in parts, and what is proved of some stays."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from icudl.artifacts import FINAL, Checkpoint, GridDataset, Member
from icudl.attacks.run.shards import Shard, ShardJobs, bind_charted_shard, divide
from icudl.attacks.target.charted import ChartedTarget
from icudl.models.build import build_model, load_charted
from icudl.models.charted.base import ClinicalStays
from icudl.models.charted.parts import PartsModel
from icudl.models.options import ModelOptions
from icudl.preprocessing.features import n_features
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on, static_columns
from icudl.proofs.forms.networks import make_network
from icudl.proofs.options import CertifyOptions
from icudl.proofs.parts.search import search_parts
from icudl.proofs.pieces import Found
from icudl.proofs.values import Values, changeable
from icudl.training.data import stays_of
from training_grids import make_grid

INPUTS = InputOptions(channels=("value", "observed"), statics=("age_years",), scaling="standard")


class PartsCase(NamedTuple):
    """Values of some test stays, the model that reads them in parts, and what is proved of them."""

    grid: GridDataset
    checkpoint: Checkpoint
    model: PartsModel
    shard: Shard
    values: Values[ChartedTarget]
    says_death: torch.Tensor

    def proved(self, options: CertifyOptions | None = None) -> Found:
        """What the search finds."""
        network = make_network(self.model.network, 8)
        every = (self.checkpoint, self.shard, self.values, self.says_death)
        return search_parts(self.model, network, *every, options or CertifyOptions())

    def margins(self, which: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Leads of the present class by the model itself, in which each value at ``which`` is ``at``."""
        target = self.values.target.select(self.values.stay[which])
        return target.margin(target.values + self.values.change(which, at)) - target.confidence


def parts_checkpoint(grid: GridDataset, options: ModelOptions, inputs: InputOptions = INPUTS) -> Checkpoint:
    """A model with random weights whose threshold lies in the midst of its risks."""
    torch.manual_seed(3)
    network = build_model(options, n_features(inputs, len(grid.variables)))
    rows = np.flatnonzero(~grid.is_test)
    scaler = fit_scaler_on(grid, rows, inputs)
    stays = stays_of(grid, rows, scaler, inputs)
    network.prepare(stays.features, stays.lengths, stays.columns)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    checkpoint = Checkpoint(
        member=Member.parse(str(FINAL)),
        model=options.to_dict(),
        inputs=inputs.to_dict(),
        variables=grid.variables,
        static_names=inputs.statics,
        n_hours=grid.values.shape[1],
        scaler=scaler,
        threshold=0.5,
        weights={name: tensor.numpy().copy() for name, tensor in network.state_dict().items()},
    )
    model = load_charted(checkpoint)
    assert isinstance(model, PartsModel)
    statics = grid.statics[:, static_columns(grid, inputs)]
    logits = model.logits(ClinicalStays(grid.values, grid.lengths, statics))
    return dataclasses.replace(checkpoint, threshold=float(1 / (1 + np.exp(-np.median(logits)))))


def parts_case(options: ModelOptions, inputs: InputOptions = INPUTS, *, n_stays: int = 4, seed: int = 0) -> PartsCase:
    """A model and the values of some test stays."""
    grid = make_grid(40, seed=seed)
    checkpoint = parts_checkpoint(grid, options, inputs)
    model = load_charted(checkpoint)
    assert isinstance(model, PartsModel)
    columns = {str(FINAL): static_columns(grid, inputs)}
    shard = ShardJobs(grid, divide(grid, np.flatnonzero(grid.is_test)[:n_stays], 99), columns, 0)[0]
    target = bind_charted_shard(checkpoint, model, shard)
    return PartsCase(grid, checkpoint, model, shard, Values(target, *changeable(target)), target.sign > 0)
