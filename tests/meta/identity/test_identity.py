"""An option changes the ids of its own results and of what is made from them, and of nothing else.

In the original study, options were lost on their way through nested objects (defect 10). Here every option of every
plug-in takes another legal value, and the plan tells which ids change. Nothing is computed.

``STUDY`` is the configuration that every case starts from, ``READS`` the graph that it stands for, ``NODES_OF`` says
whose option a table holds. A new table is an entry in ``NODES_OF``, a new seam one in ``SEAMS`` as well.
"""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest
from plugin_options import ELSEWHERE, SEAMS, Settings, needs_pieces, options_class, other_values, plan, plugins_of

from icudl.config.schema import OPTIONAL, TABLES, RoleOptions
from icudl.errors import ConfigError
from icudl.options import Options
from icudl.probes.options import ProbeOptions
from icudl.proofs.options import CertifyOptions
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions

pytestmark = pytest.mark.usefixtures("plugins")

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
    "outcome": {"preprocess"},
    "split": {"preprocess"},
    "inputs": {"tune-model", "train"},
    "model": {"tune-model", "train"},
    "training": {"tune-model", "train"},
    "robust": {"tune-model", "train"},
    "pretrain": {"tune-model", "train"},
    "tune_model": {"tune-model"},
    "tuned": {"train"},
    "attack": {"tune-attack", "attack"},
    "tune_attack": {"tune-attack"},
    "analysis": {"analyse"},
    "report": {"report"},
    "execution": set(),
}
"""The nodes whose results the options of a table are about."""

UNUSUAL: dict[str, Settings] = {
    RobustOptions.table: {"robust.adversarial_share": 0.5},
    PretrainOptions.table: {"pretrain.epochs": 3},
}
"""What makes a table name the results that it is about: where it does nothing, it names none."""

CASES = [(table, plugin) for table in NODES_OF for plugin in plugins_of(table)]


def choice_of(table: str, plugin: str) -> Settings:
    """Settings of ``STUDY`` with a plug-in and a model that it can be run on, or with a training that is not usual."""
    unusual: Settings = UNUSUAL.get(table, {})
    walked: Settings = {"model.name": "boosted_trees", "attack.threat_model": "measured"}
    study = STUDY | walked if needs_pieces(table, plugin) else STUDY
    return {**study, f"{table}.{SEAMS[table][1]}": plugin} if plugin else {**study, **unusual}


@pytest.fixture
def ids(tmp_path: Path) -> typing.Callable[[Settings], dict[str, str]]:
    """The ids that a configuration plans, by the name of their node."""

    def planned(settings: Settings) -> dict[str, str]:
        return {step.node.key.stage: step.id for step in plan(settings, tmp_path)}

    return planned


def below(nodes: set[str]) -> set[str]:
    """The nodes and everything that is made from their results."""
    found = set(nodes)
    for node, upstream in READS.items():
        if upstream & found:
            found.add(node)
    return found


def test_the_graph_is_as_drawn_here(tmp_path: Path) -> None:
    steps = plan(STUDY, tmp_path)
    assert {step.node.key.stage: set(step.identity.upstream) for step in steps} == READS
    assert set(NODES_OF) == set(TABLES) - set(OPTIONAL)
    for step in steps:
        # The role of a data set is a matter of its entry in a study of several.
        mine = {RoleOptions.table} if step.node.key.stage == "preprocess" else set()
        mine |= {table for table, nodes in NODES_OF.items() if step.node.key.stage in nodes} - {"run"}
        # Named only where it does something.
        mine -= set(UNUSUAL)
        assert set(step.identity.options) == mine, step.node.key.stage


@pytest.mark.parametrize("asked", [CertifyOptions, ProbeOptions])
def test_what_only_some_studies_ask_for_changes_no_other_result(
    asked: type[Options], ids: typing.Callable[[Settings], dict[str, str]]
) -> None:
    table, without = asked.table, ids(STUDY)
    before = ids({**STUDY, f"{table}.split": "both"})
    assert {node for node in before if before[node] != without.get(node)} == {table, "report"}
    defaults, changed = asked(), set()
    for field in dataclasses.fields(asked):
        default = getattr(defaults, field.name)
        for value in other_values(asked, field, default):
            if value == default:
                continue
            try:
                after = ids({**STUDY, f"{table}.{field.name}": value})
            except ConfigError:  # not every value that is tried is legal
                continue
            assert {node for node in after if after[node] != before[node]} == {table, "report"}, field.name
            changed.add(field.name)
    assert changed == {field.name for field in dataclasses.fields(asked)}


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
        if len(field.metadata["choices"] or ()) == 1:
            continue  # there is no other value
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
    planned = [ids(choice_of(table, plugin)) for plugin in plugins_of(table) if not needs_pieces(table, plugin)]
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
