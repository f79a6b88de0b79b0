"""In a study of several data sets, models and attacks, an option of one entry changes nothing of its neighbours.

``READS`` is the graph of the study by the names of its nodes, ``NODES_OF`` says which nodes each table of an entry is
about. Every option of every plug-in takes another legal value in one entry, and the plan tells which ids change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from plugin_options import SEAMS, Settings, needs_pieces, options_class, other_values, plan, plugins_of

from icudl.config.schema import OVERRIDES, PLUGINS
from icudl.errors import ConfigError

pytestmark = pytest.mark.usefixtures("plugins")

Ids = Callable[[Settings], dict[str, str]]

STUDY: Settings = {
    "data.home.source": "synthetic",
    "data.abroad.source": "synthetic",
    "data.abroad.role": "external",
    "models.first.model": "lstm",
    "models.second.model": "gru",
    "attacks.cells.attack": "proximal",
    "attacks.values.attack": "greedy",
    "tune_model.trials": 1,
    "tune_attack.trials": 1,
}
MEASURED: Settings = {
    "attacks.cells.attack": "sweep",
    "attacks.cells.threat_model": "measured",
    "attacks.values.threat_model": "measured",
}
"""Attacks that can be run on every model: some offer no gradient and read no filled-in grid."""

MODELS, ATTACKS, PLACES = ("first", "second"), ("cells", "values"), ("", "/abroad")

READS: dict[str, set[str]] = {}
"""What each node of ``STUDY`` reads."""

for place in PLACES:
    READS |= {f"extract{place}": set(), f"preprocess{place}": {f"extract{place}"}}
for model in MODELS:
    READS |= {
        f"tune-model/{model}": {"preprocess"},
        f"train/{model}": {"preprocess", f"tune-model/{model}"},
        f"score/{model}/abroad": {"preprocess", "preprocess/abroad", f"train/{model}"},
    }
    for attack in ATTACKS:
        found = f"{model}/{attack}"
        READS |= {f"tune-attack/{found}": {"preprocess", f"train/{model}"}}
        for place in PLACES:
            grid = f"preprocess{place}"
            READS |= {
                f"attack/{found}{place}": {"preprocess", grid, f"train/{model}", f"tune-attack/{found}"},
                f"analyse/{found}{place}": {grid, f"train/{model}", f"attack/{found}{place}"},
            }
READS["report"] = set(READS)

NODES_OF: dict[str, dict[str, set[str]]] = {
    "data.home": {
        **{key: {"extract"} for key in ("source", "variables", "window")},
        **{key: {"preprocess"} for key in ("cohort", "outcome", "split")},
    },
    "data.abroad": {
        **{key: {"extract/abroad"} for key in ("source", "variables", "window")},
        "cohort": {"preprocess/abroad"},
        "outcome": {"preprocess/abroad"},
        "split": set(),  # an external data set is not divided
    },
    **{
        f"models.{model}": {
            **{key: {f"tune-model/{model}", f"train/{model}"} for key in ("model", "inputs")},
            "training": {f"tune-model/{model}", f"train/{model}", f"score/{model}/abroad"},
            "robust": {f"tune-model/{model}", f"train/{model}"},
            "pretrain": {f"tune-model/{model}", f"train/{model}"},
            "tune_model": {f"tune-model/{model}"},
            "tuned": {f"train/{model}"},
        }
        for model in MODELS
    },
    **{
        f"attacks.{attack}": {
            "attack": {node for node in READS if node.startswith(("tune-attack/", "attack/")) and f"/{attack}" in node},
            "tune_attack": {f"tune-attack/{model}/{attack}" for model in MODELS},
        }
        for attack in ATTACKS
    },
}
"""The nodes whose results a table of an entry is about."""

PLUGIN_TABLES = {plugin.family: table for table, plugin in PLUGINS.items() if plugin.family}
NOT_FOR_EXTERNAL_DATA = ("window", "split")
"""External data take the window of the main data and are not divided: their own tables are refused."""
SHARED_TABLES = [table for tables in OVERRIDES.values() for table in tables]


def below(nodes: Iterable[str]) -> set[str]:
    """The nodes and everything that is made from their results."""
    found = set(nodes)
    for node, upstream in READS.items():
        if upstream & found:
            found.add(node)
    return found


def about(table: str, entries: Iterable[str]) -> set[str]:
    """The nodes that a table is about in any of these entries."""
    return set().union(*(NODES_OF[entry].get(table, set()) for entry in entries))


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Ids:
    """The ids that a configuration plans, by the names of their nodes."""
    folder = tmp_path_factory.mktemp("plans")
    known: dict[str, dict[str, str]] = {}

    def planned(settings: Settings) -> dict[str, str]:
        if repr(settings) not in known:
            known[repr(settings)] = {step.name: step.id for step in plan(settings, folder)}
        return known[repr(settings)]

    return planned


def changed(ids: Ids, settings: Settings, options: Any, field: dataclasses.Field[Any], prefix: str) -> set[str]:
    """The nodes whose ids change when an option of a table takes the first other legal value."""
    before = ids(settings)
    now = settings.get(f"{options.table}.{field.name}", getattr(options(), field.name))
    for other in other_values(options, field, now):
        if other == now:
            continue
        try:
            after = ids({**settings, f"{prefix}.{field.name}": other})
        except ConfigError:
            continue
        return {node for node in READS if before[node] != after[node]}
    raise AssertionError(f"{prefix}.{field.name}: no other legal value is known; write one into EXAMPLES")


def test_the_graph_is_as_drawn_here(tmp_path: Path) -> None:
    steps = plan(STUDY, tmp_path)
    names = {step.node.key: step.name for step in steps}
    assert {step.name: {names[key] for key in step.node.upstream.values()} for step in steps} == READS


ENTRIES = [
    (entry, plugin)
    for entry in ("data.home", "data.abroad", "models.second", "attacks.values")
    for plugin in plugins_of(PLUGIN_TABLES[entry.partition(".")[0]])
]


@pytest.mark.parametrize(("entry", "plugin"), ENTRIES)
def test_an_option_of_an_entry_is_no_matter_of_its_neighbours(entry: str, plugin: str, ids: Ids) -> None:
    """The first model and the cells attack keep their ids whatever the second model and the other attack are told."""
    family = entry.partition(".")[0]
    table = PLUGIN_TABLES[family]
    key = PLUGINS[table].family_key
    study = {**STUDY, **MEASURED} if family == "models" or needs_pieces(table, plugin) else STUDY
    if needs_pieces(table, plugin):
        study = {**study, "models.first.model": "boosted_trees", "models.second.model": "logistic_regression"}
    settings, options, offenders = {**study, f"{entry}.{key}": plugin}, options_class(table, plugin), []
    for field in dataclasses.fields(options):
        if field.name == SEAMS[table][1] or len(field.metadata["choices"] or ()) == 1:
            continue  # a name is no option, and where there is one choice there is no other value
        found = changed(ids, settings, options, field, entry)
        expected = below(NODES_OF[entry][table]) if field.metadata["identity"] else set()
        if found != expected:
            offenders.append(f"{field.name}: {sorted(found - expected)} change, {sorted(expected - found)} do not")
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("table", SHARED_TABLES)
def test_a_shared_table_is_a_matter_of_all_that_do_not_say_otherwise(table: str, ids: Ids) -> None:
    """The last entry of the family says for itself what its option is; then the shared one concerns the others only."""
    options, offenders = options_class(table, ""), []
    # A robust training or a pretraining that does nothing is not named.
    unusual: dict[str, Settings] = {"robust": {"robust.adversarial_share": 0.5}, "pretrain": {"pretrain.epochs": 3}}
    study = {**STUDY, **unusual.get(table, {})}
    family = next(family for family, tables in OVERRIDES.items() if table in tables)
    entries = [entry for entry in NODES_OF if entry.startswith(f"{family}.")]
    for field in dataclasses.fields(options):
        own = f"{entries[-1]}.{table}"
        now = study.get(f"{table}.{field.name}", getattr(options(), field.name))
        cases = [(study, table, entries)]
        if table not in NOT_FOR_EXTERNAL_DATA:
            said = {**study, f"{own}.{field.name}": now}
            cases += [(study, own, entries[-1:]), (said, table, entries[:-1])]
        for settings, prefix, concerned in cases:
            found = changed(ids, settings, options, field, prefix)
            expected = below(about(table, concerned)) if field.metadata["identity"] else set()
            if found != expected:
                offenders.append(
                    f"{prefix}.{field.name}: {sorted(found - expected)} change, {sorted(expected - found)} do not"
                )
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(("table", "key", "value"), [("window", "hours", 24), ("split", "test_fraction", 0.3)])
def test_external_data_have_no_window_and_no_split_of_their_own(table: str, key: str, value: float, ids: Ids) -> None:
    assert table in NOT_FOR_EXTERNAL_DATA
    with pytest.raises(ConfigError, match=table):
        ids({**STUDY, f"data.abroad.{table}.{key}": value})


@pytest.mark.parametrize(
    ("old", "new"),
    [("models.second", "models.renamed"), ("attacks.values", "attacks.renamed"), ("data.abroad", "data.renamed")],
)
def test_another_name_changes_the_report_only(old: str, new: str, ids: Ids) -> None:
    before = ids(STUDY)
    after = ids({key.replace(f"{old}.", f"{new}."): value for key, value in STUDY.items()})
    of_old, of_new = (entry.partition(".")[2] for entry in (old, new))
    renamed = {"/".join(of_new if part == of_old else part for part in name.split("/")): name for name in before}
    assert {name for name, other in renamed.items() if after[name] != before[other]} == {"report"}


@pytest.mark.parametrize("entry", ["models.second", "attacks.values", "data.abroad"])
def test_a_further_entry_adds_its_own_cells_and_changes_the_report_only(entry: str, ids: Ids) -> None:
    fewer = ids({key: value for key, value in STUDY.items() if not key.startswith(f"{entry}.")})
    after = ids(STUDY)
    assert len(fewer) < len(after)
    assert {name for name in fewer if fewer[name] != after[name]} == {"report"}
