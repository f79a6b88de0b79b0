from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from command_line import SMALL, icudl


def reference(store: Path, node: str) -> str:
    return f"{node}/{next((store / node).iterdir()).name}"


def test_predict_scores_only_stays_that_the_member_has_not_seen(small_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "risks.parquet"
    train, data = reference(small_study, "train"), reference(small_study, "preprocess")
    icudl("predict", train, data, "--store", small_study, "--out", out)
    risks = pl.read_parquet(out)
    known = pl.read_parquet(small_study / train / "predictions.parquet").filter(
        pl.col("member") == "final", pl.col("split") == "test", pl.col("model") == "lstm"
    )
    assert risks["stay_id"].sort().to_list() == known["stay_id"].sort().to_list()
    joined = risks.join(known, on="stay_id")
    assert (joined["probability"] - joined["probability_right"]).abs().max() < 1e-9  # type: ignore[operator]
    fold = json.loads(icudl("evaluate", train, data, "--store", small_study, "--member", "fold-0", "--json").stdout)
    grid = pl.read_parquet(small_study / train / "predictions.parquet")
    seen_nowhere = grid.filter(pl.col("model") == "lstm", (pl.col("fold") == 0) | (pl.col("fold") == -1))
    assert fold[0]["stays"] == seen_nowhere["stay_id"].n_unique()


def test_evaluate_on_another_hospital_counts_all_its_stays(small_study: Path) -> None:
    settings = (*SMALL, "run.seed=99")
    other = icudl("preprocess", "--store", small_study, settings=settings).stdout.strip()
    rows = json.loads(
        icudl("evaluate", reference(small_study, "train"), other, "--store", small_study, "--json").stdout
    )
    stays = json.loads(icudl("show", other, "--store", small_study).stdout)["counts"]["stays"]
    assert {row["stays"] for row in rows} == {stays}
    assert "auroc" in {row["metric"] for row in rows}


def test_a_member_that_does_not_exist(small_study: Path) -> None:
    words = ("predict", reference(small_study, "train"), reference(small_study, "preprocess"), "--member", "fold-9")
    done = icudl(*words, "--store", small_study, check=False)
    assert done.returncode == 6
    assert "fold-1" in done.stderr


def test_figures_of_a_report_with_their_data(small_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    icudl("figures", reference(small_study, "report"), "--store", small_study, "--format", "svg", "--out", out)
    pictures = sorted(path.stem for path in out.glob("*.svg"))
    assert {"roc", "discovery", "heatmap_gpp"} <= set(pictures)
    assert pictures == sorted(path.stem for path in out.glob("*.csv"))


def test_synth_writes_tables_that_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "hospital"
    icudl("synth", folder, "--patients", "25", "--format", "parquet")
    done = icudl("extract", "--store", tmp_path / "runs", settings=("source.name=mimic3", f"source.path={folder}"))
    assert done.stdout.startswith("extract/")


def test_config_init_writes_a_file_that_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    icudl("config", "init", file)
    assert "valid" in icudl("config", "check", "--config", file).stdout
    assert icudl("config", "init", file, check=False).returncode == 2


def test_looking_commands() -> None:
    assert "mimic3" in icudl("plugins").stdout
    assert "torch" in icudl("doctor").stdout
    assert json.loads(icudl("config", "schema").stdout)["title"]


def test_clean_removes_what_an_interrupted_run_left(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    leftover = store / ".scratch" / "train-0123456789ab"
    leftover.mkdir(parents=True)
    icudl("clean", "--store", store)
    assert leftover.exists()
    icudl("clean", "--store", store, "--yes")
    assert not leftover.exists()
