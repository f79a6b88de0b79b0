"""What leaves a credentialed source: a run on the MIMIC-III demo as though it were the restricted release."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from command_line import icudl

from icudl.sources.mimic.folder import find_tables
from icudl.sources.mimic3.layout import LAYOUT

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.xdist_group("privacy")]

SETTINGS = (
    "source.name=mimic3",
    "model.hidden_size=4",
    "model.fc_size=4",
    "training.max_epochs=1",
    "training.bootstrap_samples=10",
    "training.baselines=false",
    "split.folds=2",
    "attack.iterations=20",
    "attack.attack_misclassified=true",
    "analysis.bootstrap_samples=10",
)
YEAR_OF_THE_SOURCE = re.compile(r"(?<!\d)2[12]\d\d-[01]\d-[0-3]\d")
FIRST_SECOND, LAST_SECOND = 4_102_444_800, 8_000_000_000
"""MIMIC-III moves its dates into the years from 2100 on; these are seconds since 1970."""


@pytest.fixture(scope="module")
def tables(data_folder: Path) -> Path:
    return data_folder / "mimic-iii-demo-1.4"


@pytest.fixture(scope="module")
def store(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private") / "runs"
    icudl("run", "--store", folder, "--workers", "1", settings=(*SETTINGS, f"source.path={tables}"))
    return folder


@pytest.fixture(scope="module")
def ids(tables: Path) -> set[str]:
    """Every id of a patient, an admission or an ICU stay of the source."""
    frame = find_tables(tables, LAYOUT)["icustays"].scan().select("subject_id", "hadm_id", "icustay_id").collect()
    return {str(value) for column in frame for value in column}


def frames(folder: Path) -> Iterator[tuple[Path, pl.DataFrame]]:
    for path in sorted(folder.rglob("*.parquet")):
        yield path, pl.read_parquet(path)


def test_no_artifact_holds_a_date(store: Path) -> None:
    seen = 0
    for path, frame in frames(store):
        seen += 1
        assert not any(dtype.is_temporal() for dtype in frame.dtypes), path
        for column in frame.select(pl.selectors.numeric()):
            assert not column.cast(pl.Float64).is_between(FIRST_SECOND, LAST_SECOND).any(), (path, column.name)
        for column in frame.select(pl.col(pl.String)):
            assert not column.str.contains(YEAR_OF_THE_SOURCE.pattern.replace(r"(?<!\d)", "")).any(), (
                path,
                column.name,
            )
    for path in [*store.rglob("*.json"), *store.rglob("*.html"), *store.rglob(".*/*.json")]:
        seen += 1
        assert not YEAR_OF_THE_SOURCE.search(path.read_text("utf-8")), path
    assert seen > 30


def test_every_artifact_is_marked_and_private(store: Path) -> None:
    manifests = [json.loads(path.read_text("utf-8")) for path in store.glob("*/*/manifest.json")]
    assert len(manifests) == 6
    assert all(manifest["restricted"] for manifest in manifests)
    sealed = [path for path in store.glob("[!.]*/*/**/*") if not path.is_relative_to(store / "logs")]
    assert len(sealed) > 30
    assert [path for path in [store, *store.iterdir(), *sealed] if path.stat().st_mode & 0o077] == []


def test_the_report_tells_of_no_single_stay(store: Path, ids: set[str]) -> None:
    html = next(store.glob("report/*/index.html")).read_text("utf-8")
    assert '"explorers":[]' in html
    assert not ids & set(re.findall(r"(?<![\d.,])\d{5,6}(?![\d.])", html))


def test_the_figures_and_their_data_tell_of_no_single_stay(store: Path, ids: set[str], tmp_path: Path) -> None:
    report = next(store.glob("report/*")).name
    icudl("figures", f"report/{report}", "--store", store, "--format", "svg", "--out", tmp_path)
    found = sorted(tmp_path.glob("*.csv"))
    assert len(found) > 8
    for path in found:
        frame = pl.read_csv(path, infer_schema=False)
        assert not [name for name in frame.columns if name.endswith("_id")], path.name
        assert not ids & {str(cell) for column in frame for cell in column}, path.name
    for path in tmp_path.glob("*.svg"):
        assert not ids & set(re.findall(r">(\d{5,6})<", path.read_text("utf-8"))), path.name


def test_tables_that_leave_the_store_say_whose_data_they_hold(store: Path, tmp_path: Path) -> None:
    done = icudl("export", "report", "--parquet", tmp_path / "out", "--store", store)
    assert "credentialed" in done.stderr
    files = list((tmp_path / "out").glob("*.parquet"))
    assert len(files) > 4
    for path in files:
        assert path.stat().st_mode & 0o077 == 0
        assert pl.read_parquet_metadata(path)["icudl.restricted"] == "true"
    assert json.loads((tmp_path / "out" / "tables.json").read_text("utf-8"))["restricted"] is True
    for path, frame in frames(tmp_path / "out"):
        assert not any(dtype.is_temporal() for dtype in frame.dtypes), path


def test_tables_for_papers_name_no_small_group(store: Path) -> None:
    text = icudl("table", "report", "--kind", "cohort", "--format", "csv", "--store", store).stdout
    assert re.search(r"<10|masked|not told apart|All stays", text)
    assert not re.search(r"(?<![\d.])[1-9] \(\d", text)


def test_nothing_but_row_level_artifacts_holds_ids(store: Path) -> None:
    """Those that docs/decisions/0064 names, and no other."""
    holders = {
        path.parts[len(store.parts)] + "/" + path.name for path, frame in frames(store) if "stay_id" in frame.columns
    }
    assert holders <= {
        "extract/stays.parquet", "extract/hours.parquet", "extract/outcomes.parquet", "preprocess/stays.parquet",
        "train/predictions.parquet", "attack/stays.parquet", "attack/perturbations.parquet",
        "analyse/fragility.parquet", "analyse/perturbation_properties.parquet",
    }  # fmt: skip
