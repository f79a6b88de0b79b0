"""What a run will take: work, rates of earlier runs, and what is unknown."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.config.load import load_config
from icudl.config.packaged import DEFAULT, packaged_study
from icudl.pipeline.forecast import RATES, Work, forecast, learned_rates, seconds_of, work_of
from icudl.pipeline.graph import build_graph
from icudl.pipeline.plan import Nobody
from icudl.pipeline.run import Pipeline


class _Told(Nobody):
    def __init__(self) -> None:
        self.forecasts = []

    def foreseen(self, pending) -> None:
        self.forecasts.append(pending)


@pytest.fixture(scope="module")
def study():
    return load_config(packaged_study(DEFAULT), ["source.patients=1500"])


def _works(config, stays):
    return {node.name: work_of(node, config, {config.main: stays}) for node in build_graph(config).values()}


@given(stays=st.integers(1, 10**6), more=st.integers(1, 10**6))
def test_more_stays_are_no_less_work(study, stays: int, more: int) -> None:
    fewer, many = _works(study, stays), _works(study, stays + more)
    assert all(many[name].units >= work.units for name, work in fewer.items())
    assert many["train/network"].units > fewer["train/network"].units


def test_proofs_count_the_stays_that_are_looked_at() -> None:
    settings = ["source.patients=30", "split.test_fraction=0.25", "model.name=lstm", "model.hidden_size=48"]

    def work(*more: str) -> Work:
        return _works(load_config(settings=[*settings, *more]), 400)["certify"]

    assert work("certify.split=both") == Work(kind="certify lstm", units=400.0, jobs=50)
    assert work("certify.split=test").units == 100
    assert work("certify.split=test", "certify.max_stays=40", "certify.batch_size=16").jobs == 3
    assert work("certify.max_stays=40", "model.ensemble_size=3").units == 120
    assert work("certify.max_stays=40").kind in RATES


def test_every_stage_of_the_default_study_has_a_rate(study) -> None:
    assert {work.kind for work in _works(study, 900).values()} <= set(RATES)


def test_epochs_folds_and_sampled_stays_are_counted() -> None:
    settings = ["source.patients=30", "training.max_epochs=10", "attack.name=greedy", "attack.max_stays=16"]
    config = load_config(settings=[*settings, "split.folds=4"])
    works = _works(config, 100)
    assert works["train"].jobs == 5
    twice = _works(load_config(settings=[*settings, "split.folds=4", "training.max_epochs=20"]), 100)
    assert twice["train"].units == 2 * works["train"].units
    pretrained = load_config(settings=[*settings, "split.folds=4", "pretrain.epochs=5"])
    assert _works(pretrained, 100)["train"].units == 1.5 * works["train"].units
    assert works["attack"].units == _works(config, 1000)["attack"].units
    assert works["attack"].jobs == 2


@dataclasses.dataclass
class _Made:
    environment: dict


def _manifest(kind: str, units: float, seconds: float) -> _Made:
    return _Made({"processor_seconds": seconds, "work": Work(kind=kind, units=units).to_dict()})


def test_a_rate_is_that_of_the_largest_piece_of_work_in_the_store() -> None:
    made = [_Made({}), _manifest("sweep on network", 10, 90), _manifest("sweep on network", 100, 200)]
    learned = learned_rates(made)
    assert learned == {"sweep on network": (100, 200)}
    fixed = 7 * RATES["sweep on network"][0]
    assert seconds_of(Work(kind="sweep on network", units=100), learned, slowness=7) == pytest.approx(200)
    told = seconds_of(Work(kind="sweep on network", units=1000), learned, slowness=7)
    assert told == pytest.approx(fixed + 10 * (200 - fixed))
    fixed, rate = RATES["greedy on network"]
    assert seconds_of(Work(kind="greedy on network", units=30), learned, 2) == 2 * (fixed + 30 * rate)
    assert seconds_of(Work(kind="an attack of somebody", units=30), learned, 2) is None


def test_what_is_unknown_is_named_and_jobs_share_the_processes() -> None:
    works = {"certify/a": Work(kind="certify", units=1), "attack/a": Work(kind="mine", units=40, jobs=4)}
    told = [
        forecast(works, {"mine": (1, 1.0)}, slowness=0, workers=workers, cells=10, stays=5, is_counted=True)
        for workers in (1, 2, 8)
    ]
    assert [each.seconds for each in told] == [40, 20, 10]
    assert {each.processor_seconds for each in told} == {40}
    assert told[0].unknown == ("certify/a",)
    assert told[0].learned == 1


@pytest.mark.parametrize(
    ("units", "kind", "may_work_alone", "workers"),
    [(20, "mine", True, 1), (20, "mine", False, 4), (40, "mine", True, 4), (20, "certify", True, 4)],
)
def test_one_process_does_a_run_of_seconds(units: int, kind: str, may_work_alone: bool, workers: int) -> None:
    told = forecast(
        {"attack/a": Work(kind=kind, units=units, jobs=4)},
        {"mine": (1, 1.0)},
        slowness=1,
        workers=4,
        may_work_alone=may_work_alone,
        cells=10,
        stays=5,
        is_counted=True,
    )
    assert told.workers == workers


def test_each_process_loads_what_a_kind_of_work_needs() -> None:
    work = Work(kind="train boosted_trees", units=1000, jobs=2)
    fixed, rate = RATES["train boosted_trees"]
    assert seconds_of(work, {}, 1) == fixed + 1000 * rate
    assert seconds_of(work, {}, 1, processes=2) == 2 * fixed + 1000 * rate


def test_a_run_is_told_first_and_again_when_its_stays_are_counted(tmp_path: Path) -> None:
    told = _Told()
    config = load_config(settings=["source.patients=120", "split.folds=2", "execution.workers=1"])
    pipeline = Pipeline(config, tmp_path, listener=told)
    steps = pipeline.plan("train")
    assert pipeline.forecast(steps).nodes.keys() == {"extract", "preprocess", "train"}
    assert not pipeline.forecast(steps).is_counted
    pipeline.update("preprocess")
    assert len(told.forecasts) == 1
    again = pipeline.forecast(pipeline.plan("train"))
    assert again.nodes.keys() == {"train"}
    assert again.is_counted
    (grid,) = pipeline.store.manifests("preprocess")
    assert again.stays == grid.counts["stays"]
    (tables,) = pipeline.store.manifests("extract")
    assert tables.environment["work"] == {"kind": "extract synthetic", "units": 120.0}
    assert tables.environment["processor_seconds"] > 0
