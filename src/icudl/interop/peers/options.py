"""Options of attacks that another library runs. The module does not import torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.attacks.options import BUDGETS, NAME_DOC, RefinedOptions
from icudl.options import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerOptions(RefinedOptions):
    """Options of attacks that another library runs."""

    peer: str = option("", "Class of the library's attack, such as L0FMNAttack (Foolbox) or ElasticNet (ART).")
    peer_arguments: Mapping[str, Any] = option({}, "Arguments of that class by name.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoolboxOptions(PeerOptions):
    """Options of ``foolbox``."""

    name: str = option("foolbox", NAME_DOC)
    budgets: tuple[float, ...] = option(BUDGETS, "Radii to try with a peer that takes a budget.", low=1e-6, high=1e6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtOptions(PeerOptions):
    """Options of ``art``."""

    name: str = option("art", NAME_DOC)
