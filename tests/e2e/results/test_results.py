from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import SMALL, icudl, reference


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
    stored = pl.read_parquet(small_study / train / "metrics.parquet").filter(model="lstm", split="test", subgroup="all")
    told = json.loads(icudl("evaluate", train, data, "--store", small_study, "--json").stdout)["scores"]
    bounds = {row["metric"]: (row["low"], row["high"]) for row in told if row["subgroup"] == "all"}
    for metric, low, high in stored.select("metric", "low", "high").iter_rows():
        assert bounds[metric] == (low, high)
    fold = json.loads(icudl("evaluate", train, data, "--store", small_study, "--member", "fold-0", "--json").stdout)
    grid = pl.read_parquet(small_study / train / "predictions.parquet")
    seen_nowhere = grid.filter(pl.col("model") == "lstm", (pl.col("fold") == 0) | (pl.col("fold") == -1))
    assert fold["scores"][0]["stays"] == seen_nowhere["stay_id"].n_unique()


@pytest.mark.slow
def test_evaluate_on_another_hospital_counts_all_its_stays(small_study: Path) -> None:
    settings = (*SMALL, "run.seed=99")
    other = icudl("preprocess", "--store", small_study, settings=settings).stdout.strip()
    rows = json.loads(
        icudl("evaluate", reference(small_study, "train"), other, "--store", small_study, "--json").stdout
    )["scores"]
    stays = json.loads(icudl("show", other, "--store", small_study, "--json").stdout)["counts"]["stays"]
    assert {row["stays"] for row in rows if row["subgroup"] == "all"} == {stays}
    assert sum(row["stays"] for row in rows if row["subgroup"].startswith("sex=") and row["metric"] == "auroc") == stays
    assert "auroc" in {row["metric"] for row in rows}


def test_evaluate_pools_the_folds_and_compares_two_models(small_study: Path) -> None:
    first, data = reference(small_study, "train"), reference(small_study, "preprocess")
    stored = pl.read_parquet(small_study / first / "metrics.parquet").filter(model="lstm", split="out-of-fold")
    settings = (*SMALL, "model.readout=mean", "training.final=folds")
    second = icudl("train", "--store", small_study, settings=settings).stdout.strip()
    words = ("evaluate", second, data, "--store", small_study, "--member", "folds", "--against", first)
    told = json.loads(icudl(*words, "--json").stdout)
    by_metric = {row["metric"]: row for row in told["differences"]}
    known = dict(stored.filter(subgroup="all").select("metric", "value").iter_rows())
    for name in ("auroc", "auprc", "brier", "f1"):
        assert abs(by_metric[name]["second"] - known[name]) < 1e-9
        assert abs(by_metric[name]["difference"] - (by_metric[name]["first"] - by_metric[name]["second"])) < 1e-12
    assert by_metric["auroc"]["stays"] == stored["stays"].max()
    drawn = icudl(*words).stdout
    assert "By subgroup" in drawn
    assert "Against the other model, paired" in drawn
    compared = json.loads(icudl("compare", first, second, "--store", small_study, "--json").stdout)
    scores = [row for row in compared["scores"] if row["result"] == second and row["metric"] == "auroc"]
    assert all(row["difference"] is not None for row in scores)
    assert {"model.readout", "training.final"} <= {row["option"] for row in compared["options"]}


@pytest.mark.slow  # tests/unit/training/test_fold_ensemble.py attacks them, too
def test_the_models_of_all_folds_as_one_predict_evaluate_and_are_attacked(small_study: Path, tmp_path: Path) -> None:
    settings = (*SMALL, "model.readout=mean", "training.final=folds")
    train = icudl("train", "--store", small_study, settings=settings).stdout.strip()
    data, out = reference(small_study, "preprocess"), tmp_path / "risks.parquet"
    icudl("predict", train, data, "--store", small_study, "--out", out)
    risks = pl.read_parquet(out)
    told = json.loads(icudl("evaluate", train, data, "--store", small_study, "--json").stdout)
    assert told["scores"][0]["stays"] == len(risks)
    attack = icudl(
        "attack", "--store", small_study, settings=(*settings, "attack.split=test", "attack.name=greedy")
    ).stdout.strip()
    stays = pl.read_parquet(small_study / attack / "stays.parquet")
    attacked = stays.filter(pl.col("status").is_in(["success", "failed"]))
    assert 0 < len(attacked) <= 12
    assert set(stays["stay_id"]) <= set(risks["stay_id"])


def test_what_cannot_be_evaluated_is_told(small_study: Path) -> None:
    train, data = reference(small_study, "train"), reference(small_study, "preprocess")
    other = icudl("preprocess", "--store", small_study, settings=(*SMALL, "run.seed=99")).stdout.strip()
    folds = icudl("evaluate", train, other, "--member", "folds", "--store", small_study, check=False)
    assert folds.returncode == 6
    assert "hold no patient of" in folds.stderr
    lonely = icudl("evaluate", train, data, "--against-member", "final", "--store", small_study, check=False)
    assert lonely.returncode == 2
    assert "Give --against, too" in lonely.stderr


def test_a_member_that_does_not_exist(small_study: Path) -> None:
    words = ("predict", reference(small_study, "train"), reference(small_study, "preprocess"), "--member", "fold-9")
    done = icudl(*words, "--store", small_study, check=False)
    assert done.returncode == 6
    assert "fold-1" in done.stderr


@pytest.mark.slow
def test_figures_of_a_training_with_their_data(small_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    icudl("figures", reference(small_study, "train"), "--store", small_study, "--format", "svg", "--out", out)
    pictures = sorted(path.stem for path in out.glob("*.svg"))
    assert "roc" in pictures
    assert pictures == sorted(path.stem for path in out.glob("*.csv"))


@pytest.mark.slow  # all figures that there are; the unit tests draw each of them
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
