"""Disks that are full, read-only, or named as nobody expects: one clear error, and nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from study import SERIAL, VERBS, contents, copy_until, words

from fault import Fault
from icudl.store.refusals import refusal
from launcher import Launcher


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts file systems, and unmounts them at the end; skips where this process may not."""
    mounted: list[Path] = []

    def mount(name: str, *options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("mounting a file system needs root")
        done = subprocess.run(["mount", *options, folder], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("stage", VERBS)
def test_a_full_disk_stops_every_stage_with_one_error_and_room_lets_it_go_on(
    stage: str, reference: Path, launcher: Launcher, tmp_path: Path, mount: Callable[..., Path]
) -> None:
    """The disk is filled up to so many kB: at none of them is there a traceback, or another result afterwards."""
    store = copy_until(reference, stage, mount("disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") / "runs")
    ballast, refused = store.parent / "ballast", 0
    for room in (0, 8, 60, 200, 500):
        free = shutil.disk_usage(store).free
        ballast.write_bytes(bytes(max(free - room * 1024, 0)))
        ended = launcher.run(words(VERBS[stage], store))
        ballast.unlink()
        if ended.code == 0:
            break
        refused += 1
        assert ended.code == 5, ended.stderr
        assert "No space left on device" in ended.stderr
        launcher.succeed(words(("verify",), store))
    assert refused
    launcher.succeed(words(VERBS[stage], store))
    made = {name: digest for name, digest in contents(reference).items() if name.split("/")[0] == stage}
    assert made.items() <= contents(store).items()
    assert launcher.succeed(words(("clean",), store)).stdout.strip() == ""


@pytest.mark.slow
def test_files_that_cannot_grow_are_an_error_of_the_store(reference: Path, launcher: Launcher, tmp_path: Path) -> None:
    """A limit on the size of files meets every library that writes: each says it in its own words."""
    # No smaller: the messages of the run go to a file as well.
    for number, size in enumerate((2000, 5000, 10_000, 20_000, 60_000)):
        store = tmp_path / f"{number}"
        ended = launcher.run(words(("run",), store), Fault(full_disk=size))
        assert ended.code == 5, ended.stderr
        assert "File too large" in ended.stderr or "No space left" in ended.stderr
        launcher.succeed(words(("verify",), store))
    launcher.succeed(words(("run",), tmp_path / "4"))
    assert contents(tmp_path / "4") == contents(reference)


@pytest.mark.slow
def test_a_read_only_store_can_be_read_and_says_so_when_it_should_be_written(
    reference: Path, launcher: Launcher, tmp_path: Path, mount: Callable[..., Path]
) -> None:
    store = mount("read-only", "--bind", str(reference))
    subprocess.run(["mount", "-o", "remount,ro,bind", store], check=True)
    for verb in (("status",), ("verify",), ("clean",), ("run",), ("run", "--dry-run")):
        launcher.succeed(words(verb, store))
    for verb in (("attack",), ("clean", "--unused", "--yes"), ("verify", "--rerun", "preprocess/")):
        words_of = verb
        if "--rerun" in verb:
            words_of = ("verify", "--rerun", next((store / "preprocess").iterdir()).name)
        ended = launcher.run(words(words_of, store, (*SERIAL, "attack.kappa=0.5")))
        assert ended.code == 5, ended.stderr
        assert "Read-only file system" in ended.stderr


@pytest.mark.slow  # no other quick test of faults forks runs, and the process to fork from imports everything
def test_a_path_with_spaces_and_letters_of_other_alphabets(launcher: Launcher, tmp_path: Path) -> None:
    store = tmp_path / "Größe 'δοκιμή' 試験 %s $HOME;#" / "runs of «2026»"
    launcher.succeed(words(("preprocess",), store))
    launcher.succeed(words(("verify",), store))
    assert len(contents(store)) > 3


def test_refusals_are_known_by_number_and_by_text() -> None:
    assert refusal(OSError(28, "No space left on device")) == "No space left on device"
    assert refusal(RuntimeError("I/O error: File too large (os error 27)")) == "File too large"
    assert refusal(OSError("1000 requested and 12 written")) == "No space left on device"
    assert refusal(FileNotFoundError(2, "No such file or directory")) is None
    assert refusal(ValueError("(os error 2)")) is None
