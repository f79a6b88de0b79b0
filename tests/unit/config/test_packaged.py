"""Studies that come with the package, and the commands that name them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from icudl.cli.app import app
from icudl.config.load import load_config
from icudl.config.packaged import DEFAULT, packaged, packaged_study
from icudl.errors import ConfigError


def test_every_study_of_the_repository_is_packaged() -> None:
    folder = Path(__file__).parents[3] / "configs"
    assert {name: path.name for name, path in packaged().items()} == {
        path.stem: path.name for path in folder.glob("*.toml")
    }


def test_an_unknown_study_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"No study 'defualt' .*'default'"):
        packaged_study("defualt")


def test_a_file_that_begins_with_a_study_is_that_study(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    done = CliRunner().invoke(app, ["config", "init", str(file), "--from", DEFAULT])
    assert done.exit_code == 0, done.output
    assert load_config(file).to_dict() == load_config(packaged_study(DEFAULT)).to_dict()


def test_a_file_is_checked_as_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("[training]\nmax_epochs = 3\n")
    done = CliRunner().invoke(app, ["config", "check", str(file)])
    assert (done.exit_code, done.output.strip()) == (0, "The configuration is valid.")
    file.write_text("[training]\nmax_epochs = 3\n[model]\nname = 'boosted_trees'\n")
    noted = CliRunner().invoke(app, ["config", "check", str(file)])
    assert noted.exit_code == 0
    assert "training.max_epochs does nothing here" in noted.output
    file.write_text("[training]\nmax_epoch = 3\n")
    assert CliRunner().invoke(app, ["config", "check", str(file)]).exit_code != 0


@pytest.mark.parametrize("source", ["synthetic", "mimic3", "mimic4", "eicu", "physionet2012"])
def test_the_default_study_is_for_any_source(source: str) -> None:
    config = load_config(packaged_study(DEFAULT), [f"source.name={source}"])
    assert [data.source.name for data in config.data.values()] == [source]


@pytest.mark.parametrize("text", ['[source]\nname = "eicu"\n', '[data.main]\nsource = "eicu"\n'])
def test_a_configuration_that_names_only_its_data_is_the_default_study_on_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(text)
    expected = load_config(packaged_study(DEFAULT), ["source.name=eicu"])
    assert load_config(file) == expected
    assert load_config(settings=["source.name=eicu"]) == expected
    assert {attack.attack.threat_model for attack in expected.attacks.values()} == {"measured"}
    assert load_config(file).is_by_default
    assert not expected.is_by_default


def test_what_a_configuration_says_of_other_tables_stands_in_the_default_study(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('[source]\nname = "eicu"\n[training]\nmax_epochs = 3\n')
    config = load_config(file, ["split.folds=4"])
    assert [model.training.max_epochs for model in config.models.values()] == [3, 3]
    assert config.split.folds == 4
    assert list(config.models) == list(load_config(packaged_study(DEFAULT)).models)


@pytest.mark.parametrize(
    "settings",
    [
        (),  # no data are named: the options as the reference has them
        ("source.patients=40",),
        ("source.name=eicu", "model.hidden_size=8"),
        ("source.name=eicu", "attack.kappa=0.5"),
        ("source.name=eicu", "tune_model.trials=3"),
    ],
)
def test_a_configuration_that_says_how_is_left_as_it_is(settings: tuple[str, ...]) -> None:
    config = load_config(settings=settings)
    assert not config.is_by_default
    assert [*config.models, *config.attacks] == ["main", "main"]


def test_the_studies_are_listed_with_what_they_are() -> None:
    lines = CliRunner().invoke(app, ["config", "studies"]).output.splitlines()
    assert {line.split()[0] for line in lines} == set(packaged())
    assert all(len(line.split()) > 3 for line in lines)
