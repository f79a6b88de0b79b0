"""Every target on inputs drawn by Hypothesis; in full length, guided by coverage."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target import Target

HERE = Path(__file__).resolve().parent
QUICK = {"manifest": 400, "tables": 50, "mimic3": 75}
"""Inputs of the default suite where they are not 120; about a second a target."""
SLOW = {"tables": 800, "mimic3": 800}
"""Inputs of the slow tests where they are not 1,500; these two readers take longest."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: every input writes files."""
    fast = Path("/dev/shm")
    place = fast / f"icudl-fuzz-{os.getpid()}" if os.access(fast, os.W_OK) else tmp_path_factory.mktemp("fuzz")
    place.mkdir(exist_ok=True)
    yield place
    if place.parent == fast:
        shutil.rmtree(place)


def check(target: Target, folder: Path, inputs: int) -> None:
    """Draw inputs; any error but one made on purpose is a finding, and Hypothesis reports the shortest."""
    work = folder / target.name
    work.mkdir(exist_ok=True)

    @settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=1, max_size=160))
    def feed(data: bytes) -> None:
        target.accepts(data, work)

    feed()


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_an_input_is_read_or_refused(target: Target, folder: Path) -> None:
    check(target, folder, QUICK.get(target.name, 120))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_thousands_of_inputs_are_read_or_refused(target: Target, folder: Path) -> None:
    check(target, folder, SLOW.get(target.name, 1500))


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_target_gets_past_the_first_check(target: Target, folder: Path) -> None:
    """A target of which nothing is read, or nothing refused, tests nothing."""
    work = folder / target.name
    work.mkdir(exist_ok=True)
    draw = random.Random(0)
    inputs = [*target.seeds, *(draw.randbytes(draw.randrange(2, 100)) for _ in range(100))]
    read = sum(target.accepts(data, work) for data in inputs)
    assert 0.05 * len(inputs) < read < 0.95 * len(inputs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_hundred_thousand_inputs_guided_by_coverage(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    inputs = int(os.environ.get("ICUDL_FUZZ_INPUTS", "100000"))
    done = subprocess.run(
        [sys.executable, str(HERE / "coverage_guided.py"), name, "--inputs", str(inputs)],
        cwd=tmp_path, capture_output=True, text=True, timeout=7200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["inputs"] == inputs
    assert min(counts["read"], counts["refused"]) > inputs / 100
