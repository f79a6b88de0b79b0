"""What fuzzing found, each as the smallest input that showed it: all of these once ended in a traceback."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from catalogue import TARGETS
from fuzz_manifest import BODY, IDENTITY, MANIFEST
from fuzz_physionet2012 import RECORDS, TABLE, _Nobody
from mimic3_tables import Hospital
from stored import STORED

from icudl.config.load import load_config
from icudl.errors import ConfigError, SourceError, StoreError
from icudl.pipeline.provenance import lineage_entry
from icudl.sources.mimic.folder import find_tables
from icudl.sources.mimic3.layout import LAYOUT
from icudl.sources.physionet2012.files import find_sets
from icudl.sources.physionet2012.records import read_lines, read_outcomes
from icudl.sources.rules import mimic3_rules
from icudl.store.folder import FolderStore
from icudl.store.manifest import ID_LENGTH, Manifest, digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run.seed = " + "9" * 5000, "not valid TOML"),
        ("variables.use = " + "[" * 3000, "not valid TOML"),
        ("attack.kappa = 1" + "0" * 400, "attack.kappa"),
        ('source.path = "a\\u0000b"', "source.path"),
        ('source.path = "~nobody-of-this-name/x"', "source.path"),
        ('source.name = "mimic3"\nsource.items = { potassium = 1979-05-27 }', "source.items.potassium"),
        ("variables.ranges = { potassium = [nan, 10] }", "variables.ranges.potassium"),
        ('source.name = "mimic3"\nsource.items = { potassium = { a = [[inf]] } }', "source.items.potassium.a"),
    ],
)
def test_configurations(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=words):
        load_config(file)


@pytest.mark.parametrize("setting", ["run.seed=" + "9" * 5000, "run.seed=" + "[" * 3000, "source.path=a\0b"])
def test_settings(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting[:8]):
        load_config(None, [setting])


def test_a_setting_that_is_not_utf_8() -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(None, ["source.name=mimic3", b"source.path=/data/\xff".decode("utf-8", "surrogateescape")])


@pytest.mark.parametrize("item", [2**31, -1, True, 99999999999999999999])
def test_item_ids_beyond_32_bits(item: Any) -> None:
    with pytest.raises(ConfigError, match=r"source\.items\.potassium"):
        mimic3_rules().with_items({"potassium": [item]})


def signed(body: dict[str, Any]) -> dict[str, Any]:
    """Give a body the hashes it would have had, so that only its content can be refused."""
    body = body | {"id": digest(body["identity"])[:ID_LENGTH]}
    body.pop("sha256")
    return body | {"sha256": digest(body)}


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"model": 3}}, {"files": [{"name": ["x"], "bytes": 1, "sha256": "0"}]},
        {"upstream_content": {"a": 1}},
        {"origins": []}, {"citations": [1]}, {"warnings": [None]}, {"environment": None}, {"restricted": "yes"},
        {"files": {"x": 1}}, {"counts": 4}, {"content": None}, {"identity": BODY["identity"] | {"stage_version": "1"}},
        {"identity": BODY["identity"] | {"upstream": {"preprocess": 1}}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_manifests_whose_fields_are_of_another_type(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="not a complete manifest"):
        Manifest.from_json(signed(BODY | change), Path("manifest.json"))


@pytest.mark.parametrize("text", ['{"format": 1, "x": NaN}', '{"format": 1, "x": "\\ud800"}', "[" * 100_000])
def test_manifests_that_no_store_could_have_written(text: str, tmp_path: Path) -> None:
    path = tmp_path / "train" / IDENTITY.id / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    with pytest.raises(StoreError):
        FolderStore(tmp_path).manifest("train", IDENTITY.id)


def test_a_manifest_with_a_table_of_another_version_can_be_looked_at() -> None:
    tables = {"of_the_future": {"x": 1}}
    manifest = Manifest.from_json(signed(BODY | {"options": tables, "used": tables}), Path("manifest.json"))
    entry = lineage_entry(manifest)
    assert entry.options == entry.requested == tables
    assert manifest.id == MANIFEST.id


def changed_grid(**arrays: Any) -> bytes:
    """The arrays of the grid with some replaced, or left out where None."""
    content = safetensors.numpy.load(STORED.files["preprocess", "grid.safetensors"])
    content |= arrays
    return safetensors.numpy.save({name: array for name, array in content.items() if array is not None})


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros(1)}, "unexpected keyword"),
        ({"labels": None}, "labels"),
        ({"labels": np.zeros(3, np.int8)}, "labels are int8"),
        ({"labels": np.full(12, 2, np.int8)}, "neither 0 nor 1"),
        ({"is_test": np.zeros(12, np.int8)}, "is_test are int8"),
        ({"values": np.zeros((12, 48), np.float32)}, "2 axes|unpack"),
        ({"counts": np.zeros((12, 48, 19), np.float32)}, "counts are float32"),
        ({"lengths": np.full(12, 49, np.int16)}, "longer than the window"),
    ],
)
def test_grids_whose_arrays_do_not_fit(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    STORED.keep(tmp_path)
    with pytest.raises(StoreError, match=words):
        STORED.load("preprocess", "grid.safetensors", changed_grid(**arrays))


@pytest.mark.parametrize(
    "text", ["4", "{}", "null", '{"variables": 3, "static_names": []}', '{"variables": [{"name": 1}]}']
)
def test_names_of_a_grid_that_are_none(text: str, tmp_path: Path) -> None:
    STORED.keep(tmp_path)
    with pytest.raises(StoreError, match="no sound artifact"):
        STORED.load("preprocess", "grid.json", text.encode())


def test_a_checkpoint_under_another_name(tmp_path: Path) -> None:
    STORED.keep(tmp_path)
    name = next(name for node, name in STORED.files if node == "train" and name.startswith("checkpoints/"))
    name = name.replace(".safetensors", ".json")
    meta = json.loads(STORED.files["train", name])
    for change, words in (
        ({"member": "x"}, "'x' is not a member"),
        ({"member": "fold-9"}, "hold 'fold-9'"),
        ({"threshold": 2}, "threshold"),
        ({"n_hours": "x"}, "'x' hours"),
    ):
        with pytest.raises(StoreError, match=words):
            STORED.load("train", name, json.dumps(meta | change).encode())


def test_a_parquet_file_that_makes_its_reader_panic(tmp_path: Path) -> None:
    """Its footer promises more bytes than there are: polars panics, which is no Exception of Python's."""
    STORED.keep(tmp_path)
    assert not TARGETS["tables"].accepts(bytes.fromhex("3a8be5acb3d790d1a64b92c9c42c1461"), tmp_path)


