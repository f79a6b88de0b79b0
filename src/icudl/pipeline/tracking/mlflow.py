"""The listener that writes finished results to an MLflow server. Whatever the server does, the run goes on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

from icudl.errors import PluginError
from icudl.options import masked
from icudl.pipeline.plan import Step
from icudl.pipeline.tracking.facts import TRACKED, Facts, facts_of
from icudl.store.base import Store
from icudl.store.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from icudl.pipeline.forecast import Forecast

SECONDS_TO_ANSWER = 10
"""How long the server may take to answer."""

MOST_NUMBERS, MOST_OPTIONS, LONGEST_OPTION = 1000, 100, 6000
"""Limits of one call of MLflow's interface."""

Item = TypeVar("Item")


class MlflowListener:
    """Writes each result to a run of its own, once: a result that the experiment holds already is left alone.

    The run has the result's name; scores with their intervals are its metrics, used options its parameters, and the
    report is an artifact. Nothing about single stays is written.
    """

    def __init__(self, store: Store, uri: str, experiment: str, study: str, warn: Callable[[str], None]) -> None:
        """Ask the server whether it is there.

        Args:
            store: Store that holds the results.
            uri: Address of the server, as MLflow takes it.
            experiment: Name of the experiment; made where it does not exist.
            study: What the runs of this study are tagged with.
            warn: Told once what does not work; nothing is written from then on.

        Raises:
            PluginError: MLflow is not installed.
        """
        if find_spec("mlflow") is None:
            raise PluginError(
                "--mlflow needs the extra mlflow. Install it: pip install 'icu-deep-learning[mlflow]', or leave the "
                "option out."
            )
        self._store = store
        self._uri = uri
        self._study = study
        self._warn = warn
        self._given_up = False
        self._client: Any = None
        self._experiment = ""
        self._try(lambda: self._open(experiment))

    def reused(self, step: Step) -> None:
        """Write a result that was there already, unless the experiment holds it."""
        if step.node.key.stage in TRACKED:
            self._try(lambda: self._tell(self._store.manifest(step.node.key.stage, step.id), step.name))

    def foreseen(self, pending: Forecast) -> None:
        """Do nothing."""

    def started(self, step: Step) -> None:
        """Do nothing."""

    def waiting(self, step: Step) -> None:
        """Do nothing."""

    def warned(self, step: Step, text: str) -> None:
        """Do nothing: warnings stand in the report."""

    def finished(self, step: Step, manifest: Manifest) -> None:
        """Write a new result."""
        if step.node.key.stage in TRACKED:
            self._try(lambda: self._tell(manifest, step.name))

    def _try(self, write: Callable[[], None]) -> None:
        """Write something; a failure is told once, and nothing is written after it."""
        if self._given_up:
            return
        try:
            write()
        except Exception as error:  # noqa: BLE001, RUF100 - nothing that the server or its client does may end a run
            self._given_up = True
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self._warn(
                f"MLflow at {masked(self._uri)} cannot be written to: {masked(first)}. The run goes on without it; the "
                "same command writes what is missing once the server answers."
            )

    def _open(self, experiment: str) -> None:
        # Without limits, the client would wait for minutes. Its makers need not hear of anybody's patients.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS_TO_ANSWER))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        if self._uri.startswith(("http://", "https://")):
            _require_answer(self._uri)
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self._uri)
        found = client.get_experiment_by_name(experiment)
        self._experiment = str(client.create_experiment(experiment) if found is None else found.experiment_id)
        self._client = client

    def _tell(self, manifest: Manifest, name: str) -> None:
        known = self._client.search_runs(
            [self._experiment],
            filter_string=f"tags.`icudl.reference` = '{manifest.reference}' and attributes.status = 'FINISHED'",
            max_results=1,
        )
        if not known:
            self._write(facts_of(self._store, manifest), name)

    def _write(self, facts: Facts, name: str) -> None:
        from mlflow.entities import Metric, Param

        client, now = self._client, int(time.time() * 1000)
        tags = {**facts.origin, "icudl.study": self._study}
        run = client.create_run(self._experiment, run_name=name, tags=tags).info.run_id
        try:
            for part in _parts(sorted(facts.options.items()), MOST_OPTIONS):
                client.log_batch(run, params=[Param(_key(key), value[:LONGEST_OPTION]) for key, value in part])
            numbers = [Metric(_key(key), value, now, 0) for key, value in _finite(facts.numbers)]
            numbers += [Metric(_key(each.name), each.value, now, each.step) for each in facts.points]
            for each in _parts(numbers, MOST_NUMBERS):
                client.log_batch(run, metrics=each)
            if facts.page is not None:
                client.log_artifact(run, str(facts.page))
        except BaseException:
            # A half-written run is no result: it is marked, and written anew next time.
            client.set_terminated(run, status="FAILED")
            raise
        client.set_terminated(run)


def _require_answer(uri: str) -> None:
    """Ask a server whether it is there.

    Raises:
        OSError: It does not answer in time.
    """
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=SECONDS_TO_ANSWER):  # noqa: S310 - http or https
            pass
    except HTTPError:
        # It answers; whether it lets us in, the client will see.
        return


def _finite(numbers: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    return ((key, value) for key, value in numbers.items() if math.isfinite(value))


def _key(name: str) -> str:
    """Return a name with the characters that MLflow allows in one."""
    return "".join(letter if letter.isalnum() or letter in "_-. /:" else "_" for letter in name)[:250]


def _parts(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
