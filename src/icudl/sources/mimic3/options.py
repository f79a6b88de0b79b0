"""Options of the two sources of MIMIC-III, apart from the readers so that a configuration is read without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.options import option
from icudl.sources.base import BY, BY_DOC, NAME_DOC, PATH_DOC, URL_DOC, SourceOptions

_ITEMS_DOC = (
    "Item ids of a variable in MIMIC-III instead of those of the rules: { potassium = [50822, 50971] }. An id that "
    "the rules know keeps its unit, gate and repair; any other is taken to be in the variable's unit."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mimic3Options(SourceOptions):
    """Which files of MIMIC-III are read, and how."""

    name: str = option("mimic3", NAME_DOC)
    path: str = option("", PATH_DOC, identity=False, path=True)
    by: str = option("charted", BY_DOC, choices=BY)
    items: Mapping[str, Any] = option({}, _ITEMS_DOC)
    open_data: bool = option(
        False,
        "The data at source.path are open (the MIMIC-III demo): nothing made from them is marked restricted.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mimic3PostgresOptions(SourceOptions):
    """Which PostgreSQL schema of MIMIC-III is read, and how."""

    name: str = option("mimic3_postgres", NAME_DOC)
    url: str = option("", URL_DOC, identity=False, secret=True)
    schema: str = option("mimiciii", "Schema of the tables in that database.", identity=False)
    by: str = option("charted", BY_DOC, choices=BY)
    items: Mapping[str, Any] = option({}, _ITEMS_DOC)
    open_data: bool = option(
        False,
        "The data in the schema are open (the MIMIC-III demo): nothing made from them is marked restricted.",
    )
