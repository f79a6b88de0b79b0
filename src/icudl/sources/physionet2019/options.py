"""Options of the PhysioNet/CinC Challenge 2019, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses

from icudl.options import option
from icudl.sources.base import NAME_DOC, PATH_DOC, SourceOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhysioNet2019Options(SourceOptions):
    """Which sets of the challenge are read."""

    name: str = option("physionet2019", NAME_DOC)
    path: str = option("", PATH_DOC, identity=False, path=True)
