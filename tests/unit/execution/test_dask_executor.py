"""The Dask executor against a real scheduler: what it listens on, which workers it takes, its errors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from icudl.config.load import load_config
from icudl.errors import ConfigError, PluginError
from icudl.execution.base import ExecutionOptions, Tick, completed, make_executor
from icudl.execution.dask.executor import DaskExecutor, DaskOptions
from icudl.execution.dask.facts import Facts
from icudl.execution.threads import ENVIRONMENT

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "slurm.py"


def who(shared: None, job: int, tick: Tick) -> int:
    return os.getpid()


def loud(shared: None, job: int, tick: Tick) -> int:
    raise RuntimeError("not one of ours")


class Scheduler:
    """A scheduler, and workers, in processes of their own that listen on the loopback."""

    def __init__(self, folder: Path) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self._folder = folder
        self._start(["scheduler", "--port", str(port), "--dashboard-address", "127.0.0.1:0"], {})
        self._until_it_listens(port)

    @staticmethod
    def _until_it_listens(port: int) -> None:
        """Wait longer than the executor does: on a busy machine the scheduler's own start takes its time."""
        last = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.1)
            else:
                return

    def worker(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        more = ["worker", self.address, "--nthreads", "1", "--no-nanny", *words]
        return self._start(more, ENVIRONMENT if environment is None else environment)

    def _start(self, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        tests = str(Path(__file__).parent)
        with (self._folder / f"{words[0]}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--no-dashboard", "--host", "127.0.0.1"],
                env=os.environ | {"PYTHONPATH": tests} | environment, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    pytest.importorskip("distributed")
    running = Scheduler(tmp_path)
    yield running
    running.stop()


@pytest.mark.slow
def test_a_job_on_a_gpu_runs_where_one_is_declared(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource is declared by hand here: what is tested is where Dask sends the jobs."""
    with_gpu = scheduler.worker("--resources", "GPU=1")
    scheduler.worker()
    monkeypatch.setattr("icudl.execution.dask.executor.resolve_device", lambda _name: "cuda:0")
    with DaskExecutor(scheduler.address, device="cuda") as executor:
        until(lambda: executor._connected().n_workers == 2)
        assert set(executor.map(who, list(range(6)), shared=None)) == {with_gpu.pid}


def test_a_worker_with_threads_of_its_own_is_refused(scheduler: Scheduler) -> None:
    scheduler.worker(environment={"OMP_NUM_THREADS": "4"})
    with pytest.raises(PluginError, match=r"OMP_NUM_THREADS=4.*OMP_NUM_THREADS=1"), DaskExecutor(scheduler.address):
        pass


@pytest.mark.slow
def test_a_worker_that_joins_late_is_looked_at_too(scheduler: Scheduler) -> None:
    first = scheduler.worker()
    with DaskExecutor(scheduler.address) as executor:
        executor.map(who, [1], shared=None)
        first.kill()
        scheduler.worker("--nthreads", "2")
        with pytest.raises(PluginError, match="runs 2 jobs in threads of one process"):
            executor.map(who, [1], shared=None)


def until(holds: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts({"icudl": "1"}, "1"), ""),
        (Facts({"icudl": "2"}, "1"), "has icudl 2 instead of 1"),
        (Facts({}, "1"), "has icudl none instead of 1"),
        (Facts({"icudl": "1"}, ""), r"OMP_NUM_THREADS=(unset)"),
        (Facts({"icudl": "1"}, "1", slots=8), "runs 8 jobs"),
    ],
)
def test_what_is_wrong_with_a_worker(facts: Facts, words: str) -> None:
    objection = Facts({"icudl": "1"}, "1").objection(facts)
    assert words in objection
    assert bool(objection) == bool(words)


@pytest.mark.slow  # a cluster of its own
def test_nothing_listens_beyond_the_loopback() -> None:
    pytest.importorskip("distributed")
    import psutil

    with DaskExecutor(workers=1) as executor:
        worker = executor.map(who, [1], shared=None)[0]
        own = psutil.Process()
        family = [own, *own.children(recursive=True)]
        assert worker in {process.pid for process in family}
        listening = [
            place for process in family for place in process.net_connections("inet") if place.status == "LISTEN"
        ]
        assert listening
        assert {place.laddr.ip for place in listening} == {"127.0.0.1"}
        with pytest.raises(RuntimeError, match="not one of ours"):
            executor.map(loud, [1], shared=None)
    until(lambda: not psutil.pid_exists(worker))


def test_an_address_at_which_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("icudl.execution.dask.cluster.CONNECT_SECONDS", 1.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(PluginError, match=rf"No Dask scheduler answers at execution.address = '{address}'"):
            DaskExecutor(address).__enter__()
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("address", ["localhost:8786", "tcp://host", "http://host:8786", "tcp://me:secret@host:1"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match="Expected tcp://HOST:PORT"):
        DaskOptions(executor="dask", address=address)
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="Expected tcp://HOST:PORT"):
        DaskExecutor(address)


def test_the_address_is_an_option_of_dask_alone() -> None:
    pytest.importorskip("distributed")
    config = load_config(None, ["execution.executor=dask", "execution.address=tcp://host:8786", "execution.workers=3"])
    assert config.execution == DaskOptions(executor="dask", address="tcp://host:8786", workers=3)
    with pytest.raises(ConfigError, match=r"Unknown key execution\.address"):
        load_config(None, ["execution.address=tcp://host:8786"])


def test_options_of_the_base_class_are_completed() -> None:
    assert completed(DaskOptions, ExecutionOptions(executor="dask", workers=3)) == DaskOptions(
        executor="dask", workers=3
    )
    given = DaskOptions(executor="dask", address="tcp://host:1")
    assert completed(DaskOptions, given) is given


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icudl.execution.dask.cluster.find_spec", lambda _name: None)
    with pytest.raises(PluginError) as caught:
        make_executor(ExecutionOptions(executor="dask"))
    assert "pip install 'icu-deep-learning[cluster]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_slurm_script_is_a_shell_script(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    words = ["--partition", "gpu", "--account", "me", "--gpus", "1", "--walltime", "01:00:00", "--interface", "lo"]
    shown = subprocess.run(
        [sys.executable, EXAMPLE, *words, "--show"], capture_output=True, text=True, check=True, timeout=120
    )
    lines = shown.stdout.strip().splitlines()
    for line in ("#SBATCH -p gpu", "#SBATCH -A me", "#SBATCH -t 01:00:00", "#SBATCH --gres=gpu:1"):
        assert line in lines
    for name, value in ENVIRONMENT.items():
        assert f"export {name}={value}" in lines
    assert "--nthreads 1 " in lines[-1]
    assert "--resources GPU=1" in lines[-1]
    script = tmp_path / "job.sh"
    script.write_text(shown.stdout, "utf-8")
    subprocess.run(["bash", "-n", script], check=True)
