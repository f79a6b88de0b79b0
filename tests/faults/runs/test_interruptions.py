"""A run that is asked to stop says so, ends its workers, and goes on from there; so does one whose clock is wrong."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from study import PARALLEL, SERIAL, VERBS, contents, copy_until, words

from fault import Fault
from launcher import Launcher

YEAR = 365 * 24 * 3600


LONG = ("training.max_epochs=60", "training.patience=60")


@pytest.fixture(scope="module")
def whole(reference: Path, launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the training of a longer study that nothing stopped."""
    store = copy_until(reference, "tune-model", tmp_path_factory.mktemp("whole") / "runs")
    launcher.succeed(words(("train",), store, (*SERIAL, *LONG)))
    return store


def start_training(launcher: Launcher, store: Path, settings: tuple[str, ...]) -> int:
    """Start the training of a longer study and return when it has kept the state of an epoch."""
    pid = launcher.start(words(("train",), store, settings))
    deadline = time.monotonic() + 240
    while not list(store.glob(".scratch/train-*/*.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return pid


def processes_of_group(group: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "number", "to_all", "code"),
    [
        (SERIAL, signal.SIGINT, False, 130),
        # Ctrl-C of a serial run and SIGTERM of a run with workers show most of the other two.
        pytest.param(SERIAL, signal.SIGTERM, False, 143, marks=pytest.mark.exhaustive),
        (PARALLEL, signal.SIGINT, True, 130),
        (PARALLEL, signal.SIGTERM, False, 143),
        pytest.param(PARALLEL, signal.SIGTERM, True, 143, marks=pytest.mark.exhaustive),
    ],
    ids=["ctrl-c", "terminate", "ctrl-c-with-workers", "terminate-the-run", "terminate-all"],
)
def test_a_stopped_run(
    settings: tuple[str, ...], number: int, to_all: bool, code: int,
    reference: Path, whole: Path, launcher: Launcher, tmp_path: Path,
) -> None:  # fmt: skip
    longer = (*settings, *LONG)
    store = copy_until(reference, "tune-model", tmp_path / "runs")
    pid = start_training(launcher, store, longer)
    (os.killpg if to_all else os.kill)(pid, number)
    ended = launcher.wait(pid)
    assert ended.code == code, ended.stderr
    assert "goes on from there" in ended.stderr
    assert list(store.glob(".scratch/train-*/*.safetensors"))
    deadline = time.monotonic() + 15
    while processes_of_group(pid):
        assert time.monotonic() < deadline, "processes were left"
        time.sleep(0.1)
    launcher.succeed(words(("train",), store, longer))
    assert contents(store) == contents(whole)


@pytest.mark.slow
@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_while_a_study_is_made_changes_nothing(
    days: int, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Half the study was made by a clock that was right, and is now in the future, or long past."""
    store = copy_until(reference, "train", tmp_path / "runs")
    assert launcher.run(words(("train",), store), Fault(kill_before=60)).killed
    now = time.time()
    for path in store.rglob("*"):
        os.utime(path, (now - days * YEAR / 365, now - days * YEAR / 365))
    launcher.succeed(words(("run",), store), Fault(clock_days=days))
    assert contents(store) == contents(reference)
    launcher.succeed(words(("verify",), store))
    launcher.succeed(words(("status",), store))


@pytest.mark.slow
def test_two_runs_on_one_store_share_the_work(reference: Path, launcher: Launcher, tmp_path: Path) -> None:
    """Both end well, the store is that of one run, and each stage was computed by one of them alone."""
    command = [word for word in words(("run",), tmp_path / "runs") if word != "--quiet"]
    pids = [launcher.start(command) for _ in range(2)]
    ended = [launcher.wait(pid) for pid in pids]
    assert [each.code for each in ended] == [0, 0], [each.stderr for each in ended]
    assert contents(tmp_path / "runs") == contents(reference)
    launcher.succeed(words(("verify",), tmp_path / "runs"))
    said = "".join(each.stderr for each in ended)
    for stage in VERBS:
        assert said.count(f"✓ {stage} ") == 1, said
        assert said.count(f"= {stage} ") == 1, said
    assert not list((tmp_path / "runs").glob(".scratch/*"))
