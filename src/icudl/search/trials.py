"""Where the outcomes of trials are kept: a folder, or a PostgreSQL database that several machines share.

Both guard a trial that is being run with a lock that its owner cannot leave behind: the operating system's, or that of
the database session.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from icudl.artifacts import read_json, write_json
from icudl.errors import StageError
from icudl.execution.base import write_atomically

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a trial.

    Attributes:
        number: From 0.
        parameters: By dotted path.
        state: ``"complete"``, ``"pruned"`` or ``"failed"`` (the model diverged with these parameters).
        value: Score; for a pruned trial its last intermediate one; None for a failed one.
        intermediate: Scores by step.
    """

    number: int
    parameters: Mapping[str, Any]
    state: str
    value: float | None
    intermediate: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Outcome:
        """Make an outcome of what JSON kept of ``to_dict``."""
        intermediate = {int(step): value for step, value in content["intermediate"].items()}
        return cls(**{**content, "intermediate": intermediate})


class Trials(Protocol):
    """Keeps the outcomes of one study; small, and can be sent to a worker."""

    def claim(self, number: int) -> contextlib.AbstractContextManager[bool]:
        """Give True where this process may run the trial: nobody else may while the ``with`` block lasts."""

    def read(self, number: int) -> Outcome | None:
        """Return the outcome of a trial, or None where it has none yet."""

    def keep(self, outcome: Outcome) -> None:
        """Keep an outcome."""


@dataclasses.dataclass(frozen=True)
class FolderTrials:
    """One JSON file a trial."""

    folder: Path

    @contextlib.contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """See ``Trials``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"trial-{number}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def read(self, number: int) -> Outcome | None:
        """See ``Trials``."""
        path = self.folder / f"trial-{number}.json"
        return Outcome.from_dict(read_json(path)) if path.exists() else None

    def keep(self, outcome: Outcome) -> None:
        """See ``Trials``."""
        path = self.folder / f"trial-{outcome.number}.json"
        write_atomically(path, lambda partial: write_json(partial, outcome.to_dict()))


@dataclasses.dataclass(frozen=True)
class PostgresTrials:
    """One row a trial in the table ``icudl_trials`` of a database.

    Attributes:
        url: Connection URL; what it leaves out comes from libpq's environment, service file and password file.
        study: Key of the study.
    """

    url: str = dataclasses.field(repr=False)
    study: str

    @contextlib.contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """See ``Trials``."""
        digest = hashlib.sha256(f"{self.study}/{number}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        with self._connection() as connection:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            yield bool(row and row[0])

    def read(self, number: int) -> Outcome | None:
        """See ``Trials``."""
        query = "SELECT outcome FROM icudl_trials WHERE study = %s AND number = %s"
        with self._connection() as connection:
            row = connection.execute(query, (self.study, number)).fetchone()
        return Outcome.from_dict(json.loads(row[0])) if row else None

    def keep(self, outcome: Outcome) -> None:
        """See ``Trials``."""
        text = json.dumps(outcome.to_dict(), sort_keys=True, allow_nan=False)
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO icudl_trials (study, number, outcome) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (self.study, outcome.number, text),
            )

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        import psycopg

        try:
            connection = psycopg.connect(self.url, autocommit=True)
        except psycopg.Error:
            # What the driver says may repeat the URL, and with it a password.
            raise StageError(
                "The database of the trials (storage) cannot be reached. Check that the server runs, and host, port, "
                "database, user and password."
            ) from None
        with contextlib.closing(connection):
            # Two processes that create the table at once would clash without the lock.
            connection.execute("SELECT pg_advisory_lock(hashtext('icudl_trials'))")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS icudl_trials "
                "(study text, number integer, outcome text NOT NULL, PRIMARY KEY (study, number))"
            )
            connection.execute("SELECT pg_advisory_unlock(hashtext('icudl_trials'))")
            yield connection


def open_trials(storage: str, scratch: Path, study: str) -> Trials:
    """Return the trials of a study: in a database, in a folder of the user's, or in the stage's scratch folder."""
    if storage.startswith(("postgresql://", "postgres://")):
        return PostgresTrials(storage, study)
    return FolderTrials((Path(storage) if storage else scratch) / study)
