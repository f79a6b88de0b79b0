"""Commands that look at results: list, status, show, verify."""

from __future__ import annotations

from typing import Any

import click

from icudl.cli.session import Session, examples, shared_options


@click.command("list", epilog=examples("icudl list", "icudl list --stage train", "icudl list --json"))
@click.option("--stage", default="", help="Only results of this stage, such as train or attack.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=40, show_default=True, help="Most results to list; 0 lists all."
)
@shared_options
def list_results(session: Session, stage: str, limit: int) -> None:
    """List results, the newest first.

    A line tells name, id, date, key options, headline score and size.

    Wherever a command asks for a result, give its name, its id, the unique beginning of its id, `latest` or
    `STAGE/latest`. The name of a model means its training. Where several results have one name, the name means the
    newest.
    """
    from icudl.cli.listing import listing, listing_table
    from icudl.errors import ConfigError, suggestion
    from icudl.pipeline.references import newest_first
    from icudl.pipeline.stages import STAGES

    if stage and stage not in STAGES:
        raise ConfigError(f"Unknown stage {stage!r}.{suggestion(stage, STAGES)} Stages: {', '.join(STAGES)}.")
    manifests = newest_first(session.store().manifests(stage or None))
    # A result of the study at hand goes by the name that the study gives it, whatever it was made as.
    names = {step.reference: step.name for step in session.plan()}
    rows = [listing(manifest, names.get(manifest.reference, manifest.name)) for manifest in manifests[: limit or None]]
    if not rows:
        session.emit("The store holds no results yet. `icudl demo --quick` makes some.", [])
        return
    session.emit(session.drawn(listing_table(rows, session.width)), [row.to_dict() for row in rows])
    if len(manifests) > len(rows):
        session.say(f"{len(manifests) - len(rows)} more; --limit 0 lists all.")


@click.command(epilog=examples("icudl status --config study.toml", "icudl status --json"))
@shared_options
def status(session: Session) -> None:
    """Show what is up to date, and why the rest is not."""
    pipeline = session.pipeline()
    steps = pipeline.plan()
    planned = {(step.node.key.stage, step.id) for step in steps}
    others = [manifest for manifest in pipeline.store.manifests() if (manifest.node, manifest.id) not in planned]
    widest = max(len(step.name) for step in steps)
    lines = [f"{'✓' if step.done else '·'} {step.name:{widest}}  {step.id}  {step.reason}".rstrip() for step in steps]
    if others:
        results = "result" if len(others) == 1 else "results"
        lines.append(f"The store has {len(others)} {results} beside this study; `icudl list` shows them.")
    data = {
        "steps": [
            {"name": step.name, "reference": step.reference, "done": step.done, "reason": step.reason} for step in steps
        ],
        "others": [manifest.reference for manifest in others],
    }
    session.emit("\n".join(lines), data)


@click.command(epilog=examples("icudl show train/lstm", "icudl show latest --lineage", "icudl show train/3f1c --json"))
@click.argument("reference")
@click.option("--lineage", is_flag=True, help="Show everything the result was made from, down to the source.")
@shared_options
def show(session: Session, reference: str, lineage: bool) -> None:
    """Show one result.

    What it is, its scores or counts, the options it was made with, and what it was made from.

    REFERENCE is a name, an id, the unique beginning of an id, `latest` or `STAGE/latest`. Options that a search chose
    are shown as they were used. With --json the manifest is printed.
    """
    from icudl.cli.answer import answer_blocks
    from icudl.cli.listing import details
    from icudl.cli.summaries import summary

    store = session.store()
    manifest = session.find(reference)
    if lineage:
        lines, data = _lineage(store, manifest)
        session.emit("\n".join(lines), data)
        return
    tables = [] if session.as_json else [*details(manifest, store), *summary(store, manifest)]
    told = answer_blocks(store, manifest) if manifest.node == "report" and not session.as_json else []
    shown = [*(["\n".join(session.drawn(block) for block in told)] if told else []), *map(session.drawn, tables)]
    session.emit("\n\n".join(shown), manifest.to_json())


