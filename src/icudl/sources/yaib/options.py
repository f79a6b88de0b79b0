"""Options of YAIB's cohorts, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from icudl.options import option
from icudl.sources.base import NAME_DOC, SourceOptions

POPULATIONS: Mapping[str, str] = {
    "mimic3": "yaib-mimic-iii",
    "mimic4": "yaib-mimic-iv",
    "eicu": "yaib-eicu",
    "hirid": "yaib-hirid",
    "aumc": "yaib-aumc",
    "sic": "yaib-sic",
}
"""Population of the cohorts of each database: YAIB tells stays and no patients, so ids are none of the database's."""

LABELS = ("icu_death", "hospital_death", "column")


@dataclasses.dataclass(frozen=True, kw_only=True)
class YaibOptions(SourceOptions):
    """Which cohort is read, of which database it is, and what its label says."""

    name: str = option("yaib", NAME_DOC)
    path: str = option(
        "",
        "Folder with dyn.parquet, sta.parquet and outc.parquet; a relative path starts at the configuration file.",
        identity=False,
        path=True,
    )
    database: str = option(
        "",
        "Database that the cohort was made of. It says whose patients these are, which the files do not.",
        choices=("", *POPULATIONS),
    )
    label: str = option(
        "icu_death",
        "What the 0 and 1 in outc.parquet say: icu_death (YAIB's mortality24), hospital_death, or column, an outcome "
        "of your own (outcome.name says what it is called). outcome.event has to be the same.",
        choices=LABELS,
    )
    open_data: bool = option(
        False, "The data at source.path are open (YAIB's demos): nothing made from them is marked restricted."
    )
