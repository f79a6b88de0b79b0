"""CLIF 2.1: which categories of which table are which variable, and what is done to their values.

An item is a category of the format; where a row names the site's own measurement too (``vital_name``, ``lab_name``),
each name is an item of its own, so that an arterial and a cuff pressure of one value are two measurements.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from icudl.sources.rules import CANONICAL, EVERYTHING, NOTHING, ItemRule, Span, Unit
from icudl.sources.table import units

VITALS, LABS, ASSESSMENTS, RESPIRATORY = "vitals", "labs", "patient_assessments", "respiratory_support"
EVENT_TABLES = (VITALS, LABS, ASSESSMENTS, RESPIRATORY)
"""Tables of measurements, in the order in which they are read."""

NO_UNITS = frozenset({"", "(nounits)", "nounits", "unitless"})
"""Texts of ``reference_unit`` that mean a number without a unit, as ``units.spelled`` writes them."""

VENTILATED = "imv"
"""Category of device that means mechanical ventilation, in small letters."""

DEVICE, FIO2_SET, BREATHS = "device_category", "fio2_set", "resp_rate_obs"
"""Columns of RESPIRATORY_SUPPORT that are read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Category:
    """One category of one table.

    Attributes:
        variable: The variable that it measures.
        table: The table.
        name: The category, in small letters; a column of RESPIRATORY_SUPPORT.
        why: Why it is this variable, in a sentence.
    """

    variable: str
    table: str
    name: str
    why: str


def _of(table: str, *entries: tuple[str, str, str]) -> tuple[Category, ...]:
    return tuple(Category(variable=variable, table=table, name=name, why=why) for variable, name, why in entries)


CATEGORIES: tuple[Category, ...] = (
    *_of(
        VITALS,
        ("heartrate", "heart_rate", "Heart rate of the monitor."),
        ("sysbp", "sbp", "Arterial and cuff pressures alike, as in MIMIC."),
        ("diasbp", "dbp", "Arterial and cuff pressures alike, as in MIMIC."),
        ("meanbp", "map", "Arterial and cuff pressures alike, as in MIMIC."),
        ("tempc", "temp_c", "Degrees Celsius; Fahrenheit numbers occur (CLIF-MIMIC issue 30) and are converted."),
        ("resprate", "respiratory_rate", "Breaths of the monitor."),
        ("spo2", "spo2", "Pulse oximeter."),
        ("weight", "weight_kg", "Kilograms, at admission and daily."),
    ),
    *_of(
        LABS,
        ("albumin", "albumin", "Of blood."),
        ("alp", "alkaline_phosphatase", "Alkaline phosphatase."),
        ("alt", "alt", "Alanine aminotransferase."),
        ("ast", "ast", "Aspartate aminotransferase."),
        ("bicarbonate", "bicarbonate", "Of serum."),
        ("bilirubin", "bilirubin_total", "Total."),
        ("bun", "bun", "Urea nitrogen of blood."),
        ("calcium", "calcium_ionized", "Ionised; the format's unit is mg/dL, the variable's mmol/L."),
        ("calcium_total", "calcium_total", "Total."),
        ("creatinine", "creatinine", "Serum and whole blood are one category."),
        ("glucose", "glucose_serum", "Of the laboratory; bedside values are glucose_fingerstick."),
        ("inr", "inr", "INR of the prothrombin time."),
        ("lactate", "lactate", "Of blood."),
        ("magnesium", "magnesium", "Of blood."),
        ("pco2", "pco2_arterial", "Arterial and venous samples alike, as in MIMIC."),
        ("pco2", "pco2_venous", "Arterial and venous samples alike, as in MIMIC."),
        ("ph", "ph_arterial", "Arterial and venous samples alike, as in MIMIC."),
        ("ph", "ph_venous", "Arterial and venous samples alike, as in MIMIC."),
        ("platelet", "platelet_count", "Platelet count."),
        ("po2", "po2_arterial", "Arterial; the format has no other."),
        ("potassium", "potassium", "Serum and whole blood are one category, so both variables are the same rows."),
        ("potassium_serum", "potassium", "Serum and whole blood are one category."),
        ("sao2", "so2_arterial", "Arterial; mixed and central venous saturations are categories of their own."),
        ("sodium", "sodium", "Serum and whole blood are one category."),
        ("troponin_i", "troponin_i", "The format's unit is ng/L, the variable's ug/L."),
        ("troponin_t", "troponin_t", "The format's unit is ng/L, the variable's ug/L."),
        ("wbc", "wbc", "White blood cells."),
    ),
    *_of(ASSESSMENTS, ("gcs", "gcs_total", "Total of the coma scale.")),
    *_of(
        RESPIRATORY,
        ("fio2", FIO2_SET, "A fraction in the format; percentages are converted."),
        ("resprate", BREATHS, "All breaths of the ventilator, as MIMIC's 224690."),
        ("mechanical_ventilation", DEVICE, "1 for the device IMV, 0 for any other that is named."),
    ),
)
"""Categories behind each variable.

Not here: haematocrit, cholesterol and urine, which CLIF 2.1 lacks; so2_mixed_venous and so2_central_venous, which are
no arterial saturation.
"""

