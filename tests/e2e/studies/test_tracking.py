"""`icudl run --mlflow` against a real server on this machine, and without one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import polars as pl
import pytest
from command_line import SMALL, icudl

pytestmark = pytest.mark.skipif(find_spec("mlflow") is None, reason="the extra mlflow is not installed")
# Found and not imported: that takes a second in every process that collects this file.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a tracking server with an empty database."""
    pytest.importorskip("mlflow.server", reason="MLflow's server is not installed")
    port = free_port()
    words = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination", str(tmp_path / "artifacts"),
    ]  # fmt: skip
    with (tmp_path / "server.log").open("wb") as log:
        # Its queue of jobs, which nothing here uses, would be a dozen processes.
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, tmp_path / "server.log")
            yield f"http://127.0.0.1:{port}", process
        finally:
            stop(process)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text("utf-8", "replace")
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text("utf-8", "replace"))


def stop(process: subprocess.Popen[bytes]) -> None:
    # The server has worker processes, all of the session that it leads.
    if process.poll() is None:
        os.killpg(process.pid, 15)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_results_are_written_once_and_a_dead_server_costs_nothing(
    small_study: Path, server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    from mlflow.tracking import MlflowClient

    uri, process = server
    words = ("run", "--store", small_study, "--mlflow", uri, "--experiment", "test")
    done = icudl(*words, settings=SMALL)
    assert "cannot be written to" not in done.stderr
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("test").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {"train", "attack", "report"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    trained = runs["train"]
    stored = pl.read_parquet(small_study / trained.data.tags["icudl.reference"] / "metrics.parquet")
    for row in stored.filter(model="lstm", subgroup="all", split="out-of-fold").iter_rows(named=True):
        if row["value"] is not None:
            assert trained.data.metrics[f"out-of-fold.{row['metric']}"] == pytest.approx(row["value"], abs=1e-12)
            assert trained.data.metrics[f"out-of-fold.{row['metric']}.low"] == pytest.approx(row["low"], abs=1e-12)
    assert trained.data.params["training.max_epochs"] == "2"
    assert trained.data.tags["icudl.restricted"] == "false"
    assert len(client.get_metric_history(trained.info.run_id, "final.train_loss")) == 2
    attacked = json.loads(icudl("show", "attack", "--store", small_study, "--json").stdout)["counts"]
    assert runs["attack"].data.metrics["flipped.either.attacked"] == sum(
        attacked["status"].get(name, 0) for name in ("success", "failed")
    )
    assert [file.path for file in client.list_artifacts(runs["report"].info.run_id)] == ["index.html"]
    page = client.download_artifacts(runs["report"].info.run_id, "index.html")
    assert Path(page).read_bytes() == next(small_study.glob("report/*/index.html")).read_bytes()

    icudl(*words, settings=SMALL)
    assert len(client.search_runs([experiment])) == 3

    stop(process)
    done = icudl(*words, settings=SMALL)
    assert done.stderr.count("cannot be written to") == 1
    assert done.stdout.startswith("report/")


def test_a_server_that_is_not_there_is_one_warning(small_study: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    done = icudl("run", "--to", "train", "--store", small_study, "--mlflow", uri, settings=SMALL)
    assert done.stdout.startswith("train/")
    assert done.stderr.count("cannot be written to") == 1
    assert "The run goes on without it" in done.stderr.replace("\n", " ")
