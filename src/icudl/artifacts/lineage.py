"""Where an artifact of a report comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineageEntry:
    """The origin of one artifact as the report shows it; it depends on neither clock nor machine.

    Attributes:
        name: Name of the artifact within its study: ``"train/lstm"``, ``"attack/lstm/one_value/elsewhere"``.
        node: Its kind: ``"extract"``, ``"train"``, ...
        id: Content identity of the artifact.
        upstream: Ids of its inputs, by the name that the stage gives each input (``"train"``, ``"preprocess"``, ...).
        options: Option tables that the stage used, after a search and with ``auto`` resolved.
        requested: Option tables that the configuration asked for; they decide the id.
        plugin: Name of the source, model or attack used, or "".
        citations: Keys of the works to cite.
        restricted: True where anything upstream is credentialed.
        warnings: Warnings of the stage.
    """

    name: str
    node: str
    id: str
    upstream: Mapping[str, str]
    options: Mapping[str, Any]
    requested: Mapping[str, Any]
    plugin: str = ""
    citations: tuple[str, ...] = ()
    restricted: bool = False
    warnings: tuple[str, ...] = ()
