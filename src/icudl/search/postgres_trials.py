"""Outcomes of trials in a PostgreSQL database that any number of machines share.

A running trial is guarded by an advisory lock of its owner's database session. The server ends the session, and with
it the claim, as soon as it sees the connection closed: at once where the process dies, and where the machine or the
network goes silent as soon as it has asked in vain (``SERVER_SETTINGS``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from icudl.errors import StageError
from icudl.search.options import database_url
from icudl.search.trials import FolderTrials, Outcome, Trials

CONNECTION: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Defaults of a connection, which the URL may override: libpq notices within half a minute that the server is gone."""

SERVER_SETTINGS: Mapping[str, str] = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""Set in each session: the server probes after 15 s of silence, and ends the session after three unanswered probes."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0


@dataclasses.dataclass(frozen=True)
class PostgresTrials:
    """One row a trial in the table ``icudl_trials`` of a database; see ``Trials``.

    Attributes:
        url: Connection URL; what it leaves out comes from libpq's environment, service file and password file.
        study: Key of the study.
        patience_seconds: How long a database that cannot be reached is asked again, so that a restart of the server
            costs no trial.
    """

    url: str = dataclasses.field(repr=False)
    study: str
    patience_seconds: float = 300.0

    def prepare(self) -> None:
        """Create the table unless it exists. A database that cannot be reached is not tried again.

        Raises:
            StageError: The database cannot be reached, or refuses the request.
        """
        with _explained(), self._session("icudl", until=0.0) as connection:
            # Two processes that create the table at once would clash without the lock.
            connection.execute("SELECT pg_advisory_lock(hashtext('icudl_trials'))")
            if connection.execute("SELECT to_regclass('icudl_trials')").fetchone() == (None,):
                connection.execute(
                    "CREATE TABLE icudl_trials "
                    "(study text, number integer, outcome text NOT NULL, PRIMARY KEY (study, number))"
                )

    @contextlib.contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """See ``Trials``; the session tells in ``pg_stat_activity`` which trial it runs, and where."""
        digest = hashlib.sha256(f"{self.study}/{number}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        name = f"icudl {self.study}/{number} {os.getpid()}@{socket.gethostname()}"
        with contextlib.ExitStack() as stack:
            with _explained():
                connection = stack.enter_context(self._session(name, self._end()))
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            yield bool(row and row[0])

    def read(self, number: int) -> Outcome | None:
        """See ``Trials``."""
        row = self._ask("SELECT outcome FROM icudl_trials WHERE study = %s AND number = %s", (self.study, number))
        return Outcome.from_dict(json.loads(row[0])) if row else None

    def keep(self, outcome: Outcome) -> Outcome:
        """See ``Trials``."""
        text = json.dumps(outcome.to_dict(), sort_keys=True, allow_nan=False)
        # The update changes nothing, but without it the statement would not return a row that exists already.
        row = self._ask(
            "INSERT INTO icudl_trials AS kept (study, number, outcome) VALUES (%s, %s, %s) "
            "ON CONFLICT (study, number) DO UPDATE SET outcome = kept.outcome RETURNING outcome",
            (self.study, outcome.number, text),
        )
        return Outcome.from_dict(json.loads(row[0]))

    def _end(self) -> float:
        return time.monotonic() + self.patience_seconds

    def _ask(self, query: str, values: Sequence[Any]) -> Any:
        """Run a statement and return its first row; repeat it if the connection is lost."""
        import psycopg

        end = self._end()
        with _explained():
            while True:
                try:
                    with self._session("icudl", end) as connection:
                        return connection.execute(query, values).fetchone()
                except psycopg.OperationalError:
                    if time.monotonic() >= end:
                        raise
                    time.sleep(FIRST_PAUSE_SECONDS)

    @contextlib.contextmanager
    def _session(self, name: str, until: float) -> Iterator[Any]:
        """Connect, and try again until ``until`` on the monotonic clock."""
        import psycopg

        given = psycopg.conninfo.conninfo_to_dict(self.url)
        more = {key: value for key, value in CONNECTION.items() if key not in given}
        target = psycopg.conninfo.make_conninfo(self.url, **more, application_name=name)
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                connection = psycopg.connect(target, autocommit=True)
                break
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        with contextlib.closing(connection):
            for setting, value in SERVER_SETTINGS.items():
                connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
            yield connection


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Translate errors of the database: the driver's own message may repeat the URL with its password."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        said = error.diag.message_primary
        if said is None or isinstance(error, psycopg.OperationalError):
            raise StageError(
                "The database of the trials (storage) cannot be reached. Check that the server runs, and host, port, "
                "database, user and password."
            ) from None
        raise StageError(
            f"The database of the trials (storage) refuses: {said}. Its user must be able to create, read and write "
            "the table icudl_trials."
        ) from None


def open_trials(storage: str, default: Path, study: str) -> Trials:
    """Return the trials of a study: in a database, in a folder that the user names, or in the default folder.

    Raises:
        ConfigError: The place is an address of something that cannot keep trials.
        StageError: The database cannot be reached, or refuses the request.
    """
    url = database_url(storage)
    if url is not None:
        trials = PostgresTrials(url, study)
        trials.prepare()
        return trials
    return FolderTrials((Path(storage) if storage else default) / study)
