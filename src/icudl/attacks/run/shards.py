"""Shards: stays that are attacked at once, their data, and the attack on them, which a worker process runs."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icudl.artifacts import FINAL, Checkpoint, Floats, GridDataset, Member
from icudl.artifacts.files.stored import forget_pages
from icudl.attacks.engine import Engine, make_engine
from icudl.attacks.options import AttackOptions
from icudl.attacks.run.outcome import ShardOutcome, attack_stays
from icudl.attacks.target.charted import ChartedTarget, bind_charted
from icudl.attacks.target.checkpoint import CheckpointTarget, decision_shift
from icudl.attacks.target.threat import Entries, StayTensors, charted_cells, grid_cells, measured_cells
from icudl.errors import AttackError
from icudl.execution.base import Tick
from icudl.execution.context import seed_for
from icudl.execution.threads import single_thread
from icudl.models.base import SequenceClassifier
from icudl.models.build import charted_class, load_charted, load_model
from icudl.models.charted.base import ClinicalStays, RiskModel
from icudl.models.options import read_options
from icudl.preprocessing.scaling import InputOptions, prepare_inputs
from icudl.training.scores.risk_curve import risks_at


def unseen_member(grid: GridDataset, row: int) -> str:
    """Return the text of the member that was not fitted on the stay at ``row``."""
    return str(FINAL if grid.is_test[row] else Member.of_fold(grid.folds[row]))


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The stays of a shard.

    Attributes:
        member: Checkpoint, not fitted on any of these stays.
        rows: (B,) positions of the stays in the data set.
    """

    member: str
    rows: npt.NDArray[np.int64]


def divide(grid: GridDataset, rows: npt.NDArray[np.int64], batch_size: int) -> list[Part]:
    """Group stays by the member that attacks them, in the order of the data set, ``batch_size`` at a time."""
    codes = np.where(grid.is_test[rows], -1, grid.folds[rows])
    groups = {unseen_member(grid, int(rows[np.argmax(codes == code)])): code for code in np.unique(codes)}
    parts: list[Part] = []
    for member in sorted(groups):
        own = rows[codes == groups[member]]
        parts += [Part(member, own[start : start + batch_size]) for start in range(0, len(own), batch_size)]
    return parts


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Shard:
    """Stays attacked at once, with their data.

    Attributes:
        member: Checkpoint, not fitted on any of these stays.
        rows: (B,) positions of the stays in the data set.
        values: (B, T, F) clinical values.
        counts: (B, T, F) values behind each mean.
        statics: (B, S) static descriptors that the member names.
        lengths: (B,).
        labels: (B,).
        seeds: (B,) one seed a stay.
    """

    member: str
    rows: npt.NDArray[np.int64]
    values: Floats
    counts: npt.NDArray[np.uint16]
    statics: Floats
    lengths: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int8]
    seeds: npt.NDArray[np.int64]


class ShardJobs(Sequence[Shard]):
    """The shards of an attack. Each shard is read, with the data of its own stays, when an executor asks for it.

    Args:
        grid: The data set.
        parts: The stays of each shard.
        statics: Columns of the grid's static descriptors by member (each member names its own).
        seed: Root seed of the run.
    """

    def __init__(
        self, grid: GridDataset, parts: Sequence[Part], statics: Mapping[str, Sequence[int]], seed: int
    ) -> None:
        self._grid, self._parts, self._statics, self._seed = grid, parts, statics, seed
        self._stay_ids = grid.stay_ids

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self._parts)

    def __getitem__(self, index: int) -> Shard:  # type: ignore[override]
        """Read a shard; executors ask for one at a time."""
        part, grid = self._parts[index], self._grid
        rows = part.rows
        shard = Shard(
            member=part.member,
            rows=rows,
            values=grid.values[rows],
            counts=grid.counts[rows],
            statics=np.ascontiguousarray(grid.statics[rows][:, list(self._statics[part.member])]),
            lengths=grid.lengths[rows],
            labels=grid.labels[rows],
            # Each stay has its own seed, so that its random numbers depend on no other stay.
            seeds=np.array([seed_for(self._seed, "attack", stay) for stay in self._stay_ids[rows].tolist()], np.int64),
        )
        # All arrays of a data set are mapped from one file. Copied pages are not needed again.
        forget_pages(grid.values)
        return shard


@dataclasses.dataclass(frozen=True, eq=False)
class ShardData:
    """The data that all shards share.

    Attributes:
        checkpoints: By member.
        options: Of the attack.
        device: Where to compute.
    """

    checkpoints: Mapping[str, Checkpoint]
    options: AttackOptions
    device: str


def attack_shard(data: ShardData, shard: Shard, tick: Tick) -> ShardOutcome:
    """Attack the stays of a shard and verify the examples.

    A stay is not attacked if the model gets it wrong (unless the options ask for such stays), if the model cannot score
    it, or if none of its cells may change. Its status says which.
    """
    with single_thread():
        outcome = _attack(data, shard)
    tick(len(shard.rows))
    return outcome


