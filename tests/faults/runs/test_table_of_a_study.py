"""A table of two hospitals, models and attacks: the same bytes whoever runs it, wherever it lies, killed or not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from study import contents

from fault import Fault
from icudl.store.base import open_store
from launcher import Launcher

pytestmark = pytest.mark.xdist_group("table of a study")

TABLE = """
[data.home]
source = "synthetic"
patients = 120
[data.abroad]
source = "synthetic"
patients = 60
seed = 7
role = "external"
[data.abroad.variables]
use = ["potassium", "heartrate"]
[variables]
use = ["potassium", "heartrate", "sysbp"]
[window]
hours = 12
[split]
folds = 2
[training]
max_epochs = 2
bootstrap_samples = 10
[models.lstm]
hidden_size = 4
fc_size = 4
[models.gru]
hidden_size = 4
fc_size = 4
[attacks.fewest]
attack = "greedy"
threat_model = "measured"
[attacks.one_value]
attack = "sweep"
on = ["gru"]
[analysis]
bootstrap_samples = 10
importance_stays = 4
importance_steps = 4
[execution]
device = "cpu"
"""

SMALL_ATTACKS = tuple(
    f"attacks.{name}.{option}"
    for name in ("fewest", "one_value")
    for option in ("max_stays=6", "attack_misclassified=true", "batch_size=4")
)

KILLS = 8
"""Kills of the whole table before a file operation, wherever in the table it falls."""


def words(verb: str, store: Path | str, config: Path, *settings: str) -> list[str]:
    more = [word for setting in (*SMALL_ATTACKS, *settings) for word in ("--set", setting)]
    return [verb, "--store", str(store), "--config", str(config), "--quiet", *more]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "study.toml"
    path.write_text(TABLE, "utf-8")
    return path


@pytest.fixture(scope="module")
def made(config: Path, launcher: Launcher) -> Path:
    """The store of the table, made in one process without any fault."""
    store = config.parent / "runs"
    launcher.succeed(words("run", store, config, "execution.executor=serial"))
    stages = {path.parent.parent.name for path in store.glob("[!.]*/*/manifest.json")}
    assert {"score", "train", "attack", "report"} <= stages
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor",
    # tests/faults/runs/test_clusters.py compares a study of one of each from processes.
    [pytest.param("processes", marks=pytest.mark.exhaustive), "dask"],
)
def test_whoever_runs_the_jobs(executor: str, made: Path, config: Path, launcher: Launcher, tmp_path: Path) -> None:
    if executor == "dask":
        pytest.importorskip("distributed")
    jobs = (f"execution.executor={executor}", "execution.workers=2")
    launcher.succeed(words("run", tmp_path / "runs", config, *jobs))
    assert contents(tmp_path / "runs") == contents(made)


@pytest.mark.slow
def test_wherever_the_store_lies(bucket: str, made: Path, config: Path, launcher: Launcher, tmp_path: Path) -> None:
    launcher.succeed(words("run", bucket, config, "execution.executor=serial"))
    found = {manifest.reference: manifest.files for manifest in open_store(bucket, tmp_path / "checking").manifests()}
    assert found == {manifest.reference: manifest.files for manifest in open_store(made).manifests()}


@pytest.mark.slow
def test_a_table_killed_again_and_again(made: Path, config: Path, launcher: Launcher, tmp_path: Path) -> None:
    serial = "execution.executor=serial"
    counted = tmp_path / "operations"
    launcher.succeed(words("run", tmp_path / "counted", config, serial), Fault(operations_to=str(counted)))
    operations, draw = int(counted.read_text("ascii")), random.Random("kills of a table")
    store, kills = tmp_path / "runs", 0
    while kills < KILLS:
        # Each run begins where the last was killed, so a place is drawn from what a run may still have before it.
        ended = launcher.run(words("run", store, config, serial), Fault(kill_before=draw.randint(1, operations // 6)))
        kills += ended.killed
        if not ended.killed:
            assert ended.code == 0, ended.stderr
            break
    launcher.succeed(words("run", store, config, serial))
    assert kills > 3
    assert contents(store) == contents(made)
    assert not list(store.glob(".scratch/*"))
    assert not list(store.rglob("*.partial"))
