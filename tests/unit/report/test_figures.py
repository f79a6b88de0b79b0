"""Every figure: drawn from full and from empty artifacts, the same bytes each time, with the numbers it shows."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Container, Iterable

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.text import Text
from susceptibility_cases import make_attack, random_attack
from training_cases import empty_training, make_training

from icudl.analysis.numbers.attacks.histograms import PROPERTIES
from icudl.analysis.numbers.models.quality import FittedModel, precision_recall_points, roc_points
from icudl.analysis.numbers.models.searches import history_table, importance_table, slices_table
from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import (
    FLOW_SCHEMA,
    STAYS_SCHEMA,
    TRIALS_SCHEMA,
    AttackResult,
    Direction,
    GridDataset,
    Objective,
    Outcome,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.errors import ConfigError
from icudl.report.figures import (
    FIGURES,
    figures_of,
    heatmaps,
    histograms,
    put_into_words,
    quality,
    render,
    robustness,
)
from icudl.report.vocabulary import Vocabulary

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def analysed(result: AttackResult) -> SusceptibilityResult:
    return analyse_attack(result, AnalysisOptions(bootstrap_samples=10), lambda *_: np.random.default_rng(0))


def make_grid(flow: list[list[object]]) -> GridDataset:
    return GridDataset(
        values=np.zeros((0, 2, 0), np.float32),
        counts=np.zeros((0, 2, 0), np.uint16),
        lengths=np.zeros(0, np.int16),
        labels=np.zeros(0, np.int8),
        statics=np.zeros((0, 0), np.float32),
        static_names=(),
        stays=pl.DataFrame(schema=STAYS_SCHEMA),
        is_test=np.zeros(0, bool),
        folds=np.zeros(0, np.int8),
        flow=pl.DataFrame(flow, schema=FLOW_SCHEMA, orient="row"),
        variables=(),
        population="synthetic",
    )


def on_its_grid(training: TrainingResult) -> FittedModel:
    """Pair a training with a data set in which each stay is a patient."""
    ids = training.predictions["stay_id"].unique().sort()
    stays = pl.DataFrame({"stay_id": ids, "patient_id": ids}).with_columns(source_set=pl.lit("a"))
    return FittedModel(training, dataclasses.replace(make_grid([]), stays=stays))


def make_tuning(n_trials: int = 12) -> TuningResult:
    """Trials whose score depends on the learning rate alone; each fourth was pruned."""
    rng = np.random.default_rng(0)
    rows = []
    for trial in range(n_trials):
        rate, activation = float(10 ** rng.uniform(-5, -1)), ["relu", "tanh"][trial % 2]
        settings = {"training.learning_rate": rate, "model.activation": activation, "model.bidirectional": True}
        state = "pruned" if trial % 4 == 3 else "complete"
        rows.append((trial, state, 0.9 - 0.02 * (np.log10(rate) + 3) ** 2, json.dumps(settings), 1.0, 5))
    trials = pl.DataFrame(rows, schema=TRIALS_SCHEMA, orient="row")
    return TuningResult(trials, {}, 0, 0.0, Objective("auroc", Direction.MAXIMIZE))


def with_importance(result: SusceptibilityResult) -> SusceptibilityResult:
    """Add importance tables as wide as the example's variables."""
    cells = result.tables["cells"].filter(pl.col("example") == "best").select("condition", "hour", "variable", "stays")
    cells = cells.with_columns(importance=pl.col("hour") / 100, towards_death=pl.lit(0.0))
    variables = cells.group_by("condition", "variable", "stays", maintain_order=True).agg(pl.col("importance").sum())
    extra = {"low": pl.lit(0.01), "high": pl.lit(0.9), "towards_death": pl.lit(0.0), "quadrature_error": pl.lit(0.0)}
    agreement = {"condition": ["survival_to_death"], "level": ["variable"], "measure": ["s"], "points": [5]}
    agreement |= {"spearman": [0.5], "low": [0.1], "high": [0.8]}
    tables = {"importance_cells": cells, "importance": variables.with_columns(**extra)}
    return SusceptibilityResult({**result.tables, **tables, "agreement": pl.DataFrame(agreement)})


