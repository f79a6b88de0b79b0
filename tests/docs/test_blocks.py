"""The pages tell the truth as far as it can be seen without running them: commands, options, files, languages."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from fenced_blocks import DOCS, LANGUAGES, PAGES, REPOSITORY, Block, blocks, calls

from icudl.cli.app import app
from icudl.config.document import to_document
from icudl.config.load import load_config
from icudl.config.schema import TABLES
from icudl.errors import IcudlError

BLOCKS = [block for page in PAGES for block in blocks(page)]


def faults_of(block: Block) -> Iterator[str]:
    """What is wrong with a block that can be seen without running it."""
    if block.language not in LANGUAGES:
        yield f"write one of {sorted(LANGUAGES)} behind the fence"
    if block.language == "bash":
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        if done.returncode:
            yield done.stderr
    if block.language == "python":
        try:
            compile(block.text, block.name, "exec")
        except SyntaxError as error:
            yield str(error)
    if block.language == "toml":
        try:
            tables = set(tomllib.loads(block.text))
        except tomllib.TOMLDecodeError as error:
            yield str(error)
        else:
            if tables & set(TABLES) and tables - set(TABLES):
                yield f"{sorted(tables - set(TABLES))} are no tables of the configuration"


def fault_of_call(words: list[str]) -> str:
    """What is wrong with a call of the command line, or ""."""
    command: click.Command = app
    context = click.Context(app)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            return f"there is no command {rest[0]!r}"
        command, rest = found, rest[1:]
    context = click.Context(command)
    try:
        values, _, _ = command.make_parser(context).parse_args(rest)
        load_config(None, [setting for setting in values.get("settings") or [] if "$" not in setting])
    except (click.UsageError, IcudlError) as error:
        return str(error)
    return ""


def test_every_block_is_of_a_known_language_and_well_formed() -> None:
    """A block that cannot be run here says why: a line <!-- not run: REASON --> before it."""
    faults = [f"{block.name}: {fault}" for block in BLOCKS for fault in faults_of(block)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("bash", "if true; then\n"), ("python", "def f(:\n"), ("toml", "a = \n"), ("toml", "[run]\n[rnu]\n"),
        ("basic", "10 GOTO 10\n"),
    ],
)  # fmt: skip
def test_a_block_that_is_wrong_is_found(language: str, text: str) -> None:
    assert list(faults_of(Block(DOCS / "x.md", 1, language, text, "", "")))


def test_a_block_that_shows_a_file_shows_all_of_it() -> None:
    shown = [block for block in BLOCKS if block.file]
    stale = [
        f"{block.name} differs from docs/{block.file}"
        for block in shown
        if block.text != (DOCS / block.file).read_text("utf-8")
    ]
    assert shown
    assert not stale, "\n".join(stale)


def test_every_call_of_the_command_line_is_legal(plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(plugins))
    found = [(block, words) for block in BLOCKS if block.language == "bash" for words in calls(block)]
    faults = [
        f"{block.name}: icudl {' '.join(words)}: {fault}" for block, words in found if (fault := fault_of_call(words))
    ]
    assert len(found) > 50
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "call", ["rnu", "config nit", "run --quite", "run --set model.nmae=lstm", "train --set model.name=lsmt"]
)
def test_a_call_that_is_wrong_is_found(call: str) -> None:
    assert fault_of_call(call.split())


def test_calls_are_found() -> None:
    text = "REPORT=$(icudl run --quiet)\nicudl config show \\\n  --json | grep x\ncat > f <<END\nicudl no\nEND\n"
    block = Block(DOCS / "x.md", 1, "bash", text, "", "")
    assert list(calls(block)) == [["run", "--quiet"], ["config", "show", "--json"]]


def test_the_commented_configuration_is_what_config_init_writes() -> None:
    assert (REPOSITORY / "config.toml").read_text("utf-8") == to_document(load_config()), (
        "config.toml is stale: rm config.toml && icudl config init config.toml"
    )
