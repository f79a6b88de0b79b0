"""Integrated gradients: how much each cell of an unchanged stay moves the model's logits (Sundararajan et al. 2017).

For a stay with unit coordinates u, a baseline b and the logit difference f (death minus survival),

    IG_ij = (u_ij - b_ij) * integral from 0 to 1 of df/du_ij at b + t (u - b) dt,

where Gauss-Legendre quadrature computes the integral. The attributions add up to f(u) - f(b), up to the error of the
quadrature. In the baseline every cell has the training median; masks and descriptors are those of the stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icudl.artifacts import Checkpoint, Floats, GridDataset
from icudl.attacks.target.checkpoint import CheckpointTarget
from icudl.attacks.target.threat import StayTensors
from icudl.errors import StageError
from icudl.execution.base import Tick
from icudl.execution.context import RunContext
from icudl.execution.threads import single_thread
from icudl.models.base import within_length
from icudl.models.build import load_model
from icudl.preprocessing.scaling import InputOptions, prepare_inputs, select_statics, to_unit

BATCH = 64
"""Stays that one job explains."""

ROWS = 256
"""Records whose gradients are computed at once: of a few stays, those at many nodes of the quadrature."""

ScoreAndGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(n,) positions of stays and their (n, T, F) cells -> (n,) scores and their (n, T, F) gradient."""


@dataclasses.dataclass(frozen=True, eq=False)
class Attributions:
    """Integrated gradients of N stays.

    Attributes:
        cells: (N, T, F) float64, in logits.
        rise: (N,) f(u) - f(b), the exact sum of the cells.
    """

    cells: npt.NDArray[np.float64]
    rise: npt.NDArray[np.float64]

    @property
    def error(self) -> npt.NDArray[np.float64]:
        """(N,) sum of the attributions minus the rise: the error of the quadrature, in logits."""
        return np.asarray(self.cells.sum(axis=(1, 2)) - self.rise)


def integrated_gradients(score: ScoreAndGradient, values: Tensor, baseline: Tensor, steps: int) -> Attributions:
    """Attribute the scores of stays to their cells.

    Args:
        score: Returns score and gradient of records of the B stays.
        values: (B, T, F).
        baseline: (B, T, F).
        steps: Nodes of the quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    path, stays = values - baseline, torch.arange(len(values), device=values.device)
    mean = torch.zeros_like(values, dtype=torch.float64)
    at_once = max(1, ROWS // max(1, len(values)))
    for start in range(0, steps, at_once):
        share = torch.from_numpy((nodes[start : start + at_once] + 1) / 2).to(values)[:, None, None, None]
        weight = torch.from_numpy(weights[start : start + at_once] / 2).to(mean)
        _, gradient = score(stays.repeat(len(share)), (baseline + share * path).flatten(0, 1))
        mean += torch.tensordot(weight, gradient.view(len(share), *values.shape).double(), dims=1)
    rise = score(stays, values)[0].double() - score(stays, baseline)[0].double()
    return Attributions((path.double() * mean).cpu().numpy(), rise.cpu().numpy())


@dataclasses.dataclass(frozen=True, eq=False)
class AttributionData:
    """The data that all jobs read.

    Attributes:
        checkpoints: By member.
        values: (N, T, F) clinical values of the stays to explain.
        statics: (N, S) descriptors by member.
        lengths: (N,).
        steps: Nodes of the quadrature.
        device: Where to compute.
    """

    checkpoints: Mapping[str, Checkpoint]
    values: Floats
    statics: Mapping[str, Floats]
    lengths: npt.NDArray[np.int16]
    steps: int
    device: str


@dataclasses.dataclass(frozen=True, eq=False)
class AttributionJob:
    """Stays explained at once: positions ``rows`` of the data, through ``member``."""

    member: str
    rows: npt.NDArray[np.int64]


def attribute_job(data: AttributionData, job: AttributionJob, tick: Tick) -> Attributions:
    """Explain the stays of one job."""
    checkpoint = data.checkpoints[job.member]
    options = InputOptions.from_dict(checkpoint.inputs)
    with single_thread():
        inputs = prepare_inputs(
            checkpoint.scaler,
            options,
            data.values[job.rows],
            data.lengths[job.rows],
            data.statics[job.member][job.rows],
        )
        stays = StayTensors.of(inputs, np.arange(len(job.rows)), data.device)
        target = CheckpointTarget.bind(checkpoint, load_model(checkpoint, data.device), stays)
        median = torch.from_numpy(to_unit(checkpoint.scaler, checkpoint.scaler.median)).to(stays.unit)
        inside = within_length(stays.lengths, stays.unit.shape[1])[:, :, None]
        found = integrated_gradients(_towards_death(target), stays.unit, inside * median, data.steps)
    tick(len(job.rows))
    return found


def _towards_death(target: CheckpointTarget) -> ScoreAndGradient:
    """Return the target's score, positive towards death for stays of either class, up to a constant."""

    def score(stays: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        chosen = target.select(stays)
        margin, gradient = chosen.margin_and_gradient(values)
        return chosen.sign * margin, chosen.sign[:, None, None] * gradient

    return score


def attribute_stays(
    checkpoints: Mapping[str, Checkpoint],
    grid: GridDataset,
    rows: npt.NDArray[np.int64],
    members: list[str],
    steps: int,
    context: RunContext,
) -> Attributions:
    """Explain stays, each through its own member; executor and number of workers do not change the result.

    Args:
        checkpoints: By member.
        grid: The data set.
        rows: (N,) positions of the stays in ``grid``.
        members: (N,) the checkpoint that scores each.
        steps: Nodes of the quadrature.
        context: Executor, device and progress.

    Raises:
        StageError: A member has no checkpoint.
    """
    used = sorted(set(members))
    for member in used:
        if member not in checkpoints:
            raise StageError(
                f"The attack used the member {member!r}, but training has only {sorted(checkpoints)}. "
                "Run the attack again."
            )
    inputs = {member: InputOptions.from_dict(checkpoints[member].inputs) for member in used}
    data = AttributionData(
        checkpoints={member: checkpoints[member] for member in used},
        values=grid.values[rows],
        statics={member: select_statics(grid, inputs[member])[rows] for member in used},
        lengths=grid.lengths[rows],
        steps=steps,
        device=context.device,
    )
    jobs: list[AttributionJob] = []
    for member in used:
        own = np.flatnonzero([name == member for name in members])
        jobs += [AttributionJob(member, own[start : start + BATCH]) for start in range(0, len(own), BATCH)]
    with context.progress.task("integrated gradients", total=len(rows), unit="stays") as bar:
        found = context.executor.map(attribute_job, jobs, shared=data, tick=bar.advance)
    cells, rise = np.zeros(data.values.shape), np.zeros(len(rows))
    for job, part in zip(jobs, found, strict=True):
        cells[job.rows], rise[job.rows] = part.cells, part.rise
    return Attributions(cells, rise)
