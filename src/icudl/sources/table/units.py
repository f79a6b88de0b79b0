"""Units in which hospitals file each variable, and how each becomes the unit of the catalogue.

``canonical = (value - offset) / divisor``, as everywhere in ``icudl.sources.rules``. A divisor of an analyte follows
from its molar mass (IUPAC standard atomic weights, rounded), which is written beside it; the reason of each
conversion is shown by ``Conversion.reason``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence

from icudl.variables import CATALOGUE, Variable

UREA_PER_NITROGEN = 60.056 / 28.014
"""Grams of urea (CO(NH2)2) for a gram of the nitrogen in it (two atoms of 14.007)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conversion:
    """A unit of one variable.

    Attributes:
        unit: How it is written in messages.
        offset: Subtracted first.
        divisor: Then divided by.
        reason: Why these numbers.
        spellings: Other ways of writing it, beside those that ``spelled`` makes equal.
    """

    unit: str
    offset: float = 0.0
    divisor: float = 1.0
    reason: str = ""
    spellings: tuple[str, ...] = ()

    @property
    def is_change(self) -> bool:
        """Whether values change."""
        return (self.offset, self.divisor) != (0.0, 1.0)

    def canonical(self, value: float) -> float:
        """Return a value of this unit in the unit of the catalogue."""
        return (value - self.offset) / self.divisor

    def filed(self, canonical: float) -> float:
        """Return a value of the catalogue's unit in this unit."""
        return canonical * self.divisor + self.offset


_MICRO = str.maketrans({"µ": "u", "μ": "u", "°": "", "·": "*", "×": "x", "⁹": "9", "³": "3", "⁶": "6", "^": ""})


def spelled(unit: str) -> str:
    """Return a unit in the one spelling by which units are compared: lower case, no blanks, u for micro."""
    text = re.sub(r"\s+", "", unit).translate(_MICRO).casefold()
    text = re.sub(r"^(x|\*)?10(\*\*|e|\*)?(?=[369]/)", "10", text)
    return (
        text.replace("mcg", "ug")
        .replace("mcmol", "umol")
        .replace("mcl", "ul")
        .replace("/dl.", "/dl")
        .replace("litre", "l")
    )


def _by_mass(unit: str, name: str, molar_mass: float, of: float, per: str) -> Conversion:
    """Return the conversion from an amount of substance to a mass: ``of`` units make one unit of ``per``."""
    return Conversion(unit=unit, divisor=of, reason=f"{name}: {molar_mass:g} g/mol, {of:.6g} {unit} is 1 {per}")


def _mmol(name: str, molar_mass: float) -> Conversion:
    # 1 mmol/L = M mg/L = M / 10 mg/dL
    return _by_mass("mmol/L", name, molar_mass, 10.0 / molar_mass, "mg/dL")


def _umol(name: str, molar_mass: float) -> Conversion:
    # 1 umol/L = M ug/L = M / 10,000 mg/dL
    return _by_mass("umol/L", name, molar_mass, 10_000.0 / molar_mass, "mg/dL")


