"""Whoever runs the jobs, and whatever worker is killed meanwhile: ids and bytes of a run in one process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from dask_processes import DaskProcesses, alone_in, wait_for
from study import SETTINGS, VERBS, contents, copy_until, words

from launcher import Launcher

# Both the cluster and the longer study take minutes to make.
pytestmark = pytest.mark.xdist_group("clusters")

LONGER = (
    *SETTINGS,
    "training.max_epochs=80",
    "training.patience=80",
    "tune_model.trials=0",
    "attack.max_stays=32",
    "attack.iterations=60",
    "tune_attack.trials=0",
)
"""Jobs that last long enough for one of them to be under way when its worker is killed: eight shards of an attack."""

SEARCHED = (*LONGER, "tune_model.trials=2", "tune_attack.trials=2", "tune_attack.stays=16")
"""The same with both searches, which take most of the time."""

FIRST_SIGNS = {
    "tune-model": ".studies/*/trial-*-fold-*.safetensors",
    "train": ".scratch/train-*/*.safetensors",
    "tune-attack": ".studies/*/trial-*.shards/attack-*.safetensors",
    "attack": ".scratch/attack-*/attack-*.safetensors",
}
"""The first file that tells that the jobs of a stage have begun: an epoch's state, or a finished shard."""

STAGES_WITH_JOBS = [
    pytest.param(stage, marks=pytest.mark.exhaustive if stage.startswith("tune") else pytest.mark.slow)
    for stage in FIRST_SIGNS
]

CLUSTER = ("execution.executor=dask", "execution.workers=2")
PROCESSES = ("execution.executor=processes", "execution.workers=2")


def made(settings: Sequence[str], launcher: Launcher, store: Path) -> Path:
    """Make a study in one process."""
    launcher.succeed(words(("run", "--to", "attack"), store, (*settings, "execution.executor=serial")))
    return store


