"""The parameters of the PhysioNet/CinC Challenge 2012: the variable of each, its repairs and its gate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from icudl.sources.rules import CANONICAL, NOTHING, ItemRule, RuleBook, Span, Unit

SERIES: Mapping[str, tuple[str, ...]] = {
    "potassium": ("K",),
    "ph": ("pH",),
    "pco2": ("PaCO2",),
    "lactate": ("Lactate",),
    "albumin": ("Albumin",),
    "bun": ("BUN",),
    "creatinine": ("Creatinine",),
    "sodium": ("Na",),
    "bicarbonate": ("HCO3",),
    "platelet": ("Platelets",),
    "glucose": ("Glucose",),
    "magnesium": ("Mg",),
    "heartrate": ("HR",),
    "sysbp": ("SysABP", "NISysABP"),
    "diasbp": ("DiasABP", "NIDiasABP"),
    "tempc": ("Temp",),
    "resprate": ("RespRate",),
    "spo2": ("SaO2",),
    "po2": ("PaO2",),
    "sao2": ("SaO2",),
    "hematocrit": ("HCT",),
    "wbc": ("WBC",),
    "bilirubin": ("Bilirubin",),
    "alp": ("ALP",),
    "alt": ("ALT",),
    "ast": ("AST",),
    "cholesterol": ("Cholesterol",),
    "troponin_i": ("TroponinI",),
    "troponin_t": ("TroponinT",),
    "meanbp": ("MAP", "NIMAP"),
    "gcs": ("GCS",),
    "fio2": ("FiO2",),
    "mechanical_ventilation": ("MechVent",),
    "urine": ("Urine",),
    "weight": ("Weight",),
}
"""Parameters of the challenge behind each variable; arterial and cuff pressures are averaged, as in MIMIC-III."""

AVAILABLE: frozenset[str] = frozenset(SERIES) - {"sao2"}
"""What ``"all"`` takes: every series once (``sao2`` is the same series as ``spo2``)."""

DESCRIPTORS: tuple[str, ...] = ("RecordID", "Age", "Gender", "Height", "ICUType", "Weight")
"""Parameters given once, at 00:00; Weight is a series besides."""

PARAMETERS: tuple[str, ...] = tuple(
    dict.fromkeys([*DESCRIPTORS, *(parameter for series in SERIES.values() for parameter in series)])
)

_REPAIRS: Mapping[str, tuple[Span, Unit]] = {
    # As in MIMIC-III (``mimic3/rules.toml``): pH filed times 100, temperature filed in degrees Fahrenheit.
    "ph": (Span(low=630.0, high=840.0), Unit(name="hundredth", offset=0.0, divisor=100.0)),
    "tempc": (Span(low=70.0, high=120.0), Unit(name="fahrenheit", offset=32.0, divisor=1.8)),
}
ICU_TYPES: Mapping[int, str] = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
"""ICUType in MIMIC-III's names: coronary, cardiac surgery recovery, medical and surgical intensive care."""

STATIC_SPANS: Mapping[str, Span] = {
    "Age": Span(low=0.0, high=120.0),
    "Gender": Span(low=0.0, high=1.0),
    "Height": Span(low=100.0, high=250.0),
    "ICUType": Span(low=1.0, high=4.0),
    "Weight": Span(low=20.0, high=500.0),
}
"""Gates of the descriptors, inclusive: heights of 1.8 or 460 cm and weights of 0 or 3 kg are errors of entry."""
STATIC_NAMES: Mapping[str, str] = {
    "Age": "age_years",
    "Gender": "sex",
    "Height": "height_cm",
    "ICUType": "icu_type",
    "Weight": "weight_kg",
}
"""Columns of the stays that the descriptors fill."""


def rule_book() -> RuleBook:
    """Return the rules of the series; items are positions in ``PARAMETERS``."""
    book = tuple(_rule(variable, parameters) for variable, parameters in SERIES.items())
    identity = repr((PARAMETERS, book, dict(STATIC_SPANS), dict(ICU_TYPES)))
    return RuleBook(book, hashlib.sha256(identity.encode()).hexdigest())


def _rule(variable: str, parameters: tuple[str, ...]) -> ItemRule:
    repair, unit = _REPAIRS.get(variable, (NOTHING, CANONICAL))
    items = tuple(PARAMETERS.index(parameter) for parameter in parameters)
    return ItemRule(variable=variable, table="records", items=items, repair=repair, repair_unit=unit)
