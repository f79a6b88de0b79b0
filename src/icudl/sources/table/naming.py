"""What a hospital's names mean: as stated, or the names and labels of the catalogue."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from icudl.errors import ConfigError, suggestion
from icudl.sources.own_items import names_of
from icudl.sources.table import units
from icudl.sources.table.columns import normal
from icudl.sources.table.units import Conversion
from icudl.variables import CATALOGUE, Variable

SOURCE = "table"
"""Name of the plug-in, under which variables of one's own say their names."""

SPOKEN: Mapping[str, tuple[str, ...]] = {
    "potassium": ("k", "kalium"),
    "calcium": ("ca", "ica", "cai", "calcium ionized", "free calcium", "kalzium"),
    "ph": ("ph arterial", "arterial ph"),
    "pco2": ("paco2", "co2 pressure"),
    "lactate": ("lac", "lact", "laktat", "lactic acid"),
    "albumin": ("alb",),
    "bun": ("urea", "urea nitrogen", "harnstoff", "uree"),
    "creatinine": ("crea", "creat", "scr", "kreatinin"),
    "sodium": ("na", "natrium"),
    "bicarbonate": ("hco3", "bicarb", "bikarbonat", "total co2", "tco2"),
    "platelet": ("plt", "platelets", "thrombocytes", "thrombozyten"),
    "glucose": ("glu", "glc", "blood sugar", "glukose", "blutzucker", "bz"),
    "magnesium": ("mg", "magnesium serum"),
    "heartrate": ("hr", "pulse", "heart rate", "herzfrequenz", "hf", "puls"),
    "sysbp": ("sbp", "systolic", "nibp systolic", "abp systolic", "blood pressure systolic", "rr systolisch"),
    "diasbp": ("dbp", "diastolic", "nibp diastolic", "abp diastolic", "blood pressure diastolic", "rr diastolisch"),
    "tempc": ("temp", "temperature", "body temperature", "temperatur", "t"),
    "resprate": ("rr", "respiration", "respiratory rate", "atemfrequenz", "af"),
    "spo2": ("o2 saturation", "oxygen saturation", "o2sat", "saettigung", "sättigung"),
    "calcium_total": ("calcium total", "total calcium"),
    "po2": ("pao2",),
    "hematocrit": ("hct", "haematocrit", "hämatokrit"),
    "wbc": ("leukocytes", "leucocytes", "leukozyten", "white cell count"),
    "bilirubin": ("bili", "tbil", "total bilirubin", "gesamtbilirubin"),
    "inr": ("pt inr",),
    "alp": ("alkaline phosphatase", "alkp", "ap"),
    "alt": ("gpt", "alat", "sgpt"),
    "ast": ("got", "asat", "sgot"),
    "cholesterol": ("chol", "cholesterin"),
    "troponin_i": ("tni", "tropi"),
    "troponin_t": ("tnt", "tropt"),
    "meanbp": ("map", "mbp", "mean arterial pressure", "blood pressure mean", "mitteldruck"),
    "gcs": ("glasgow", "coma scale", "gcs total"),
    "fio2": ("inspired oxygen", "o2 fraction"),
    "mechanical_ventilation": ("ventilated", "mechvent", "ventilation", "beatmet"),
    "urine": ("urine output", "uo", "diurese", "urin"),
    "weight": ("gewicht", "poids"),
}
"""Other names of the variables. They are suggested and never assumed: "rr" is a respiratory rate here, and a blood
pressure elsewhere."""

