"""How a reference finds its result: by a name, an id, the unique beginning of an id, or ``latest``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from icudl.errors import StoreError, suggestion
from icudl.pipeline.plan import Step
from icudl.pipeline.stages import STAGES
from icudl.store.base import Store
from icudl.store.manifest import Manifest

LATEST = "latest"
MODEL = "train"
"""The stage whose result the bare name of a model means."""


def find_result(store: Store, reference: str, *, stage: str = "", plan: Sequence[Step] = ()) -> Manifest:
    """Return the manifest of the result that a reference means.

    The reference is tried in this order: ``latest`` and ``STAGE/latest``; a name in the plan; the name under which a
    result was made (the newest of several); the name of a model, which means its training; ``STAGE/ID``; the beginning
    of an id that only one result has.

    Args:
        store: Store that holds the results.
        reference: What the user wrote. Where a stage is given, the name may leave it out.
        stage: Stage of the result; "" for any.
        plan: Steps of the configured study. Its names are tried before those of other results.

    Raises:
        StoreError: No result matches, several ids match, or the result is of another stage.
    """
    manifest = (
        _latest(store, reference, stage)
        or _planned(store, reference, stage, plan)
        or _named(store, reference, stage)
        or _model(store, reference, stage, plan)
        or _by_id(store, reference, stage)
    )
    if stage and manifest.node != stage:
        raise StoreError(
            f"{manifest.name} ({manifest.reference}) is not a result of `icudl {STAGES[stage].verb}`. "
            f"Give one of: {', '.join(_names(store, stage)) or '(the store has no such result yet)'}."
        )
    return manifest


def newest_first(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return manifests by the time at which their stages began, the newest first."""
    return sorted(manifests, key=lambda manifest: str(manifest.environment.get("started", "")), reverse=True)


def _latest(store: Store, reference: str, stage: str) -> Manifest | None:
    prefix, _, word = reference.rpartition("/")
    if word != LATEST:
        return None
    if prefix and prefix not in STAGES:
        raise StoreError(
            f"Unknown stage {prefix!r} in {reference!r}.{suggestion(prefix, STAGES)} Stages: {', '.join(STAGES)}."
        )
    wanted = stage or prefix
    found = newest_first([item for item in store.manifests(wanted or None) if not prefix or item.node == prefix])
    if not found:
        raise StoreError(f"{store.name!r} has no result{f' of {wanted}' if wanted else ''} yet. Run the study first.")
    return found[0]


def _spellings(reference: str, stage: str) -> set[str]:
    return {reference, f"{stage}/{reference}"} if stage else {reference}


def _planned(store: Store, reference: str, stage: str, plan: Sequence[Step]) -> Manifest | None:
    for step in plan:
        if step.name in _spellings(reference, stage):
            if not step.done:
                raise StoreError(
                    f"{step.name} of this study has not been computed yet ({step.reason}). Compute it with "
                    f"`icudl run --to {step.name}`, or give the id of another result."
                )
            # The result may have been made under another name.
            return dataclasses.replace(store.manifest(step.node.key.stage, step.id), name=step.name)
    return None


def _named(store: Store, reference: str, stage: str) -> Manifest | None:
    wanted = _spellings(reference, stage)
    found = newest_first([item for item in store.manifests() if item.name in wanted])
    return found[0] if found else None


def _model(store: Store, reference: str, stage: str, plan: Sequence[Step]) -> Manifest | None:
    if stage or not reference or "/" in reference:
        return None
    return _planned(store, reference, MODEL, plan) or _named(store, reference, MODEL)


def _by_id(store: Store, reference: str, stage: str) -> Manifest:
    try:
        return store.manifest(*store.resolve(reference))
    except StoreError as error:
        # With the stage known, an id need only be unique among its results.
        if stage and "/" not in reference and any(item[1].startswith(reference) for item in store.references(stage)):
            return store.manifest(*store.resolve(f"{stage}/{reference}"))
        names = _names(store, stage)
        begun = [name for name in names if reference and name.startswith(f"{reference}/")]
        if len(begun) > 1:
            raise StoreError(
                f"{reference!r} begins the names of {len(begun)} results: {', '.join(begun)}. Name one."
            ) from error
        short = [name.partition("/")[2] for name in names if stage and "/" in name]
        hint = suggestion(reference, [*names, *short])
        raise StoreError(f"{error}{hint}") from error


def _names(store: Store, stage: str) -> list[str]:
    return sorted({manifest.name for manifest in store.manifests(stage or None)})
