"""The options of every plug-in, other values of each, and the plan of a study with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import icudl
from icudl.config.document import to_toml
from icudl.config.schema import SHARED
from icudl.options import Options, types_of
from icudl.pipeline.plan import Step
from icudl.plugins import options_of, registered

Settings = Mapping[str, Any]
"""Values by dotted key, as they stand in a configuration file."""

SEAMS = {
    "source": ("icudl.sources", "name"),
    "model": ("icudl.models", "name"),
    "attack": ("icudl.attacks", "name"),
    "execution": ("icudl.executors", "executor"),
}
"""Tables that a plug-in validates: the group of the plug-ins, and the key that names the one that is meant."""

EXAMPLES: Settings = {
    "source.path": "elsewhere",
    "source.url": "postgresql://nobody@localhost/elsewhere",
    "source.items": {"heartrate": [211]},
    "source.files": {"lab": "elsewhere/lab.csv.gz"},
    "source.stay_columns": {"died": "exitus"},
    "source.value_columns": {"time": "Zeit"},
    "source.names": {"HF": "heartrate"},
    "source.units": {"creatinine": "umol/L"},
    "source.codes": {"heartrate": ["VITAL//HR//*"]},
    "source.events": {"icu_admission": ["ICU_IN//*"]},
    "source.time_zone": "Europe/Berlin",
    "source.time_format": "%d.%m.%Y %H:%M",
    "source.separator": ";",
    "variables.ranges": {"potassium": [1.0, 9.0]},
    "attack.variables": ("potassium",),
    "certify.variables": ("potassium",),
    "variables.own": {"crp": {"unit": "mg/L", "range": [0, 500]}},
    "attack.peer_arguments": {"steps": 3},
    "tune_model.space": {"training.learning_rate": {"low": 1e-3, "high": 1e-2}},
    "tune_attack.space": {"attack.kappa": {"low": 0.0, "high": 1.0}},
    "execution.address": "tcp://elsewhere:8786",
}
"""Another legal value of each option for which none follows from its type and limits, by table and key."""

ELSEWHERE = "elsewhere"
"""Name of a plug-in of each seam that an outside package brings, with an option ``pieces`` that no other has."""

OUTSIDE_PACKAGE = """
import dataclasses
from typing import ClassVar

from icudl.attacks.options import AttackOptions
from icudl.execution.base import ExecutionOptions
from icudl.models.options import ModelOptions
from icudl.options import option
from icudl.sources.base import SourceFingerprint, SourceOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutsideSourceOptions(SourceOptions):
    pieces: int = option(1, "Pieces.", low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutsideModelOptions(ModelOptions):
    pieces: int = option(1, "Pieces.", low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutsideAttackOptions(AttackOptions):
    pieces: int = option(1, "Pieces.", low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutsideExecutionOptions(ExecutionOptions):
    pieces: int = option(1, "Pieces.", low=1, identity=False)


class Source:
    Options: ClassVar = OutsideSourceOptions
    restricted = False
    citations = ()

    def __init__(self, options, seed):
        pass

    def fingerprint(self, memory):
        return SourceFingerprint(digest="outside", details={})


class Model:
    Options: ClassVar = OutsideModelOptions


class Attack:
    Options: ClassVar = OutsideAttackOptions


class Executor:
    Options: ClassVar = OutsideExecutionOptions
"""
OUTSIDE_ENTRY_POINTS = """
[icudl.sources]
elsewhere = icudl_outside:Source
[icudl.models]
elsewhere = icudl_outside:Model
[icudl.attacks]
elsewhere = icudl_outside:Attack
[icudl.executors]
elsewhere = icudl_outside:Executor
"""


def plugins_of(table: str) -> list[str]:
    """Names of the plug-ins that may validate a table, that of the package among them; one empty name where none does.

    A model from outside has to be named, and cannot be searched over: ``test_identity_of_outside_models`` is about it.
    """
    return sorted({*registered(SEAMS[table][0]), ELSEWHERE} - {"outside"}) if table in SEAMS else [""]


def needs_pieces(table: str, plugin: str) -> bool:
    """Whether a plug-in is an attack that is refused on networks, and on any filled-in grid."""
    return table == "attack" and bool(getattr(options_class(table, plugin), "needs_pieces", False))


def options_class(table: str, plugin: str) -> type[Options]:
    return options_of(SEAMS[table][0], plugin) if plugin else SHARED[table]


def plan(settings: Settings, folder: Path) -> list[Step]:
    file = folder / "study.toml"
    file.write_text("".join(f"{key} = {to_toml(value)}\n" for key, value in settings.items()), "utf-8")
    return icudl.Pipeline(icudl.load_config(file), folder / "runs").plan()


def other_values(options: type[Options], field: dataclasses.Field[Any], value: Any) -> Iterator[Any]:
    """Values of an option's type that may be legal, others than ``value`` among them."""
    hint = types_of(options)[field.name]
    if f"{options.table}.{field.name}" in EXAMPLES:
        yield EXAMPLES[f"{options.table}.{field.name}"]
        return
    choices, low, high = (field.metadata[name] for name in ("choices", "low", "high"))
    if isinstance(value, tuple):
        yield from (choices or ("elsewhere",), value[:-1])
    elif isinstance(value, Mapping):
        yield {name: item for name, item in value.items() if name != next(iter(value))}
    elif choices:
        yield from choices
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, *(hint(limit) for limit in (low, high) if limit is not None))
        if high is not None:
            yield hint((value + high) / 2)
    else:
        yield value + "x"
