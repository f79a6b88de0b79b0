"""A study whose store is a bucket, on machines that share nothing else: each has a cache of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from command_line import SMALL, begin, end, icudl

from icudl.store.base import open_store
from icudl.store.objects import Objects

pytestmark = pytest.mark.slow

NODES = ("extract", "preprocess", "train", "attack", "analyse", "report")


def require_the_same(address: str, reference: Path, cache: Path) -> None:
    """The bucket holds the artifacts of a store in a folder, byte by byte."""
    bucket = open_store(address, cache)
    found = {manifest.reference: manifest.files for manifest in bucket.manifests()}
    assert found == {manifest.reference: manifest.files for manifest in open_store(reference).manifests()}
    assert [line for manifest in bucket.manifests() for line in bucket.check(manifest)] == []


def test_every_command_works_with_a_bucket(
    bucket: str, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICUDL_CACHE", str(tmp_path / "one"))
    report = icudl("run", "--store", bucket, settings=SMALL).stdout.strip()
    require_the_same(bucket, small_study, tmp_path / "checking")

    monkeypatch.setenv("ICUDL_CACHE", str(tmp_path / "two"))
    status = json.loads(icudl("status", "--json", "--store", bucket, settings=SMALL).stdout)
    assert all(step["done"] for step in status["steps"])
    again = icudl("run", "--json", "--store", bucket, settings=SMALL)
    assert "nothing to do" in again.stderr
    found = json.loads(again.stdout)
    assert found["reference"] == report
    assert (Path(found["path"]).is_relative_to(tmp_path / "two"), Path(found["path"]).is_file()) == (True, True)
    references = {step["reference"].partition("/")[0]: step["reference"] for step in status["steps"]}
    assert json.loads(icudl("show", report, "--store", bucket, "--json").stdout)["restricted"] is False
    assert icudl("show", report, "--lineage", "--store", bucket).stdout.count("\n") >= len(NODES)
    assert icudl("verify", "--store", bucket, settings=SMALL).stdout.count(" sound") == len(NODES)
    assert "identical" in icudl("verify", references["attack"], "--rerun", "--store", bucket, settings=SMALL).stdout
    risks = tmp_path / "risks.csv"
    icudl("predict", references["train"], references["preprocess"], "--out", risks, "--store", bucket)
    assert risks.is_file()
    icudl("figures", report, "--out", tmp_path / "figures", "--store", bucket)
    assert list((tmp_path / "figures").iterdir())

    other = (*SMALL, "attack.kappa=0.5")
    assert icudl("clean", "--store", bucket, settings=SMALL).stdout.strip() == ""
    dropped = icudl("clean", "--unused", "--yes", "--store", bucket, settings=other).stdout.splitlines()
    assert {reference.partition("/")[0] for reference in dropped} == {"attack", "analyse", "report"}
    monkeypatch.setenv("ICUDL_CACHE", str(tmp_path / "three"))
    gone = icudl("show", report, "--store", bucket, check=False)
    assert gone.returncode == 5
    assert bucket in gone.stderr
    # The first machine has its copies, and writes them instead of computing.
    monkeypatch.setenv("ICUDL_CACHE", str(tmp_path / "one"))
    assert icudl("run", "--quiet", "--store", bucket, settings=SMALL).stdout.strip() == report
    require_the_same(bucket, small_study, tmp_path / "checking")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("extract", marks=pytest.mark.exhaustive),
        pytest.param("preprocess", marks=pytest.mark.exhaustive),
        "train",
        "attack",
    ],
)
def test_a_killed_machine_leaves_nothing_half_written(
    moment: str, bucket: str, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed as soon as the first object of an artifact is there, most often before its manifest is."""
    monkeypatch.setenv("ICUDL_CACHE", str(tmp_path / "one"))
    run = begin("run", "--quiet", "--store", bucket, settings=SMALL)
    objects = Objects(bucket)
    deadline = time.monotonic() + 300
    while not objects.times(moment):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(run, signal.SIGKILL)
    assert end(run).killed, "it had ended before"
    seen = open_store(bucket, tmp_path / "looking")
    assert [line for manifest in seen.manifests() for line in seen.check(manifest)] == []
    icudl("run", "--quiet", "--store", bucket, settings=SMALL)
    require_the_same(bucket, small_study, tmp_path / "checking")


def test_two_machines_at_once(bucket: str, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for name in ("one", "two"):
        monkeypatch.setenv("ICUDL_CACHE", str(tmp_path / name))
        runs.append(begin("run", "--quiet", "--store", bucket, settings=SMALL))
    ended = [end(run) for run in runs]
    assert [run.code for run in ended] == [0, 0], [run.stderr for run in ended]
    require_the_same(bucket, small_study, tmp_path / "checking")
