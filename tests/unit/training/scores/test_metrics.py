"""Scores against scikit-learn and by hand; the bootstrap by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from icudl.artifacts import PREDICTIONS_SCHEMA
from icudl.errors import StageError
from icudl.training.scores import metrics
from icudl.training.scores.evaluation import (
    bootstrap_weights,
    chunks,
    compare,
    intervals,
    metric_rows,
    paired_differences,
    score_predictions,
    subgroups,
)
from icudl.training.scores.metrics import METRICS, Scored, all_scores, choose_threshold, score


def _scored(labels, probabilities, threshold=0.5, patients=None):
    n = len(labels)
    return Scored(
        np.asarray(labels),
        np.asarray(probabilities, float),
        np.full(n, threshold),
        np.arange(n) if patients is None else np.asarray(patients),
    )


def _values(scored):
    return {name: float(value[0]) for name, value in all_scores(scored).items()}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_scores_agree_with_scikit_learn_ties_included(data):
    n = data.draw(st.integers(4, 40))
    labels = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))])
    risks = np.array(data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    ours = _values(_scored(labels, risks, 0.4))
    positive = risks >= 0.4
    tn, fp, fn, tp = reference.confusion_matrix(labels, positive, labels=[0, 1]).ravel()
    precision, recall, _ = reference.precision_recall_curve(labels, risks)
    expected = {
        "auroc": reference.roc_auc_score(labels, risks),
        "auprc": reference.average_precision_score(labels, risks),
        "min_se_ppv": np.minimum(precision, recall).max(),
        "brier": reference.brier_score_loss(labels, risks),
        "log_loss": reference.log_loss(labels, np.clip(risks, 1e-15, 1 - 1e-15)),
        "recall": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "accuracy": (tp + tn) / n,
        "precision": tp / (tp + fp) if tp + fp else math.nan,
        "f1": 2 * tp / (2 * tp + fp + fn),
    }
    assert {name: ours[name] for name in expected} == pytest.approx(expected, nan_ok=True, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_weight_is_a_number_of_copies(data):
    """Resamples are weights: each must score like the sample in which every stay is repeated that often."""
    n = data.draw(st.integers(4, 15))
    labels = np.array([0, 1] + [k % 2 for k in range(n - 2)])
    risks = np.array(data.draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) / 6
    counts = np.array([1, 1, *data.draw(st.lists(st.integers(0, 3), min_size=n - 2, max_size=n - 2))])
    weighted = all_scores(_scored(labels, risks), counts[None].astype(float))
    copied = _values(_scored(np.repeat(labels, counts), np.repeat(risks, counts)))
    assert {name: float(value[0]) for name, value in weighted.items()} == pytest.approx(copied, nan_ok=True, abs=1e-9)


def test_without_weights_there_is_one_result():
    assert {name: value.shape for name, value in all_scores(_scored([0, 1], [0.2, 0.8])).items()} == dict.fromkeys(
        METRICS, (1,)
    )


def test_a_certain_risk_lies_in_the_last_bin():
    assert metrics.calibration_error(np.array([1, 0]), np.array([1.0, 1.0])) == pytest.approx([0.5])


def test_calibration_error_by_hand():
    # Bin [.2, .3): mean risk .2, no death: gap .2 over two stays. Bin [.9, 1]: mean risk .95, half die: gap .45.
    assert _values(_scored([0, 0, 0, 1], [0.2, 0.2, 0.9, 1.0]))["ece"] == pytest.approx((2 * 0.2 + 2 * 0.45) / 4)
    # One death at a risk of .3: a gap of .7 the other way, which would cancel out in one bin with the others.
    assert _values(_scored([0, 1, 0, 1], [0.2, 0.3, 0.9, 1.0]))["ece"] == pytest.approx((0.2 + 0.7 + 2 * 0.45) / 4)


def test_scores_that_do_not_exist_are_null():
    rows = metric_rows("m", "test", "all", _scored([0, 0, 0], [0.1, 0.2, 0.3]), 20, np.random.default_rng(0))
    missing = rows.filter(pl.col("value").is_null())["metric"].to_list()
    assert missing == ["auroc", "auprc", "f1", "precision", "recall", "min_se_ppv"]
    assert rows.filter(pl.col("metric") == "auroc").select("low", "high").row(0) == (None, None)
    assert rows["stays"].to_list() == [3] * len(METRICS)
    assert rows["deaths"].to_list() == [0] * len(METRICS)


def test_a_single_stay_is_survived():
    rows = metric_rows("m", "test", "all", _scored([1], [0.9]), 10, np.random.default_rng(0))
    assert rows.filter(pl.col("metric") == "recall")["value"].item() == 1.0


def test_each_stay_is_judged_by_its_own_threshold():
    scored = Scored(np.array([1, 1]), np.array([0.4, 0.4]), np.array([0.3, 0.5]), np.array([0, 1]))
    assert _values(scored)["recall"] == 0.5


def test_resamples_keep_patients_together_and_both_strata_whole():
    scored = _scored([0, 1, 0, 0, 0, 1], [0.5] * 6, patients=[7, 7, 3, 3, 5, 9])
    drawn = bootstrap_weights(scored, 400, np.random.default_rng(0))
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert np.array_equal(drawn[:, 2], drawn[:, 3])
    assert (drawn[:, 0] + drawn[:, 5] == 2).all()
    assert (drawn[:, 2] + drawn[:, 4] == 2).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)


def test_intervals_cover_the_value_and_shrink_with_the_sample():
    rng = np.random.default_rng(1)
    widths = []
    for n in (100, 1600):
        labels = rng.integers(0, 2, n)
        scored = _scored(labels, 1 / (1 + np.exp(-rng.normal(labels, 1))))
        low, high = intervals(scored, 300, np.random.default_rng(2))["auroc"]
        assert low < score("auroc", scored.labels, scored.probabilities) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_interval_of_the_auroc_has_the_width_of_hanley_and_mcneil():
    rng = np.random.default_rng(4)
    n = 400
    labels = np.repeat([0, 1], n // 2)
    scored = _scored(labels, 1 / (1 + np.exp(-rng.normal(labels, 1))))
    area = score("auroc", scored.labels, scored.probabilities)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n / 2 - 1) * (q1 - area**2 + q2 - area**2)) / (n / 2) ** 2
    low, high = intervals(scored, 1000, np.random.default_rng(0))["auroc"]
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.15)


@pytest.mark.parametrize(("samples", "n_stays"), [(10, 5), (1000, 40_000), (7, 10_000_000)])
def test_chunks_of_resamples_are_complete_and_small(samples, n_stays):
    sizes = chunks(samples, n_stays)
    assert sum(sizes) == samples
    assert all(size == 1 or size * n_stays <= 2_000_000 for size in sizes)


def test_paired_difference_of_a_model_with_itself_is_zero():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scored = _scored(labels, rng.random(60))
    differences = paired_differences(scored, scored, 50, rng)
    assert all(value == (0.0, 0.0, 0.0) for value in differences.values())


def test_paired_interval_is_narrower_than_that_of_unpaired_models():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    signal = rng.normal(labels, 1)
    first, second = (_scored(labels, 1 / (1 + np.exp(-signal - rng.normal(0, 0.1, 300)))) for _ in range(2))
    _, low, high = paired_differences(first, second, 200, rng)["auroc"]
    alone_low, alone_high = intervals(first, 200, rng)["auroc"]
    assert high - low < (alone_high - alone_low) / 2


def test_threshold_by_hand():
    labels, risks = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    # F1 at ">= .3" is 2*3/(3+1+3) = .857, at ">= .6" 2*2/(2+0+3) = .8; Youden 1 - 1/3 against 2/3 - 0: the first wins.
    assert choose_threshold(labels, risks, "f1") == pytest.approx(0.25)
    assert choose_threshold(labels, risks, "youden") == pytest.approx(0.5)


def test_threshold_of_one_class_is_a_half():
    assert choose_threshold(np.zeros(3, int), np.array([0.1, 0.2, 0.3]), "f1") == 0.5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=30))
def test_no_other_threshold_has_a_higher_f1(pairs):
    labels, risks = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]) / 10
    if len(set(labels)) < 2:
        return
    best = _values(_scored(labels, risks, choose_threshold(labels, risks, "f1")))["f1"]
    assert all(_values(_scored(labels, risks, t))["f1"] <= best + 1e-12 for t in np.arange(0, 1.1, 0.05))


def test_subgroups_leave_out_the_unknown():
    stays = pl.DataFrame(
        {"age_years": [20.0, 70.0, None, 80.0], "sex": ["F", None, "M", "F"], "icu_type": ["A", "A", "A", None]},
        schema_overrides={"age_years": pl.Float32},
    )
    found = {name: mask.tolist() for name, mask in subgroups(stays).items()}
    assert found == {
        "age_years=18-39": [True, False, False, False],
        "age_years=65-79": [False, True, False, False],
        "age_years=80+": [False, False, False, True],
        "sex=F": [True, False, False, True],
        "sex=M": [False, False, True, False],
        "icu_type=A": [True, True, True, False],
    }


def test_an_interval_holds_the_middle_95_percent_of_the_resamples():
    rng = np.random.default_rng(8)
    labels = (rng.random(80) < 0.3).astype(np.int8)
    scored = _scored(labels, np.clip(rng.normal(0.3 + 0.2 * labels, 0.2), 0, 1))
    found = intervals(scored, 400, np.random.default_rng(2))
    drawn = all_scores(scored, bootstrap_weights(scored, 400, np.random.default_rng(2)))
    for name in ("auroc", "brier", "recall"):
        assert found[name] == pytest.approx(tuple(np.percentile(drawn[name], [2.5, 97.5])))


def test_a_stay_that_is_not_in_the_data_set_is_an_error():
    columns = {"model": "lstm", "member": "final", "split": "test", "fold": -1, "label": [0, 1], "stay_id": [1, 2]}
    predictions = pl.DataFrame(columns | {"probability": 0.5, "threshold": 0.5}, schema=dict(PREDICTIONS_SCHEMA))
    stays = pl.DataFrame({"stay_id": [1], "patient_id": [1], "age_years": [50.0], "sex": ["F"], "icu_type": ["A"]})
    with pytest.raises(StageError, match="1 of the test stays predicted by lstm are not in the data set"):
        score_predictions(predictions, stays, 10, 3)


def test_age_bands_begin_with_the_year_in_their_name():
    ages = [17.9, 18.0, 39.9, 40.0, 64.9, 65.0, 79.9, 80.0, 120.0]
    stays = pl.DataFrame({"age_years": ages, "sex": ["F"] * 9, "icu_type": ["A"] * 9})
    found = {name: np.array(ages)[mask].tolist() for name, mask in subgroups(stays).items() if "age" in name}
    assert found == {
        "age_years=0-17": [17.9],
        "age_years=18-39": [18.0, 39.9],
        "age_years=40-64": [40.0, 64.9],
        "age_years=65-79": [65.0, 79.9],
        "age_years=80+": [80.0, 120.0],
    }


def test_no_stays_have_no_score():
    assert math.isnan(score("auroc", np.zeros(0, int), np.zeros(0)))
    for name in ("auroc", "auprc", "brier", "ece"):
        assert math.isnan(score(name, np.array([0, 1, 1]), np.array([0.2, math.nan, 0.9])))
    assert set(metrics.METRICS) == set(_values(_scored([0, 1], [0.2, 0.8])))


def _table(stays, labels, risks):
    n = len(stays)
    columns = {
        "model": ["lstm"] * n, "member": ["final"] * n, "split": ["test"] * n, "fold": [-1] * n, "stay_id": stays,
        "label": labels, "probability": risks, "threshold": [0.5] * n,
    }  # fmt: skip
    return pl.DataFrame(columns, schema=dict(PREDICTIONS_SCHEMA))


STAYS = pl.DataFrame({"stay_id": [1, 2, 3, 4, 5], "patient_id": [1, 1, 2, 3, 4]})


def test_models_are_compared_on_the_stays_that_both_predict():
    # On stays 2 to 5 (deaths 4 and 5) the first ranks all pairs rightly, the second three of four.
    first = _table([1, 2, 3, 4, 5], [1, 0, 0, 1, 1], [0.0, 0.1, 0.2, 0.8, 0.9])
    second = _table([5, 4, 3, 2], [1, 1, 0, 0], [0.9, 0.3, 0.4, 0.1])
    row = compare(first, second, STAYS, 20, 0).row(0, named=True)
    assert (row["metric"], row["stays"], row["deaths"]) == ("auroc", 4, 2)
    assert (row["first"], row["second"], row["difference"]) == (1.0, 0.75, 0.25)
    assert row["low"] <= 0.25 <= row["high"]


def test_models_that_share_no_stay_or_disagree_about_one_are_not_compared():
    first = _table([1, 2], [0, 1], [0.1, 0.2])
    with pytest.raises(StageError, match="No stay is predicted by both"):
        compare(first, _table([3, 4], [0, 1], [0.1, 0.2]), STAYS, 10, 0)
    with pytest.raises(StageError, match="different outcomes"):
        compare(first, _table([1, 2], [0, 0], [0.1, 0.2]), STAYS, 10, 0)


def test_calibration_error_has_ten_bins_of_equal_width():
    """One survivor in each tenth, at its lower edge: nine bins more or less, or bins by rounding, pool others."""
    risks = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    labels = np.array([1, 0, 0, 1, 0, 1, 1, 0, 1, 1])
    expected = np.abs(risks - labels).mean()  # each stay is alone in its bin
    assert _values(_scored(labels, risks))["ece"] == pytest.approx(expected)
    # Two stays of one tenth make up for each other; their roundings to a tenth differ, and so do fifteenths.
    assert _values(_scored([0, 1], [0.41, 0.49]))["ece"] == pytest.approx(abs(0.41 + 0.49 - 1) / 2)


def test_the_interval_of_a_subgroup_is_drawn_over_its_own_patients():
    """Women are told apart perfectly, men not at all: resamples of women alone always have an AUROC of 1."""
    rng = np.random.default_rng(5)
    n = 120
    sex = np.array(["F", "M"])[np.arange(n) % 2]
    labels = (np.arange(n) // 2 % 3 == 0).astype(np.int8)
    risks = np.where(sex == "F", 0.2 + 0.6 * labels, rng.random(n))
    predictions = pl.DataFrame(
        {
            "model": "lstm", "member": "final", "split": "test", "fold": -1, "stay_id": np.arange(n),
            "label": labels, "probability": risks, "threshold": 0.5,
        },
        schema=dict(PREDICTIONS_SCHEMA),
    )  # fmt: skip
    stays = pl.DataFrame(
        {"stay_id": np.arange(n), "patient_id": np.arange(n), "age_years": 50.0, "sex": sex, "icu_type": "MICU"}
    )
    table = score_predictions(predictions, stays, 200, 3).filter(metric="auroc")
    bounds = {row["subgroup"]: (row["low"], row["high"], row["stays"]) for row in table.iter_rows(named=True)}
    assert bounds["sex=F"] == (1.0, 1.0, n // 2)
    low, high, stays_of_men = bounds["sex=M"]
    assert stays_of_men == n // 2
    # Half as many patients make an interval about 1.4 times as wide as that of all.
    assert high - low > 1.1 * (bounds["all"][1] - bounds["all"][0])
