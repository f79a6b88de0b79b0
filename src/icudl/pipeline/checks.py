"""Checks of a sealed result that need the results it was made from."""

from __future__ import annotations

import numpy as np

from icudl.artifacts import FINAL, Certificates, GridDataset, TrainingResult
from icudl.execution.context import Progress, seed_for
from icudl.pipeline.stages import FITTED_ON
from icudl.store.base import Store
from icudl.store.manifest import Manifest
from icudl.training.external import align_grid


def check_proofs(store: Store, manifest: Manifest, count: int, progress: Progress) -> list[str]:
    """Bound some pieces of a proof again by a second program (``proofs.checker``); return a line for each fault.

    Args:
        store: Holds the proof, and the data and models that it is about.
        manifest: Of the proof.
        count: Pieces, and witnesses, to check; drawn at random, the same ones each time.
        progress: Shows how far the check is: pieces of ensembles take long.

    Raises:
        StoreError: An input of the proof is missing or damaged.
    """
    from icudl.proofs.checker import Checker

    upstream = manifest.identity.upstream
    inputs = {name: store.manifest(entry.node, entry.id) for name, entry in upstream.items()}
    grid, training = store.load(GridDataset, inputs["preprocess"]), store.load(TrainingResult, inputs["train"])
    if FITTED_ON in inputs:
        grid = align_grid(grid, training.checkpoints[str(FINAL)])
    checker = Checker(store.load(Certificates, manifest), grid, training.checkpoints)
    rng = np.random.default_rng(seed_for(manifest.identity.seed, "check", manifest.id))
    with progress.task(f"Checking {manifest.name}", total=checker.to_check(count), unit="intervals") as bar:
        return checker.faults(count, rng, bar.advance)
