"""A study as a table: entries with names, options beside their plug-in, shared tables and what goes before them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest

from icudl.config.document import json_schema, to_document, to_listing
from icudl.config.load import load_config
from icudl.errors import ConfigError, IcudlError

TABLE = """
[data.main]
source = "synthetic"
patients = 300
[data.elsewhere]
source = "synthetic"
role = "external"
[data.elsewhere.cohort]
min_age_years = 20
[training]
max_epochs = 9
[models.gru]
[models.published]
model = "lstm"
hidden_size = 128
[models.published.training]
learning_rate = 1e-4
[attacks.fewest]
attack = "greedy"
[attacks.noise]
on = ["gru", "main"]
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.toml"
    path.write_text(TABLE, "utf-8")
    return path


def test_entries_hold_the_options_of_their_plugin(table: Path) -> None:
    config = load_config(table)
    assert list(config.data) == ["main", "elsewhere"]
    assert {name: model.model.name for name, model in config.models.items()} == {"gru": "gru", "published": "lstm"}
    assert {name: attack.attack.name for name, attack in config.attacks.items()} == {
        "fewest": "greedy",
        "noise": "noise",
    }
    assert config.attacks["noise"].on == ("gru", "main")
    assert not hasattr(config.attacks["fewest"].attack, "noise_draws")


def test_an_entry_says_over_what_the_shared_tables_say(table: Path) -> None:
    config = load_config(table, ["models.gru.training.max_epochs=3"])
    shared, own = config.models["published"].training, config.models["gru"].training
    assert (shared.max_epochs, shared.learning_rate) == (9, 1e-4)
    assert (own.max_epochs, own.learning_rate) == (3, load_config().training.learning_rate)
    assert (config.data["main"].cohort.min_age_years, config.data["elsewhere"].cohort.min_age_years) == (18, 20)
    assert config.origins["models.gru.training.max_epochs"] == "--set"
    assert config.origins["training.max_epochs"] == "table.toml"


def test_the_document_of_a_table_reads_back(table: Path, tmp_path: Path) -> None:
    config = load_config(table)
    document = to_document(config)
    again = tmp_path / "again.toml"
    again.write_text(document, "utf-8")
    assert load_config(again) == config
    jsonschema.Draft202012Validator(json_schema()).validate(tomllib.loads(document))
    assert "[models.published.training]\nlearning_rate = 0.0001  # table.toml" in to_listing(config)


def test_the_main_data_set_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text('[data.a]\nsource="synthetic"\nrole="external"\n[data.b]\nsource="synthetic"\n', "utf-8")
    config = load_config(path)
    assert (config.main, list(config.data)) == ("b", ["b", "a"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("models.gru.hiden=3", ["models.gru.hiden", "'hidden_size'", "for the model 'gru'"]),
        ("models.gru.training.max_epoch=3", ["models.gru.training.max_epoch", "'max_epochs'"]),
        ("models.published.hidden_size=0", ["models.published.hidden_size = 0", "from 1"]),
        ("models.published.name=gru", ["models.published.name", "model = ..."]),
        ("models.mine.hidden_size=3", ["[models.mine]", "names no model", "lstm_summary"]),
        ("models.latest.model=gru", ["'latest'", "cannot be a name"]),
        ("models.fewest.model=gru", ["models.fewest", "attacks.fewest", "share a name"]),
        ("model.hidden_size=3", ["[model]", "[models.gru]"]),
        ("source.patients=30", ["[source]", "[data.main]"]),
        ("attack.kappa=1", ["[attack]", "[attacks.fewest]"]),
        ("attacks.fewest.noise_draws=3", ["attacks.fewest.noise_draws", "for the attack 'greedy'"]),
        ("attacks.fewest.on=['lstm']", ["attacks.fewest.on", "'lstm'", "gru, published"]),
        ("data.main.role=external", ["data.main", "another name"]),
        ("models.Gru.model=gru", ["models.gru and models.Gru", "share a name"]),
        ("data.elsewhere.role=main", ["data.main and data.elsewhere"]),
        ("data.elsewhere.window.hours=24", ["data.elsewhere.window.hours = 24", "48 hours"]),
        ("data.elsewhere.split.folds=7", ["[data.elsewhere.split]", "not divided"]),
        ("models.gru.trainnig=3", ["models.gru.trainnig", "Did you mean 'training'"]),
        ("attacks.fewest.onn=['gru']", ["attacks.fewest.onn", "on, tune_attack"]),
        ("data.elsewhere.rol='main'", ["data.elsewhere.rol", "Did you mean 'role'"]),
        ("models.gru=3", ["models.gru", "is a table"]),
        ("training.deep.key=3", ["training.deep.key", "no tables"]),
        ("models.gru.model=3", ["models.gru.model = 3", "a string"]),
    ],
)
def test_what_is_wrong_in_a_table_is_named(table: Path, setting: str, words: list[str]) -> None:
    with pytest.raises(IcudlError) as caught:
        load_config(table, [setting])
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("family", ["data", "models", "attacks"])
def test_a_family_without_an_entry_is_refused(family: str, tmp_path: Path) -> None:
    """Someone who writes the heading meant to write an entry; the defaults are not what was asked for."""
    path = tmp_path / "table.toml"
    path.write_text(f"[{family}]\n", "utf-8")
    with pytest.raises(ConfigError, match=rf"\[{family}\] \(table.toml\) is empty"):
        load_config(path)


