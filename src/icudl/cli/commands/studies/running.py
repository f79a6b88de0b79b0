"""Commands that compute: demo, run, and one verb per stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from icudl.cli.session import DEFAULT_STORE, Session, examples, foretold, shared_options

if TYPE_CHECKING:
    from icudl.config.schema import Config
    from icudl.pipeline.plan import Listener
    from icudl.pipeline.run import Pipeline
    from icudl.store.base import Store
    from icudl.store.manifest import Manifest


DEMO = ("source.patients=1500",)
"""What the demo sets of the default study, which is for any source."""


@click.command(epilog=examples("icudl demo --quick", "icudl demo --store /tmp/demo --workers 4"))
@click.option("--quick", is_flag=True, help="A small hospital, a short training, two attacks: seconds.")
@shared_options
def demo(session: Session, quick: bool) -> None:
    """Run the default study on the embedded synthetic hospital.

    Can one wrong number in the chart flip a prediction, how few can, and what do errors do that nobody aimed? The demo
    ends with a report. It needs no data, no account and no network. The patients are simulated: the figures show how
    the tool works and say nothing about medicine. `icudl config init --from default` writes the study into a file.
    """
    from icudl.config.packaged import DEFAULT, QUICK, packaged_study

    config = session.config(packaged_study(QUICK)) if quick else session.config(packaged_study(DEFAULT), DEMO)
    bring_up_to_date(session, "report", config_override=config)
    store = "" if session.store_path == DEFAULT_STORE else f" --store {escape(session.store_path)}"
    session.say(f"Look at it: `icudl open{store}`. Ask your own data: `icudl config init study.toml --from default`.")


@click.command(
    epilog=examples(
        "icudl run --config study.toml",
        "icudl run --config study.toml --dry-run --set attack.kappa=0.5",
        "icudl run --to train --set source.name=mimic3 --set source.path=/data/mimic",
        "icudl run --config study.toml --mlflow http://127.0.0.1:5000",
    )
)
@click.option(
    "--to",
    "target",
    default="report",
    show_default=True,
    help="What to bring up to date: a stage (attack), all results of a model (attack/lstm), or one result.",
)
@click.option("--dry-run", is_flag=True, help="Only list what would be computed, and why.")
@click.option(
    "--mlflow",
    metavar="URI",
    envvar="ICUDL_MLFLOW",
    show_envvar=True,
    help="Write scores, options and the report to this MLflow server as well.",
)
@click.option("--experiment", default="icudl", show_default=True, help="Experiment of that server to write to.")
@shared_options
def run(session: Session, target: str, dry_run: bool, mlflow: str | None, experiment: str) -> None:
    """Compute the report and everything that leads to it.

    Finished results are reused. Interrupted work continues where it stopped. With --mlflow (extra `mlflow`), each
    result becomes a run of a tracking server, once; a server that does not answer is a warning, and the study is
    computed all the same.
    """
    if not dry_run:
        bring_up_to_date(session, target, listeners=_trackers(session, mlflow, experiment))
        return
    from icudl.pipeline.run import check_plugins

    pipeline = session.pipeline()
    check_plugins(pipeline.config)
    say_unread(session, pipeline.config)
    steps = pipeline.plan(target)
    told = pipeline.forecast(steps)
    data = [
        {
            "name": step.name,
            "processor_seconds": told.nodes.get(step.name),
            "reference": step.reference,
            "verb": step.node.stage.verb,
            "done": step.done,
            "reason": step.reason,
        }
        for step in steps
    ]
    widest = max(len(step.name) for step in steps)
    lines = [
        f"{'up to date' if step.done else 'to compute':11} {step.name:{widest}}  {step.id}  {step.reason}".rstrip()
        for step in steps
    ]
    session.emit("\n".join(lines), data)
    if told.nodes:
        for line in foretold(told):
            session.say(line)


def _trackers(session: Session, mlflow: str | None, experiment: str) -> tuple[Listener, ...]:
    """Return the listeners that write the run to tracking servers."""
    if not mlflow:
        return ()
    from icudl.pipeline.tracking.mlflow import MlflowListener

    study = session.config_path.stem if session.config_path is not None else ""

    def warn(text: str) -> None:
        session.say(f"[yellow]![/] {escape(text)}")

    return (MlflowListener(session.store(), mlflow, experiment, study, warn),)


def bring_up_to_date(
    session: Session, target: str, config_override: object = None, listeners: Sequence[Listener] = ()
) -> None:
    """Compute a stage and everything that leads to it, and print the results."""
    from icudl.config.schema import Config

    pipeline = session.pipeline(config_override if isinstance(config_override, Config) else None, *listeners)
    plan = pipeline.plan(target)
    if pipeline.config.is_by_default:
        session.say("Only data are configured, so this is the default study. `icudl config show` prints it.")
    say_unread(session, pipeline.config)
    if all(step.done for step in plan):
        session.say("Everything is up to date: nothing to do.")
    manifests = pipeline.update(target)
    if session.verbosity >= 0 and not session.as_json:
        from icudl.cli.summaries import study_summary

        for manifest in manifests:
            if manifest.node == "report":
                say_answer(session, pipeline.store, manifest)
        for table in study_summary(pipeline.store, manifests):
            session.errors.print(table)
    results = [session.emit_artifact(manifest) for manifest in _asked_for(pipeline, target, manifests)]
    if session.as_json:
        session.emit("", results[0] if len(results) == 1 else results)


def say_answer(session: Session, store: Store, report: Manifest) -> None:
    """Print what the first screen of a report says."""
    from icudl.cli.answer import WIDEST, answer_blocks

    blocks = answer_blocks(store, report)
    for block in ("", *blocks, "") if blocks else ():
        session.errors.print(block, width=min(session.errors.width, WIDEST))


def say_unread(session: Session, config: Config) -> None:
    """Name what is set and does nothing in this study."""
    if config.unread:
        plural = len(config.unread) > 1
        session.say(
            f"[yellow]![/] {', '.join(config.unread)} {'do' if plural else 'does'} nothing here: no model of this "
            f"study reads {'them' if plural else 'it'}."
        )


def _asked_for(pipeline: Pipeline, target: str, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the results that the target names, without those that only lead to them."""
    from icudl.pipeline.graph import find_nodes

    wanted = {node.key for node in find_nodes(pipeline.graph, target)}
    return [item for node, item in zip(pipeline.nodes(target), manifests, strict=True) if node.key in wanted]


