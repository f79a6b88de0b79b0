"""What a model from outside is handed: order, gaps, masks, units, descriptors, summaries."""

from __future__ import annotations

import numpy as np
import pytest

import outside_cases as cases
from icudl.models.charted.base import ClinicalStays
from icudl.models.charted.window import SUMMARIES, summarise
from icudl.models.outside.layout import layout_of
from icudl.models.outside.options import OutsideOptions
from icudl.models.outside.units import line_of
from icudl.variables import select

NAN = np.nan
VALUES = np.array([[[80, 4.0], [NAN, 5.0], [90, NAN]], [[NAN, 4.5], [NAN, NAN], [70, 6.0]]], np.float32)
STAYS = ClinicalStays(
    VALUES, np.array([3, 2]), np.array([[61.0], [NAN]], np.float32), select(["heartrate", "creatinine"]), ("age_years",)
)


def features(**declared: object) -> np.ndarray:
    options = OutsideOptions(**declared)
    names = options.variables or STAYS.names
    lines = [
        line_of(STAYS.variables[STAYS.names.index(name)], options.units.get(name, "")) if name in options.units else
        line_of(STAYS.variables[STAYS.names.index(name)], STAYS.variables[STAYS.names.index(name)].unit)
        for name in names
    ]  # fmt: skip
    return layout_of(options, STAYS, lines).features(STAYS)


def test_a_flat_row_runs_hour_by_hour_and_ends_with_the_descriptors() -> None:
    expected = [[80, 4, NAN, 5, 90, NAN, 61], [NAN, 4.5, NAN, NAN, NAN, NAN, NAN]]
    np.testing.assert_array_equal(features(), np.array(expected, np.float64))  # nothing beyond hour 2 of the second


def test_a_flat_row_may_run_variable_by_variable_in_another_order() -> None:
    row = features(order="variables", variables=("creatinine", "heartrate"))[0]
    np.testing.assert_array_equal(row, [4, 5, NAN, 80, NAN, 90, 61])


def test_a_grid_repeats_the_descriptors_and_ends_with_the_masks() -> None:
    grid = features(input="grid", missing="zero", masks=True)
    np.testing.assert_array_equal(grid[0], [[80, 4, 1, 1, 61], [0, 5, 0, 1, 61], [90, 0, 1, 0, 61]])


@pytest.mark.parametrize(
    ("missing", "row"),
    [("forward", [80, 4, 80, 5, 90, 5]), ("linear", [80, 4, 85, 5, 90, 5]), ("zero", [80, 4, 0, 5, 90, 0])],
)
def test_gaps_are_filled_as_the_model_was_trained_on(missing: str, row: list[float]) -> None:
    np.testing.assert_allclose(features(missing=missing)[0, :-1], row)


def test_a_variable_without_a_value_takes_what_the_model_says_or_the_median() -> None:
    told = features(missing="forward", fill={"heartrate": 77.0})
    assert told[1, 0] == 77.0
    assert features(missing="forward")[1, 0] == 85.0


def test_units_are_converted_with_their_gaps_left_alone() -> None:
    row = features(units={"creatinine": "umol/L"})[0]
    np.testing.assert_allclose(row, [80, 4 * 88.4, NAN, 5 * 88.4, 90, NAN, 61], rtol=1e-3)


def test_summaries_are_those_of_the_project_by_name_and_in_the_unit_of_the_model() -> None:
    chosen = ("creatinine.deviation", "age_years", "heartrate.last", "creatinine.mean", "creatinine.count")
    plain, converted = (
        features(input="summaries", features=chosen, units=units) for units in ({}, {"creatinine": "umol/L"})
    )
    whole = summarise(STAYS.values, STAYS.lengths, STAYS.statics)
    width = len(SUMMARIES)
    places = [width + SUMMARIES.index("deviation"), 2 * width, SUMMARIES.index("last"),
              width + SUMMARIES.index("mean"), width + SUMMARIES.index("count")]  # fmt: skip
    np.testing.assert_array_equal(plain, whole[:, places])
    np.testing.assert_allclose(converted, plain * [88.42, 1, 1, 88.42, 1], rtol=1e-3)


def test_a_function_of_the_user_makes_the_features() -> None:
    found = cases.fitted(
        cases.stays_of(cases.clinical_grid()),
        object="outside_cases:heart", input="outside_cases:last_heart_rate", output="logit",
    )  # fmt: skip
    values = np.full((1, 3, 3), 90.0, np.float32)
    values[0, -1, 0] = 110.0
    assert found.logits(ClinicalStays(values, np.array([3]), np.zeros((1, 0), np.float32))) == pytest.approx([6.0])
