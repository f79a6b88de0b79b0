"""`icudl table` on a finished study: the numbers are those of `icudl evaluate` and of the report."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import icudl, reference


def test_tables_of_a_report_tell_what_evaluate_tells(small_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper.tex"
    told = json.loads(icudl("table", "report", "--store", small_study, "--output", out, "--json").stdout)
    kinds = {table["id"] for table in told["tables"]}
    assert {"cohort", "scores", "attacks"} <= kinds
    assert out.read_text("utf-8").count("\\begin{tabular}") == len(told["tables"])
    trained = icudl("table", "train", "--store", small_study, "--kind", "scores", "--json")
    (scores,) = json.loads(trained.stdout)
    manifest = json.loads(icudl("show", "train", "--store", small_study, "--json").stdout)
    data = f"preprocess/{manifest['identity']['upstream']['preprocess']['id']}"
    reference = f"train/{manifest['id']}"
    rows = json.loads(icudl("evaluate", reference, data, "--store", small_study, "--member", "folds", "--json").stdout)
    known = {row["metric"]: row for row in rows["scores"] if row["subgroup"] == "all"}
    place = next(at for at, row in enumerate(scores["rows"]) if row["heading"] and "out-of-fold" in row["label"])
    cells = scores["rows"][place + 1]["cells"]
    for cell, metric in zip(cells[:2], ("auroc", "auprc"), strict=True):
        assert abs(cell["value"] - known[metric]["value"]) < 1e-9
        assert cell["detail"] == f"{known[metric]['low']:.3f} to {known[metric]['high']:.3f}"


def test_each_table_can_be_had_in_each_format(small_study: Path, tmp_path: Path) -> None:
    store = ("--store", small_study)
    # Tests that share the study add attacks to it.
    attack = reference(small_study, "attack")
    assert icudl("table", attack, "--kind", "attacks", "--format", "md", *store).stdout.startswith("**Stays whose")
    written = icudl("table", "report", "--output", tmp_path / "tables", *store).stdout.split()
    assert {Path(path).name for path in written} >= {"cohort.csv", "scores.csv", "attacks.csv"}
    icudl("table", "report", "--output", tmp_path / "tables.html", *store)
    assert "<caption>" in (tmp_path / "tables.html").read_text("utf-8")


def test_what_cannot_be_told_is_said(small_study: Path) -> None:
    store = ("--store", small_study)
    several = icudl("table", "report", "--format", "csv", *store, check=False)
    assert several.returncode == 2
    assert "Give one --kind" in several.stderr
    none = icudl("table", "train", "--kind", "attacks", *store, check=False)
    assert none.returncode != 0
    assert "nothing to tell for --kind attacks" in none.stderr
    others = icudl("table", "train", "--kind", "attacks", "--kind", "scores", "--format", "md", *store)
    assert others.stdout.startswith("**Scores")
    assert "nothing to tell for --kind attacks" in " ".join(others.stderr.split())
    extract = icudl("table", "extract", *store, check=False)
    assert "has neither scores nor attacks" in extract.stderr


def test_tidy_tables_load_in_polars_and_pandas(small_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    told = json.loads(icudl("export", "report", "--parquet", out, "--store", small_study, "--json").stdout)
    rows = {file["table"]: file["rows"] for file in told["files"]}
    assert rows.keys() >= {"cohort", "measurements", "predictions", "scores", "attacks", "changes"}
    described = json.loads((out / "tables.json").read_text("utf-8"))["tables"]
    for name, count in rows.items():
        frame = pl.read_parquet(out / f"{name}.parquet")
        assert frame.height == count
        assert frame.columns == list(described[name]["columns"])
        assert pl.read_parquet_metadata(out / f"{name}.parquet")["icudl.restricted"] == "false"
    assert sorted(path.name for path in out.iterdir()) == sorted([*(f"{name}.parquet" for name in rows), "tables.json"])
    changes, attacks = (pl.read_parquet(out / f"{name}.parquet") for name in ("changes", "attacks"))
    best = changes.filter(example="best").group_by("stay_id").len("changed")
    known = attacks.filter(status="success").select("stay_id", "changed")
    assert best.sort("stay_id").equals(known.sort("stay_id").cast({"changed": pl.UInt32}))
    # What the model was given at a charted cell is the mean of that hour.
    values = pl.read_parquet(out / "measurements.parquet")
    joined = changes.filter("charted").join(values, on=["data", "stay_id", "hour", "variable"], how="left")
    assert joined["value"].null_count() == 0
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.read_parquet(out / "changes.parquet")
    assert len(frame) == changes.height
    assert frame["variable"].tolist() == changes["variable"].to_list()


def test_one_tidy_table_can_be_a_file(small_study: Path, tmp_path: Path) -> None:
    file, store = tmp_path / "scores.parquet", ("--store", small_study)
    icudl("export", "train", "--parquet", file, "--table", "scores", *store)
    assert set(pl.read_parquet(file)["split"]) == {"out-of-fold", "test"}
    for words, message in (
        (("train", "--parquet", file), "is to be a folder"),
        (("train", "--parquet", tmp_path / "x", "--table", "changes"), "fills no table 'changes'"),
        (("train",), "Give --onnx FILE"),
    ):
        done = icudl("export", *words, *store, check=False)
        assert done.returncode != 0
        assert message in done.stderr