def _lineage(store: Any, manifest: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Return what a result was made from: each result once, below the first that reads it."""
    lines: list[str] = []
    data: list[dict[str, Any]] = []
    met: set[str] = set()

    def walk(node: str, artifact_id: str, depth: int) -> None:
        item = store.manifest(node, artifact_id)
        again = item.reference in met
        met.add(item.reference)
        seconds = "" if again else f"  {item.environment['duration_seconds']:.1f} s"
        mark = "  restricted" if item.restricted else ""
        plugin = f"  {item.identity.plugin}" if item.identity.plugin and not again else ""
        lines.append(f"{'  ' * depth}{item.name}  {item.id}{plugin}{seconds}{mark}{'  (above)' if again else ''}")
        upstream = {name: entry.reference for name, entry in item.identity.upstream.items()}
        data.append({"name": item.name, "reference": item.reference, "depth": depth, "upstream": upstream})
        if not again:
            for entry in item.identity.upstream.values():
                walk(entry.node, entry.id, depth + 1)

    walk(manifest.node, manifest.id, 0)
    return lines, data


@click.command(epilog=examples("icudl verify", "icudl verify report/9a --lineage --rerun"))
@click.argument("reference", required=False)
@click.option("--rerun", is_flag=True, help="Compute the result again and compare every byte.")
@click.option("--lineage", is_flag=True, help="Also verify everything the result was made from.")
@click.option(
    "--pieces",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="Intervals of each proof, and witnesses, that a second program checks.",
)
@shared_options
def verify(session: Session, reference: str | None, rerun: bool, lineage: bool, pieces: int) -> None:
    """Compare files with their hashes, or recompute them.

    Without REFERENCE, the command verifies every result in the store. Of a proof (certify) a second program, which
    knows nothing of the search, bounds some intervals again.
    """
    from icudl.errors import StageError, StoreError
    from icudl.pipeline.checks import check_proofs

    pipeline = session.pipeline()
    store = pipeline.store
    chosen = store.places()
    if reference:
        named = session.find(reference)
        chosen = [(named.node, named.id)]
    if reference and lineage:
        chosen = _with_upstream(store, chosen[0])
    problems: list[str] = []
    sound: dict[str, bool] = {}
    for node, artifact_id in chosen:
        try:
            manifest = store.manifest(node, artifact_id)
            found = store.check(manifest) + store.check_inputs(manifest)
        except StoreError as error:
            problems.append(str(error))
            continue
        checked = ""
        if node == "certify" and pieces and not found:
            try:
                found = check_proofs(store, manifest, pieces, session.progress())
                checked = f"; {pieces} of its intervals hold for the second program"
            except StoreError as error:
                checked = f"; its intervals are not checked, for an input is missing ({error})"
        if rerun and not found:
            found = [f"{line} (recomputed)" for line in pipeline.rerun(manifest)]
        problems += [f"{manifest.reference}: {line}" for line in found]
        if not found:
            verdict = "recomputed, identical" if rerun else "sound"
            sound[manifest.reference] = True
            if not session.as_json:
                click.echo(f"{manifest.reference} ({manifest.name}) {verdict}{checked}")
    if session.as_json and not problems:
        session.emit("", sound)
    if problems:
        error_type = StageError if rerun and all("(recomputed)" in line for line in problems) else StoreError
        raise error_type("Verification failed. " + "; ".join(problems))


def _with_upstream(store: Any, start: tuple[str, str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def walk(node: str, artifact_id: str) -> None:
        for entry in store.manifest(node, artifact_id).identity.upstream.values():
            walk(entry.node, entry.id)
        if (node, artifact_id) not in found:
            found.append((node, artifact_id))

    walk(*start)
    return found
