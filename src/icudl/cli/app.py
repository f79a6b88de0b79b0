"""The commands."""

from __future__ import annotations

import click

from icudl import __version__
from icudl.cli.configuring import config_group
from icudl.cli.data import database_group, synth
from icudl.cli.inspecting import clean, diff, doctor, plugins, show, status, verify
from icudl.cli.results import evaluate, figures, predict, trials
from icudl.cli.running import STAGE_COMMANDS, demo, run
from icudl.cli.tuning import train, tune_group


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="icudl")
def app() -> None:
    """Predict death in the ICU with LSTMs, and find how little must change before a prediction flips.

    Start with `icudl demo`. Every command takes --help; results go to standard output, everything else to standard
    error.
    """


for _command in (
    *(demo, run, *STAGE_COMMANDS, tune_group, train),
    *(status, show, diff, verify, trials, predict, evaluate, figures),
    *(synth, database_group, config_group, plugins, doctor, clean),
):
    app.add_command(_command)
