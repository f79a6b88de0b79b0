"""Small artifacts of every kind on disk, of which single files are replaced."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from fuzz_manifest import MANIFEST

from icudl.artifacts import Artifact, Checkpoint
from icudl.store.folder import FolderStore
from icudl.store.manifest import content_hash, list_files
from report_study import fake_study

NODES = ("extract", "preprocess", "train", "attack", "analyse", "tune-model")


def artifacts() -> dict[str, Any]:
    """One small artifact of each kind, by node."""
    study = fake_study(12)
    (data,), (model,), (attack,) = study.data, study.models, study.attacks
    few = dict(list(model.training.checkpoints.items())[:1])
    training = dataclasses.replace(model.training, checkpoints={name: _small(item) for name, item in few.items()})
    # All its tables are read in the same way, and each costs every input its time.
    tables = dict(list(attack.susceptibility.tables.items())[:2])
    susceptibility = dataclasses.replace(attack.susceptibility, tables=tables)
    values = (data.tables, data.grid, training, attack.result, susceptibility, model.tuning)
    return dict(zip(NODES, values, strict=True))


def _small(checkpoint: Checkpoint) -> Checkpoint:
    weights = dict(list(checkpoint.weights.items())[:2])
    return dataclasses.replace(checkpoint, weights={name: array.ravel()[:4].copy() for name, array in weights.items()})


class Stored:
    """Writes the artifacts once, then reads any of them with one file replaced, as though its hashes agreed."""

    def __init__(self) -> None:
        self._artifacts = artifacts()
        self.files: dict[tuple[str, str], bytes] = {}
        self._folder: Path | None = None

    def keep(self, folder: Path) -> None:
        """Write all artifacts under ``folder`` unless this was the last folder asked for."""
        if self._folder == folder:
            return
        for node, artifact in self._artifacts.items():
            own = folder / node / MANIFEST.id
            shutil.rmtree(own, ignore_errors=True)
            own.mkdir(parents=True)
            artifact.write(own)
            for path in sorted(own.rglob("*")):
                if path.is_file():
                    self.files[node, path.relative_to(own).as_posix()] = path.read_bytes()
        self._folder = folder

    def load(self, node: str, name: str, content: bytes) -> Artifact:
        """Read the artifact of ``node`` through the store, the file ``name`` holding ``content``."""
        assert self._folder is not None
        own = self._folder / node / MANIFEST.id
        _replace(own / name, content)
        try:
            files = list_files(own)
            identity = dataclasses.replace(MANIFEST.identity, node=node)
            manifest = dataclasses.replace(MANIFEST, identity=identity, files=files, content=content_hash(files))
            loaded: Artifact = FolderStore(self._folder).load(type(self._artifacts[node]), manifest)
            return loaded
        finally:
            _replace(own / name, self.files[node, name])


def _replace(path: Path, content: bytes) -> None:
    """Put another file in the place of one, whose bytes stay with those who have it mapped."""
    path.unlink()
    path.write_bytes(content)


STORED = Stored()
