"""What can be set about a source is its own, and stands beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from icudl.config.load import load_config
from icudl.errors import ConfigError
from icudl.plugins import load_plugin, options_of, registered
from icudl.sources import DataSource, SourceBase, SourceFingerprint, SourceOptions

SOURCES = sorted(registered("icudl.sources"))


@pytest.mark.parametrize("name", SOURCES)
def test_the_options_of_a_source_are_those_it_names_and_bear_its_name(name: str) -> None:
    options = options_of("icudl.sources", name)
    assert options is load_plugin("icudl.sources", name).Options
    assert options().to_dict()["name"] == name


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_made_of_its_options_and_declares_what_a_source_declares(name: str) -> None:
    source = load_plugin("icudl.sources", name)(options_of("icudl.sources", name)(), 5)
    assert isinstance(source, DataSource)
    assert source.population
    assert source.available


def test_an_option_of_one_source_is_unknown_to_another() -> None:
    assert load_config(settings=["source.patients=50"]).source.to_dict() == {
        "name": "synthetic",
        "patients": 50,
        "seed": -1,
    }
    for name, key in (("physionet2012", "patients"), ("mimic3", "url"), ("mimic3_postgres", "path")):
        with pytest.raises(ConfigError, match=rf"Unknown key source\.{key}"):
            load_config(settings=[f"source.name={name}", f"source.{key}=3"])


@pytest.mark.parametrize("name", ["mimic3", "physionet2012", "table", "eicu", "meds", "clif"])
def test_a_relative_path_starts_at_the_configuration_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(f'[source]\nname = "{name}"\npath = "tables"\n')
    assert load_config(file).source.to_dict()["path"] == str((tmp_path / "tables").resolve())


class Ward(SourceBase):
    def fingerprint(self, memory: Path) -> SourceFingerprint:
        return SourceFingerprint(digest="0" * 64, details={})

    def extract(self, variables, window, context):
        raise NotImplementedError


def test_a_source_that_says_nothing_is_restricted_and_has_the_patients_of_its_plugin() -> None:
    ward = Ward(SourceOptions(name="ward"), 1)
    assert isinstance(ward, DataSource)
    assert (ward.restricted, ward.population, ward.available, ward.citations) == (True, "ward", None, ())


def test_a_source_may_name_its_patients_itself() -> None:
    class OfTwoHospitals(Ward):
        population = "st. elsewhere"

    assert OfTwoHospitals(SourceOptions(name="ward"), 1).population == "st. elsewhere"