def with_curves(result: AttackResult) -> AttackResult:
    """Add the tables of a budget attack and of a sweep: odd stays fall to 0.1, all to 0.2; hour 0 of variable 1."""
    stays = result.stays["stay_id"].to_list()
    rows = [(stay, budget, budget > 0.15 or stay % 2 == 1) for stay in stays for budget in (0.1, 0.2)]
    budgets = pl.DataFrame(
        rows, schema={"stay_id": pl.Int64, "budget": pl.Float64, "flipped": pl.Boolean}, orient="row"
    )
    flips = pl.DataFrame(
        [(stay, 0, 1) for stay in stays[:1] * 2],
        schema=dict.fromkeys(("stay_id", "hour", "variable"), pl.Int64),
        orient="row",
    )
    return dataclasses.replace(result, curves={"budgets": budgets, "sweep_flips": flips}, options={"norm": "linf"})


@pytest.fixture(scope="module")
def full() -> dict[type, object]:
    grid = make_grid([["all ICU stays", 0, 100, 90, 12], ["age at least 18 years", 8, 92, 83, 12]])
    examples = analysed(random_attack(np.random.default_rng(3), 80, 12, 5))
    return {
        GridDataset: grid,
        FittedModel: on_its_grid(make_training()),
        SusceptibilityResult: with_importance(examples),
        TuningResult: make_tuning(),
        AttackResult: with_curves(random_attack(np.random.default_rng(4), 20, 12, 5)),
    }


@pytest.fixture(scope="module")
def empty() -> dict[type, object]:
    return {
        GridDataset: make_grid([]),
        FittedModel: on_its_grid(empty_training()),
        SusceptibilityResult: analysed(make_attack({})),
        TuningResult: make_tuning(0),
        AttackResult: with_curves(make_attack({})),
    }


def drawn(names: Iterable[str], quick: Container[str]) -> list[object]:
    """Parameters of which the default suite takes the quick ones."""
    return [pytest.param(name, marks=[] if name in quick else [pytest.mark.slow]) for name in names]


TAKE_LONG = {
    *("perturbation_histograms", "heatmap_gmp", "heatmap_gap", "heatmap_s"),
    *("precision_recall", "training_curves", "success_against_budget", "tuning_slices", "heatmap_importance"),
}
"""Six seconds of histograms, and figures that differ little from others, such as heat maps of another measure."""


@pytest.mark.parametrize("name", drawn(FIGURES, set(FIGURES) - TAKE_LONG))
def test_figure_of_a_full_artifact(name, full):
    spec = FIGURES[name]
    artifact = full[spec.artifact]
    assert len(render(spec.draw(artifact), "svg")) > 10_000
    assert spec.table(artifact).height > 0
    assert spec.title


@pytest.mark.parametrize(
    "name", drawn(FIGURES, {"roc", "discovery", "heatmap_s", "tuning_history", "cohort_attrition"})
)
def test_figure_of_an_empty_artifact(name, empty):
    spec = FIGURES[name]
    assert render(spec.draw(empty[spec.artifact]), "svg").startswith(MAGIC["svg"])
    assert isinstance(spec.table(empty[spec.artifact]), pl.DataFrame)


@pytest.mark.parametrize("kind", drawn(MAGIC, {"png", "svg"}))
def test_same_bytes_on_every_run_and_whatever_the_settings_around(kind, full):
    spec = FIGURES["smallest_change"]
    once = render(spec.draw(full[spec.artifact]), kind)
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 30}):
        again = render(spec.draw(full[spec.artifact]), kind)
        assert mpl.rcParams["font.size"] == 30
    assert once == again
    assert once.startswith(MAGIC[kind])
    assert len(once) > 5_000


@pytest.mark.parametrize("name", ["calibration", "discovery", "smallest_change"])
def test_a_figure_speaks_of_the_outcome_that_was_predicted(name, full):
    spec = FIGURES[name]
    figure = spec.draw(full[spec.artifact])
    assert said_of_deaths(figure)
    put_into_words(figure, Vocabulary.of(Outcome(event="long_stay", phrase="ICU stay longer than 7 days")))
    assert not said_of_deaths(figure)


def said_of_deaths(figure):
    render(figure)  # which labels the ticks
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    return re.findall(r"death|died|surviv|mortality", words, re.IGNORECASE)


def test_figures_of_an_artifact_are_those_of_its_type(full):
    assert set(figures_of(full[FittedModel])) == {"roc", "precision_recall", "calibration", "training_curves"}
    assert figures_of("text") == {}
    assert set(figures_of(full[AttackResult])) == {"robustness", "single_value_map"}
    assert figures_of(make_attack({})) == {}
    assert "importance" in figures_of(full[SusceptibilityResult])
    assert "importance" not in figures_of(analysed(make_attack({})))


