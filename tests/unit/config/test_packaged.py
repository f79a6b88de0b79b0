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
    file.write_text("[training]\nmax_epoch = 3\n")
    assert CliRunner().invoke(app, ["config", "check", str(file)]).exit_code != 0


@pytest.mark.parametrize("source", ["synthetic", "mimic3", "mimic4", "eicu", "physionet2012"])
def test_the_default_study_is_for_any_source(source: str) -> None:
    config = load_config(packaged_study(DEFAULT), [f"source.name={source}"])
    assert [data.source.name for data in config.data.values()] == [source]


def test_the_studies_are_listed_with_what_they_are() -> None:
    lines = CliRunner().invoke(app, ["config", "studies"]).output.splitlines()
    assert {line.split()[0] for line in lines} == set(packaged())
    assert all(len(line.split()) > 3 for line in lines)
