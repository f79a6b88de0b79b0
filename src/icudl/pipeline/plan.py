"""The steps of a run before it begins, and the listener that follows the run."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from icudl.pipeline.forecast import Forecast
from icudl.pipeline.graph import Node
from icudl.store.manifest import Identity, Manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One node of a plan.

    Attributes:
        node: The node.
        identity: What its artifact's id is the hash of.
        done: True where the artifact is sealed already.
        reason: Why it must be computed, or "".
    """

    node: Node
    identity: Identity
    done: bool
    reason: str

    @property
    def id(self) -> str:
        """Id of the step's artifact."""
        return self.identity.id

    @property
    def name(self) -> str:
        """What people call the step's artifact, such as ``train/lstm``."""
        return self.node.name

    @property
    def reference(self) -> str:
        """``stage/id``."""
        return f"{self.node.key.stage}/{self.id}"


class Listener(Protocol):
    """Follows a run; the command line prints what it hears."""

    def reused(self, step: Step) -> None:
        """The artifact was there already."""

    def started(self, step: Step) -> None:
        """A stage begins."""

    def waiting(self, step: Step) -> None:
        """Another run is making the same artifact."""

    def warned(self, step: Step, text: str) -> None:
        """A stage that will begin is likely not to fit in memory or on the disk."""

    def finished(self, step: Step, manifest: Manifest) -> None:
        """A stage has sealed its artifact."""

    def foreseen(self, pending: Forecast) -> None:
        """What the rest of the run will take, before it begins and once the stays are counted."""


class Nobody:
    """Hears everything and does nothing."""

    def reused(self, step: Step) -> None:
        """Do nothing."""

    def started(self, step: Step) -> None:
        """Do nothing."""

    def waiting(self, step: Step) -> None:
        """Do nothing."""

    def warned(self, step: Step, text: str) -> None:
        """Do nothing."""

    def finished(self, step: Step, manifest: Manifest) -> None:
        """Do nothing."""

    def foreseen(self, pending: Forecast) -> None:
        """Do nothing."""


class Together:
    """Hears everything and tells several listeners, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def reused(self, step: Step) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener.reused(step)

    def started(self, step: Step) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener.started(step)

    def waiting(self, step: Step) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener.waiting(step)

    def warned(self, step: Step, text: str) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener.warned(step, text)

    def finished(self, step: Step, manifest: Manifest) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener.finished(step, manifest)

    def foreseen(self, pending: Forecast) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener.foreseen(pending)
