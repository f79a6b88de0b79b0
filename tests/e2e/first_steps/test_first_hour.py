"""What somebody meets in the first hour: where to start, help, the doctor, completion, the first file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_line import icudl

from icudl.cli.app import app

START = [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())"]


def commands(group: click.Group = app, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name)


def command_of(words: tuple[str, ...]) -> click.Command:
    command: click.Command = app
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


def test_without_a_command_it_says_where_to_start() -> None:
    done = icudl()
    assert "icudl demo --quick" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    assert done.stderr == ""


@pytest.mark.parametrize("group", ["config", "db", "tune"])
def test_a_group_without_a_command_lists_its_commands(group: str) -> None:
    done = icudl(group)
    listed = command_of((group,))
    assert isinstance(listed, click.Group)
    assert "..." not in done.stdout.partition("Options:")[2], "a summary is cut off: begin it with a shorter sentence"
    assert all(f"  {name} " in done.stdout for name in listed.commands)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_explains_itself_with_examples_that_are_legal(words: tuple[str, ...]) -> None:
    command = command_of(words)
    assert command.help, "no help text"
    calls = [line.split() for line in (command.epilog or "").splitlines() if line.strip().startswith("icudl ")]
    assert calls, "no example"
    for call in calls:
        assert tuple(call[1 : 1 + len(words)]) == words
        rest = call[1 + len(words) :]
        rest = rest[: next((index for index, word in enumerate(rest) if word in {">", "|", "#"}), len(rest))]
        context = click.Context(command, resilient_parsing=True)
        _, remaining, _ = command.make_parser(context).parse_args(rest)
        assert not remaining


def test_the_list_of_commands_is_whole_and_fits_a_terminal() -> None:
    done = subprocess.run(
        [*START, "--help"], env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True, check=True
    )
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line[2:3].isalpha()]
    assert set(app.commands) <= set(listed)
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "..." not in done.stdout.partition("Options:")[2], "a summary is cut off: begin it with a shorter sentence"


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    code = (
        "import sys\nfrom icudl.cli import main\nmain(['--help'])\nmain(['run', '--help'])\n"
        "print([name for name in ('torch', 'sklearn', 'optuna', 'polars', 'matplotlib', 'numpy', 'psycopg') "
        "if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_missing_argument_and_a_wrong_command_say_where_help_is() -> None:
    assert "`icudl show --help`" in icudl("show", check=False).stderr
    assert "`icudl config --help`" in icudl("config", "nit", check=False).stderr


def findings(*words: str | Path, code: int, afresh: bool = False) -> dict[str, dict[str, str]]:
    """What the doctor finds; ``afresh`` in an interpreter that has imported nothing."""
    if afresh:
        command = [*START, "doctor", "--json", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    else:
        done = icudl("doctor", "--json", *words, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_the_doctor_finds_nothing_wrong_here(tmp_path: Path) -> None:
    found = findings("--store", tmp_path / "runs", code=0)
    assert {"Python", "torch", "device", "memory", "disk", "store", "configuration", "source", "plug-ins"} <= set(found)
    assert all(finding["state"] != "broken" for finding in found.values())
    assert not (tmp_path / "runs").exists()


def test_the_doctor_finds_all_that_is_broken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "file").touch()
    info = tmp_path / "ill-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ill\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[icudl.models]\nill = ill:Model\n", "utf-8")
    (tmp_path / "ill.py").write_text("raise RuntimeError('out of order')\n", "utf-8")
    found = findings(
        "--store", tmp_path / "file" / "runs", "--device", "cuda:99", "--set", "source.name=mimic3",
        "--set", f"source.path={tmp_path}/nowhere", code=1,
    )  # fmt: skip
    broken = {subject for subject, finding in found.items() if finding["state"] == "broken"}
    assert broken == {"store", "device", "source", "model ill"}
    assert all(found[subject]["advice"] for subject in broken)
    assert "nowhere" in found["source"]["found"]
    assert "out of order" in found["model ill"]["found"]
    assert "ill 1.0" in found["model ill"]["advice"]


def test_the_doctor_goes_on_after_a_broken_configuration(tmp_path: Path) -> None:
    found = findings("--set", "attack.kapa=1", "--store", tmp_path, code=1)
    assert found["configuration"]["state"] == "broken"
    assert "kappa" in found["configuration"]["found"] + found["configuration"]["advice"]
    assert found["plug-ins"]["state"] == "ok"


@pytest.mark.slow  # two interpreters, of which the first imports every library
def test_the_doctor_and_the_others_say_which_library_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "polars.py").write_text("raise ImportError('libpolars.so: cannot open shared object file')\n", "utf-8")
    found = findings("--store", tmp_path / "runs", code=1, afresh=True)
    assert found["polars"]["state"] == "broken"
    assert "libpolars.so" in found["polars"]["found"]
    assert "pip install" in found["polars"]["advice"]
    done = subprocess.run([*START, "status"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "`icudl doctor`" in done.stderr
    assert "Traceback" not in done.stderr


def test_sources_that_read_files_tell_what_they_found(tmp_path: Path) -> None:
    from icudl.plugins import load_plugin, options_of
    from icudl.sources.synthetic.source import write_hospital
    from source_cases import physionet_folder

    write_hospital(tmp_path / "hospital", patients=20, seed=1)
    (tmp_path / "challenge").mkdir()
    physionet_folder(tmp_path / "challenge")
    for name, folder, expected in (("mimic3", "hospital", "tables"), ("physionet2012", "challenge", "sets a in")):
        options = options_of("icudl.sources", name)(path=str(tmp_path / folder))
        assert expected in load_plugin("icudl.sources", name)(options, 1).reach()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str) -> None:
    assert "icudl" in icudl("completion", shell).stdout


def test_completion_completes() -> None:
    environment = os.environ | {"_ICUDL_COMPLETE": "bash_complete", "COMP_WORDS": "icudl pre", "COMP_CWORD": "1"}
    done = subprocess.run(START, env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == {"plain,predict", "plain,preprocess"}


def test_bash_loads_the_completion(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(icudl("completion", "bash").stdout, "utf-8")
    done = subprocess.run(
        ["bash", "-c", f"source {script}; complete -p icudl"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "icudl" in done.stdout
