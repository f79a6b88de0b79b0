"""The cluster behind the Dask executor: one that runs already, or workers started on this machine."""

from __future__ import annotations

import contextlib
import logging
import re
from importlib.util import find_spec
from typing import Any

from icudl.errors import ConfigError, PluginError
from icudl.execution.children import interrupts_held
from icudl.execution.dask.facts import Facts
from icudl.execution.threads import ENVIRONMENT

CONNECT_SECONDS = 30.0
"""How long a scheduler may take to answer, as Dask itself lets it: one on a busy machine took more than ten seconds."""

WORKER_SECONDS = 60.0
"""How long a cluster may be without a worker."""

_ADDRESS = re.compile(r"(tcp|tls)://[^\s/:@]+(:\d+)|(tcp|tls)://\[[0-9a-fA-F:]+\](:\d+)")


def require_dask() -> None:
    """Make sure that Dask is installed.

    Raises:
        PluginError: It is not.
    """
    if find_spec("distributed") is None:
        raise PluginError(
            "execution.executor = 'dask' needs the package dask[distributed], which is not installed. "
            "Install the extra: pip install 'icu-deep-learning[cluster]'"
        )


def check_address(address: str) -> None:
    """Make sure that an address is one.

    Raises:
        ConfigError: It is not.
    """
    if address and not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"execution.address = {address!r} is no address of a scheduler. Expected tcp://HOST:PORT or "
            "tls://HOST:PORT, as the scheduler prints it when it starts."
        )


class Cluster:
    """A connection to a scheduler, and the workers on this machine where they were started for it.

    Args:
        address: Of a running scheduler; "" starts ``workers`` processes here that listen on the loopback only.
        workers: How many to start.

    Raises:
        PluginError: The scheduler does not answer, no worker joins it, or one is not like this process.
    """

    def __init__(self, address: str, workers: int) -> None:
        from distributed import Client

        # What goes wrong is told by an error of ours; Dask's own loggers would add tracebacks of its inner life.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        self._stack = contextlib.ExitStack()
        self._address = address
        with contextlib.ExitStack() as on_error:
            on_error.push(self._stack)
            if not address:
                address = self._start(workers)
            try:
                client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, TimeoutError) as error:
                raise PluginError(
                    f"No Dask scheduler answers at execution.address = {address!r} within {CONNECT_SECONDS:.0f} s. "
                    "Start one with `dask scheduler`, or leave the address empty to start workers here."
                ) from error
            self.client: Any = self._stack.enter_context(client)
            self.require_workers()
            on_error.pop_all()

    def _start(self, workers: int) -> str:
        import dask
        from distributed import LocalCluster

        # Without the interrupts held, Ctrl-C would reach the workers, too, and each would tell of it.
        with dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT}), interrupts_held():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                # Ports are chosen by the system; whoever watches a fixed one may have it.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                # A worker that a limit killed would look like one that died of its job.
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
        self._stack.enter_context(cluster)
        return str(cluster.scheduler_address)

    def require_workers(self) -> None:
        """Wait for a worker and look at all there are.

        Raises:
            PluginError: None joins in time, or one is not like this process.
        """
        try:
            self.client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise PluginError(
                f"No worker has joined the Dask scheduler at {self._address!r} within {WORKER_SECONDS:.0f} s. "
                "Start workers with `dask worker ADDRESS --nthreads 1`."
            ) from error
        ours = Facts.of_this_process()
        for address, theirs in self._facts().items():
            objection = ours.objection(theirs) if isinstance(theirs, Facts) else f"cannot run icudl: {theirs}"
            if objection:
                raise PluginError(f"The Dask worker {address} {objection}.")

    def _facts(self) -> dict[str, Facts | BaseException]:
        return dict(self.client.run(facts_of_worker, on_error="return"))

    @property
    def n_workers(self) -> int:
        """Workers that are connected now."""
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    @property
    def has_gpus(self) -> bool:
        """Whether a worker has declared the resource ``GPU``."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return any("GPU" in worker["resources"] for worker in workers)

    def close(self) -> None:
        """Disconnect; end the workers that were started here."""
        self._stack.close()


def facts_of_worker(dask_worker: Any = None) -> Facts:
    """Look at the process of a Dask worker; Dask passes the worker itself by the name of the argument."""
    return Facts.of_this_process(slots=dask_worker.state.nthreads)
