"""An option changes the ids of its own results and of what is made from them, and of nothing else.

In the original study, options were lost on their way through nested objects (defect 10). Here every option of every
plug-in takes another legal value, and the plan tells which ids change. Nothing is computed.

``STUDY`` is the configuration that every case starts from, ``READS`` the graph that it stands for, ``NODES_OF`` says
whose option a table holds. A new table is an entry in ``NODES_OF``, a new seam one in ``SEAMS`` as well.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import icudl
from icudl.config.document import to_toml
from icudl.config.schema import SHARED, TABLES
from icudl.errors import ConfigError
from icudl.options import Options
from icudl.plugins import load_plugin, options_of, registered
from icudl.sources.base import SourceFingerprint

Settings = Mapping[str, Any]
"""Values by dotted key, as they stand in a configuration file."""

STUDY: Settings = {"tune_model.trials": 1, "tune_attack.trials": 1}
"""A study in which every node of the graph has something to do."""

READS: dict[str, set[str]] = {
    "extract": set(),
    "preprocess": {"extract"},
    "tune-model": {"preprocess"},
    "train": {"preprocess", "tune-model"},
    "tune-attack": {"preprocess", "train"},
    "attack": {"preprocess", "train", "tune-attack"},
    "analyse": {"preprocess", "train", "attack"},
    "report": {"extract", "preprocess", "tune-model", "train", "tune-attack", "attack", "analyse"},
}
"""What each node of ``STUDY`` reads."""

NODES_OF: dict[str, set[str]] = {
    "run": set(READS),
    "source": {"extract"},
    "variables": {"extract"},
    "window": {"extract"},
    "cohort": {"preprocess"},
    "split": {"preprocess"},
    "inputs": {"tune-model", "train"},
    "model": {"tune-model", "train"},
    "training": {"tune-model", "train"},
    "tune_model": {"tune-model"},
    "tuned": {"train"},
    "attack": {"tune-attack", "attack"},
    "tune_attack": {"tune-attack"},
    "analysis": {"analyse"},
    "report": {"report"},
    "execution": set(),
}
"""The nodes whose results the options of a table are about."""

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
    "variables.ranges": {"potassium": [1.0, 9.0]},
    "attack.peer_arguments": {"steps": 3},
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
    """Names of the plug-ins that may validate a table, the outside one among them; one empty name where none does."""
    return sorted({*registered(SEAMS[table][0]), ELSEWHERE}) if table in SEAMS else [""]


CASES = [(table, plugin) for table in NODES_OF for plugin in plugins_of(table)]


def options_class(table: str, plugin: str) -> type[Options]:
    return options_of(SEAMS[table][0], plugin) if plugin else SHARED[table]


def choice_of(table: str, plugin: str) -> Settings:
    """Settings of ``STUDY`` with a plug-in in a table."""
    return {**STUDY, f"{table}.{SEAMS[table][1]}": plugin} if plugin else STUDY


@pytest.fixture(scope="module", autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the outside package, and let sources that read a folder or a server find the same data everywhere."""
    folder = tmp_path_factory.mktemp("outside")
    information = folder / "icudl_outside-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: icudl-outside\nVersion: 1.0\n", "utf-8")
    (information / "entry_points.txt").write_text(OUTSIDE_ENTRY_POINTS, "utf-8")
    (folder / "icudl_outside.py").write_text(OUTSIDE_PACKAGE, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for name in registered("icudl.sources"):
            if name not in {"synthetic", ELSEWHERE}:
                found = SourceFingerprint(digest=f"data of {name}", details={})
                patch.setattr(load_plugin("icudl.sources", name), "fingerprint", lambda *_, found=found: found)
        yield


@pytest.fixture
def ids(tmp_path: Path) -> typing.Callable[[Settings], dict[str, str]]:
    """The ids that a configuration plans, by the name of their node."""

    def planned(settings: Settings) -> dict[str, str]:
        return {step.node.key.stage: step.id for step in plan(settings, tmp_path)}

    return planned


def plan(settings: Settings, folder: Path) -> list[Any]:
    file = folder / "study.toml"
    file.write_text("".join(f"{key} = {to_toml(value)}\n" for key, value in settings.items()), "utf-8")
    return icudl.Pipeline(icudl.load_config(file), folder / "runs").plan()


def below(nodes: set[str]) -> set[str]:
    """The nodes and everything that is made from their results."""
    found = set(nodes)
    for node, upstream in READS.items():
        if upstream & found:
            found.add(node)
    return found


def other_values(options: type[Options], field: dataclasses.Field[Any], value: Any) -> Iterator[Any]:
    """Values of an option's type that may be legal, others than ``value`` among them."""
    hint = typing.get_type_hints(options)[field.name]
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


def test_the_graph_is_as_drawn_here(tmp_path: Path) -> None:
    steps = plan(STUDY, tmp_path)
    assert {step.node.key.stage: set(step.identity.upstream) for step in steps} == READS
    assert set(NODES_OF) == set(TABLES)
    for step in steps:
        mine = {table for table, nodes in NODES_OF.items() if step.node.key.stage in nodes} - {"run"}
        assert set(step.identity.options) == mine, step.node.key.stage


@pytest.mark.parametrize(("table", "plugin"), CASES)
def test_an_option_changes_its_own_results_and_what_is_made_from_them(
    table: str, plugin: str, ids: typing.Callable[[Settings], dict[str, str]]
) -> None:
    settings = choice_of(table, plugin)
    before = ids(settings)
    options = options_class(table, plugin)
    defaults = options()
    offenders = []
    for field in dataclasses.fields(options):
        key = f"{table}.{field.name}"
        if table in SEAMS and field.name == SEAMS[table][1]:
            continue
        value, refused = settings.get(key, getattr(defaults, field.name)), ""
        for other in other_values(options, field, value):
            if other == value:
                continue
            try:
                after = ids({**settings, key: other})
            except ConfigError as error:
                refused = f" ({error})"
                continue
            break
        else:
            offenders.append(f"{key}: no other legal value is known; write one into EXAMPLES{refused}")
            continue
        changed = {node for node in before if before[node] != after[node]}
        expected = below(NODES_OF[table]) if field.metadata["identity"] else set()
        if changed != expected:
            offenders.append(f"{key} = {other!r} changes {sorted(changed)}, expected {sorted(expected)}")
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("table", SEAMS)
def test_another_plugin_changes_its_own_results_and_what_is_made_from_them(
    table: str, ids: typing.Callable[[Settings], dict[str, str]]
) -> None:
    planned = [ids(choice_of(table, plugin)) for plugin in plugins_of(table)]
    for node in READS:
        expected = len(planned) if node in below(NODES_OF[table]) else 1
        assert len({ids_of[node] for ids_of in planned}) == expected, node


@pytest.mark.parametrize("table", SEAMS)
def test_an_option_of_a_plugin_that_is_not_configured_cannot_be_given(
    table: str, ids: typing.Callable[[Settings], dict[str, str]]
) -> None:
    names = {
        plugin: {field.name for field in dataclasses.fields(options_class(table, plugin))}
        for plugin in plugins_of(table)
    }
    for plugin, own in names.items():
        for foreign in sorted(set().union(*names.values()) - own):
            with pytest.raises(ConfigError, match=rf"Unknown key {table}\.{foreign}"):
                ids({**choice_of(table, plugin), f"{table}.{foreign}": 1})
    assert all("pieces" not in own for plugin, own in names.items() if plugin != ELSEWHERE)