def test_a_gzip_table_damaged_within(tmp_path: Path) -> None:
    Hospital().write(tmp_path, ending="csv.gz")
    path = tmp_path / "ICUSTAYS.csv.gz"
    content = bytearray(path.read_bytes())
    content[15:40] = bytes(range(25))
    path.write_bytes(bytes(content))
    with pytest.raises(SourceError, match=r"ICUSTAYS\.csv\.gz cannot be read"):
        find_tables(tmp_path, LAYOUT)["icustays"].scan()


def test_a_table_whose_first_line_is_empty(tmp_path: Path) -> None:
    Hospital().write(tmp_path)
    (tmp_path / "ICUSTAYS.csv").write_bytes(b"\n1,2\n")
    with pytest.raises(SourceError, match="lacks the columns"):
        find_tables(tmp_path, LAYOUT)["icustays"].scan()


def records(folder: Path, content: bytes) -> None:
    (folder / "Outcomes-a.txt").write_bytes(TABLE)
    (folder / "set-a.tar.gz").write_bytes(content)
    read_lines(find_sets(folder)[0], _Nobody())


def test_a_gzip_header_that_ends_too_soon(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="truncated"):
        records(tmp_path, gzip.compress(b"", mtime=0)[:3])


def test_lines_whose_fields_add_up_but_do_not_fit(tmp_path: Path) -> None:
    """One line too short and one too long: as many commas as two good lines have."""
    import tarfile

    body = RECORDS["132541.txt"] + b"01:00,HR\n02:00,HR,5,6\n"
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        info = tarfile.TarInfo("set-a/132541.txt")
        info.size = len(body)
        archive.addfile(info, io.BytesIO(body))
    with pytest.raises(SourceError, match="01:00,HR"):
        records(tmp_path, target.getvalue())


def test_columns_that_differ_in_blanks_only(tmp_path: Path) -> None:
    (tmp_path / "set-a").mkdir()
    (tmp_path / "set-a" / "132541.txt").write_bytes(RECORDS["132541.txt"])
    (tmp_path / "Outcomes-a.txt").write_bytes(TABLE.replace(b"SAPS-I,SOFA", b"SOFA ,SOFA"))
    with pytest.raises(SourceError, match="is no table"):
        read_outcomes(find_sets(tmp_path)[0])
