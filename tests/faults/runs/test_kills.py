"""A killed run loses nothing, leaves nothing that confuses a later one, and ends with an undisturbed run's bytes."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from memory_groups import killed_for_memory
from study import PARALLEL, SERIAL, VERBS, contents, copy_until, words

from fault import Fault
from launcher import Launcher

KILLS_PER_STAGE = 8
"""Kills of each stage before a file operation or within a write; 8 stages make 64 of them."""

POWER_LOSSES_PER_STAGE = 5
"""Losses of power before a file operation of each stage."""

LOSSES_OF_NAMES_PER_STAGE = 4
"""The same with names lost as well: half of them after the artifact was moved into its place."""


KILLS_IN_TIME = 6
"""Kills of the whole study at a random moment, workers included."""


def count_operations(launcher: Launcher, reference: Path, stage: str, folder: Path) -> int:
    """Return how many file operations the stage takes when nothing disturbs it."""
    store, counted = copy_until(reference, stage, folder / "counted"), folder / "operations"
    launcher.succeed(words(VERBS[stage], store), Fault(operations_to=str(counted)))
    shutil.rmtree(store)
    return int(counted.read_text("ascii"))


def largest_file(reference: Path, stage: str) -> int:
    return max(path.stat().st_size for path in (reference / stage).rglob("*") if path.is_file())


def until(reference: Path, stage: str) -> dict[str, str]:
    """Return the contents of the stages up to and with ``stage``."""
    wanted = list(VERBS)[: list(VERBS).index(stage) + 1]
    return {name: digest for name, digest in contents(reference).items() if name.split("/")[0] in wanted}


def inspect(launcher: Launcher, store: Path) -> None:
    """What looks at a store copes with whatever a kill has left in it."""
    launcher.succeed_in_turn(*(words((verb,), store) for verb in ("status", "verify", "clean")))


def require_whole(launcher: Launcher, store: Path, expected: dict[str, str]) -> None:
    """The store holds the expected bytes, every artifact is sound, and nothing is left over."""
    assert contents(store) == expected
    launcher.succeed(words(("verify",), store))
    assert launcher.succeed(words(("clean",), store)).stdout.strip() == ""
    assert not list(store.glob(".scratch/*"))
    assert not list(store.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", VERBS)
def test_a_stage_killed_again_and_again(stage: str, reference: Path, launcher: Launcher, tmp_path: Path) -> None:
    draw = random.Random(f"kills of {stage}")
    operations, largest = count_operations(launcher, reference, stage, tmp_path), largest_file(reference, stage)
    expected, kills, studies = until(reference, stage), 0, 0
    while kills < KILLS_PER_STAGE:
        store = copy_until(reference, stage, tmp_path / f"store-{studies}")
        ended = None
        while ended is None or ended.killed:
            fault = Fault(kill_before=draw.randint(1, operations))
            if draw.random() < 0.3:
                fault = Fault(torn_write=int(largest ** draw.random()))
            ended = launcher.run(words(VERBS[stage], store), fault if kills < KILLS_PER_STAGE else None)
            kills += ended.killed
            inspect(launcher, store)
            if ended.killed and draw.random() < 0.2:
                launcher.succeed(words(("clean", "--yes"), store))
                assert launcher.succeed(words(("clean",), store)).stdout.strip() == ""
        assert ended.code == 0, ended.stderr
        require_whole(launcher, store, expected)
        shutil.rmtree(store)
        studies += 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names_lost", "losses"),
    [
        (0.0, POWER_LOSSES_PER_STAGE),
        (1.0, LOSSES_OF_NAMES_PER_STAGE),
        pytest.param(0.5, LOSSES_OF_NAMES_PER_STAGE, marks=pytest.mark.exhaustive),
    ],
    ids=["bytes", "all_names", "some_names"],
)
@pytest.mark.parametrize("stage", VERBS)
def test_a_stage_whose_machine_loses_its_power(
    stage: str, names_lost: float, losses: int, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """What was not synced is lost: bytes and, of what was done to folders, nothing, all or any part that can stand."""
    draw = random.Random(f"power of {stage}, {names_lost}")
    operations = count_operations(launcher, reference, stage, tmp_path)
    expected = until(reference, stage)
    # The last three come after the artifact was moved into its place.
    drawn = draw.sample(range(1, operations - 2), losses - 3)
    for number in (*sorted(drawn), operations - 2, operations - 1, operations):
        store = copy_until(reference, stage, tmp_path / "store")
        fault = Fault(kill_before=number, power_loss_in=str(store), names_lost=names_lost, seed=draw.getrandbits(32))
        assert launcher.run(words(VERBS[stage], store), fault).killed
        inspect(launcher, store)
        launcher.succeed(words(VERBS[stage], store))
        require_whole(launcher, store, expected)
        shutil.rmtree(store)


@pytest.mark.slow
@pytest.mark.parametrize("stage", VERBS)
def test_what_a_stage_has_reported_outlives_a_loss_of_power(
    stage: str, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """The run has ended with 0: nothing of the artifact may be lost, the folders above it included."""
    disk = tmp_path / "disk"
    disk.mkdir()
    store = disk / "lab" / "runs"
    if stage != "extract":  # which makes the store itself
        copy_until(reference, stage, store)
    launcher.succeed(words(VERBS[stage], store), Fault(power_loss_in=str(disk), names_lost=1.0))
    assert contents(store) == until(reference, stage)
    # What it deleted at its end may be back.
    launcher.succeed(words(VERBS[stage], store))
    require_whole(launcher, store, until(reference, stage))


@pytest.mark.slow
def test_trials_of_a_search_that_has_ended_outlive_a_loss_of_power(
    reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """A longer search goes on from them."""
    store = copy_until(reference, "tune-model", tmp_path / "store")
    launcher.succeed(words(VERBS["tune-model"], store), Fault(power_loss_in=str(store), names_lost=1.0))
    assert len(list(store.glob(".studies/*/trial-*.json"))) == 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("stage", VERBS)
def test_a_stage_killed_before_each_of_its_file_operations(
    stage: str, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    operations = count_operations(launcher, reference, stage, tmp_path)
    expected = until(reference, stage)
    for number in range(1, operations + 1):
        store = copy_until(reference, stage, tmp_path / "store")
        assert launcher.run(words(VERBS[stage], store), Fault(kill_before=number)).killed
        inspect(launcher, store)
        launcher.succeed(words(VERBS[stage], store))
        require_whole(launcher, store, expected)
        shutil.rmtree(store)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [SERIAL, PARALLEL], ids=["serial", "processes"])
def test_the_whole_study_killed_at_random_moments(
    settings: tuple[str, ...], reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    draw = random.Random("kills in time")
    command = words(("run",), tmp_path / "runs", settings)
    kills, wait = 0, 0.5
    while kills < KILLS_IN_TIME:
        pid = launcher.start(command)
        time.sleep(wait * draw.uniform(0.2, 1.0))
        os.killpg(pid, signal.SIGKILL)
        ended = launcher.wait(pid)
        if ended.code == 0:
            # Faster than it was killed; what is left to kill is a new study.
            require_whole(launcher, tmp_path / "runs", contents(reference))
            shutil.rmtree(tmp_path / "runs")
            continue
        kills += 1
        inspect(launcher, tmp_path / "runs")
        # Later stages are reached by runs that live longer.
        wait *= 1.3
    launcher.succeed(command)
    require_whole(launcher, tmp_path / "runs", contents(reference))


@pytest.mark.slow
def test_a_serial_run_that_the_kernel_kills_for_memory(
    memory_group: Callable[[int], Path], reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Killed in a stage further on whenever it has more memory, it loses nothing that was sealed."""
    command, sealed = words(("run",), tmp_path / "runs"), [0]
    for megabytes in itertools.count(20, 10):
        group = memory_group(megabytes * 10**6)
        if not launcher.run(command, Fault(memory_group=str(group))).killed:
            break
        assert killed_for_memory(group) == 1
        inspect(launcher, tmp_path / "runs")
        sealed.append(len(list((tmp_path / "runs").glob("[!.]*/*/manifest.json"))))
    assert sealed == sorted(sealed)
    assert sealed[-1] > 0
    launcher.succeed(command)
    require_whole(launcher, tmp_path / "runs", contents(reference))


@pytest.mark.slow
@pytest.mark.parametrize("names_lost", [0.0, 0.5], ids=["killed", "power lost"])
def test_cleaning_killed_before_each_of_its_file_operations(
    names_lost: float, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Killed while it deletes artifacts, ``clean`` leaves what the next ``clean`` deletes and no run reads."""
    command = words(("clean", "--unused", "--yes"), tmp_path / "store", (*SERIAL, "analysis.min_changed=2"))
    number, ended = 0, None
    while ended is None or ended.killed:
        number += 1
        store = copy_until(reference, "report", tmp_path / "store")
        fault = Fault(kill_before=number)
        if names_lost:
            fault = Fault(kill_before=number, power_loss_in=str(store), names_lost=names_lost, seed=number)
        ended = launcher.run(command, fault)
        inspect(launcher, store)
        launcher.succeed(command)
        assert not list((store / "analyse").iterdir())
        shutil.rmtree(store)
    assert number > 5
