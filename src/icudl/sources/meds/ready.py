"""Ready tables of codes for the public ETLs of MIMIC-IV and eICU.

What an item measures, and how its values are cleaned, is told by the rules of the database itself
(``mimic4/rules.toml``, ``eicu/items.py``); here stands how the ETL writes an item as a code, as its
``event_configs.yaml`` has it: MIMIC_IV_MEDS 0.2.0 (results of the laboratory are ``LAB//RESULT//ITEM//UNIT`` at the
time of storing) and the older form of the open demo (``LAB//ITEM//UNIT`` at the time of the sample), and
eICU_MEDS 0.1.0.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from icudl.sources.eicu import items as eicu
from icudl.sources.mimic4.layout import CITATIONS as MIMIC4_CITATIONS
from icudl.sources.mimic4.layout import POPULATION as MIMIC4_POPULATION
from icudl.sources.rules import ItemRule, mimic4_rules

Patterns = tuple[str, ...]

EVENTS: Mapping[str, Patterns] = {
    "icu_admission": ("ICU_ADMISSION", "ICU_ADMISSION//*"),
    "icu_discharge": ("ICU_DISCHARGE", "ICU_DISCHARGE//*"),
    "hospital_admission": ("HOSPITAL_ADMISSION", "HOSPITAL_ADMISSION//*"),
    "hospital_discharge": ("HOSPITAL_DISCHARGE", "HOSPITAL_DISCHARGE//*"),
    "sex": ("GENDER//*", "SEX//*"),
    "birth": ("MEDS_BIRTH", "MEDS_BIRTH//*"),
    "death": ("MEDS_DEATH", "MEDS_DEATH//*"),
}
"""Codes of the events that make stays, as both ETLs write them; a * at the end stands for anything."""

MIMIC4_CODES: Mapping[str, Patterns] = {
    "labevents": ("LAB//{item}//*", "LAB//RESULT//{item}//*"),
    "chartevents": ("LAB//{item}//*",),
    "outputevents": ("SUBJECT_FLUID_OUTPUT//{item}//*",),
}
"""How MIMIC_IV_MEDS writes an item of each event table."""

RESULT = "LAB//RESULT//"
"""Beginning of the codes of results whose time is not that of the sample."""

EICU_LAB = RESULT + "{item}//*"
EICU_VITALS: Mapping[eicu.Item, str] = {
    (eicu.MONITOR, "temperature"): "VITALS//PERIODIC//TEMPERATURE",
    (eicu.MONITOR, "sao2"): "VITALS//PERIODIC//SAO2",
    (eicu.MONITOR, "heartrate"): "VITALS//PERIODIC//HEARTRATE",
    (eicu.MONITOR, "respiration"): "VITALS//PERIODIC//RESPIRATION",
    (eicu.MONITOR, "systemicsystolic"): "VITALS//PERIODIC//BP//SYSTEMIC_SYSTOLIC",
    (eicu.MONITOR, "systemicdiastolic"): "VITALS//PERIODIC//BP//SYSTEMIC_DIASTOLIC",
    (eicu.MONITOR, "systemicmean"): "VITALS//PERIODIC//BP//SYSTEMIC_MEAN",
    (eicu.CUFF, "noninvasivesystolic"): "VITALS//APERIODIC//BP//NONINVASIVE_SYSTOLIC",
    (eicu.CUFF, "noninvasivediastolic"): "VITALS//APERIODIC//BP//NONINVASIVE_DIASTOLIC",
    (eicu.CUFF, "noninvasivemean"): "VITALS//APERIODIC//BP//NONINVASIVE_MEAN",
}
"""How eICU_MEDS writes the vital signs. It leaves out NURSECHARTING, RESPIRATORYCHARTING and INTAKEOUTPUT."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """The table of codes of one ETL.

    Attributes:
        name: Its name in ``source.etl``.
        marks: Parts of the data set's or ETL's name in ``dataset.json``, in small letters, by which it is recognised.
        series: Pattern and rule of each code.
        population: Whose patients these are.
        citations: Works to cite.
        trusts_units: Whether the unit in a code is that of its values. The system units in eICU's codes are not: rules
            go by the value there.
        admission_column: Column with the id of the hospital admission; "" where there is none.
        hospital_column: Column with the id of the hospital; "" where there is none.
        names_unit: Whether the first part of an ICU admission's code is the kind of ICU.
        survivals: Texts in a code of hospital discharge that mean survival; None if all that mean no death do.
        counts_unit_deaths: Whether the code of ICU discharge tells deaths as well.
        notes: What a reader of the results has to know.
        late: What to tell if the data hold codes that begin with ``RESULT``; "" for nothing.
    """

    name: str
    marks: tuple[str, ...]
    series: tuple[tuple[str, ItemRule], ...]
    population: str
    citations: tuple[str, ...]
    trusts_units: bool = True
    admission_column: str = ""
    hospital_column: str = ""
    names_unit: bool = True
    survivals: frozenset[str] | None = None
    counts_unit_deaths: bool = False
    notes: tuple[str, ...] = ()
    late: str = ""


EICU_POPULATION = "eicu by hospital stay"
"""eICU_MEDS takes a hospital stay for a subject, so the ids are not those of eICU's patients."""


_HOSPITAL_STAYS = (
    "The ETL of eICU takes a hospital stay for a subject: a patient who comes back counts as another one, and may be "
    "both in training and in test."
)

_STORED = (
    "Results of the laboratory have the time at which they were stored, as MIMIC_IV_MEDS 0.2 writes them. The tables "
    "have the time of the sample, which is earlier: hours differ from those of source mimic4."
)
_REVISED = (
    "Results of the laboratory have the time of their last revision, as eICU_MEDS writes them. The tables have the "
    "time of the first, which may be earlier: hours differ from those of source eicu."
)


@functools.cache
def ready(name: str) -> Ready:
    """Return the ready table of an ETL, ``mimic4`` or ``eicu``."""
    if name == "mimic4":
        series = [
            (pattern.format(item=item), rule)
            for rule in mimic4_rules().rules
            for item in rule.items
            for pattern in MIMIC4_CODES[rule.table]
        ]
        return Ready(
            name=name,
            marks=("mimic-iv", "mimic_iv", "mimiciv"),
            series=tuple(series),
            population=MIMIC4_POPULATION,
            citations=MIMIC4_CITATIONS,
            admission_column="hadm_id",
            late=_STORED,
        )
    book = eicu.rule_book((eicu.MONITOR, eicu.CUFF))
    series = []
    for rule in book.rules:
        item = eicu.LABELS[rule.items[0]]
        if item in EICU_VITALS:
            series.append((EICU_VITALS[item], rule))
        elif item[0] == eicu.LAB and item[1] != eicu.MAGNESIUM_MEQ:
            series.append((EICU_LAB.format(item=item[1]), rule))
    return Ready(
        name="eicu",
        marks=("eicu",),
        series=tuple(series),
        population=EICU_POPULATION,
        citations=("eicu", "physionet"),
        trusts_units=False,
        hospital_column="hadm_id",
        names_unit=False,
        survivals=frozenset({"alive"}),
        counts_unit_deaths=True,
        notes=(_HOSPITAL_STAYS,),
        late=_REVISED,
    )


READY = ("mimic4", "eicu")
"""Names of the ready tables."""
