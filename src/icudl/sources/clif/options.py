"""Options of CLIF data, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses

from icudl.options import option
from icudl.sources.base import NAME_DOC, PATH_DOC, SourceOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClifOptions(SourceOptions):
    """Which CLIF tables are read, and how ICU stays are made of them."""

    name: str = option("clif", NAME_DOC)
    path: str = option("", PATH_DOC, identity=False, path=True)
    population: str = option(
        "",
        "Name of the patients. Data sets of one population are taken to be the same patients under the same ids; CLIF "
        'made from MIMIC-IV needs "mimic-iv". Empty: clif.',
    )
    gap_hours: float = option(
        0.0,
        "Rows of adt in an ICU are one stay if no more than this lies between them.",
        low=0.0,
        high=720.0,
    )
    time_zone: str = option(
        "",
        'Zone of times without one, for example "US/Central". Empty: none may lack a zone if others have one, and '
        "differences are taken by the clock if all do.",
    )
    open_data: bool = option(False, "The data are open: nothing made from them is marked restricted.")
