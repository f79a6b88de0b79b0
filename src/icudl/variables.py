"""The clinical variables: name, label, unit, plausible range and group.

A range is the physiological gate of the cleaning rules (outside it a value is an error of entry, not a patient);
``docs/decisions`` tells the sources of the numbers. Item ids and repairs of a database are data beside its
source (``sources/mimic3/rules.toml``), not here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from icudl.errors import ConfigError, suggestion


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variable:
    """One measured quantity.

    Attributes:
        name: Identifier used in configuration and files.
        label: Its name for clinicians.
        unit: Canonical unit; every source converts to it.
        low: Smallest plausible value, inclusive, in ``unit``.
        high: Largest plausible value, inclusive, in ``unit``.
        group: ``"lab"``, ``"vital"`` or ``"other"``.
        items: Where sources find a variable of one's own, by name of the plug-in; empty for a variable of the
            catalogue, which each source has rules for. It is no part of what the variable is, and is not stored.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    group: str
    items: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)


def _variable(name: str, label: str, unit: str, low: float, high: float, group: str) -> Variable:
    return Variable(name=name, label=label, unit=unit, low=low, high=high, group=group)


STUDY_VARIABLES: tuple[Variable, ...] = (
    _variable("potassium", "Potassium", "mEq/L", 1, 15, "lab"),
    _variable("calcium", "Calcium (ionised)", "mmol/L", 0.3, 4, "lab"),
    _variable("ph", "pH", "", 6.3, 8.4, "lab"),
    _variable("pco2", "pCO2", "mmHg", 5, 250, "lab"),
    _variable("lactate", "Lactate", "mmol/L", 0.1, 50, "lab"),
    _variable("albumin", "Albumin", "g/dL", 0.5, 7, "lab"),
    _variable("bun", "Blood urea nitrogen", "mg/dL", 1, 300, "lab"),
    _variable("creatinine", "Creatinine", "mg/dL", 0.1, 60, "lab"),
    _variable("sodium", "Sodium", "mEq/L", 90, 215, "lab"),
    _variable("bicarbonate", "Bicarbonate", "mEq/L", 2, 60, "lab"),
    _variable("platelet", "Platelets", "K/uL", 1, 2500, "lab"),
    _variable("glucose", "Glucose", "mg/dL", 10, 2000, "lab"),
    _variable("magnesium", "Magnesium", "mg/dL", 0.3, 20, "lab"),
    _variable("heartrate", "Heart rate", "bpm", 10, 300, "vital"),
    _variable("sysbp", "Systolic blood pressure", "mmHg", 20, 375, "vital"),
    _variable("diasbp", "Diastolic blood pressure", "mmHg", 5, 300, "vital"),
    _variable("tempc", "Temperature", "°C", 25, 45, "vital"),
    _variable("resprate", "Respiratory rate", "1/min", 1, 100, "vital"),
    _variable("spo2", "SpO2", "%", 20, 100, "vital"),
)
"""The 13 labs and 6 vital signs of the study, in its order."""

OTHER_VARIABLES: tuple[Variable, ...] = (
    _variable("potassium_serum", "Potassium (serum)", "mEq/L", 1, 15, "lab"),
    _variable("calcium_total", "Calcium (total, serum)", "mg/dL", 2, 20, "lab"),
    _variable("po2", "pO2", "mmHg", 10, 800, "lab"),
    _variable("sao2", "SaO2 (arterial blood)", "%", 20, 100, "lab"),
    _variable("hematocrit", "Haematocrit", "%", 5, 75, "lab"),
    _variable("wbc", "White blood cells", "K/uL", 0.1, 500, "lab"),
    _variable("bilirubin", "Bilirubin (total)", "mg/dL", 0.1, 80, "lab"),
    _variable("inr", "INR", "", 0.5, 50, "lab"),
    _variable("alp", "Alkaline phosphatase", "IU/L", 5, 5000, "lab"),
    _variable("alt", "Alanine transaminase", "IU/L", 1, 25000, "lab"),
    _variable("ast", "Aspartate transaminase", "IU/L", 1, 25000, "lab"),
    _variable("cholesterol", "Cholesterol", "mg/dL", 20, 1000, "lab"),
    _variable("troponin_i", "Troponin I", "ug/L", 0.01, 500, "lab"),
    _variable("troponin_t", "Troponin T", "ug/L", 0.01, 100, "lab"),
    _variable("meanbp", "Mean blood pressure", "mmHg", 10, 330, "vital"),
    _variable("gcs", "Glasgow Coma Scale", "", 3, 15, "other"),
    _variable("fio2", "Inspired oxygen fraction", "", 0.2, 1, "other"),
    _variable("mechanical_ventilation", "Mechanical ventilation", "", 0, 1, "other"),
    _variable("urine", "Urine output (per entry)", "mL", 0, 5000, "other"),
    _variable("weight", "Body weight", "kg", 20, 500, "other"),
)
"""Further variables of the sources: alternatives to the study's, and the other series of PhysioNet 2012."""

ALL = "all"
"""Given alone, this name stands for every variable that the source measures."""

CATALOGUE: dict[str, Variable] = {variable.name: variable for variable in STUDY_VARIABLES + OTHER_VARIABLES}
"""Every variable that a configuration may name."""

STUDY_NAMES: tuple[str, ...] = tuple(variable.name for variable in STUDY_VARIABLES)


def select(
    names: Iterable[str],
    available: Collection[str] | None = None,
    own: Mapping[str, Variable] | None = None,
    *,
    key: str = "variables.use",
) -> tuple[Variable, ...]:
    """Return the variables with these names, in this order.

    Args:
        names: Names in the catalogue, or ``"all"`` alone for every available variable in the catalogue's order.
        available: Names of the variables that the source measures; None if it may measure any variable.
        own: Variables beside the catalogue, by name; ``"all"`` takes them too.
        key: Option that the names were read from, for messages.

    Raises:
        ConfigError: A name is unknown or given twice, ``"all"`` is not alone, or ``names`` is empty.
    """
    names, known = tuple(names), CATALOGUE | dict(own or {})
    if names == (ALL,):
        names = tuple(name for name in CATALOGUE if available is None or name in available) + tuple(own or ())
    chosen: dict[str, Variable] = {}
    for name in names:
        if name == ALL:
            raise ConfigError(f"{key} names {ALL!r} beside others. Give {ALL!r} alone, or names.")
        if name not in known:
            raise ConfigError(
                f"{key} names {name!r}, which is not in the catalogue."
                + suggestion(name, known)
                + f" Known: {', '.join(known)}. A variable of your own is a table [variables.{name}]."
            )
        if name in chosen:
            raise ConfigError(f"{key} names {name!r} twice. Name each variable once.")
        chosen[name] = known[name]
    if not chosen:
        raise ConfigError(f"{key} is empty. Name at least one variable.")
    return tuple(chosen.values())
