"""Variables beside the catalogue: from the configuration to what sources are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from icudl.artifacts.files.codecs import variables_from_json, variables_to_json
from icudl.config.document import json_schema, key_table, to_document
from icudl.config.load import load_config
from icudl.errors import ConfigError
from icudl.sources.base import VariableOptions
from icudl.variables import STUDY_NAMES

CRP = """
[variables.crp]
unit = "mg/L"
range = [0, 500]
items = { mimic4 = [50889] }
"""


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(text, "utf-8")
    return path


def test_it_is_read_after_those_in_use_unless_these_name_it(tmp_path: Path) -> None:
    chosen = load_config(_written(tmp_path, CRP)).variables.chosen()
    assert [variable.name for variable in chosen] == [*STUDY_NAMES, "crp"]
    crp = chosen[-1]
    assert (crp.unit, crp.low, crp.high, crp.label, crp.group) == ("mg/L", 0.0, 500.0, "crp", "other")
    assert crp.items == {"mimic4": [50889]}
    named = load_config(_written(tmp_path, '[variables]\nuse = ["crp", "ph"]\n' + CRP)).variables.chosen()
    assert [variable.name for variable in named] == ["crp", "ph"]
    everything = load_config(_written(tmp_path, '[variables]\nuse = ["all"]\n' + CRP)).variables.chosen({"ph"})
    assert [variable.name for variable in everything] == ["ph", "crp"]


def test_its_range_can_be_changed_as_that_of_any_variable(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, CRP), ["variables.ranges={crp = [1, 9]}"])
    assert (config.variables.chosen()[-1].low, config.variables.chosen()[-1].high) == (1.0, 9.0)


def test_a_key_can_be_set_for_one_run(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, CRP), ["variables.crp.range=[0, 9]", "variables.hgb.range=[1, 30]"])
    assert [variable.high for variable in config.variables.chosen()[-2:]] == [9.0, 30.0]
    assert config.variables.chosen()[-2].unit == "mg/L"


def test_a_data_set_may_have_its_own(tmp_path: Path) -> None:
    text = '[data.main]\nsource = "synthetic"\n[data.main.variables.crp]\nrange = [0, 5]\n'
    assert load_config(_written(tmp_path, text)).variables.chosen()[-1].name == "crp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[variables.crp]\n", r"variables\.crp\.range = \(\)\. Expected two numbers"),
        ("[variables.crp]\nrange = [5, 1]\n", "Expected two numbers, the smaller first"),
        ("[variables.crp]\nrange = [0, 1]\nunits = 'mg'\n", r"Unknown key variables\.crp\.units\. Did you mean 'unit'"),
        ("[variables.crp]\nrange = [0, 1]\nunit = 3\n", r"variables\.crp\.unit = 3 has the wrong type"),
        ("[variables.crp]\nrange = [0, 1]\ngroup = 'labs'\n", r"variables\.crp\.group = 'labs' is not one of"),
        ("[variables.crp]\nrange = [0, 1]\nitems = [1]\n", r"variables\.crp\.items = \[1\] is not a table"),
        ("[variables.potassium]\nrange = [0, 1]\n", "has the name of a variable of the catalogue"),
        ("[variables.all]\nrange = [0, 1]\n", "cannot be a name"),
        ("[variables.own.'c r p']\nrange = [0, 1]\n", "cannot be a name"),
        ("[variables]\nuse = ['crp']\n", r"not in the catalogue.*\[variables\.crp\]"),
        ("[variables]\nrangs = 3\n", r"Unknown key variables\.rangs"),
    ],
)
def test_a_mistake_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(_written(tmp_path, text)).variables.chosen()


def test_what_config_init_writes_reads_back(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, CRP))
    document = to_document(config)
    assert 'crp."unit" = "mg/L"' in document
    assert load_config(_written(tmp_path, document)) == config
    assert "# crp = {" in to_document(load_config()), "without one, an example stands there"
    assert load_config(_written(tmp_path, to_document(load_config()))) == load_config()


def test_schema_and_reference_know_it(tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    table = {"variables": {"crp": {"unit": "mg/L", "range": [0, 500], "items": {"mimic4": [50889]}}}}
    validator.validate(table)
    assert not validator.is_valid({"variables": {"crp": {"unt": "mg/L"}}})
    assert "| `variables.NAME.range` |" in key_table(VariableOptions, "variables")


def test_items_change_the_id_and_are_not_stored(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, CRP))
    assert config.variables.to_dict(identity_only=True)["own"]["crp"]["items"] == {"mimic4": [50889]}
    written = variables_to_json(config.variables.chosen())
    assert "items" not in json.dumps(written)
    assert variables_from_json(written) == config.variables.chosen()
