"""The results that a reference stands for, by data set, model and attack, each read when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from icudl.artifacts import (
    Artifact,
    AttackResult,
    Certificates,
    GridDataset,
    Probes,
    Scores,
    SusceptibilityResult,
    TrainingResult,
)
from icudl.config.schema import MAIN, RoleOptions
from icudl.errors import StoreError
from icudl.store.base import Store
from icudl.store.manifest import Manifest, Upstream

A = TypeVar("A", bound=Artifact)

KINDS: dict[str, type[Artifact]] = {
    "preprocess": GridDataset,
    "train": TrainingResult,
    "score": Scores,
    "attack": AttackResult,
    "analyse": SusceptibilityResult,
    "certify": Certificates,
    "probe": Probes,
}
"""The stages whose results are gathered."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One result and what it is about.

    Attributes:
        manifest: Its manifest.
        model: Name of its model in the study, or "".
        attack: Name of its attack, or "".
        data: Name of its data set.
    """

    manifest: Manifest
    model: str
    attack: str
    data: str


class Gathered:
    """The results that a reference stands for: all of a report, or one result with its data set.

    Attributes:
        manifest: Manifest of what the reference means.
        parts: Its results, in the order of the study.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        """Find the results.

        Args:
            store: Store that holds them.
            manifest: A report, or a result of preprocess, train, score, attack, analyse, certify or probe.

        Raises:
            StoreError: The result is of another stage, or one that it was made from is no longer in the store.
        """
        if manifest.node != "report" and manifest.node not in KINDS:
            raise StoreError(
                f"{manifest.name} ({manifest.reference}) has neither scores nor attacks. Give a report, or a result "
                f"of {', '.join(KINDS)}."
            )
        self.store = store
        self.manifest = manifest
        self.parts = tuple(_of_report(store, manifest) if manifest.node == "report" else _of_one(store, manifest))
        self._loaded: dict[str, Any] = {}

    @property
    def restricted(self) -> bool:
        """Whether the results derive from credentialed data."""
        return self.manifest.restricted

    @property
    def main(self) -> str:
        """Name of the data set that the models were fitted on; the only one, where there is no other."""
        grids = self.of("preprocess")
        return next((part.data for part in grids if _role(part.manifest) == MAIN), grids[0].data)

    def of(self, stage: str) -> list[Part]:
        """Return the results of a stage, in the order of the study."""
        return [part for part in self.parts if part.manifest.node == stage]

    def grid(self, data: str) -> GridDataset:
        """Return the cohort of a data set."""
        return self.load(GridDataset, next(part for part in self.of("preprocess") if part.data == data))

    def load(self, kind: type[A], part: Part) -> A:
        """Read a result, once.

        Raises:
            StoreError: It cannot be read.
        """
        reference = part.manifest.reference
        if reference not in self._loaded:
            self._loaded[reference] = self.store.load(kind, part.manifest)
        found: A = self._loaded[reference]
        return found


def _role(manifest: Manifest) -> str:
    return str(manifest.options[RoleOptions.table]["role"])


def _read(store: Store, entry: Upstream, wanted_by: Manifest) -> Manifest:
    """Return the manifest of an input.

    Raises:
        StoreError: The store no longer holds it, or holds other content under its id.
    """
    if not store.has(entry.node, entry.id):
        raise StoreError(
            f"{wanted_by.reference} was made from {entry.reference}, which is not in {store.name!r}. Use the store "
            "that holds both, or run the study again."
        )
    return store.manifest(entry.node, entry.id)


def _of_report(store: Store, report: Manifest) -> Iterator[Part]:
    for entry in sorted(report.identity.upstream.values(), key=lambda each: each.position):
        if entry.node in KINDS:
            manifest = _read(store, entry, report)
            yield Part(manifest=manifest, model=entry.model, attack=entry.attack, data=entry.data)


def _of_one(store: Store, manifest: Manifest) -> list[Part]:
    """Return one result, its data set, and of an attack its analysis."""
    if manifest.node == "analyse":
        return _of_one(store, _read(store, manifest.identity.upstream["attack"], manifest))
    if manifest.node == "preprocess":
        return [Part(manifest=manifest, model="", attack="", data=_rest(manifest))]
    inputs = manifest.identity.upstream
    grid = _read(store, inputs["preprocess"], manifest)
    data = _rest(grid)
    trained = manifest if manifest.node == "train" else _read(store, inputs["train"], manifest)
    model, attack = _rest(trained), ""
    found = [manifest]
    if manifest.node == "attack":
        # The name of an attack leaves out names that need not be told.
        words = [word for word in manifest.name.split("/")[1:] if word not in {model, data}]
        attack = "/".join(words) or MAIN
        found += [
            each
            for each in store.manifests("analyse")
            if each.identity.upstream["attack"].reference == manifest.reference
        ][:1]
    parts = [Part(manifest=grid, model="", attack="", data=data)]
    return parts + [Part(manifest=each, model=model, attack=attack, data=data) for each in found]


def _rest(manifest: Manifest) -> str:
    """Return the name of a result without its stage, which is that of the data set or model it is about."""
    return manifest.name.partition("/")[2] or MAIN


def names_of(parts: Iterable[Part]) -> tuple[str, ...]:
    """Return the names that a user has given to data sets, models and attacks."""
    return tuple({name for part in parts for name in (part.data, part.model, part.attack) if name})
