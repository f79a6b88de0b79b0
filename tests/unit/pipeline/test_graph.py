"""Which nodes a configuration has, what they are called, and what each of them reads."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from icudl.config.load import load_config
from icudl.errors import ConfigError
from icudl.pipeline.graph import Key, Node, build_graph, find_nodes, leading_to

TABLE = (
    "data.home.source=synthetic",
    "data.elsewhere.source=synthetic",
    "data.elsewhere.role=external",
    "models.lstm.hidden_size=4",
    "models.gru.hidden_size=4",
    "attacks.fewest.attack=greedy",
    "attacks.one_value.attack=sweep",
)


def graph(*settings: str) -> dict[str, Node]:
    return {node.name: node for node in build_graph(load_config(None, settings)).values()}


def reads(nodes: Mapping[str, Node], name: str) -> dict[str, tuple[str, ...]]:
    found = nodes[name].upstream.items()
    return {used_as: (key.stage, key.model, key.attack, key.data) for used_as, key in found}


def test_a_study_of_one_of_each_speaks_of_stages_alone() -> None:
    assert list(graph()) == ["extract", "preprocess", "train", "attack", "analyse", "report"]


def test_a_table_has_a_node_for_each_cell() -> None:
    nodes = graph(*TABLE)
    assert set(nodes) == {
        *("extract", "extract/elsewhere", "preprocess", "preprocess/elsewhere"),
        *("train/lstm", "train/gru", "score/lstm/elsewhere", "score/gru/elsewhere"),
        *(
            f"{stage}/{model}/{attack}{data}"
            for stage in ("attack", "analyse")
            for model in ("lstm", "gru")
            for attack in ("fewest", "one_value")
            for data in ("", "/elsewhere")
        ),
        "report",
    }


def test_external_data_are_scored_and_attacked_and_never_fitted_on() -> None:
    nodes = graph(*TABLE)
    elsewhere = Key(stage="preprocess", data="elsewhere")
    for node in nodes.values():
        if node.key.stage in {"train", "tune-model", "tune-attack"}:
            assert elsewhere not in node.upstream.values(), node.name
    home = ("preprocess", "", "", "home")
    assert reads(nodes, "score/gru/elsewhere") == {
        "preprocess": ("preprocess", "", "", "elsewhere"),
        "fitted-on": home,
        "train": ("train", "gru", "", "home"),
    }
    assert reads(nodes, "attack/gru/fewest/elsewhere")["fitted-on"] == home
    assert "fitted-on" not in reads(nodes, "attack/gru/fewest")
    assert "split" not in nodes["preprocess/elsewhere"].tables


def test_an_attack_is_run_on_what_it_names() -> None:
    names = set(graph(*TABLE, 'attacks.fewest.on=["gru", "home"]', 'attacks.one_value.on=["elsewhere"]'))
    assert {name for name in names if name.startswith("attack/")} == {
        "attack/gru/fewest",
        "attack/lstm/one_value/elsewhere",
        "attack/gru/one_value/elsewhere",
    }


def test_searches_are_nodes_of_the_models_and_attacks_that_ask_for_them() -> None:
    nodes = graph(*TABLE, "models.gru.tune_model.trials=2", "attacks.fewest.tune_attack.trials=3")
    searches = {name for name in nodes if name.startswith("tune-")}
    assert searches == {"tune-model/gru", "tune-attack/lstm/fewest", "tune-attack/gru/fewest"}
    assert reads(nodes, "train/gru")["tune-model"] == ("tune-model", "gru", "", "home")
    assert "tune-model" not in reads(nodes, "train/lstm")
    # The search is made on the main data set; the attack on external data takes its setting.
    assert reads(nodes, "attack/gru/fewest/elsewhere")["tune-attack"] == ("tune-attack", "gru", "fewest", "home")


def test_a_node_stands_behind_everything_that_it_reads() -> None:
    nodes = build_graph(load_config(None, TABLE))
    met: set[Key] = set()
    for key, node in nodes.items():
        assert set(node.upstream.values()) <= met
        met.add(key)


def test_the_report_reads_everything_under_its_name() -> None:
    nodes = graph(*TABLE)
    assert list(nodes["report"].upstream) == [name for name in nodes if name != "report"]


def test_nodes_are_found_by_stage_and_by_name() -> None:
    nodes = build_graph(load_config(None, TABLE))
    assert [node.name for node in find_nodes(nodes, "train")] == ["train/lstm", "train/gru"]
    assert [node.name for node in find_nodes(nodes, "attack/gru")] == [
        name for name in (node.name for node in nodes.values()) if name.startswith("attack/gru/")
    ]
    assert len(find_nodes(nodes, "attack/gru")) > 1
    (found,) = find_nodes(nodes, "train/gru")
    assert [node.name for node in leading_to(nodes, [found])] == ["extract", "preprocess", "train/gru"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("trian", ["'trian'", "Did you mean 'train'", "train/gru"]),
        ("train/gur", ["Did you mean 'train/gru'"]),
        ("tune-model", ["tune_model.trials is 0"]),
    ],
)
def test_what_a_study_does_not_have_is_named(target: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        find_nodes(build_graph(load_config(None, TABLE)), target)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_study_without_external_data_has_no_scores() -> None:
    with pytest.raises(ConfigError, match="no data set has role"):
        find_nodes(build_graph(load_config()), "score")


@pytest.mark.parametrize("stage", ["certify", "probe"])
def test_proofs_and_probes_are_made_of_the_models_and_data_that_they_concern(stage: str) -> None:
    nodes = graph(*TABLE, f"{stage}.split=test")
    found = {name for name in nodes if name.startswith(stage)}
    assert found == {f"{stage}/{model}{data}" for model in ("lstm", "gru") for data in ("", "/elsewhere")}
    assert reads(nodes, f"{stage}/gru/elsewhere") == {
        "preprocess": ("preprocess", "", "", "elsewhere"),
        "fitted-on": ("preprocess", "", "", "home"),
        "train": ("train", "gru", "", "home"),
    }
    some = graph(*TABLE, f"{stage}.on=['gru', 'home']")
    assert {name for name in some if name.startswith(stage)} == {f"{stage}/gru"}
    with pytest.raises(ConfigError, match=rf"no table \[{stage}\]"):
        find_nodes(build_graph(load_config()), stage)
