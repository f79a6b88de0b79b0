"""The id of a model from outside follows its files' content and its table, and not where the files lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from plugin_options import other_values, plan

from icudl.errors import ConfigError
from icudl.models.outside.options import OutsideOptions

EXAMPLES: dict[str, Any] = {
    "name": None,  # another one is another plug-in
    "ensemble_size": None,  # one is the only number
    "file": "b.json",
    "object": None,  # beside a file it is refused
    "trusted": ("package.Type",),
    "input": "summaries",
    "variables": ("potassium",),
    "features": ("potassium.last",),
    "fill": {"potassium": 4.0},
    "units": {"potassium": "mmol/L"},
    "ranges": {"potassium": [2.0, 6.0]},
    "trained_stays": "b.csv",
    "trained_on": None,  # with a list, only one is legal
}
SETTINGS = {
    "model.name": "outside",
    "model.file": "a.json",
    "model.trained_on": "listed",
    "model.trained_stays": "a.csv",
    "attack.name": "sweep",
    "attack.threat_model": "measured",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("one")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("stay_id\n1\n")
    return tmp_path


def ids(folder: Path, **changed: Any) -> dict[str, str]:
    settings = SETTINGS | {f"model.{key}": value for key, value in changed.items()}
    return {step.node.key.stage: step.id for step in plan(settings, folder)}


def test_each_option_changes_the_training_if_it_can_change_a_result(folder: Path) -> None:
    before = ids(folder)
    for field in dataclasses.fields(OutsideOptions):
        default = getattr(OutsideOptions(), field.name)
        value = EXAMPLES.get(field.name, next(iter(other_values(OutsideOptions, field, default)), None))
        if field.name in EXAMPLES and value is None:
            continue
        if value == default:
            value = next(each for each in other_values(OutsideOptions, field, default) if each != default)
        after = ids(folder, **{field.name: value})
        changed = {stage for stage in before if before[stage] != after[stage]}
        expected = {"train", "attack", "analyse", "report"} if field.metadata["identity"] else set()
        assert changed == expected, field.name


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_other_content_is_another_model(name: str, folder: Path) -> None:
    before = ids(folder)
    (folder / name).write_text("stay_id\n2\n")
    after = ids(folder)
    assert {stage for stage in before if before[stage] != after[stage]} == {"train", "attack", "analyse", "report"}


def test_a_table_that_says_too_little_is_refused_before_anything_is_computed(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.trained_on .* is not said"):
        ids(folder, trained_on="", trained_stays="")
    with pytest.raises(ConfigError, match=r"model.file = .*model.pkl' is a pickle"):
        ids(folder, file="model.pkl")
    with pytest.raises(ConfigError, match="nothing to search"):
        plan(SETTINGS | {"tune_model.trials": 3}, folder)
    with pytest.raises(ConfigError, match="which needs a gradient"):
        plan(SETTINGS | {"attack.name": "proximal"}, folder)