def _attack(data: ShardData, shard: Shard) -> ShardOutcome:
    checkpoint, options = data.checkpoints[shard.member], data.options
    charted = load_charted(checkpoint)
    outcome = (
        _attack_network(checkpoint, data, shard)
        if charted is None
        else _attack_charted(charted, checkpoint, options, shard)
    )
    return outcome if checkpoint.curve is None else _calibrated(outcome, checkpoint.curve)


def _attack_charted(model: RiskModel, checkpoint: Checkpoint, options: AttackOptions, shard: Shard) -> ShardOutcome:
    if options.threat_model != "measured":
        raise AttackError(
            f"attack.threat_model = {options.threat_model!r} is about the filled-in grid, which the model "
            f"{checkpoint.model['name']!r} does not read. Set attack.threat_model = 'measured'."
        )
    target = bind_charted_shard(checkpoint, model, shard, options.variables, confidence=options.kappa)
    return attack_stays(model, target, shard.labels, shard.seeds, shard.rows, options)


def _attack_network(checkpoint: Checkpoint, data: ShardData, shard: Shard) -> ShardOutcome:
    options = data.options
    model, engine = _reader(data, shard.member)
    target = bind_shard(
        checkpoint,
        model,
        shard,
        options.threat_model,
        options.variables,
        data.device,
        confidence=options.kappa,
        engine=engine,
    )
    return attack_stays(model, target, shard.labels, shard.seeds, shard.rows, options)


_READERS: weakref.WeakKeyDictionary[ShardData, dict[str, tuple[SequenceClassifier, Engine]]] = (
    weakref.WeakKeyDictionary()
)


def _reader(data: ShardData, member: str) -> tuple[SequenceClassifier, Engine]:
    """Return a member's model and its engine; on a GPU those of the shards before, with what they recorded."""
    kept = _READERS.setdefault(data, {}) if data.device != "cpu" else {}
    if member not in kept:
        model = load_model(data.checkpoints[member], data.device)
        kept[member] = model, make_engine(model)
    return kept[member]


def reads_charted(checkpoint: Checkpoint) -> bool:
    """Tell whether the model of a checkpoint reads charted values, which it does on a CPU."""
    options = read_options(checkpoint.model)
    return options.in_parts or charted_class(options) is not None


def bind_charted_shard(
    checkpoint: Checkpoint,
    model: RiskModel,
    shard: Shard,
    variables: Collection[str] = (),
    *,
    confidence: float = 0.0,
) -> ChartedTarget:
    """Bind a model of charted values to the stays of a shard under the threat model ``measured``.

    Args:
        checkpoint: Not fitted on any of the stays.
        model: ``load_charted(checkpoint)``.
        shard: The stays.
        variables: Names of the variables that may change; empty for all.
        confidence: Logits by which the other class must win.
    """
    entries = _entries(checkpoint, shard, clipped=False)
    # Nothing beyond the length of a stay: such cells are no charted values.
    inside = np.arange(shard.values.shape[1]) < shard.lengths[:, None]
    entries = dataclasses.replace(entries, means=np.where(inside[:, :, None], entries.means, np.nan))
    stays = ClinicalStays(entries.means.astype(np.float32), shard.lengths, shard.statics)
    cells = charted_cells(entries).only(checkpoint.variables, variables)
    shift = decision_shift(checkpoint.threshold, checkpoint.curve)
    return bind_charted(model, stays, cells, entries, shift, confidence=confidence)


def bind_shard(
    checkpoint: Checkpoint,
    model: SequenceClassifier,
    shard: Shard,
    threat_model: str,
    variables: Collection[str],
    device: str,
    *,
    confidence: float = 0.0,
    engine: Engine | None = None,
) -> CheckpointTarget:
    """Bind a checkpoint to the stays of a shard under a threat model.

    Args:
        checkpoint: Not fitted on any of the stays.
        model: ``load_model(checkpoint, device)``.
        shard: The stays.
        threat_model: ``"grid"`` or ``"measured"``.
        variables: Names of the variables that may change; empty for all.
        device: Where to compute.
        confidence: Logits by which the other class must win.
        engine: Of the model, if there is one already.
    """
    inputs = prepare_inputs(
        checkpoint.scaler, InputOptions.from_dict(checkpoint.inputs), shard.values, shard.lengths, shard.statics
    )
    stays = StayTensors.of(inputs, np.arange(len(shard.rows)), device)
    if threat_model == "measured":
        cells = measured_cells(stays, _entries(checkpoint, shard, clipped=True))
    else:
        cells = grid_cells(stays)
    cells = cells.only(checkpoint.variables, variables)
    return CheckpointTarget.bind(checkpoint, model, stays, cells, confidence=confidence, engine=engine)


def _calibrated(outcome: ShardOutcome, curve: npt.NDArray[np.float64]) -> ShardOutcome:
    """Replace the softmax of the logits, which the attack works on, by the risks of an isotonic calibration."""

    def risk_of(softmax: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return risks_at(curve, np.log(softmax) - np.log1p(-softmax))

    return outcome.with_risks(risk_of)


def _entries(checkpoint: Checkpoint, shard: Shard, *, clipped: bool) -> Entries:
    means, counts = shard.values.astype(np.float64), shard.counts.astype(np.int64)
    return Entries(means, counts, checkpoint.scaler, checkpoint.variables, clipped)
