"""The pages tell the truth as far as it can be seen without running them: commands, options, files, languages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from icudl.cli.app import app
from icudl.config.document import to_document
from icudl.config.load import load_config
from icudl.config.schema import TABLES
from icudl.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "docs"))

from fenced_blocks import DOCS, LANGUAGES, PAGES, Block, blocks, calls

BLOCKS = [block for page in PAGES for block in blocks(page)]
CALLS = [(block, words) for block in BLOCKS if block.language == "bash" for words in calls(block)]


def label(value: object) -> str:
    return value.name if isinstance(value, Block) else " ".join(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", BLOCKS, ids=label)
def test_a_block_is_of_a_known_language_and_well_formed(block: Block) -> None:
    """A block that cannot be run here says why: a line <!-- not run: REASON --> before it."""
    assert block.language in LANGUAGES, f"{block.name}: write one of {sorted(LANGUAGES)} behind the fence"
    if block.language == "bash":
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{block.name}: {done.stderr}"
    if block.language == "python":
        compile(block.text, block.name, "exec")
    if block.language == "toml":
        tables = tomllib.loads(block.text)
        if set(tables) & set(TABLES):
            unknown = set(tables) - set(TABLES)
            assert not unknown, f"{block.name}: {unknown} are no tables of the configuration"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.file], ids=label)
def test_a_block_that_shows_a_file_shows_all_of_it(block: Block) -> None:
    assert block.text == (DOCS / block.file).read_text("utf-8"), f"{block.name} differs from docs/{block.file}"


@pytest.mark.parametrize(("block", "words"), CALLS, ids=label)
def test_a_call_of_the_command_line_is_legal(block: Block, words: list[str]) -> None:
    command: click.Command = app
    context = click.Context(app)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, f"{block.name}: there is no command {rest[0]!r}"
        command, rest = found, rest[1:]
    context = click.Context(command, resilient_parsing=True)
    values, _, _ = command.make_parser(context).parse_args(rest)
    settings = [setting for setting in values.get("settings") or [] if "$" not in setting]
    try:
        load_config(None, settings)
    except ConfigError as error:
        pytest.fail(f"{block.name}: {error}")


def test_calls_are_found() -> None:
    text = "REPORT=$(icudl run --quiet)\nicudl config show \\\n  --json | grep x\ncat > f <<END\nicudl no\nEND\n"
    block = Block(DOCS / "x.md", 1, "bash", text, "", "")
    assert list(calls(block)) == [["run", "--quiet"], ["config", "show", "--json"]]


def test_the_commented_configuration_is_what_config_init_writes() -> None:
    assert (REPOSITORY / "config.toml").read_text("utf-8") == to_document(load_config()), (
        "config.toml is stale: rm config.toml && icudl config init config.toml"
    )
