"""Commands around a search: tune model, tune attack, and train, which takes the setting of a trial."""

from __future__ import annotations

import dataclasses
import json
import re

import click

from icudl.cli.commands.studies.running import bring_up_to_date
from icudl.cli.session import Session, examples, shared_options, show_commands

_TRIALS = click.option("--trials", metavar="N", help="Trials in all; +N adds N trials to the longest finished study.")
_STORAGE = click.option(
    "--storage", metavar="URL", help="PostgreSQL URL or folder that keeps the trials and is shared with other runs."
)


@click.group("tune", invoke_without_command=True)
@click.pass_context
def tune_group(context: click.Context) -> None:
    """Search hyperparameters of the model or of the attack."""
    show_commands(context)


def _tune_command(node: str, doc: str) -> click.Command:
    @_TRIALS
    @_STORAGE
    @shared_options
    def tune(session: Session, trials: str | None, storage: str | None) -> None:
        from icudl.pipeline.tuned import TABLE_OF

        table = TABLE_OF[node]
        if storage is not None:
            session = _with(session, f"{table}.storage={json.dumps(storage)}")
        configured = _configured_trials(session, table)
        asked = None if trials is None else _number_of_trials(session, node, trials)
        if asked is not None:
            session = _with_all(session, f"{table}.trials", asked)
        bring_up_to_date(session, node)
        if asked is not None and configured != {asked}:
            now = ", ".join(map(str, sorted(configured)))
            session.say(f"The configuration has {table}.trials = {now}: change it to {asked} to go on with this study.")

    verb = node.replace("-", " ")
    calls = (f"icudl {verb} --trials 40", f"icudl {verb} --trials +20 --config study.toml")
    return click.command(node.removeprefix("tune-"), help=doc, epilog=examples(*calls))(tune)


def _with_all(session: Session, key: str, value: int) -> Session:
    """Return the session with a key of a search set in every model or attack that has a search, or in all of them.

    What an entry says itself goes before what the shared table says, so that the key is set where the entry is.
    """
    config = session.config()
    family, table = ("attacks", "tune_attack") if key.startswith("tune_attack") else ("models", "tune_model")
    entries = config.attacks if family == "attacks" else config.models
    if list(entries) == ["main"]:
        return _with(session, f"{key}={value}")
    searched = [name for name, entry in entries.items() if getattr(entry, table).trials]
    for name in searched or entries:
        session = _with(session, f"{family}.{name}.{key}={value}")
    return session


def _configured_trials(session: Session, table: str) -> set[int]:
    """Return the lengths of the searches over the models, or the attacks, of the configuration."""
    config = session.config()
    if table == "tune_model":
        return {entry.tune_model.trials for entry in config.models.values()}
    return {entry.tune_attack.trials for entry in config.attacks.values()}


def _with(session: Session, setting: str) -> Session:
    return dataclasses.replace(session, settings=(*session.settings, setting))


def _number_of_trials(session: Session, node: str, text: str) -> int:
    """Read ``--trials``: a number, or +N for N more than the longest finished study has."""
    from icudl.errors import ConfigError
    from icudl.pipeline.graph import find_nodes
    from icudl.pipeline.tuned import TABLE_OF, study_length

    if not re.fullmatch(r"\+?[0-9]{1,6}", text) or int(text) == 0:
        raise ConfigError(f"--trials {text!r} cannot be read. Expected a number such as 40, or +20 for twenty more.")
    if not text.startswith("+"):
        return int(text)
    # Any search has the same identity but for its length, which is left out of account.
    pipeline = _with_all(session, f"{TABLE_OF[node]}.trials", 1).pipeline()
    lengths = [study_length(pipeline.identity_of(each), pipeline.store) for each in find_nodes(pipeline.graph, node)]
    return max(lengths) + int(text)


tune_group.add_command(_tune_command("tune-model", "Search model and training options."))
tune_group.add_command(_tune_command("tune-attack", "Search attack options."))


@click.command(
    epilog=examples(
        "icudl train --config study.toml",
        "icudl train --set source.patients=300 --set model.name=gru",
        "icudl train --trial 7 --trials 40",
    )
)
@click.option("--trial", type=int, help="Train with the setting of this trial; the best trial by default.")
@click.option("--trials", type=int, help="Length of the study that the trial is of (tune_model.trials).")
@shared_options
def train(session: Session, trial: int | None, trials: int | None) -> None:
    """Fit and score the model on every fold, with baselines."""
    for key, value in (("tune_model.trials", trials), ("tuned.trial", trial)):
        if value is not None:
            session = _with_all(session, key, value)
    bring_up_to_date(session, "train")