_MG_PER_L = Conversion(unit="mg/L", divisor=10.0, reason="10 dL are 1 L")
_KPA = Conversion(unit="kPa", divisor=101.325 / 760.0, reason="101.325 kPa are 760 mmHg")
_PRESSURE = (Conversion(unit="mmHg", spellings=("torr", "mm hg", "mm[hg]")), _KPA)
_FRACTION = Conversion(
    unit="fraction", divisor=0.01, reason="a fraction of 1 is 100 %", spellings=("1", "l/l", "ratio")
)
_PERCENT = (Conversion(unit="%", spellings=("percent", "vol%", "pct")), _FRACTION)
_PER_MINUTE = ("/min", "1/min", "min-1", "permin", "perminute", "/minute")
_CELLS = (
    Conversion(
        unit="K/uL",
        spellings=("103/ul", "109/l", "10e3/ul", "10e9/l", "g/l", "gpt/l", "/nl", "thou/ul", "thousand/ul",
                   "th/ul", "1000/ul", "tsd/ul", "tsd./ul", "k/mcl", "k/cumm", "k/mm3", "103/mm3"),
    ),
    Conversion(
        unit="cells/uL", divisor=1000.0, reason="K is a thousand",
        spellings=("/ul", "1/ul", "/mm3", "cells/mm3", "/cumm"),
    ),
)  # fmt: skip
_ENZYME = (
    Conversion(unit="IU/L", spellings=("u/l", "units/l")),
    Conversion(unit="ukat/L", divisor=1.0 / 60.0, reason="1 U is 1 umol a minute, 1 ukat 1 umol a second"),
)  # fmt: skip
_TROPONIN = (
    Conversion(unit="ug/L", spellings=("ng/ml",)),
    Conversion(unit="ng/L", divisor=1000.0, reason="1,000 ng are 1 ug", spellings=("pg/ml",)),
)
_MONOVALENT = ("mmol/l", "meq/l", "mval/l")
_NONE = ("1", "none", "unit", "units", "index", "ratio")


def _monovalent(name: str, atomic_mass: float) -> tuple[Conversion, ...]:
    return (
        Conversion(unit="mEq/L", spellings=_MONOVALENT, reason="one charge an ion: 1 mmol is 1 mEq"),
        Conversion(
            unit="mg/dL", divisor=atomic_mass / 10.0, reason=f"{name}: {atomic_mass:g} g/mol, one charge an ion"
        ),
    )