@pytest.fixture(scope="module")
def longer(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the longer study."""
    return made(LONGER, launcher, tmp_path_factory.mktemp("longer") / "runs")


@pytest.fixture(scope="module")
def searched(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the longer study with its searches."""
    return made(SEARCHED, launcher, tmp_path_factory.mktemp("searched") / "runs")


@pytest.fixture
def of_stage(stage: str, request: pytest.FixtureRequest) -> tuple[Path, Sequence[str]]:
    """The store that holds a stage, and its settings."""
    name, settings = ("searched", SEARCHED) if stage.startswith("tune") else ("longer", LONGER)
    return request.getfixturevalue(name), settings


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler with two workers."""
    pytest.importorskip("distributed")
    with DaskProcesses(tmp_path_factory.mktemp("dask"), workers=2) as cluster:
        yield cluster


def is_sealed(store: Path, stage: str) -> bool:
    return bool(list(store.glob(f"{stage}/*/manifest.json")))


def pool_of(run: int) -> list[int]:
    """Worker processes of a run's pool, as long as there is one: what it spawned but for the first, the queue's."""
    spawned = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == run and fields[0] != "Z" and b"spawn_main" in command:
            spawned.append((int(fields[19]), int(stat.parent.name)))
    return [pid for _, pid in sorted(spawned)[1:]]


@pytest.mark.parametrize("stage", STAGES_WITH_JOBS)
def test_a_killed_worker_of_a_cluster(
    stage: str,
    of_stage: tuple[Path, Sequence[str]],
    cluster: DaskProcesses,
    launcher: Launcher,
    tmp_path: Path,
) -> None:
    whole, settings = of_stage
    store = copy_until(whole, stage, tmp_path / "runs")
    settings = (*settings, *CLUSTER, f"execution.address={cluster.address}")
    pid = launcher.start(words(VERBS[stage], store, settings))
    wait_for(lambda: list(store.glob(FIRST_SIGNS[stage])))
    killed = cluster.kill_a_busy_worker()
    assert killed > 0, "nothing was under way any more"
    assert not is_sealed(store, stage)
    cluster.add_worker()
    ended = launcher.wait(pid)
    assert ended.code == 0, ended.stderr
    require_the_same(launcher, store, whole, stage)


@pytest.mark.parametrize("stage", STAGES_WITH_JOBS)
def test_a_killed_worker_of_a_pool(
    stage: str, of_stage: tuple[Path, Sequence[str]], launcher: Launcher, tmp_path: Path
) -> None:
    whole, settings = of_stage
    store = copy_until(whole, stage, tmp_path / "runs")
    pid = launcher.start(words(VERBS[stage], store, (*settings, *PROCESSES)))
    wait_for(lambda: list(store.glob(FIRST_SIGNS[stage])) and len(pool_of(pid)) == 2)
    killed = pool_of(pid)[-1]
    os.kill(killed, signal.SIGKILL)
    assert not is_sealed(store, stage)
    ended = launcher.wait(pid)
    assert ended.code == 0, ended.stderr
    require_the_same(launcher, store, whole, stage)


def require_the_same(launcher: Launcher, store: Path, reference: Path, stage: str) -> None:
    """Ids and bytes up to the stage are the reference's, and nothing is left over."""
    stages = list(VERBS)[: list(VERBS).index(stage) + 1]
    expected = {name: digest for name, digest in contents(reference).items() if name.split("/")[0] in stages}
    assert contents(store) == expected
    launcher.succeed(words(("verify",), store))
    assert not list(store.glob(".scratch/*"))
    assert not list(store.rglob("*.partial"))


@pytest.mark.slow
def test_a_whole_study_on_a_cluster(
    reference: Path, cluster: DaskProcesses, launcher: Launcher, tmp_path: Path
) -> None:
    settings = (*SETTINGS, *CLUSTER, f"execution.address={cluster.address}")
    launcher.succeed(words(("run",), tmp_path / "runs", settings))
    require_the_same(launcher, tmp_path / "runs", reference, "report")


@pytest.mark.slow
def test_workers_that_see_neither_store_nor_data(reference: Path, launcher: Launcher, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    hidden, told = tmp_path / "hidden", tmp_path / "dask"
    hidden.mkdir()
    told.mkdir()
    if shutil.which("unshare") is None or subprocess.run([*alone_in(hidden), "true"], check=False).returncode != 0:
        pytest.skip("this system does not let us hide a folder from a process")
    copy_until(reference, "tune-model", hidden / "runs")
    with DaskProcesses(told, workers=2, hidden=hidden) as cluster:
        settings = (*SETTINGS, *CLUSTER, f"execution.address={cluster.address}")
        launcher.succeed(words(("run",), hidden / "runs", settings))
    require_the_same(launcher, hidden / "runs", reference, "report")
    trials = [
        sorted(path.relative_to(runs) for path in runs.glob(".studies/*/trial-*.json"))
        for runs in (hidden / "runs", reference)
    ]
    assert trials[0] == trials[1], "a longer study would run trials again"


@pytest.mark.parametrize("executor", ["processes", "dask"])
@pytest.mark.parametrize(
    "workers",
    [
        pytest.param(1, marks=pytest.mark.exhaustive),
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(3, marks=pytest.mark.exhaustive),
    ],
)
def test_any_number_of_workers(
    executor: str, workers: int, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """The reference was made by the serial executor."""
    if executor == "dask":
        pytest.importorskip("distributed")
    settings = (*SETTINGS, f"execution.executor={executor}", f"execution.workers={workers}")
    launcher.succeed(words(("run",), tmp_path / "runs", settings))
    require_the_same(launcher, tmp_path / "runs", reference, "report")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_workers_show_no_password_to_other_users(
    executor: str, database: str, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Everybody may read how a process was called; workers get the password of the studies on another way."""
    if executor == "dask":
        pytest.importorskip("distributed")
    config, password = tmp_path / "study.toml", "hush-hush"
    parts = urlsplit(database)
    at = f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}"
    config.write_text(f'[tune_model]\nstorage = "{urlunsplit(parts._replace(netloc=at))}"\n', "utf-8")
    store = copy_until(reference, "tune-model", tmp_path / "runs")
    # The database remembers trials: each executor gets a study of its own.
    epochs = {"processes": 2, "dask": 3}[executor]
    settings = (*SETTINGS, f"training.max_epochs={epochs}", f"execution.executor={executor}", "execution.workers=2")
    pid = launcher.start([*words(VERBS["tune-model"], store, settings), "--config", str(config)])
    seen: set[bytes] = set()
    while is_running(pid):
        seen |= commands_of_session(pid)
        time.sleep(0.02)
    ended = launcher.wait(pid)
    assert ended.code == 0, ended.stderr
    assert any(b"spawn_main" in command for command in seen)
    assert not [command for command in seen if password.encode() in command]


def is_running(pid: int) -> bool:
    """Tell whether a run has not ended yet; it is not waited for meanwhile, so its number stays its own."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"


def commands_of_session(session: int) -> set[bytes]:
    """Return the names and command lines of the processes of a session."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.add((stat.parent / "comm").read_bytes() + (stat.parent / "cmdline").read_bytes())
        except OSError:
            continue
    return found
