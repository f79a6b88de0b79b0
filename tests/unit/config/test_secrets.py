"""A password that a connection holds is shown nowhere: not in options, messages, or the list of processes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from icudl.cli import main
from icudl.config.document import options_by_table
from icudl.config.load import load_config
from icudl.errors import ConfigError, SourceError
from icudl.options import holds_password, masked

SECRET = "s3cr3t"
CONNECTIONS = (
    f"postgresql://user:{SECRET}@host:5432/mimic",
    f"postgresql://user:a/{SECRET}@host/mimic",
    f"postgresql://user:a@{SECRET}@host/mimic",
    f"postgresql://user:a {SECRET}@host/mimic",
    f"postgresql://user:%40{SECRET}@host/mimic",
    f"postgresql://user:{SECRET}@one:1,two:2/mimic",
    f"postgres://host/mimic?user=user&password={SECRET}&sslmode=require",
    f"postgresql://host/mimic?sslpassword={SECRET}",
    f"postgresql+psycopg://user:{SECRET}@host/mimic",
    f"host=host user=user password={SECRET} dbname=mimic",
    f"host=host PASSWORD = {SECRET}",
    f"host=host password='a {SECRET}' dbname=mimic",
    rf"host=host password='a\' {SECRET}' dbname=mimic",
    rf"host=host password=a\ {SECRET} dbname=mimic",
    f"host=host password=a&{SECRET} dbname=mimic",
)


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_a_password_is_masked(connection: str) -> None:
    assert SECRET not in masked(connection)
    assert "host" in masked(connection) or "one" in masked(connection)
    assert holds_password(connection)
    assert masked(masked(connection)) == masked(connection)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user@host:5432/mimic", "postgresql:///mimic", "host=/run/socket dbname=mimic", "attack.kappa=0.5",
        "", "postgresql://user:@host/mimic", "https://physionet.org/content/mimiciii/1.4/", "passfile=/home/me/.pgpass",
    ],
)  # fmt: skip
def test_what_holds_no_password_is_left_alone(text: str) -> None:
    assert not holds_password(text)


@pytest.mark.parametrize("key", ["source.url", "tune_model.storage", "tune_attack.storage"])
@pytest.mark.parametrize("connection", CONNECTIONS[:6])
def test_options_show_none(key: str, connection: str, tmp_path: Path) -> None:
    table, _, name = key.partition(".")
    file = tmp_path / "study.toml"
    plugin = 'name = "mimic3_postgres"\n' if table == "source" else ""
    file.write_text(f"[{table}]\n{plugin}{name} = {json.dumps(connection)}\n", "utf-8")
    config = load_config(file)
    assert getattr(getattr(config, table), name) == connection
    assert SECRET not in repr(config)
    assert SECRET not in json.dumps(config.to_dict())


@pytest.mark.parametrize(
    "text",
    [
        "[source]\nurl = [{0}]\n", "[source]\nurl = {{ a = {0} }}\n", "[source]\npatients = {0}\n", "source = {0}\n",
        "[source]\nurls = {0}\n", "[source]\nitems = {{ potassium = {0} }}\n", "[{0}]\n",
    ],
)  # fmt: skip
def test_messages_about_the_file_show_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.toml"
    file.write_text(text.format(json.dumps(CONNECTIONS[0])), "utf-8")
    assert main(["config", "check", "--config", str(file)]) in {0, 2}
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize("words", [("config", "show"), ("config", "show", "--json"), ("config", "check")])
def test_commands_that_show_the_configuration(words: tuple[str, ...], tmp_path, capsys) -> None:
    file = tmp_path / "study.toml"
    source = f'[source]\nname = "mimic3_postgres"\nurl = "{CONNECTIONS[0]}"\n'
    file.write_text(f'{source}[tune_model]\nstorage = "{CONNECTIONS[9]}"\n', "utf-8")
    assert main([*words, "--config", str(file)]) == 0
    assert SECRET not in "".join(capsys.readouterr())


def test_a_traceback_shows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """``--debug`` prints the error itself and those before it; the exit code stays what it is."""
    monkeypatch.setenv("PGPASSWORD", SECRET + "-too")
    file = tmp_path / "study.toml"
    url = f"postgresql://user:{SECRET}@127.0.0.1:1/mimic"
    file.write_text(f'[source]\nname = "mimic3_postgres"\nurl = "{url}"\n', "utf-8")
    code = main(["extract", "--debug", "--config", str(file), "--store", str(tmp_path / "runs")])
    printed = capsys.readouterr().err
    assert code == SourceError.exit_code
    assert "Traceback" in printed
    assert SECRET not in printed


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--set", f"source.url={CONNECTIONS[0]}"),
        ("config", "show", "--set", f"source.url={CONNECTIONS[9]}"),
        ("db", "load", "nowhere", CONNECTIONS[0]),
        ("tune", "model", "--storage", CONNECTIONS[0]),
    ],
)
def test_a_password_among_the_words_of_a_command_is_refused(words: tuple[str, ...], capsys) -> None:
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert SECRET not in errors
    assert "list of processes" in errors


def test_a_document_is_private_since_it_may_hold_one(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    assert main(["config", "init", str(file)]) == 0
    assert file.stat().st_mode & 0o077 == 0


def test_every_option_that_could_hold_a_connection_is_secret() -> None:
    fields = [
        (table, field)
        for table, plugins in options_by_table().items()
        for options in plugins.values()
        for field in dataclasses.fields(options)
    ]
    named = {(table, field.name) for table, field in fields if field.name in {"url", "storage"}}
    assert named == {("source", "url"), ("tune_model", "storage"), ("tune_attack", "storage")}
    assert all(field.metadata["secret"] for _, field in fields if field.name in {"url", "storage"})


def test_a_setting_that_cannot_be_read_shows_none() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [CONNECTIONS[0]])
    assert SECRET not in str(caught.value)
