"""A study of all eight stages that is computed in a few seconds, and what its store must hold."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

SETTINGS = (
    "execution.device=cpu",
    "source.patients=120",
    "split.folds=2",
    "model.hidden_size=4",
    "model.fc_size=4",
    "training.max_epochs=2",
    "training.bootstrap_samples=10",
    "tune_model.trials=3",
    "tune_model.folds=2",
    "tune_model.batch=2",
    'tune_model.space={"model.hidden_size"={choices=[4,6]},"training.learning_rate"={low=1e-3,high=1e-1,log=true}}',
    "tune_attack.trials=3",
    "tune_attack.stays=6",
    "attack.attack_misclassified=true",
    "attack.max_stays=10",
    "attack.iterations=12",
    "attack.batch_size=4",
    "analysis.bootstrap_samples=10",
    "analysis.importance_stays=4",
    "analysis.importance_steps=4",
)
SERIAL = (*SETTINGS, "execution.executor=serial")
PARALLEL = (*SETTINGS, "execution.executor=processes", "execution.workers=2")

VERBS = {
    "extract": ("extract",),
    "preprocess": ("preprocess",),
    "tune-model": ("tune", "model"),
    "train": ("train",),
    "tune-attack": ("tune", "attack"),
    "attack": ("attack",),
    "analyse": ("analyse",),
    "report": ("report",),
}
"""The words that run each stage, in order."""


def words(verb: Sequence[str], store: Path, settings: Sequence[str] = SERIAL) -> list[str]:
    """Return the words of a call on the study."""
    return [*verb, "--store", str(store), "--quiet", *(word for setting in settings for word in ("--set", setting))]


def contents(store: Path) -> dict[str, str]:
    """Hash of every file of every sealed artifact; manifests, which tell times, and logs are left out."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.glob("[!.]*/*/**/*"))
        if path.is_file() and path.name != "manifest.json" and not path.is_relative_to(store / "logs")
    }


def copy_until(store: Path, stage: str, target: Path) -> Path:
    """Copy the artifacts of the stages before ``stage``; a study without a search has none of it."""
    for node in list(VERBS)[: list(VERBS).index(stage)]:
        if (store / node).exists() or not node.startswith("tune"):
            shutil.copytree(store / node, target / node)
    target.mkdir(mode=0o700, exist_ok=True)
    return target
