from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from icudl.config.document import json_schema, key_table, options_by_table, to_document
from icudl.config.load import load_config
from icudl.config.schema import FAMILIES, OPTIONAL, SHARED, TABLES
from icudl.errors import ConfigError
from icudl.plugins import options_of, registered
from icudl.proofs.options import CertifyOptions


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, "utf-8")
    return path


def test_file_overrides_defaults_and_set_overrides_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[attack]\nkappa = 1\niterations = 7\n")
    config = load_config(path, ["attack.iterations=9"], defaults=["attack.kappa=3", "model.hidden_size=16"])
    assert (config.attack.kappa, config.attack.iterations, config.model.hidden_size) == (1.0, 9, 16)
    assert config.origins["attack.iterations"] == "--set"
    assert config.origins["attack.kappa"] == "config.toml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[atack]\nkappa = 1\n", ["[atack]", "Did you mean 'attack'"]),
        ("[attack]\nkapa = 1\n", ["attack.kapa", "Did you mean 'kappa'"]),
        ("[attack]\nkappa = 'x'\n", ["attack.kappa", "'x'", "a number"]),
        ("[attack]\niterations = 1.5\n", ["attack.iterations", "1.5", "a whole number"]),
        ("[attack]\niterations = true\n", ["attack.iterations", "True"]),
        ("[attack]\nkappa = -1\n", ["attack.kappa", "-1", "from 0"]),
        ("attack = 3\n", ["attack", "not a table"]),
        ("[variables]\nuse = [1]\n", ["variables.use", "1"]),
        ("[attack\n", ["config.toml", "TOML"]),
    ],
)
def test_a_bad_file_gives_one_clear_message(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "binary.toml")


@pytest.mark.parametrize("setting", ["attack", "attack.kappa", "=3", "kappa=3"])
def test_a_setting_that_cannot_be_read(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.key=value"):
        load_config(None, [setting])


def test_strings_may_be_set_without_quotes() -> None:
    assert load_config(None, ["model.name=gru"]).model.name == "gru"
    assert load_config(None, ['model.name="gru"']).model.name == "gru"


def test_a_file_may_be_named_by_a_text(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("[run]\nseed = 5\n")
    assert load_config(str(path)) == load_config(path)


def test_a_relative_source_path_starts_at_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[source]\nname = "mimic3"\npath = "tables"\n'))
    assert config.source.to_dict()["path"] == str((tmp_path / "tables").resolve())


def test_the_document_explains_every_key_and_reads_back(tmp_path: Path) -> None:
    config = load_config()
    document = to_document(config)
    assert load_config(write(tmp_path, document)) == config
    for table in TABLES:
        if table in OPTIONAL:  # off unless it is given
            assert getattr(config, table) is None
            assert f"\n# [{table}]\n" in document
            continue
        for key in getattr(config, table).to_dict():
            # An example stands for the tables with names of the user's own.
            shown = "# crp" if key == "own" else key
            assert f"\n{shown} " in document or f"\n{shown}." in document
    for table, plugins in options_by_table().items():
        for options in plugins.values():
            names = [field.name if field.name != "own" else "NAME.items" for field in dataclasses.fields(options)]
            assert all(f"`{table}.{name}`" in key_table(options, table) for name in names)


def test_the_schema_accepts_the_document_and_rejects_what_the_loader_rejects() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(tomllib.loads(to_document(load_config())))
    for bad in ({"attack": {"kapa": 1}}, {"attack": {"kappa": -1}}, {"model": {"readout": "none"}}, {"nothing": {}}):
        assert not validator.is_valid(bad)
    assert set(schema["properties"]) == {*TABLES, *FAMILIES}


def test_proofs_are_asked_for_by_their_table(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[models.lstm]\n[models.tcn]\n[certify]\nwidth = 0.02\non = ["lstm"]\n'))
    assert config.certify is not None
    assert (config.certify.options.width, config.certify.on) == (0.02, ("lstm",))
    assert config.to_dict()["certify"]["on"] == ["lstm"]
    assert load_config(write(tmp_path, to_document(config))) == config
    # Every line of the table that is off is legal as it stands.
    off = to_document(load_config())
    start = off.index("# [certify]")
    lines = [line.removeprefix("# ") for line in off[start : off.index("\n\n", start)].splitlines()]
    switched_on = load_config(write(tmp_path, "\n".join(lines)))
    assert switched_on.certify is not None
    assert switched_on.certify.options == CertifyOptions()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["models.tcn.hidden_size=4", "certify.split=test"], "concerns the model 'tcn'. Nothing can be proved"),
        (["models.boosted_trees.trees=9", "certify.threat_model=grid"], "reads no filled-in record"),
        (["certify.on=['nobody']"], "certify.on names 'nobody'"),
        (["certify.onn=['main']"], "Did you mean 'on'?"),
        (["certify.width=2"], "certify.width = 2.0 is out of range"),
    ],
)
def test_proofs_that_cannot_be_made_are_refused(settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(None, settings)


def test_what_a_model_does_not_read_its_own_table_cannot_set() -> None:
    both = ["models.gru.model=gru", "models.trees.model=boosted_trees"]
    words = r"models.trees.training.max_epochs \(--set\) does nothing: 'boosted_trees' does not read it"
    with pytest.raises(ConfigError, match=words):
        load_config(None, [*both, "models.trees.training.max_epochs=3"])
    with pytest.raises(ConfigError, match=r"models.trees.inputs.channels .* Of \[inputs\] it reads statics"):
        load_config(None, [*both, 'models.trees.inputs.channels=["value"]'])
    own = load_config(None, [*both, "models.trees.training.fit_again=true", "models.gru.training.max_epochs=3"])
    assert own.models["trees"].training.fit_again


def test_shared_options_that_no_model_reads_are_named() -> None:
    settings = ["training.max_epochs=3", "training.threshold=youden", "inputs.imputation=forward", "run.seed=3"]
    alone = load_config(None, ["model.name=boosted_trees", *settings])
    assert alone.unread == ("training.max_epochs", "inputs.imputation")
    assert load_config(None, ["model.name=gru", *settings]).unread == ()
    both = ["models.gru.model=gru", "models.trees.model=boosted_trees"]
    assert load_config(None, [*both, *settings]).unread == ()
    without_recurrent_layers = ["models.tcn.model=tcn", "models.trees.model=boosted_trees", "pretrain.epochs=2"]
    assert load_config(None, without_recurrent_layers).unread == ("pretrain.epochs",)
    assert load_config(None, [*both, "pretrain.epochs=2"]).unread == ()


@pytest.mark.parametrize("model", sorted(registered("icudl.models")))
def test_models_name_keys_that_exist(model: str) -> None:
    for table, keys in options_of("icudl.models", model).READS.items():
        assert set(keys) <= {field.name for field in dataclasses.fields(SHARED[table])}
