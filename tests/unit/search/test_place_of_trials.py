"""Where trials are kept: a folder or a database, and no address that becomes the name of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from icudl.config.load import load_config
from icudl.errors import ConfigError, StoreError
from icudl.search.options import AttackTuningOptions, ModelTuningOptions, database_url
from icudl.search.postgres_trials import open_trials
from icudl.search.trials import FolderTrials
from icudl.store.base import open_store


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgres://me@host/db", "postgresql://me@host/db"),
        ("Postgresql://me@host/db", "postgresql://me@host/db"),
        (" POSTGRES://me@host/db\n", "postgresql://me@host/db"),
        ("postgresql+psycopg2://me:secret@host/db", "postgresql://me:secret@host/db"),
        ("postgresql+psycopg://host/db?sslmode=require", "postgresql://host/db?sslmode=require"),
        ("host=localhost dbname=trials", "host=localhost dbname=trials"),
        (" dbname = trials", "dbname = trials"),
        ("", None),
        ("trials", None),
        ("/shared/trials", None),
        ("../a b/c:d", None),
        ("C:/trials", None),
    ],
)
def test_a_database_is_known_in_every_spelling_and_a_folder_stays_one(written: str, meant: str | None) -> None:
    assert database_url(written) == meant


ADDRESSES = (
    "sqlite:///trials.db",
    "mysql://me:hush-hush@host/db",
    "mysql+pymysql://me:hush-hush@host/db",
    "redis://:hush-hush@host",
    "s3://bucket/trials",
    "postgresql:/me:hush-hush@host/db",
    "postgress://me:hush-hush@host/db",
    "me:hush-hush@host/db",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_other_addresses_are_refused_before_anything_is_made_and_without_the_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for options in (ModelTuningOptions, AttackTuningOptions):
        with pytest.raises(ConfigError, match="cannot keep trials") as told:
            options(storage=address)
        assert f"{options.table}.storage" in str(told.value)
        assert "hush" not in str(told.value)
    with pytest.raises(ConfigError, match="cannot keep trials"):
        open_trials(address, tmp_path / "ours", "study")
    with pytest.raises(ConfigError, match="cannot keep trials"):
        load_config(settings=[f"tune_model.storage={address!r}"])
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_trials(tmp_path: Path) -> None:
    opened = open_trials(str(tmp_path / "mine"), tmp_path / "ours", "study")
    assert isinstance(opened, FolderTrials)
    assert opened.folder == tmp_path / "mine" / "study"


@pytest.mark.parametrize("address", ["postgresql://me:hush-hush@host/db", "mysql:/me:hush-hush@host/db", "s3://bucket"])
def test_the_folder_of_a_source_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match=r"source\.path = .* is an address.*source\.url") as told:
        load_config(settings=["source.name=mimic3", f"source.path={address!r}"])
    assert "hush" not in str(told.value)


@pytest.mark.parametrize(
    "address", ["mysql://me:hush-hush@host/db", "postgresql://me:hush-hush@host/db", "s3:/bucket", Path("s3://bucket")]
)
def test_a_store_is_a_folder_or_a_bucket(address: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"s3://BUCKET/PREFIX") as told:
        open_store(address)
    assert "hush" not in str(told.value)
    assert not list(tmp_path.iterdir())
