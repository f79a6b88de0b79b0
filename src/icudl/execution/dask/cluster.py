"""The cluster behind the Dask executor: a running one, or workers started on this machine."""

from __future__ import annotations

import contextlib
import logging
import re
from importlib.util import find_spec
from typing import Any

from icudl.errors import ConfigError, PluginError
from icudl.execution.children import interrupts_held, require_guarded_script
from icudl.execution.dask.facts import Facts
from icudl.execution.threads import ENVIRONMENT

CONNECT_SECONDS = 30.0
"""How long a scheduler may take to answer, Dask's own limit: on a busy machine one took more than ten seconds."""

WORKER_SECONDS = 60.0
"""How long a cluster may be without a worker."""

_ADDRESS = re.compile(r"(tcp|tls)://[^\s/:@]+(:\d+)|(tcp|tls)://\[[0-9a-fA-F:]+\](:\d+)")


def require_dask() -> None:
    """Make sure that Dask is installed.

    Raises:
        PluginError: Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise PluginError(
            "execution.executor = 'dask' needs the package dask[distributed], which is not installed. "
            "Install the extra: pip install 'icu-deep-learning[cluster]'"
        )


def check_address(address: str) -> None:
    """Make sure that ``address`` is empty or the address of a scheduler.

    Raises:
        ConfigError: ``address`` is something else.
    """
    if address and not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"execution.address = {address!r} is not the address of a scheduler. Expected tcp://HOST:PORT or "
            "tls://HOST:PORT, as the scheduler prints it when it starts."
        )


class Cluster:
    """A connection to a scheduler, and the workers of this machine if they were started for it.

    Args:
        address: Address of a running scheduler; "" starts ``workers`` processes here that listen on the loopback only.
        workers: How many processes to start.

    Raises:
        ConfigError: Workers start here, and the script of this process starts work while they import it.
        PluginError: The scheduler does not answer, no worker joins it, or a worker differs from this process.
    """

    def __init__(self, address: str, workers: int) -> None:
        from distributed import Client

        # Errors of this package say what went wrong; Dask's loggers would add tracebacks of its internals.
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

        # Dask would start workers that end again for as long as the cluster is open.
        require_guarded_script()
        # Otherwise Ctrl-C would reach the workers too, and each would print a traceback.
        with dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT}), interrupts_held():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                # The system chooses a free port.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                # A worker that Dask killed at a limit would look like one that its job killed.
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
        self._stack.enter_context(cluster)
        return str(cluster.scheduler_address)

    def require_workers(self) -> None:
        """Wait for the first worker, then compare every worker with this process.

        Raises:
            PluginError: No worker joins in time, or a worker differs from this process.
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
        """Number of workers that are connected now."""
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    @property
    def has_gpus(self) -> bool:
        """Whether any worker declares the resource ``GPU``."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return any("GPU" in worker["resources"] for worker in workers)

    def close(self) -> None:
        """Disconnect, and end the workers that were started here."""
        self._stack.close()


def facts_of_worker(dask_worker: Any = None) -> Facts:
    """Return the facts about a Dask worker's process; Dask fills the argument by its name."""
    return Facts.of_this_process(slots=dask_worker.state.nthreads)
