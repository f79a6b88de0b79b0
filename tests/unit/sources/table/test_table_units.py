"""Conversions of units: hand-worked values, spellings, and what must hold of all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.sources.table.units import (
    TYPICAL,
    UNITS,
    canonical_unit,
    conversion,
    spelled,
    units_that_fit,
)
from icudl.variables import CATALOGUE

# Filed value and unit, value in the catalogue's unit: as printed in tables for clinicians, to their digits.
GOLDEN = [
    ("creatinine", 88.4, "µmol/L", 1.0, 0.001),
    ("bilirubin", 17.1, "umol/l", 1.0, 0.001),
    ("glucose", 5.55, "mmol/L", 100.0, 0.02),
    ("bun", 7.14, "mmol/L", 20.0, 0.01),
    ("bun", 42.88, "mg/dL urea", 20.0, 0.01),
    ("lactate", 18.0, "mg/dL", 2.0, 0.01),
    ("magnesium", 0.82, "mmol/L", 2.0, 0.01),
    ("magnesium", 1.65, "mEq/L", 2.0, 0.01),
    ("calcium", 4.8, "mg/dL", 1.2, 0.01),
    ("calcium", 2.4, "mEq/L", 1.2, 1e-9),
    ("calcium_total", 2.5, "mmol/L", 10.0, 0.03),
    ("cholesterol", 5.0, "mmol/L", 193.0, 0.5),
    ("albumin", 35.0, "g/L", 3.5, 1e-9),
    ("potassium", 4.1, "mmol/L", 4.1, 1e-12),
    ("pco2", 5.33, "kPa", 40.0, 0.05),
    ("sysbp", 16.0, "kPa", 120.0, 0.05),
    ("tempc", 98.6, "°F", 37.0, 1e-9),
    ("tempc", 310.15, "K", 37.0, 1e-9),
    ("platelet", 250_000, "/uL", 250.0, 1e-9),
    ("platelet", 250, "G/L", 250.0, 1e-9),
    ("wbc", 11.0, "x10^9/L", 11.0, 1e-9),
    ("hematocrit", 0.31, "L/L", 31.0, 1e-9),
    ("spo2", 0.97, "fraction", 97.0, 1e-9),
    ("fio2", 40.0, "%", 0.4, 1e-9),
    ("alt", 1.0, "µkat/L", 60.0, 1e-9),
    ("troponin_t", 14.0, "ng/L", 0.014, 1e-9),
    ("weight", 176.37, "lb", 80.0, 0.001),
    ("urine", 0.25, "L", 250.0, 1e-9),
]


@pytest.mark.parametrize(("variable", "filed", "unit", "expected", "tolerance"), GOLDEN)
def test_a_value_worked_by_hand(variable: str, filed: float, unit: str, expected: float, tolerance: float) -> None:
    found = conversion(variable, unit)
    assert found is not None
    assert found.canonical(filed) == pytest.approx(expected, abs=tolerance)


CONVERSIONS = [(variable, each) for variable, conversions in UNITS.items() for each in conversions]


@given(st.sampled_from(CONVERSIONS), st.floats(0, 1))
def test_there_and_back_gives_the_same_value(case, share: float) -> None:
    name, each = case
    variable = CATALOGUE[name]
    canonical = variable.low + share * (variable.high - variable.low)
    assert each.canonical(each.filed(canonical)) == pytest.approx(canonical, rel=1e-12, abs=1e-12)


def test_the_first_unit_is_the_catalogues_and_changes_nothing() -> None:
    for name, variable in CATALOGUE.items():
        assert not canonical_unit(name).is_change
        if variable.unit:
            assert conversion(name, variable.unit) is canonical_unit(name), name


def test_every_factor_has_a_reason_and_every_spelling_one_meaning() -> None:
    for name, conversions in UNITS.items():
        assert all(each.reason for each in conversions if each.is_change), name
        spellings = [{spelled(text) for text in (each.unit, *each.spellings)} for each in conversions]
        assert len(set().union(*spellings)) == sum(map(len, spellings)), name


def test_spellings_that_hospitals_use() -> None:
    assert len({spelled(text) for text in ("µmol/L", "μmol/l", "umol / L", "UMOL/L", "mcmol/L")}) == 1
    assert len({spelled(text) for text in ("10^3/uL", "x10³/µL", "10*3/uL", "10e3/mcL", "×10^3/uL")}) == 1
    assert conversion("creatinine", "U/L") is None


def test_a_typical_median_is_plausible_and_stands_alone_where_units_differ_much() -> None:
    for name, (low, high) in TYPICAL.items():
        assert CATALOGUE[name].low <= low < high <= CATALOGUE[name].high
    assert [each.unit for each in units_that_fit("creatinine", 88.0)] == ["umol/L"]
    assert [each.unit for each in units_that_fit("glucose", 7.2)] == ["mmol/L"]
    assert [each.unit for each in units_that_fit("tempc", 98.4)] == ["°F"]
    assert [each.unit for each in units_that_fit("pco2", 5.2)] == ["kPa"]
    assert units_that_fit("creatinine", 1e6) == []