UNITS: Mapping[str, tuple[Conversion, ...]] = {
    "potassium": _monovalent("potassium", 39.098),
    "potassium_serum": _monovalent("potassium", 39.098),
    "sodium": _monovalent("sodium", 22.990),
    "bicarbonate": (Conversion(unit="mEq/L", spellings=_MONOVALENT, reason="one charge an ion: 1 mmol is 1 mEq"),),
    "calcium": (
        Conversion(unit="mmol/L"),
        Conversion(unit="mg/dL", divisor=4.0078, reason="calcium: 40.078 g/mol, 1 mmol/L is 4.0078 mg/dL"),
        Conversion(unit="mEq/L", divisor=2.0, reason="two charges an ion: 1 mmol is 2 mEq", spellings=("mval/l",)),
    ),
    "calcium_total": (
        Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml")),
        _mmol("calcium", 40.078),
        Conversion(
            unit="mEq/L", divisor=20.0 / 40.078, reason="calcium: 40.078 g/mol, two charges an ion",
            spellings=("mval/l",),
        ),
    ),
    "magnesium": (
        Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml")),
        _mmol("magnesium", 24.305),
        Conversion(
            unit="mEq/L", divisor=20.0 / 24.305, reason="magnesium: 24.305 g/mol, two charges an ion",
            spellings=("mval/l",),
        ),
    ),
    "ph": (Conversion(unit="pH", spellings=(*_NONE, "phunits")),),
    "pco2": _PRESSURE,
    "po2": _PRESSURE,
    "lactate": (
        Conversion(unit="mmol/L", spellings=("meq/l",)),
        Conversion(unit="mg/dL", divisor=9.008, reason="lactic acid: 90.08 g/mol, 1 mmol/L is 9.008 mg/dL"),
    ),
    "albumin": (
        Conversion(unit="g/dL", spellings=("g%", "gm/dl", "g/100ml")),
        Conversion(unit="g/L", divisor=10.0, reason="10 dL are 1 L", spellings=("gm/l",)),
        Conversion(unit="mg/dL", divisor=1000.0, reason="1,000 mg are 1 g"),
        Conversion(
            unit="umol/L", divisor=10_000.0 / 66.5, reason="albumin: 66.5 kg/mol, 150.4 umol/L is 1 g/dL"
        ),
    ),
    "bun": (
        Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml", "mgn/dl")),
        Conversion(
            unit="mmol/L", divisor=10.0 / 28.014, spellings=("mmolurea/l",),
            reason="a mmol of urea holds 28.014 mg of nitrogen: 1 mmol/L is 2.8014 mg/dL of urea nitrogen",
        ),
        Conversion(
            unit="mg/dL urea", divisor=UREA_PER_NITROGEN, spellings=("mgurea/dl", "urea,mg/dl", "mg/dlharnstoff"),
            reason="urea: 60.056 g/mol with 28.014 g of nitrogen, 2.1438 mg of urea hold 1 mg of it",
        ),
        Conversion(unit="g/L urea", divisor=UREA_PER_NITROGEN / 100.0, reason="1 g/L is 100 mg/dL of urea"),
    ),
    "creatinine": (
        Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml")),
        _umol("creatinine", 113.12),
        Conversion(unit="mmol/L", divisor=10.0 / 113.12, reason="creatinine: 113.12 g/mol, 1 mmol/L is 11.312 mg/dL"),
        _MG_PER_L,
    ),
    "glucose": (
        Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml")),
        _mmol("glucose", 180.156),
        Conversion(unit="g/L", divisor=0.01, reason="1 g/L is 100 mg/dL"),
    ),
    "bilirubin": (Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml")), _umol("bilirubin", 584.66), _MG_PER_L),
    "cholesterol": (
        Conversion(unit="mg/dL", spellings=("mg%", "mg/100ml")),
        _mmol("cholesterol", 386.65),
        Conversion(unit="g/L", divisor=0.01, reason="1 g/L is 100 mg/dL"),
    ),
    "platelet": _CELLS,
    "wbc": _CELLS,
    "hematocrit": _PERCENT,
    "spo2": _PERCENT,
    "sao2": _PERCENT,
    "fio2": (
        Conversion(unit="fraction", spellings=("1", "l/l", "ratio", "")),
        Conversion(unit="%", divisor=100.0, reason="100 % is a fraction of 1", spellings=("percent", "vol%", "pct")),
    ),
    "alp": _ENZYME,
    "alt": _ENZYME,
    "ast": _ENZYME,
    "troponin_i": _TROPONIN,
    "troponin_t": _TROPONIN,
    "inr": (Conversion(unit="INR", spellings=_NONE),),
    "heartrate": (Conversion(unit="bpm", spellings=(*_PER_MINUTE, "beats/min", "beats/minute", "s/min")),),
    "resprate": (
        Conversion(
            unit="1/min",
            spellings=(*_PER_MINUTE, "bpm", "breaths/min", "insp/min", "resp/min", "breaths/minute", "af/min"),
        ),
    ),
    "sysbp": _PRESSURE,
    "diasbp": _PRESSURE,
    "meanbp": _PRESSURE,
    "tempc": (
        Conversion(unit="°C", spellings=("degc", "deg.c", "degreesc", "celsius", "gradc", "cel")),
        Conversion(
            unit="°F", offset=32.0, divisor=1.8, reason="32 °F is 0 °C, 180 °F are 100 °C",
            spellings=("degf", "deg.f", "degreesf", "fahrenheit", "[degf]"),
        ),
        Conversion(unit="K", offset=273.15, reason="0 °C is 273.15 K", spellings=("kelvin",)),
    ),
    "gcs": (Conversion(unit="points", spellings=(*_NONE, "score", "point")),),
    "mechanical_ventilation": (Conversion(unit="0 or 1", spellings=_NONE),),
    "urine": (
        Conversion(unit="mL", spellings=("cc", "milliliters")),
        Conversion(unit="L", divisor=0.001, reason="1 L is 1,000 mL", spellings=("liter",)),
    ),
    "weight": (
        Conversion(unit="kg", spellings=("kilograms",)),
        Conversion(unit="lb", divisor=1.0 / 0.45359237, reason="1 lb is 0.45359237 kg", spellings=("lbs", "pounds")),
        Conversion(unit="g", divisor=1000.0, reason="1,000 g are 1 kg"),
    ),
}  # fmt: skip
"""The known units of each variable, the catalogue's first."""

_BY_SPELLING: Mapping[str, Mapping[str, Conversion]] = {
    variable: {
        spelled(text): conversion
        for conversion in reversed(conversions)
        for text in (conversion.unit, *conversion.spellings)
    }
    for variable, conversions in UNITS.items()
}


def conversion(variable: str, unit: str) -> Conversion | None:
    """Return the conversion from a unit of a variable; None if the variable has no such unit."""
    return _BY_SPELLING[variable].get(spelled(unit))


def canonical_unit(variable: str) -> Conversion:
    """Return the unit that the catalogue gives a variable."""
    return UNITS[variable][0]


def unit_of(variable: Variable, unit: str | None) -> Conversion | None:
    """Return the conversion of a value filed in a unit; None if the variable has no such unit.

    Args:
        variable: Of the catalogue, or one beside it, which has the unit that the configuration gives it alone.
        unit: As it is written; None where the row names none, which means the variable's own.
    """
    if variable.name in UNITS:
        return canonical_unit(variable.name) if unit is None else conversion(variable.name, unit)
    return Conversion(unit=variable.unit) if unit is None or spelled(unit) == spelled(variable.unit) else None


def known_units(variable: str | Variable) -> str:
    """Return the units of a variable, for messages."""
    if isinstance(variable, Variable):
        if variable.name not in UNITS:
            return variable.unit
        variable = variable.name
    return ", ".join(each.unit for each in UNITS[variable])


TYPICAL: Mapping[str, tuple[float, float]] = {
    "potassium": (3.4, 5.0),
    "calcium": (0.9, 1.4),
    "ph": (7.2, 7.55),
    "pco2": (28, 60),
    "lactate": (0.6, 4.5),
    "albumin": (1.8, 4.8),
    "bun": (8, 70),
    "creatinine": (0.4, 5),
    "sodium": (128, 148),
    "bicarbonate": (16, 34),
    "platelet": (60, 450),
    "glucose": (70, 280),
    "magnesium": (1.7, 2.8),
    "heartrate": (55, 130),
    "sysbp": (85, 165),
    "diasbp": (40, 95),
    "tempc": (35.5, 38.8),
    "resprate": (10, 36),
    "spo2": (88, 100),
    "potassium_serum": (3.4, 5.0),
    "calcium_total": (7, 10.6),
    "po2": (50, 260),
    "sao2": (85, 100),
    "hematocrit": (20, 48),
    "wbc": (3, 25),
    "bilirubin": (0.2, 4),
    "inr": (0.9, 3),
    "alp": (40, 250),
    "alt": (10, 400),
    "ast": (10, 500),
    "cholesterol": (80, 260),
    "troponin_i": (0.01, 8),
    "troponin_t": (0.01, 3),
    "meanbp": (55, 110),
    "gcs": (3, 15),
    "fio2": (0.2, 1),
    "mechanical_ventilation": (0, 1),
    "urine": (10, 500),
    "weight": (50, 110),
}
"""Where the median of a variable lies in intensive care, in the catalogue's unit.

The bounds lie round the medians of the MIMIC-III and MIMIC-IV demos, the eICU demo and PhysioNet 2012 with room to
spare (docs/decisions/0101). A median outside is no error, but a reason to ask for the unit.
"""

DIGEST = hashlib.sha256(repr((dict(UNITS), dict(TYPICAL))).encode()).hexdigest()
"""SHA-256 of the units: part of a source's fingerprint, because other conversions give other tables."""


def units_that_fit(variable: str, median: float) -> Sequence[Conversion]:
    """Return the units of a variable in which a median of filed values would be an ordinary one."""
    low, high = TYPICAL[variable]
    return [each for each in UNITS[variable] if low <= each.canonical(median) <= high]


assert set(UNITS) == set(TYPICAL) == set(CATALOGUE)  # noqa: S101 - each variable has units and a typical median