UNREAD: Mapping[str, frozenset[str]] = {
    VITALS: frozenset({"height_cm"}),
    LABS: frozenset(
        {
            "basophils_absolute", "basophils_percent", "bilirubin_conjugated", "bilirubin_unconjugated", "chloride",
            "crp", "eosinophils_absolute", "eosinophils_percent", "esr", "ferritin", "glucose_fingerstick",
            "hemoglobin", "ldh", "lymphocytes_absolute", "lymphocytes_percent", "monocytes_absolute",
            "monocytes_percent", "neutrophils_absolute", "neutrophils_percent", "phosphate", "procalcitonin", "pt",
            "ptt", "so2_central_venous", "so2_mixed_venous", "total_protein",
        }
    ),
}  # fmt: skip
"""Other categories that the format permits in the tables whose categories are checked."""

AVAILABLE: frozenset[str] = frozenset(category.variable for category in CATEGORIES) - {"potassium_serum"}
"""What ``"all"`` takes: every series once."""

_HUNDREDTH = Unit(name="hundredth", offset=0.0, divisor=100.0)
_FAHRENHEIT = Unit(name="fahrenheit", offset=32.0, divisor=1.8)

REPAIRS: Mapping[str, tuple[Span, Unit]] = {
    # As in MIMIC: pH filed times 100, temperature in degrees Fahrenheit, oxygen in per cent.
    "ph": (Span(low=630.0, high=840.0), _HUNDREDTH),
    "tempc": (Span(low=70.0, high=120.0), _FAHRENHEIT),
    "fio2": (Span(low=20.0, high=100.0), _HUNDREDTH),
}
"""Values of a variable inside the span were filed in the unit."""

GATES: Mapping[str, Span] = {"tempc": Span(low=10.0, high=50.0)}
"""Values outside are dropped before conversion, unless they are repaired."""

DIGEST = hashlib.sha256(
    repr(
        ([dataclasses.astuple(each)[:3] for each in CATEGORIES], dict(REPAIRS), dict(GATES), VENTILATED, units.DIGEST)
    ).encode()
).hexdigest()
"""SHA-256 of the rules: part of the fingerprint, because others give other tables."""


def tables_of(variable: str) -> tuple[str, ...]:
    """Return the tables that may hold a variable; empty if CLIF has none."""
    return tuple(dict.fromkeys(each.table for each in CATEGORIES if each.variable == variable))


def rule_of(category: Category, number: int, unit: str | None) -> ItemRule | None:
    """Return the rule of an item.

    Args:
        category: What it is.
        number: Number of the item.
        unit: Its unit as it is written; None for the variable's.

    Returns:
        The rule; None if the unit is unknown.
    """
    repair, repair_unit = REPAIRS.get(category.variable, (NOTHING, CANONICAL))
    rule = ItemRule(
        variable=category.variable,
        table=category.table,
        items=(number,),
        gate=GATES.get(category.variable, EVERYTHING),
        repair=repair,
        repair_unit=repair_unit,
    )
    if unit is None or units.spelled(unit) in NO_UNITS:
        return rule
    known = units.conversion(category.variable, unit)
    if known is None:
        return None
    if not known.is_change:
        return rule
    filed = Unit(name=known.unit, offset=known.offset, divisor=known.divisor)
    # The repair holds for values in the variable's own unit.
    return dataclasses.replace(rule, unit=filed, gate=EVERYTHING, repair=NOTHING, repair_unit=CANONICAL)
