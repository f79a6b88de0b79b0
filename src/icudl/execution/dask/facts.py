"""What a worker must have in common with this process so that both give the same results."""

from __future__ import annotations

import dataclasses
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import icudl
from icudl.execution.threads import ENVIRONMENT

PACKAGES = ("torch", "numpy", "polars", "scikit-learn")
"""Packages besides icudl that compute, and may round differently in another version."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts about one process on which results depend.

    Attributes:
        versions: Version of each package, and of Python.
        threads: Value of ``OMP_NUM_THREADS`` when the process started; "" if unset.
        slots: How many jobs the process runs side by side, each in a thread.
    """

    versions: dict[str, str]
    threads: str
    slots: int = 1

    @classmethod
    def of_this_process(cls, slots: int = 1) -> Facts:
        """Return the facts about this process; no large package is imported."""
        versions = {"icudl": icudl.__version__, "python": ".".join(platform.python_version_tuple()[:2])}
        return cls(
            versions=versions | {package: _version(package) for package in PACKAGES},
            threads=os.environ.get("OMP_NUM_THREADS", ""),
            slots=slots,
        )

    def objection(self, worker: Facts) -> str:
        """Return why ``worker`` must not run jobs of this process, or "" if it may."""
        differing = [
            f"{package} {worker.versions.get(package, 'none')} instead of {ours}"
            for package, ours in self.versions.items()
            if worker.versions.get(package) != ours
        ]
        if differing:
            return f"has {', '.join(differing)}. Install the same versions on every machine"
        if worker.slots != 1:
            return f"runs {worker.slots} jobs in threads of one process. Start it with --nthreads 1 (and --nworkers N)"
        if worker.threads != ENVIRONMENT["OMP_NUM_THREADS"]:
            settings = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
            return (
                f"computes with OMP_NUM_THREADS={worker.threads or '(unset)'}, which is slower and rounds differently. "
                f"Start it with the environment {settings}"
            )
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
