"""Options of MIMIC-IV, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.options import option
from icudl.sources.base import BY, BY_DOC, NAME_DOC, PATH_DOC, URL_DOC, SourceOptions

YEAR_GROUPS = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022")
"""Values of anchor_year_group in all versions; the last is new in version 3.0."""


_GROUPS_DOC = (
    "Patients are kept whose anchor_year_group is one of these; none named keeps all. MIMIC-III holds admissions "
    'until 2012, and patients of ["2014 - 2016", "2017 - 2019", "2020 - 2022"] are none of its patients.'
)
_ITEMS_DOC = (
    "Item ids of a variable in MIMIC-IV instead of those of the rules: { potassium = [50822, 50971] }. An id that the "
    "rules know keeps its unit, gate and repair; any other is taken to be in the variable's unit."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mimic4Options(SourceOptions):
    """Which files of MIMIC-IV are read, and how."""

    name: str = option("mimic4", NAME_DOC)
    path: str = option("", PATH_DOC, identity=False, path=True)
    year_groups: tuple[str, ...] = option((), _GROUPS_DOC, choices=YEAR_GROUPS)
    by: str = option("charted", BY_DOC, choices=BY)
    items: Mapping[str, Any] = option({}, _ITEMS_DOC)
    open_data: bool = option(
        False,
        "The data at source.path are open (the MIMIC-IV demo): nothing made from them is marked restricted.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mimic4PostgresOptions(SourceOptions):
    """Which PostgreSQL schemas of MIMIC-IV are read, and how."""

    name: str = option("mimic4_postgres", NAME_DOC)
    url: str = option("", URL_DOC, identity=False, secret=True)
    hosp_schema: str = option(
        "mimiciv_hosp", "Schema of patients, admissions and labevents in that database.", identity=False
    )
    icu_schema: str = option(
        "mimiciv_icu", "Schema of icustays, chartevents and outputevents in that database.", identity=False
    )
    year_groups: tuple[str, ...] = option((), _GROUPS_DOC, choices=YEAR_GROUPS)
    by: str = option("charted", BY_DOC, choices=BY)
    items: Mapping[str, Any] = option({}, _ITEMS_DOC)
    open_data: bool = option(
        False,
        "The data in the schemas are open (the MIMIC-IV demo): nothing made from them is marked restricted.",
    )
