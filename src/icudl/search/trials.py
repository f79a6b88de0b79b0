"""Outcomes of trials, and the folder that keeps them on one machine.

A lock that ends with its owner guards a running trial: a lock of the operating system here, a lock of the database
session in ``search.postgres_trials``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from icudl.artifacts import TrialState, read_json, write_json
from icudl.execution import locks
from icudl.files import sync, write_atomically


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        number: Its number, from 0.
        parameters: Its setting by dotted path.
        state: How it ended.
        value: Its score; the last intermediate score of a pruned trial; None for a failed trial.
        intermediate: Scores by step.
    """

    number: int
    parameters: Mapping[str, Any]
    state: TrialState
    value: float | None
    intermediate: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Outcome:
        """Make an outcome from the JSON form of ``to_dict``."""
        intermediate = {int(step): value for step, value in content["intermediate"].items()}
        return cls(**{**content, "state": TrialState(content["state"]), "intermediate": intermediate})


class Trials(Protocol):
    """Keeps the outcomes of one study; small, and can be sent to a worker."""

    def claim(self, number: int) -> contextlib.AbstractContextManager[bool]:
        """Give True if this process may run the trial; no other process may while the ``with`` block lasts."""

    def read(self, number: int) -> Outcome | None:
        """Return the outcome of a trial, or None if the trial has not ended."""

    def keep(self, outcome: Outcome) -> Outcome:
        """Keep an outcome, and return the one that counts: the first outcome kept for this trial."""


@dataclasses.dataclass(frozen=True)
class FolderTrials:
    """Keeps each trial in a JSON file."""

    folder: Path

    @contextlib.contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """See ``Trials``.

        Raises:
            StoreError: The file system has no locks. Taking this for a trial that another process runs would make all
                processes wait for each other.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"trial-{number}.lock"
        with path.open("w") as handle:
            yield locks.take(handle.fileno(), path)

    def read(self, number: int) -> Outcome | None:
        """See ``Trials``."""
        path = self.folder / f"trial-{number}.json"
        return Outcome.from_dict(read_json(path)) if path.exists() else None

    def keep(self, outcome: Outcome) -> Outcome:
        """See ``Trials``."""
        known = self.read(outcome.number)
        if known is None:
            path = self.folder / f"trial-{outcome.number}.json"
            write_atomically(path, lambda partial: write_json(partial, outcome.to_dict()))
            sync(self.folder.parent)  # the folder of the study may be new
        return known or outcome


def remove_work(folder: Path, number: int) -> None:
    """Delete the unfinished work of a trial, including that of killed attempts.

    Call it before the outcome is kept: afterwards no process looks at the trial again. The deletions reach the disk
    before the function returns.
    """
    for pattern in (f"trial-{number}-fold-*", f"trial-{number}.shards", f".trial-{number}[-.]*.partial"):
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    sync(folder)
