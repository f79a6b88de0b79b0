"""The columns of the challenge's records: the variable of each, and what is done to its values."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from icudl.sources.reading.hourly import HOURLY
from icudl.sources.rules import EVERYTHING, ItemRule, RuleBook, Span

IONISED = "Calcium, ionised"
"""Column that values of Calcium below ``LARGEST_IONISED`` go to: set B files ionised calcium in mmol/L and the total in
mg/dL under one name, with medians of 1.2 and 8.4; 91 of 52,013 values lie between 2 and 4."""

LARGEST_IONISED = 3.0

SERIES: Mapping[str, str] = {
    "potassium": "Potassium",
    "calcium": IONISED,
    "ph": "pH",
    "pco2": "PaCO2",
    "lactate": "Lactate",
    "bun": "BUN",
    "creatinine": "Creatinine",
    "bicarbonate": "HCO3",
    "platelet": "Platelets",
    "glucose": "Glucose",
    # Said to be in mmol/dL; the median of 2.0 is that of mg/dL.
    "magnesium": "Magnesium",
    "heartrate": "HR",
    "sysbp": "SBP",
    "diasbp": "DBP",
    "tempc": "Temp",
    "resprate": "Resp",
    "spo2": "O2Sat",
    "calcium_total": "Calcium",
    "sao2": "SaO2",
    "hematocrit": "Hct",
    "wbc": "WBC",
    "bilirubin": "Bilirubin_total",
    "alp": "Alkalinephos",
    "ast": "AST",
    "troponin_i": "TroponinI",
    "meanbp": "MAP",
    "fio2": "FiO2",
}
"""The column of each variable. Not here: EtCO2, BaseExcess, Chloride, Bilirubin_direct, Phosphate, Hgb, PTT and
Fibrinogen, which no variable of the catalogue is. The challenge has no sodium and no albumin."""

GATES: Mapping[str, Span] = {"calcium_total": Span(low=LARGEST_IONISED, high=EVERYTHING.high)}

DESCRIPTORS: tuple[str, ...] = ("Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "ICULOS", "SepsisLabel")
MEASURED: tuple[str, ...] = (
    "HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp", "EtCO2", "BaseExcess", "HCO3", "FiO2", "pH", "PaCO2", "SaO2",
    "AST", "BUN", "Alkalinephos", "Calcium", "Chloride", "Creatinine", "Bilirubin_direct", "Glucose", "Lactate",
    "Magnesium", "Phosphate", "Potassium", "Bilirubin_total", "TroponinI", "Hct", "Hgb", "PTT", "WBC", "Fibrinogen",
    "Platelets",
)  # fmt: skip
HEADER: tuple[str, ...] = (*MEASURED, *DESCRIPTORS)
"""The columns of every record, in order."""

LABELS: tuple[str, ...] = tuple(SERIES.values())
"""Every column that is read once; its position is its number."""


@functools.cache
def rule_book() -> RuleBook:
    """Return the rules; items are positions in ``LABELS``."""
    return RuleBook.of(
        [
            ItemRule(
                variable=variable,
                table=HOURLY,
                items=(LABELS.index(column),),
                gate=GATES.get(variable, EVERYTHING),
            )
            for variable, column in SERIES.items()
        ]
    )