@pytest.mark.parametrize(
    ("entry", "legal"),
    [
        ({"models": {"gru": {}}}, True),
        ({"models": {"gru": {"hidden_size": 8}}}, True),
        ({"models": {"gru": {"hiden_size": 8}}}, False),
        ({"models": {"gru": {"model": "lstm"}}}, True),
        ({"models": {"mine": {"hidden_size": 8}}}, False),
        ({"models": {"mine": {"model": "gru", "hidden_size": 8}}}, True),
        ({"attacks": {"greedy": {"noise_draws": 8}}}, False),
        ({"attacks": {}}, False),
    ],
)
def test_the_schema_knows_what_the_table_knows(entry: dict[str, object], legal: bool) -> None:
    """An editor that goes by the schema marks what the program refuses, entries that are called like a plug-in too."""
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(entry) is legal


def test_what_belongs_to_one_model_asks_which_of_several(table: Path) -> None:
    with pytest.raises(ConfigError, match="2 models: gru, published"):
        _ = load_config(table).model


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbf[run]\nseed = 5\n")
    assert load_config(path).run.seed == 5


CHARTED = """
[models.trees]
model = "boosted_trees"
[models.gru]
"""


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (
            'attack = "pgd"\nthreat_model = "measured"',
            (
                r"attacks\.cells uses 'pgd', which needs a gradient; models\.trees \(boosted_trees\) offers none.*"
                r'greedy, sweep.*attacks\.cells\.on = \["gru"\]'
            ),
        ),
        (
            'attack = "greedy"',
            (
                r'attacks\.cells\.threat_model = "grid".*models\.trees.*Set attacks\.cells\.threat_model = "measured".*'
                r'attacks\.cells\.on = \["gru"\]'
            ),
        ),
        ('attack = "art"\npeer = "X"\nthreat_model = "measured"\non = ["main", "trees"]', "needs a gradient"),
    ],
)
def test_an_attack_is_refused_on_a_model_that_lacks_what_it_needs(attack: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text(f"{CHARTED}[attacks.cells]\n{attack}\n", "utf-8")
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    load_config(path, ['attacks.cells.on=["gru"]'])


@pytest.mark.parametrize("attack", ["greedy", "sweep", "entry_errors", "noise"])
def test_attacks_by_scores_are_for_every_model(attack: str, tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text(f'{CHARTED}[attacks.values]\nattack = "{attack}"\nthreat_model = "measured"\n', "utf-8")
    assert load_config(path).attacks["values"].on == ()


def test_a_study_of_one_such_model_has_an_attack_that_fits_it() -> None:
    config = load_config(None, ["model.name=boosted_trees", "model.leaves=4"])
    assert (config.attack.name, config.attack.threat_model) == ("greedy", "measured")
    with pytest.raises(ConfigError, match=r"attack uses 'proximal'.*the model 'boosted_trees' offers none"):
        load_config(None, ["model.name=boosted_trees", "attack.name=proximal"])


def test_a_robust_training_is_a_matter_of_networks() -> None:
    both = ["models.gru.hidden_size=8", "models.trees.model=boosted_trees"]
    shared = load_config(None, [*both, "robust.consistency=1"])
    assert shared.models["gru"].robust.active
    with pytest.raises(ConfigError, match=r"\[models.trees.robust\].*does not learn in epochs"):
        load_config(None, [*both, "models.trees.robust.consistency=1"])
    with pytest.raises(ConfigError, match=r"\[robust\].*does not learn in epochs"):
        load_config(None, ["model.name=boosted_trees", "robust.error_rate=0.1"])


def test_pretraining_is_a_matter_of_networks_with_recurrent_layers() -> None:
    both = ["models.gru.hidden_size=8", "models.tcn.model=tcn"]
    shared = load_config(None, [*both, "pretrain.epochs=2"])
    assert shared.models["gru"].pretrain.active
    assert load_config(None, [*both, "models.gru.pretrain.epochs=2"]).models["gru"].pretrain.epochs == 2
    with pytest.raises(ConfigError, match=r"\[models.tcn.pretrain\].*'tcn' has no recurrent layers"):
        load_config(None, [*both, "models.tcn.pretrain.epochs=2"])
    for model in ("boosted_trees", "summary", "transformer"):
        with pytest.raises(ConfigError, match=rf"\[pretrain\].*'{model}' has no recurrent layers"):
            load_config(None, [f"model.name={model}", "pretrain.epochs=2"])
    with pytest.raises(ConfigError, match="nothing is hidden"):
        load_config(None, ["pretrain.epochs=2", *(f"pretrain.{kind}_share=0" for kind in ("value", "run", "variable"))])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (['attack.variables=["lactat"]'], "attack.variables"),
        (['attacks.one.attack="sweep"', 'attacks.one.variables=["lactat"]'], "attacks.one.variables"),
        (['certify.variables=["lactat"]'], "certify.variables"),
        (['variables.use=["lactate"]', 'attack.variables=["ph"]'], "attack.variables"),
    ],
)
def test_only_variables_of_the_study_may_be_said_to_change(settings: list[str], key: str) -> None:
    """With an unknown one nothing may change: no prediction would flip, and all would be proven."""
    with pytest.raises(ConfigError, match=rf"{key} names '(lactat|ph)', which is no variable of this study.*lactate"):
        load_config(settings=settings)


def test_own_variables_and_all_variables_may_be_said_to_change() -> None:
    own = ['variables.crp={unit="mg/L", range=[0, 500], items={mimic4=[50889]}}', 'attack.variables=["crp"]']
    assert load_config(settings=own).attacks["main"].attack.variables == ("crp",)
    load_config(settings=['variables.use=["all"]', 'attack.variables=["gcs"]'])