def _stage_command(node: str, doc: str) -> click.Command:
    @shared_options
    def stage(session: Session) -> None:
        bring_up_to_date(session, node)

    # A study without a file has no external data set, which `score` is about.
    more = () if node == "score" else (f"icudl {node} --set source.patients=300",)
    if node == "probe":  # likewise
        more = ("icudl probe --set source.patients=300 --set probe.max_stays=100",)
    if node == "certify":  # proofs are made where their table is given
        more = ("icudl certify --set source.patients=300 --set certify.max_stays=20",)
    calls = (f"icudl {node} --config study.toml", *more)
    text = doc + "\n\nBrings the stage's inputs up to date first. Prints the reference of the result."
    return click.command(node, help=text, epilog=examples(*calls))(stage)


STAGE_COMMANDS = [
    _stage_command("extract", "Read, clean and bin the source's data."),
    _stage_command("preprocess", "Choose the cohort, make the hourly grid, split by patient."),
    _stage_command("score", "Score each external data set by the final models."),
    _stage_command("attack", "Search the smallest changes that flip the model's predictions."),
    _stage_command("analyse", "Measure which hours and variables the predictions depend on."),
    _stage_command("certify", "Prove which predictions no single wrong value can flip."),
    _stage_command("probe", "Derange records and enter wrong values: what follows?"),
    _stage_command("report", "Write the report: one page with all findings."),
]
