"""Options of MEDS data, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.options import option
from icudl.sources.base import NAME_DOC, PATH_DOC, SourceOptions

ETLS = ("auto", "mimic4", "eicu", "none")
"""Choices of ``source.etl``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MedsOptions(SourceOptions):
    """Which MEDS data are read, and what their codes mean."""

    name: str = option("meds", NAME_DOC)
    path: str = option("", PATH_DOC, identity=False, path=True)
    etl: str = option(
        "auto",
        "Ready table of codes: mimic4 (MIMIC_IV_MEDS), eicu (eICU_MEDS), none (source.codes alone); auto goes by "
        "metadata/dataset.json, then by the codes.",
        choices=ETLS,
    )
    codes: Mapping[str, Any] = option(
        {},
        'Codes of a variable, instead of the ready table\'s: { heartrate = ["VITAL//HR//*"] }. A * at the end stands '
        "for anything; what it stands for is the unit, if it is one of the variable's.",
    )
    units: Mapping[str, Any] = option(
        {},
        'Unit of a variable, whatever its codes say: { creatinine = "umol/L" }.',
    )
    events: Mapping[str, Any] = option(
        {},
        'Codes of stays, instead of the ready table\'s: { icu_admission = ["ICU_IN//*"] }. Known are icu_admission, '
        "icu_discharge, hospital_admission, hospital_discharge, sex, birth and death.",
    )
    population: str = option(
        "",
        "Name of the patients. Data sets of one population are taken to be the same patients under the same ids. "
        "Empty: that of the ready table, else meds.",
    )
    open_data: bool = option(False, "The data are open: nothing made from them is marked restricted.")