def test_unknown_format_property_and_measure_name_what_exists(full):
    with pytest.raises(ConfigError, match=r"gif.*png, svg, pdf"):
        render(FIGURES["discovery"].draw(full[SusceptibilityResult]), "gif")
    with pytest.raises(ConfigError, match="Did you mean 'largest'"):
        histograms.histogram(full[SusceptibilityResult], "larges")
    with pytest.raises(ConfigError, match="Did you mean 'ganzp'"):
        heatmaps.heat_map(full[SusceptibilityResult], "ganz")


def test_histogram_counts_every_example_once_in_bins_of_choice(full):
    result = full[SusceptibilityResult]
    properties = result.tables["perturbation_properties"]
    for name in PROPERTIES:
        assert histograms.histogram_table(result, name)["stays"].sum() == properties.height, name
    table = histograms.histogram_table(result, "largest", [0.0, 0.5, 1.0])
    best = table.filter(pl.col("condition") == "survival_to_death", pl.col("example") == "best")
    chosen = properties.filter(pl.col("condition") == "survival_to_death", pl.col("example") == "best")["largest"]
    assert best["stays"].to_list() == [(chosen < 0.5).sum(), (chosen >= 0.5).sum()]
    assert len(render(histograms.histogram(result, "largest", bins=[0.0, 0.5, 1.0]), "png")) > 3_000


def test_roc_and_precision_recall_points_by_hand():
    # By falling score: death, survivor, death, survivor; the last two share a score.
    labels, scores = np.array([1, 0, 1, 0], np.int8), np.array([0.9, 0.8, 0.4, 0.4])
    across, up = roc_points(labels, scores, np.ones(4))
    assert across.tolist() == [0, 0, 0.5, 1]
    assert up.tolist() == [0, 0.5, 0.5, 1]
    recall, precision = precision_recall_points(labels, scores, np.ones(4))
    assert recall.tolist() == [0, 0.5, 0.5, 1]
    assert precision.tolist() == [1, 1, 0.5, 0.5]


def test_calibration_table_counts_every_stay_once():
    training = make_training()
    table = quality.calibration_table(on_its_grid(training)).filter(
        pl.col("model") == "lstm", pl.col("split") == "test"
    )
    assert table["stays"].to_list() == [30] * 10
    shown = training.predictions.filter(pl.col("model") == "lstm", pl.col("split") == "test")
    assert table["deaths"].sum() == shown["label"].sum()
    assert (table["predicted"].diff().drop_nulls() >= 0).all()


def test_test_stays_are_those_of_the_final_member():
    training = make_training(40)
    doubled = training.predictions.with_columns(member=pl.lit("fold-1")).filter(pl.col("split") == "test")
    training = TrainingResult(**vars(training) | {"predictions": pl.concat([doubled, training.predictions])})
    assert [len(each.labels) for each in on_its_grid(training).judged() if each.stays == "test"] == [40] * 3


def test_search_history_and_importance_tell_what_mattered():
    result = make_tuning(40)
    history = history_table(result)
    finished = history.filter(pl.col("state") == "complete")
    assert finished["best"].to_list() == np.maximum.accumulate(finished["value"].to_numpy()).tolist()
    table = importance_table(result)
    shares = dict(table.iter_rows())
    assert shares["training.learning_rate"] > 0.9
    assert set(shares) == {"training.learning_rate", "model.activation"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert table.equals(importance_table(result))
    slices = slices_table(result)
    assert slices.height == 3 * finished.height
    assert slices.filter(pl.col("option") == "model.activation")["number"].null_count() == finished.height


def test_importance_of_options_needs_trials_that_differ():
    assert importance_table(make_tuning(3)).is_empty()
    same = make_tuning(12)
    flat = TuningResult(same.trials.with_columns(value=pl.lit(0.5)), {}, 0, 0.5, Objective("auroc", Direction.MAXIMIZE))
    assert importance_table(flat).is_empty()


def test_robustness_and_single_values_by_hand():
    examples = {stay: {"best": [(0, 0, 0.1)]} for stay in (1, 2, 3, 4)}
    attack = with_curves(make_attack(examples, deaths=[4]))
    table = robustness.robustness_table(attack).filter(pl.col("condition") == "survival_to_death")
    assert table.select("budget", "flipped", "attacked", "share").rows() == [(0.1, 2, 3, 2 / 3), (0.2, 3, 3, 1.0)]
    single = robustness.single_value_table(attack)
    assert single.rows() == [("survival_to_death", 0, "calcium", 1, 3, 1 / 3)]
