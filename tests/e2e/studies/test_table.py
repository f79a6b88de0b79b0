"""A study as a table, through the command line: every cell is made once, and only what changed is made again."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from command_line import icudl
from two_hospitals import TWO_HOSPITALS

STUDY = (
    TWO_HOSPITALS
    + """
[models.lstm]
hidden_size = 6
fc_size = 4
[models.gru]
hidden_size = 6
fc_size = 4
[attacks.fewest]
attack = "greedy"
threat_model = "measured"
max_stays = 10
[attacks.any_cell]
attack = "proximal"
iterations = 10
max_stays = 10
on = ["main"]
[analysis]
bootstrap_samples = 10
importance_stays = 4
"""
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("table")]

CELLS = {
    *("extract", "extract/elsewhere", "preprocess", "preprocess/elsewhere"),
    *("train/lstm", "train/gru", "score/lstm/elsewhere", "score/gru/elsewhere"),
    *(
        f"{stage}/{model}/{attack}"
        for stage in ("attack", "analyse")
        for model in ("lstm", "gru")
        for attack in ("fewest", "fewest/elsewhere", "any_cell")
    ),
    "report",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study and a store that holds it."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "study.toml").write_text(STUDY, "utf-8")
    icudl("run", "--config", folder / "study.toml", "--store", folder / "runs")
    return folder


def on(table: Path, *words: str, settings: Sequence[str] = ()) -> list[str | Path]:
    more = [word for setting in settings for word in ("--set", setting)]
    return [*words, "--config", table / "study.toml", "--store", table / "runs", *more]


def planned(table: Path, settings: Sequence[str] = ()) -> dict[str, bool]:
    steps = json.loads(icudl(*on(table, "run", "--dry-run", "--json", settings=settings)).stdout)
    return {step["name"]: step["done"] for step in steps}


def shown(table: Path, *words: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(icudl(*words, "--store", table / "runs", "--json").stdout)
    return found


def test_every_cell_is_made_and_a_second_run_does_nothing(table: Path) -> None:
    assert planned(table) == dict.fromkeys(CELLS, True)
    done = icudl(*on(table, "run"))
    assert "Everything is up to date" in done.stderr
    assert done.stderr.count("✓") == 0


def test_a_new_attack_runs_that_attack_alone(table: Path) -> None:
    new = ["attacks.noise.attack=noise", "attacks.noise.noise_draws=3", "attacks.noise.max_stays=4"]
    pending = {name for name, done in planned(table, new).items() if not done}
    assert pending == {
        f"{stage}/{model}/noise{data}"
        for stage in ("attack", "analyse")
        for model in ("lstm", "gru")
        for data in ("", "/elsewhere")
    } | {"report"}


def test_a_model_less_makes_the_report_again_and_removes_nothing(table: Path) -> None:
    file = table / "less.toml"
    file.write_text(STUDY.replace("[models.gru]\nhidden_size = 6\nfc_size = 4\n", ""), "utf-8")
    steps = json.loads(icudl("run", "--dry-run", "--json", "--config", file, "--store", table / "runs").stdout)
    assert [step["name"] for step in steps if not step["done"]] == ["report"]
    before = set((table / "runs").glob("[!.]*/*"))
    icudl("run", "--config", file, "--store", table / "runs")
    assert before < set((table / "runs").glob("[!.]*/*"))


def test_a_model_by_another_name_is_the_same_result(table: Path) -> None:
    file = table / "renamed.toml"
    file.write_text(STUDY.replace("[models.gru]", '[models.other]\nmodel = "gru"'), "utf-8")
    steps = json.loads(icudl("run", "--dry-run", "--json", "--config", file, "--store", table / "runs").stdout)
    assert [step["name"] for step in steps if not step["done"]] == ["report"]


def test_external_stays_are_scored_and_attacked_by_the_final_model(table: Path) -> None:
    reference = shown(table, "show", "score/gru/elsewhere")
    identity = reference["identity"]
    assert isinstance(identity, dict)
    folder = table / "runs" / "score" / str(reference["id"])
    scored = pl.read_parquet(folder / "predictions.parquet")
    assert scored["split"].unique().to_list() == ["external"]
    assert scored["member"].unique().to_list() == ["final"]
    attacked = shown(table, "show", "attack/gru/fewest/elsewhere")
    stays = pl.read_parquet(table / "runs" / "attack" / str(attacked["id"]) / "stays.parquet")
    assert stays["member"].unique().to_list() == ["final"]
    assert set(stays["stay_id"]) <= set(scored["stay_id"])


def test_the_report_speaks_of_models_and_attacks_by_name(table: Path) -> None:
    report = shown(table, "show", "report", "--config", str(table / "study.toml"))
    page = (table / "runs" / "report" / str(report["id"]) / "index.html").read_text("utf-8")
    for name in ("Models side by side", "Attacks side by side", "lstm", "gru", "fewest", "any_cell", "elsewhere"):
        assert name in page


def test_list_compare_and_diff_go_by_name(table: Path) -> None:
    listed = icudl("list", "--store", table / "runs", "--limit", "0").stdout
    assert all(name in listed for name in CELLS)
    assert "AUROC" in listed
    found = shown(table, "compare", "train/lstm", "train/gru")
    scores = found["scores"]
    assert isinstance(scores, list)
    paired = [row for row in scores if row["result"] == "train/gru" and row["metric"] == "auroc"]
    assert all(row["difference"] is not None for row in paired)
    assert {row["option"] for row in found["options"]} == {"model.name"}  # type: ignore[union-attr]
    flips = shown(table, "compare", "attack/lstm/any_cell", "attack/gru/any_cell")["attacks"]
    assert {row["predicted"] for row in flips} == {"survival", "death", "either"}  # type: ignore[union-attr]
    moved = icudl("diff", "train/lstm", "train/gru", "--store", table / "runs").stdout
    assert "model.name: 'lstm' -> 'gru'" in moved
    assert "AUROC (test)" in moved


def test_a_report_is_the_same_when_it_is_made_again(table: Path) -> None:
    done = icudl(*on(table, "verify", "report", "--rerun"))
    assert "recomputed, identical" in done.stdout


def test_two_reports_are_compared_cell_by_cell(table: Path, tmp_path: Path) -> None:
    reports = [path.name for path in (table / "runs" / "report").iterdir()]
    assert len(reports) == 2
    page = tmp_path / "comparison.html"
    found = shown(table, "compare", *(f"report/{name}" for name in reports), "--page", str(page))
    text = page.read_text("utf-8")
    assert "How well they predict" in text
    assert "How fragile they are" in text
    results = {row["result"] for row in found["scores"]}  # type: ignore[union-attr]
    assert any("train/lstm" in result for result in results)


def test_after_a_search_show_manifest_and_report_agree_with_the_checkpoint(table: Path) -> None:
    """Sizes that the search may draw are others than the configuration's, which no reader may be told."""
    settings = [
        "models.lstm.tune_model.trials=2",
        "models.lstm.tune_model.folds=1",
        'models.lstm.tune_model.space={"model.hidden_size"={choices=[3,5]}}',
        "models.gru.hidden_size=7",
    ]
    icudl(*on(table, "run", settings=settings))
    words = on(table, "show", "train/lstm", "--json", settings=settings)
    manifest = json.loads(icudl(*words).stdout)
    folder = table / "runs" / "train" / manifest["id"] / "checkpoints"
    size = json.loads((folder / "final.json").read_text("utf-8"))["model"]["hidden_size"]
    assert size in {3, 5}
    assert manifest["used"]["model"]["hidden_size"] == size
    assert manifest["options"]["model"]["hidden_size"] == 6
    printed = icudl(*on(table, "show", "train/lstm", settings=settings)).stdout
    line = next(line for line in printed.splitlines() if "model.hidden_size" in line)
    assert f" {size} " in line
    assert "asked for: 6" in line
    report = json.loads(icudl(*on(table, "show", "report", "--json", settings=settings)).stdout)
    page = html.unescape((table / "runs" / "report" / report["id"] / "index.html").read_text("utf-8"))
    settings_of = dict(re.findall(r"Settings of (\S+) \(\w+\)(.*?)</code>", page, re.DOTALL))
    assert f'"hidden_size": {size},' in settings_of["train/lstm"]
    assert '"hidden_size": 7,' in settings_of["train/gru"]