_SUGGESTED = {normal(text): variable for variable, texts in SPOKEN.items() for text in (variable, *texts)} | {
    normal(variable.label): name for name, variable in CATALOGUE.items()
}
_OWN = {normal(name): name for name in CATALOGUE} | {normal(each.label): name for name, each in CATALOGUE.items()}
_WITH_UNIT = re.compile(r"^(?P<name>.*\S)\s*[\[(](?P<unit>[^\[\]()]*)[\])]$")
_LIKE_A_UNIT = re.compile(
    r"[%°]|/\s*([dmunµμ]?l|mm3|min|h|hr|d|day|24h|kg)$|^([kh]pa|mm ?hg|cm ?h2o|m?bar|lbs?|[mun]?mol|[mcd]?l)$",
    re.IGNORECASE,
)
"""What tells a unit in brackets from a remark such as "Heart rate (monitor)"."""
_UREA = ("urea", "harnstoff", "uree", "urée", "ureum")
_NITROGEN = ("nitrogen", "bun", "stickstoff", "azote")


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What a name means.

    Attributes:
        variable: Name in the catalogue.
        unit: Unit that the configuration or the name itself states; None if neither does.
        is_guess: Whether the name is neither stated in the configuration nor exactly that of the variable.
    """

    variable: str
    unit: Conversion | None
    is_guess: bool


@dataclasses.dataclass(frozen=True)
class Names:
    """The names that a configuration states.

    Attributes:
        names: Variable by name.
        units: Conversion by name, or by variable.
        ignore: Names that are left out on purpose.
    """

    names: Mapping[str, str]
    units: Mapping[str, str]
    ignore: frozenset[str]

    @classmethod
    def of(cls, names: Mapping[str, Any], stated: Mapping[str, Any], ignore: tuple[str, ...]) -> Names:
        """Take the options ``names``, ``units`` and ``ignore``.

        Raises:
            ConfigError: A variable or unit is unknown, or a name is stated twice.
        """
        for name, variable in names.items():
            if variable not in CATALOGUE:
                raise ConfigError(
                    f"source.names gives {name!r} the meaning {variable!r}, which is not in the catalogue."
                    f"{suggestion(str(variable), CATALOGUE)} Write your name first, then the variable: "
                    f'{{ "{name}" = "heartrate" }}. Known: {", ".join(CATALOGUE)}.'
                )
            if name in ignore:
                raise ConfigError(f"source.names and source.ignore both hold {name!r}. Keep one of the two.")
        book = cls({name.strip(): variable for name, variable in names.items()}, dict(stated), frozenset(ignore))
        for name, unit in stated.items():
            variable, _ = book._variable(name)
            if variable is None:
                raise ConfigError(
                    f"source.units names {name!r}, which is neither in source.names nor a variable."
                    f"{suggestion(name, [*names, *CATALOGUE])} Give the unit under one of these."
                )
            if not isinstance(unit, str) or units.conversion(variable, unit) is None:
                raise ConfigError(
                    f"source.units.{name} = {unit!r} is no unit of {variable} that is known here. "
                    f"Known: {units.known_units(variable)}."
                )
        return book

    def with_own(self, variables: Sequence[Variable]) -> Names:
        """Return the names with those of variables beside the catalogue: their own, and what their items name."""
        own = {
            name: variable.name
            for variable in variables
            if variable.name not in CATALOGUE
            for name in (variable.name, *names_of(variable, SOURCE))
        }
        return dataclasses.replace(self, names=own | dict(self.names))

    def meaning(self, name: str) -> Meaning | None:
        """Return what a name means; None if it is unknown or left out on purpose.

        A name is looked up as it is written, then by its letters and digits alone; then the same without a unit in
        brackets at its end ("Creatinine [umol/L]"), which is its unit unless the configuration states another.

        Raises:
            ConfigError: A name that is known with its brackets has a unit there that is none of its variable.
        """
        if name in self.ignore:
            return None
        variable, is_guess = self._variable(name)
        parts = _WITH_UNIT.match(name)
        is_whole = variable is not None
        if variable is None and parts:
            variable, is_guess = self._variable(parts["name"])
        if variable is None:
            return None
        own = units.conversion(variable, parts["unit"]) if parts and variable in CATALOGUE else None
        if parts and own is None and not is_whole:
            return None
        if variable not in CATALOGUE:
            return Meaning(variable, None, is_guess)
        stated = self.units.get(name, self.units.get(variable))
        if stated is not None:
            return Meaning(variable, units.conversion(variable, stated), is_guess)
        if parts and own is None and _LIKE_A_UNIT.search(parts["unit"]):
            raise ConfigError(
                f"The name {name!r} has the unit {parts['unit']!r}, which is no unit of {variable} that is known here. "
                f"Known: {units.known_units(variable)}. State the unit in source.units, or convert the values."
            )
        return Meaning(variable, own, is_guess)

    def _variable(self, name: str) -> tuple[str | None, bool]:
        if name in self.names:
            return self.names[name], False
        if name in CATALOGUE:
            return name, False
        stated = {variable for own, variable in self.names.items() if normal(own) == normal(name)}
        if len(stated) == 1:
            return stated.pop(), True
        return (None if stated else _OWN.get(normal(name))), True


def nearest(name: str) -> str:
    """Return the variable that an unknown name may mean, or "" if none is near."""
    without = _WITH_UNIT.match(name)
    text = normal(without["name"] if without else name)
    if text in _SUGGESTED:
        return _SUGGESTED[text]
    words = [normal(word) for word in re.split(r"[\W_]+", name) if len(word) > 2]
    by_word = [_SUGGESTED[word] for word in words if word in _SUGGESTED]
    if by_word:
        return by_word[0]
    near = difflib.get_close_matches(text, list(_SUGGESTED), n=1, cutoff=0.7)
    return _SUGGESTED[near[0]] if near else ""


def has_brackets(name: str) -> bool:
    """Tell whether a name ends with brackets, which may hold its unit."""
    return _WITH_UNIT.match(name) is not None


def speaks_of_urea(name: str) -> bool:
    """Tell whether a name speaks of urea, and not of the nitrogen in it."""
    text = name.casefold()
    return any(word in text for word in _UREA) and not any(word in text for word in _NITROGEN)
