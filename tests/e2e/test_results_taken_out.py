"""`icudl table` on a finished study: the numbers are those of `icudl evaluate` and of the report."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import icudl


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
    assert icudl("table", "attack", "--kind", "attacks", "--format", "md", *store).stdout.startswith("**Stays whose")
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
    extract = icudl("table", "extract", *store, check=False)
    assert "has neither scores nor attacks" in extract.stderr
