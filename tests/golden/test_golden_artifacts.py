"""Artifacts that earlier code sealed are read, verified and used by the present code, or refused with advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from golden_artifacts import archive, described, differences, numbers, record, unpacked

from icudl.artifacts import write_json
from icudl.cli import main
from icudl.errors import StoreError
from icudl.pipeline.stages import STAGES
from icudl.store.base import MANIFEST
from icudl.store.folder import FolderStore
from icudl.store.manifest import FORMAT, OLDEST_FORMAT, digest

FORMATS = range(OLDEST_FORMAT, FORMAT + 1)


@pytest.fixture(scope="module", params=FORMATS, ids=lambda version: f"format-{version}")
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def store(version: int, tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    """The artifacts of a format; no test changes them."""
    return FolderStore(unpacked(version, tmp_path_factory.mktemp(f"format-{version}")))


def test_every_format_that_is_read_has_artifacts_of_every_kind(version: int) -> None:
    recorded = json.loads(record(version).read_text("utf-8"))
    assert {reference.partition("/")[0] for reference in recorded} == set(STAGES)
    assert archive(version).stat().st_size + record(version).stat().st_size < 300_000


def test_the_present_code_reads_what_was_recorded(version: int, store: FolderStore) -> None:
    recorded = json.loads(record(version).read_text("utf-8"))
    assert differences(recorded, json.loads(json.dumps(numbers(store)))) == []


def test_they_hold_examples_and_everything_that_may_be_absent(store: FolderStore) -> None:
    """Empty tables and optional parts that are missing would be read whatever became of their layout."""
    kinds = [(manifest.node, store.load(STAGES[manifest.node].artifact, manifest)) for manifest in store.manifests()]
    attacks: list[Any] = [artifact for node, artifact in kinds if node == "attack"]
    trainings: list[Any] = [artifact for node, artifact in kinds if node == "train"]
    assert all(attack.perturbations.height > 0 for attack in attacks)
    assert any(attack.curves for attack in attacks)
    finals = [training.checkpoints["final"] for training in trainings]
    assert any(final.curve is not None and final.folds > 0 and final.static_names for final in finals)


def test_what_is_read_can_be_written_and_read_again(store: FolderStore, tmp_path: Path) -> None:
    for manifest in store.manifests():
        kind = STAGES[manifest.node].artifact
        folder = tmp_path / manifest.id
        folder.mkdir()
        artifact = store.load(kind, manifest)
        artifact.write(folder)
        assert differences(described(artifact), described(kind.read(folder))) == [], manifest.reference


def test_verify_and_show_accept_them(store: FolderStore, capsys: pytest.CaptureFixture[str]) -> None:
    manifests = store.manifests()
    assert main(["verify", "--store", str(store.root)]) == 0
    verified = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(words[0], words[2].rstrip(";,")) for words in verified] == [
        (manifest.reference, "sound") for manifest in manifests
    ]
    assert main(["show", "report", "--lineage", "--store", str(store.root)]) == 0
    shown = capsys.readouterr().out
    assert all(manifest.name in shown for manifest in manifests)


def test_a_stored_model_gives_the_risks_that_were_stored(store: FolderStore, tmp_path: Path) -> None:
    for training in store.manifests("train"):
        data = store.manifest("preprocess", training.identity.upstream["preprocess"].id)
        out = tmp_path / f"{training.id}.parquet"
        words = ["predict", training.reference, data.reference, "--out", str(out), "--store", str(store.root)]
        assert main(words) == 0
        then = pl.read_parquet(store.folder("train", training.id) / "predictions.parquet").filter(
            pl.col("member") == "final", pl.col("model") == training.used["model"]["name"]
        )
        both = pl.read_parquet(out).join(then, on="stay_id", suffix="_then")
        assert both.height == then.height > 10
        assert (both["probability"] - both["probability_then"]).abs().max() < 1e-5  # type: ignore[operator]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (FORMAT + 1, "Install a newer icudl"),
        (FORMAT + 1000, "Install a newer icudl"),
        (0, "run its stage again"),
        (-1, "run its stage again"),
        ("1", "run its stage again"),
        (1.0, "run its stage again"),
        (True, "run its stage again"),
        (None, "run its stage again"),
    ],
)
def test_a_manifest_of_another_format_is_refused_with_advice(
    found: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own hash agrees: it is the format that is refused."""
    store = FolderStore(unpacked(FORMAT, tmp_path))
    path = next((store.root / "train").glob(f"*/{MANIFEST}"))
    body = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if key != "sha256"}
    body["format"] = found
    write_json(path, body | {"sha256": digest(body)})
    for verb in (["verify"], ["verify", f"train/{path.parent.name}"], ["show", f"train/{path.parent.name}"]):
        assert main([*verb, "--store", str(store.root)]) == 5
        error = capsys.readouterr().err
        assert str(path) in error
        assert f"format {found!r}" in error
        assert words in error
        assert "Traceback" not in error


def test_artifacts_of_the_first_format_are_refused_with_the_version_that_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(unpacked(1, tmp_path))
    references = store.references()
    assert {node for node, _ in references} == set(STAGES) - {"score", "certify", "probe"}
    for node, id_ in references:
        with pytest.raises(StoreError, match=r"has format 1, which icudl 0\.1\.0 is the last to read\. Install that"):
            store.manifest(node, id_)
        assert main(["show", f"{node}/{id_}", "--store", str(store.root)]) == 5
        assert "0.1.0" in capsys.readouterr().err
    assert main(["verify", "--store", str(store.root)]) == 5
    error = capsys.readouterr().err
    assert all(f"{id_}/{MANIFEST} has format 1" in error for _, id_ in references)
