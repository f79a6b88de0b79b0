"""Options of eICU, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.options import option
from icudl.sources.base import BY, BY_DOC, NAME_DOC, PATH_DOC, URL_DOC, SourceOptions

VITALS = ("nursecharting", "vitalperiodic", "vitalaperiodic")
"""Tables that hold vital signs."""

_VITALS_DOC = (
    "Tables that vital signs are read from: nursecharting (what nurses charted, as in the concepts of eicu-code), "
    "vitalperiodic (medians of the monitor, every five minutes), vitalaperiodic (cuff pressures). The values of "
    "several tables are averaged."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EicuOptions(SourceOptions):
    """Which files of eICU are read, and from which tables vital signs are taken."""

    name: str = option("eicu", NAME_DOC)
    path: str = option("", PATH_DOC, identity=False, path=True)
    files: Mapping[str, Any] = option(
        {},
        'Files of tables that lie elsewhere below the folder: { lab = "lab-of-178-stays/lab.csv.gz" }.',
        identity=False,
    )
    vitals: tuple[str, ...] = option(("nursecharting",), _VITALS_DOC, choices=VITALS)
    by: str = option("charted", BY_DOC, choices=BY)
    open_data: bool = option(
        False, "The data at source.path are open (the eICU demo): nothing made from them is marked restricted."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EicuPostgresOptions(SourceOptions):
    """Which PostgreSQL schema of eICU is read, and from which tables vital signs are taken."""

    name: str = option("eicu_postgres", NAME_DOC)
    url: str = option("", URL_DOC, identity=False, secret=True)
    schema: str = option("eicu_crd", "Schema of the tables in that database.", identity=False)
    vitals: tuple[str, ...] = option(("nursecharting",), _VITALS_DOC, choices=VITALS)
    by: str = option("charted", BY_DOC, choices=BY)
    open_data: bool = option(
        False, "The data in the schema are open (the eICU demo): nothing made from them is marked restricted."
    )
