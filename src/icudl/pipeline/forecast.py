"""How long a run will take, told before it begins: work of each node times a rate.

The work of a node follows from its options and from the number of stays, in units that grow like its time. A rate is
processor seconds a unit. It comes from the largest piece of such work that the store holds, else from the table of this
module, which was measured on one machine and is scaled by how fast this one does a fixed piece of work. How far
forecasts are from what runs took is measured in ``docs/benchmarks/forecasts.md``.
"""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icudl.attacks.options import AttackOptions
from icudl.config.schema import Config
from icudl.models.options import ChartedOptions, ModelOptions, SequenceOptions, SummaryOptions
from icudl.pipeline.estimates import need_of
from icudl.pipeline.graph import Node
from icudl.proofs.options import CertifyOptions
from icudl.sources.base import DataSource, SourceOptions
from icudl.sources.locating import Locating, Location, Survey
from icudl.sources.reading.counting import extraction_seconds
from icudl.store.manifest import Manifest
from icudl.training.options import TrainingOptions
from icudl.training.pretraining.options import PretrainOptions

PROCESS_SECONDS = 2.4
"""Processor seconds until a process has loaded the libraries that it computes with."""

RATES: Mapping[str, tuple[float, float]] = {
    "extract synthetic": (0.2, 0.0027),
    "extract files": (0.3, 0.9),
    "preprocess": (0.05, 1e-7),
    "train network": (0.9, 0.00025),
    "train boosted_trees": (3.2, 0.0005),
    "train logistic_regression": (2.2, 0.0001),
    "sweep on network": (0.15, 0.12),
    "sweep on boosted_trees": (0.15, 0.08),
    "sweep on logistic_regression": (0.3, 0.013),
    "exact_value on boosted_trees": (0.15, 0.37),
    "exact_value on logistic_regression": (0.15, 0.14),
    "greedy on network": (0.15, 0.04),
    "greedy on boosted_trees": (0.15, 0.125),
    "greedy on logistic_regression": (0.25, 0.045),
    "entry_errors on network": (0.15, 0.05),
    "entry_errors on boosted_trees": (0.15, 0.045),
    "entry_errors on logistic_regression": (0.05, 0.017),
    "noise on network": (0.15, 0.05),
    "noise on boosted_trees": (0.15, 0.185),
    "certify lstm": (0.5, 7.0),
    "certify lstm_summary": (0.5, 14.0),
    "analyse network": (0.3, 0.05),
    "analyse boosted_trees": (0.6, 0.0),
    "analyse logistic_regression": (0.3, 0.0),
    "write report": (0.2, 0.1),
}
"""Processor seconds of a piece of work in each process, and of each of its units (docs/benchmarks/forecasts.md)."""

ALONE_SECONDS = 30.0
"""A run of less work than this, in processor seconds of the reference machine, is done by one process: workers would
spend as long on loading their libraries as they save (docs/decisions/0165)."""

REFERENCE_SECONDS = 0.0054
"""Processor seconds of ``_fixed_work`` on the machine on which ``RATES`` were measured, with nothing else on it."""

KEPT = {"physionet2012": 1.0, "physionet2019": 1.0, "yaib": 1.0}
"""Share of a source's stays that a cohort keeps; elsewhere ``_KEPT``, since half of all stays end before 48 hours."""

