"""The root command with its sections, and the welcome that ``icudl`` alone prints."""

from __future__ import annotations

import click

from icudl import __version__
from icudl.cli.commands.data import database_group, synth
from icudl.cli.commands.doctor import doctor
from icudl.cli.commands.locating import locate
from icudl.cli.commands.results.carding import card
from icudl.cli.commands.results.comparing import compare, diff
from icudl.cli.commands.results.exporting import export
from icudl.cli.commands.results.inspecting import list_results, show, status, verify
from icudl.cli.commands.results.keeping import clean, plugins
from icudl.cli.commands.results.showing import figures, open_report, trials
from icudl.cli.commands.results.tabling import table
from icudl.cli.commands.studies.auditing import audit
from icudl.cli.commands.studies.configuring import config_group
from icudl.cli.commands.studies.running import STAGE_COMMANDS, demo, run
from icudl.cli.commands.studies.scoring import evaluate, predict
from icudl.cli.commands.studies.tuning import train, tune_group
from icudl.cli.completion import completion

WELCOME = """ICU Deep Learning {version}

  icudl demo --quick                a report on a synthetic hospital, in seconds
  icudl doctor                      check the installation; says how to fix what is missing
  icudl locate /data                which databases lie there, and the configuration that reads them
  icudl config init study.toml      a configuration in which every key is explained
  icudl run --config study.toml     run everything up to the report; finished results are reused
  icudl status --config study.toml  show what is up to date, and why the rest is not

`icudl --help` lists all commands, `icudl COMMAND --help` explains one, with examples.
"""

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Everything": (demo, run),
    "Stages, in order": (*STAGE_COMMANDS[:2], tune_group, train, *STAGE_COMMANDS[2:]),
    "Look": (open_report, list_results, status, show, compare, diff, verify),
    "Use results": (trials, predict, evaluate, card, table, figures, export),
    "Your own model": (audit,),
    "Data": (locate, synth, database_group),
    "Installation and study": (config_group, doctor, plugins, clean, completion),
}
"""The commands by section of the help."""


class _Sections(click.Group):
    """A group whose help lists its commands by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write one table for each section."""
        widest = max(map(len, self.commands))
        limit = formatter.width - widest - 6
        for title, commands in SECTIONS.items():
            rows = [
                (f"{command.name or '':{widest}}", command.get_short_help_str(limit))
                for command in commands
                if not command.hidden
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=_Sections,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="icudl")
@click.pass_context
def app(context: click.Context) -> None:
    """Predict death in the ICU, and find how little must change before a prediction flips.

    Start with `icudl demo --quick`. Every command takes --help; results go to standard output, everything else to
    standard error.
    """
    if context.invoked_subcommand is None:
        click.echo(WELCOME.format(version=__version__), nl=False)


for _commands in SECTIONS.values():
    for _command in _commands:
        app.add_command(_command)
