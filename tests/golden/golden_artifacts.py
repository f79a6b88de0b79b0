"""Sealed artifacts of one format of the store, and the numbers that they hold.

    python tests/golden/golden_artifacts.py [--replace]

computes a small study of the synthetic hospital with the present code and keeps its artifacts as
``tests/golden/formats/format-N.tar.xz``, N being ``icudl.store.manifest.FORMAT``, and what is read from them beside
it as ``format-N.json``. It is run when the format is raised (docs/releasing.md), and never for a released format.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import hashlib
import json
import math
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import icudl
from icudl.artifacts import write_json
from icudl.pipeline.stages import STAGES
from icudl.store.base import MANIFEST
from icudl.store.folder import FolderStore
from icudl.store.manifest import FORMAT, Manifest

FORMATS = Path(__file__).resolve().parent / "formats"

STUDY = """
[run]
seed = 5

[execution]
device = "cpu"
executor = "serial"

[data.main]
source = "synthetic"
patients = 110

[data.elsewhere]
source = "synthetic"
patients = 60
seed = 7
role = "external"

[variables]
use = ["potassium", "heartrate", "tempc"]

[window]
hours = 12

[split]
folds = 2

[training]
max_epochs = 20
patience = 20
learning_rate = 0.05
bootstrap_samples = 10

# With a search over its options.
[models.lstm]
hidden_size = 4
fc_size = 4

[models.lstm.tune_model]
trials = 3
folds = 2

[models.lstm.tune_model.space]
"model.hidden_size" = { choices = [4, 6] }
"training.learning_rate" = { low = 3e-2, high = 1e-1, log = true }

# With statics, all channels, the models of all folds as one and a calibration curve.
[models.gru]
hidden_size = 4
fc_size = 4

[models.gru.inputs]
statics = ["age_years"]
channels = ["value", "observed", "hours_since"]

[models.gru.training]
calibration = "isotonic"
final = "folds"

# With a search over its options.
[attacks.cells]
attack = "proximal"
on = ["lstm", "elsewhere"]
attack_misclassified = true
max_stays = 24
iterations = 100
lambda_1 = 0.005

[attacks.cells.tune_attack]
trials = 3
stays = 6

# With further tables of its own.
[attacks.slips]
attack = "entry_errors"
threat_model = "measured"
on = ["gru", "main"]
attack_misclassified = true
split = "both"
max_stays = 24

[certify]
on = ["lstm", "main"]
max_stays = 6
boxes = 400

[probe]
on = ["gru", "main"]
max_stays = 8
hours = 6
steps = 2
draws = 3

[attacks.one_value]
attack = "sweep"
threat_model = "measured"
on = ["gru", "main"]
attack_misclassified = true
max_stays = 8

[analysis]
bootstrap_samples = 10
importance_stays = 4
importance_steps = 4
"""
"""A study in which every node of a graph has something to do, and everything that may be absent is there once."""


def archive(version: int) -> Path:
    """Archive of the artifacts of a format."""
    return FORMATS / f"format-{version}.tar.xz"


def record(version: int) -> Path:
    """File of what is read from the artifacts of a format."""
    return FORMATS / f"format-{version}.json"


def unpacked(version: int, folder: Path) -> Path:
    """Unpack the artifacts of a format into ``folder`` and return the store."""
    with tarfile.open(archive(version)) as packed:
        packed.extractall(folder, filter="data")
    return folder / "runs"


def numbers(store: FolderStore) -> dict[str, Any]:
    """Read every artifact of a store and describe all that it holds, by reference."""
    return {
        manifest.reference: described(store.load(STAGES[manifest.node].artifact, manifest))
        for manifest in store.manifests()
    }


def described(value: Any) -> Any:
    """Describe a value in a few numbers, such as change when anything in it does.

    A table by its height and, for each column, its type, the number of nulls and a sum; an array by type, shape and
    sum; long texts and bytes by their hash.
    """
    match value:
        case pl.DataFrame():
            return {"rows": value.height} | {column.name: _column(column) for column in value}
        case np.ndarray():
            return [str(value.dtype), list(value.shape), _total(value)]
        case enum.Enum():
            return value.value
        case str() if len(value) > 100:
            return hashlib.sha256(value.encode()).hexdigest()[:12]
        case bytes():
            return hashlib.sha256(value).hexdigest()[:12]
        case Mapping():
            return {str(key): described(item) for key, item in value.items()}
        case str() | int() | float() | None:
            return value
        case Sequence():
            return [described(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return {field.name: described(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"an artifact holds a {type(value).__name__}, which has no description")


def _column(column: pl.Series) -> list[Any]:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        total: Any = _total(column.drop_nulls().to_numpy())
    else:
        texts = [str(item) for item in column.to_list()]
        total = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
    return [str(column.dtype), column.null_count(), total]


def _total(values: np.ndarray) -> float:
    """Sum of what is finite, each value weighted by its place: an exchange of two values changes it."""
    flat = values.astype(np.float64).ravel()
    return float(np.sum(np.where(np.isfinite(flat), flat, 0.0) * (1 + np.arange(flat.size) % 97)))


def differences(then: Any, now: Any, place: str = "") -> list[str]:
    """Return one line for each place in which two descriptions differ; sums may differ in their last digits."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(then.keys() | now.keys())
            for line in differences(then.get(key), now.get(key), f"{place}/{key}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [line for index, (one, other) in pairs for line in differences(one, other, f"{place}[{index}]")]
    if isinstance(then, float) and isinstance(now, float) and math.isclose(then, now, rel_tol=1e-9, abs_tol=1e-12):
        return []
    return [] if then == now else [f"{place}: {then!r} then, {now!r} now"]


def _without_machine(store: FolderStore, manifest: Manifest) -> None:
    """Seal the manifest again without what tells of the machine that it was made on."""
    facts = dict(manifest.environment)
    facts["versions"] = {key: text for key, text in facts["versions"].items() if key != "platform"}
    write_json(
        store.folder(manifest.node, manifest.id) / MANIFEST,
        dataclasses.replace(manifest, environment=facts).to_json(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep artifacts of the present format of the store.")
    parser.add_argument("--replace", action="store_true", help="replace those that exist")
    wanted = parser.parse_args()
    if archive(FORMAT).exists() and not wanted.replace:
        parser.error(f"{archive(FORMAT)} exists. A released format does not change; before a release give --replace.")
    scratch = Path(tempfile.mkdtemp(prefix="icudl-golden-"))
    store = FolderStore(scratch / "runs")
    file = scratch / "study.toml"
    file.write_text(STUDY, "utf-8")
    icudl.Pipeline(icudl.load_config(file), store).update("report")
    for manifest in store.manifests():
        _without_machine(store, manifest)
    FORMATS.mkdir(exist_ok=True)
    record(FORMAT).write_text(json.dumps(numbers(store), sort_keys=True, indent=None, separators=(",", ":")), "utf-8")

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive(FORMAT), "w:xz", preset=9) as packed:
        for manifest in store.manifests():
            packed.add(store.folder(manifest.node, manifest.id), f"runs/{manifest.reference}", filter=plain)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
