"""A file that is missing, cut off or of another kind is refused with one error that names it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from icudl.artifacts import Artifact, Checkpoint, GridDataset, Report, Scores, SourceTables, TrainingResult
from icudl.errors import StageError, StoreError
from report_study import fake_study


def _artifacts() -> dict[str, Any]:
    """One small artifact of each kind."""
    study = fake_study(12)
    (data,), (model,), (attack,) = study.data, study.models, study.attacks
    training, susceptibility = model.training, attack.susceptibility
    member, checkpoint = next(iter(training.checkpoints.items()))
    name, table = next(iter(susceptibility.tables.items()))
    return {
        "tables": data.tables,
        "grid": data.grid,
        "training": dataclasses.replace(training, checkpoints={member: checkpoint}),
        "scores": Scores(training.predictions, training.metrics),
        "attack": attack.result,
        "susceptibility": dataclasses.replace(susceptibility, tables={name: table}),
        "tuning": model.tuning,
        "report": Report("<p>page</p>"),
    }


ARTIFACTS = _artifacts()


def _files() -> list[tuple[str, str]]:
    found = []
    for kind, artifact in ARTIFACTS.items():
        with tempfile.TemporaryDirectory() as name:
            artifact.write(Path(name))
            paths = sorted(path for path in Path(name).rglob("*") if path.is_file())
            found += [(kind, str(path.relative_to(name))) for path in paths]
    return found


FILES = _files()
TABLES = [(kind, name) for kind, name in FILES if name.endswith(".parquet") and kind != "susceptibility"]


def _stored(kind: str, folder: Path) -> type[Artifact]:
    ARTIFACTS[kind].write(folder)
    return type(ARTIFACTS[kind])


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_missing_file_is_named(kind: str, name: str, tmp_path: Path) -> None:
    reader = _stored(kind, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StoreError, match=f"{name} cannot be read"):
        reader.read(tmp_path)


def _cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2] if content.startswith(b"PAR1") else content[:1]


def _not_text(content: bytes) -> bytes:
    return b"\xff" * len(content)


@pytest.mark.parametrize(("kind", "name"), [file for file in FILES if not file[1].endswith(".html")])
@pytest.mark.parametrize("damage", [_cut_off, _not_text])
def test_a_damaged_file_is_named(kind: str, name: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    reader = _stored(kind, tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match=f"{name} cannot be read"):
        reader.read(tmp_path)


def test_a_page_that_is_not_text_is_named(tmp_path: Path) -> None:
    reader = _stored("report", tmp_path)
    (tmp_path / "index.html").write_bytes(b"\xff")
    with pytest.raises(StoreError, match=r"index\.html cannot be read"):
        reader.read(tmp_path)


@pytest.mark.parametrize(("kind", "name"), TABLES)
def test_a_table_without_a_declared_column_is_named(kind: str, name: str, tmp_path: Path) -> None:
    reader = _stored(kind, tmp_path)
    path = tmp_path / name
    frame = pl.read_parquet(path)
    frame.drop(frame.columns[0]).write_parquet(path)
    with pytest.raises(StoreError, match=f"{name} holds another table: .* lacks the column '{frame.columns[0]}'"):
        reader.read(tmp_path)


@pytest.mark.parametrize(("kind", "name"), TABLES)
def test_a_table_with_a_column_of_another_type_is_named(kind: str, name: str, tmp_path: Path) -> None:
    reader = _stored(kind, tmp_path)
    path = tmp_path / name
    frame = pl.read_parquet(path)
    frame.with_columns(pl.lit(b"x").alias(frame.columns[-1])).write_parquet(path)
    with pytest.raises(StoreError, match=f"{name} holds another table: .*{frame.columns[-1]} is Binary; expected"):
        reader.read(tmp_path)


def test_an_array_of_a_type_that_no_artifact_has_is_refused(tmp_path: Path) -> None:
    _stored("grid", tmp_path)
    path = tmp_path / "grid.safetensors"
    content = path.read_bytes()
    assert content.count(b'"F32"') == 2
    path.write_bytes(content.replace(b'"F32"', b'"U32"'))
    with pytest.raises(StoreError, match="has the type U32"):
        GridDataset.read(tmp_path)


def test_a_checkpoint_of_no_member_is_refused(tmp_path: Path) -> None:
    member = next(iter(ARTIFACTS["training"].checkpoints))
    ARTIFACTS["training"].checkpoints[member].write(tmp_path)
    path = tmp_path / f"{member}.json"
    path.write_text(path.read_text("utf-8").replace(f'"member": "{member}"', '"member": "fold-x"'), "utf-8")
    with pytest.raises(ValueError, match="'fold-x' is not a member"):
        Checkpoint.read_member(tmp_path, member)


def test_what_lacks_a_declared_column_is_not_written(tmp_path: Path) -> None:
    training: TrainingResult = ARTIFACTS["training"]
    with pytest.raises(StageError, match="history lacks the column 'network'"):
        dataclasses.replace(training, history=training.history.drop("network")).write(tmp_path)


def test_tables_of_a_source_are_checked_when_they_are_made() -> None:
    tables: SourceTables = ARTIFACTS["tables"]
    with pytest.raises(StageError, match=r"stays\.died is Int8; expected Boolean"):
        dataclasses.replace(tables, stays=tables.stays.with_columns(pl.col("died").cast(pl.Int8)))