_KEPT = 0.5
_STAYS_A_PATIENT = 1.25  # of the synthetic hospital
_WIDTH = 48
_MOST_FIXED = 0.8  # share of a measured piece of work that may count as the same for any number of units
_STAYS_DESCRIBED = 1500  # stays whose results take a report as long as what it does for any number of them
_OF_SUMMARIES = 0.6  # a network on summaries, beside one of _WIDTH units that reads the hours as well


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a node has to do.

    Attributes:
        kind: What is counted (``"train network"``), the key of a rate.
        units: How many; what one is depends on the kind.
        jobs: Parts that can be computed side by side.
    """

    kind: str
    units: float
    jobs: int = 1

    def to_dict(self) -> dict[str, str | float]:
        """Return what is kept in a manifest, from which later forecasts learn."""
        return {"kind": self.kind, "units": round(self.units, 3)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take.

    Attributes:
        nodes: Processor seconds by the name of the node; None where nothing is known of such work.
        seconds: Seconds on the clock, if nothing else keeps the machine busy.
        processor_seconds: Of all processes together.
        workers: Processes that compute side by side.
        memory: Bytes, all processes together.
        disk: Bytes that are written.
        stays: Stays of the main data set.
        is_counted: Whether the stays were counted; otherwise they are guessed from the source.
        learned: Nodes whose rate comes from earlier runs in the store.
        load: Processes that the machine was running or that waited for it, on average over the last minute.
    """

    nodes: Mapping[str, float | None]
    seconds: float
    processor_seconds: float
    workers: int
    memory: int
    disk: int
    stays: int
    is_counted: bool
    learned: int
    load: float = 0.0

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the nodes of which nothing is known."""
        return tuple(name for name, seconds in self.nodes.items() if seconds is None)


def expected_stays(source: DataSource, options: SourceOptions) -> int | None:
    """Return about how many stays a cohort will have, from what an unread source tells; None where it tells nothing."""
    told = options.to_dict()
    if "patients" in told:
        return int(told["patients"] * _STAYS_A_PATIENT * _KEPT)
    location = _located(source, told)
    if location is None or location.stays is None:
        return None
    return int(location.stays * KEPT.get(options.name, _KEPT))


def _located(source: object, told: Mapping[str, Any]) -> Location | None:
    """Return what ``icudl locate`` would tell of a source that reads files."""
    if isinstance(source, Locating) and told.get("path"):
        return source.locate(Path(told["path"]), Survey())
    return None


def work_of(node: Node, config: Config, stays: Mapping[str, int], source: DataSource | None = None) -> Work:
    """Return the work of a node.

    Args:
        node: The node.
        config: The study.
        stays: Stays of each data set.
        source: Source of the node's data set; only an extraction asks for it.
    """
    stage, main = node.key.stage, config.main
    here = stays.get(node.key.data or main, 0)
    entry = config.data[node.key.data or main]
    if stage == "extract":
        return _extraction(entry.source, source, here)
    if stage == "preprocess":
        return Work(kind=stage, units=float(here * entry.window.hours * max(1, len(entry.variables.chosen()))))
    if stage in {"train", "tune-model"}:
        model = config.models[node.key.model]
        jobs = config.split.folds + (model.training.final == "refit")
        trials = model.tune_model.trials if stage == "tune-model" else 1
        units = jobs * trials * _fitting(model.model, model.training, model.pretrain, here, entry.window.hours)
        return Work(kind=f"train {_kind(model.model)}", units=units, jobs=jobs)
    if stage in {"attack", "tune-attack"}:
        attack, options = config.attacks[node.key.attack], config.models[node.key.model].model
        trials = attack.tune_attack.trials if stage == "tune-attack" else 1
        return _attack(attack.attack, options, here, entry.window.hours, trials)
    if stage == "certify" and config.certify is not None:
        looked_at = _looked_at(config.certify.options, config, here)
        return _proof(config.models[node.key.model].model, looked_at, config.certify.options, entry.window.hours)
    return _other(node, config, here)


def _other(node: Node, config: Config, stays: int) -> Work:
    """Return the work of an analysis, of a report, or of a node of which nothing is counted."""
    if node.key.stage == "analyse":
        return _analysis(config, node, stays)
    if node.key.stage == "report":  # describes every result, and resamples stays for differences between models
        return Work(kind="write report", units=len(node.upstream) * (1 + stays / _STAYS_DESCRIBED))
    return Work(kind=node.key.stage, units=1.0)


def _extraction(options: SourceOptions, source: DataSource | None, stays: int) -> Work:
    told = options.to_dict()
    if "patients" in told:
        return Work(kind="extract synthetic", units=float(told["patients"]))
    location = _located(source, told)
    seconds = None if location is None else extraction_seconds(location.tables)
    if seconds is None:
        return Work(kind=f"extract {options.name}", units=float(stays))
    return Work(kind="extract files", units=seconds)


def _kind(options: ModelOptions) -> str:
    return options.name if isinstance(options, ChartedOptions) else "network"


def _fitting(
    options: ModelOptions, training: TrainingOptions, pretrain: PretrainOptions, stays: int, hours: int
) -> float:
    """Return the work of one member: visits of a network to a stay of 48 hours, or stays that a charted model reads."""
    if isinstance(options, ChartedOptions):
        return float(stays * options.ensemble_size)
    epochs = training.max_epochs + (pretrain.epochs if options.pretrainable else 0)
    return float(stays * epochs * options.ensemble_size) * _size(options, hours)


def _size(options: ModelOptions, hours: int) -> float:
    """Return how long a network takes for a stay, beside one of 48 units over 48 hours."""
    if isinstance(options, SummaryOptions):
        return _OF_SUMMARIES
    width = options.hidden_size if isinstance(options, SequenceOptions) else _WIDTH
    return float(hours / 48 * (0.6 + 0.4 * (width / _WIDTH) ** 1.5))


def _analysis(config: Config, node: Node, stays: int) -> Work:
    """Return the work of an analysis: gradients of a network at some of the attacked stays."""
    options, attack = config.models[node.key.model].model, config.attacks[node.key.attack].attack
    asked = min(config.analysis.importance_stays, attack.max_stays or stays, stays) if options.differentiable else 0
    hours = config.data[node.key.data].window.hours
    return Work(kind=f"analyse {_kind(options)}", units=asked * _size(options, hours))


def _looked_at(options: CertifyOptions, config: Config, stays: int) -> int:
    """Return how many of the stays are considered."""
    if options.split == "test" and not config.split.test_sets:
        stays = int(stays * config.split.test_fraction)
    return min(options.max_stays, stays) if options.max_stays else stays


def _proof(options: ModelOptions, stays: int, certify: CertifyOptions, hours: int) -> Work:
    """Return the work of proofs. Networks differ by more than their size, so each is a kind of its own."""
    size = hours / 48 if isinstance(options, ChartedOptions) else _size(options, hours)
    jobs = max(1, math.ceil(stays / certify.batch_size))
    return Work(kind=f"certify {options.name}", units=stays * size * options.ensemble_size, jobs=jobs)


def _attack(attack: AttackOptions, options: ModelOptions, stays: int, hours: int, trials: int) -> Work:
    attacked = min(attack.max_stays, stays) if attack.max_stays else stays
    size = hours / 48 if isinstance(options, ChartedOptions) else _size(options, hours)
    kind = f"{attack.name} on {_kind(options)}"
    return Work(kind=kind, units=attacked * trials * size * options.ensemble_size, jobs=max(1, math.ceil(attacked / 8)))


def learned_rates(manifests: Iterable[Manifest]) -> dict[str, tuple[float, float]]:
    """Return units and processor seconds of the largest piece of work of each kind."""
    largest: dict[str, tuple[float, float]] = {}
    for manifest in manifests:
        work, seconds = manifest.environment.get("work"), manifest.environment.get("processor_seconds")
        if work and seconds and work["units"] > largest.get(work["kind"], (0.0, 0.0))[0]:
            largest[work["kind"]] = (work["units"], seconds)
    return largest


def seconds_of(
    work: Work, learned: Mapping[str, tuple[float, float]], slowness: float, processes: int = 1
) -> float | None:
    """Return the processor seconds of a piece of work; None where nothing is known of its kind.

    What any piece of a kind takes, such as loading a library, is not multiplied: a small piece would make a large one
    look longer than it is.

    Args:
        work: What is to be done.
        learned: Units and seconds by kind, measured on this machine.
        slowness: How long this machine takes for what took the reference machine one second.
        processes: Those that share the work; each loads what the kind needs.
    """
    fixed, rate = (slowness * part for part in RATES.get(work.kind, (0.0, 0.0)))
    fixed *= processes
    if work.kind in learned:
        units, seconds = learned[work.kind]
        fixed = min(fixed, _MOST_FIXED * seconds)
        rate = (seconds - fixed) / units
    elif work.kind not in RATES:
        return None
    return fixed + rate * work.units


def forecast(
    works: Mapping[str, Work],
    learned: Mapping[str, tuple[float, float]],
    *,
    slowness: float,
    workers: int,
    may_work_alone: bool = False,
    cells: int,
    stays: int,
    is_counted: bool,
) -> Forecast:
    """Add up what a run will take.

    Args:
        works: Work of each pending node by name.
        learned: See ``learned_rates``.
        slowness: See ``seconds_of``.
        workers: Processes that compute side by side.
        may_work_alone: Whether this process may do a short run by itself, without any worker.
        cells: Stays times hours times variables of the largest data set.
        stays: Stays of the main data set.
        is_counted: Whether they were counted.
    """
    if may_work_alone:
        alone = [seconds_of(work, learned, slowness) for work in works.values()]
        if None not in alone and math.fsum(filter(None, alone)) < ALONE_SECONDS * slowness:
            workers = 1
    nodes = {name: seconds_of(work, learned, slowness, min(workers, work.jobs)) for name, work in works.items()}
    loading = slowness * PROCESS_SECONDS
    clock = loading + sum((nodes[name] or 0.0) / min(workers, work.jobs) for name, work in works.items())
    spent = loading + sum(seconds or 0.0 for seconds in nodes.values())
    if workers > 1:  # they load side by side
        clock, spent = clock + loading, spent + workers * loading
    needs = [need_of(name.partition("/")[0], cells, workers) for name in works if not name.startswith("extract")]
    return Forecast(
        nodes=nodes,
        seconds=clock,
        processor_seconds=spent,
        workers=workers,
        memory=max((need.memory for need in needs), default=0),
        disk=sum(need.disk for need in needs) + (1 << 20) * len(works),
        stays=stays,
        is_counted=is_counted,
        learned=sum(work.kind in learned for work in works.values()),
        load=_load(),
    )


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def slowness() -> float:
    """Return how long this machine takes, now, for what took the reference machine one second; costs a tenth of one.

    The median counts: beside other work a processor second does less, and the fastest of several does not show it.
    """
    _fixed_work()  # loads what it calls
    return statistics.median(_fixed_work() for _ in range(11)) / REFERENCE_SECONDS


def _fixed_work() -> float:
    """Return the processor seconds of a few small products and a loop, which is what stages are made of."""
    begun = time.process_time()
    square = np.full((96, 96), 0.01, dtype=np.float32)
    for _ in range(40):
        square = np.tanh(square @ square)
    sum(number * number for number in range(60_000))
    return time.process_time() - begun
