"""Commands that look: status, show, diff, verify, plugins, clean."""

from __future__ import annotations

from typing import Any

import click

from icudl.cli.session import Session, examples, shared_options


@click.command(epilog=examples("icudl status --config study.toml", "icudl status --json"))
@shared_options
def status(session: Session) -> None:
    """Show what is up to date, and why the rest is not."""
    pipeline = session.pipeline()
    steps = pipeline.plan()
    planned = {(step.node.name, step.id) for step in steps}
    others = [
        manifest.reference for manifest in pipeline.store.manifests() if (manifest.node, manifest.id) not in planned
    ]
    lines = [f"{'✓' if step.done else '·'} {step.reference:26} {step.reason}".rstrip() for step in steps]
    if others:
        lines.append(f"Also in the store: {', '.join(others)}")
    data = {
        "steps": [{"reference": step.reference, "done": step.done, "reason": step.reason} for step in steps],
        "others": others,
    }
    session.emit("\n".join(lines), data)


@click.command(epilog=examples("icudl show train/3f1c", "icudl show report/9a --lineage"))
@click.argument("reference")
@click.option("--lineage", is_flag=True, help="Show what it was made from, down to the source.")
@shared_options
def show(session: Session, reference: str, lineage: bool) -> None:
    """Show the manifest of a result, or what it was made from.

    REFERENCE is NODE/ID, or the beginning of an id.
    """
    from icudl.store.base import dump

    store = session.store()
    manifest = store.manifest(*store.resolve(reference))
    if not lineage:
        click.echo(dump(manifest))
        return
    lines: list[str] = []
    data: list[dict[str, Any]] = []

    def walk(node: str, artifact_id: str, depth: int) -> None:
        item = store.manifest(node, artifact_id)
        seconds = item.environment["duration_seconds"]
        mark = " restricted" if item.restricted else ""
        lines.append(f"{'  ' * depth}{item.reference}  {item.identity.plugin}  {seconds:.1f} s{mark}".rstrip())
        data.append({"reference": item.reference, "depth": depth, "upstream": dict(item.identity.upstream)})
        for name, upstream in item.identity.upstream.items():
            walk(name, upstream, depth + 1)

    walk(manifest.node, manifest.id, 0)
    session.emit("\n".join(lines), data)


@click.command(epilog=examples("icudl diff train/3f1c train/a07b"))
@click.argument("first")
@click.argument("second")
@shared_options
def diff(session: Session, first: str, second: str) -> None:
    """Show what differs between two results of one stage.

    Options, inputs, versions and contents, and those of everything they were made from.
    """
    from icudl.errors import StoreError
    from icudl.pipeline.provenance import differing

    store = session.store()
    before, after = (store.manifest(*store.resolve(reference)) for reference in (first, second))
    if before.node != after.node:
        raise StoreError(f"{before.reference} and {after.reference} are of different nodes. Compare two of one node.")
    lines: list[str] = []

    def compare(node: str, old: str, new: str) -> None:
        one, other = store.manifest(node, old), store.manifest(node, new)
        differences = [line for line in differing(one.identity, other.identity) if not line.endswith(" is new")]
        lines.extend(f"{node}: {line}" for line in differences)
        for name in sorted(one.identity.upstream.keys() & other.identity.upstream.keys()):
            if one.identity.upstream[name] != other.identity.upstream[name]:
                compare(name, one.identity.upstream[name], other.identity.upstream[name])
        lines.extend(
            f"{node}: {name} in one of the two only"
            for name in sorted(one.identity.upstream.keys() ^ other.identity.upstream.keys())
        )

    compare(before.node, before.id, after.id)
    unique = list(dict.fromkeys(lines))
    unique.append("The contents are " + ("identical." if before.content == after.content else "different."))
    session.emit("\n".join(unique), unique)


@click.command(epilog=examples("icudl verify", "icudl verify report/9a --lineage --rerun"))
@click.argument("reference", required=False)
@click.option("--rerun", is_flag=True, help="Compute it again and compare every byte.")
@click.option("--lineage", is_flag=True, help="Everything it was made from as well.")
@shared_options
def verify(session: Session, reference: str | None, rerun: bool, lineage: bool) -> None:
    """Compare files with their hashes, or recompute them.

    Those of REFERENCE, or of everything in the store.
    """
    from icudl.errors import StageError, StoreError

    pipeline = session.pipeline()
    store = pipeline.store
    chosen = [store.resolve(reference)] if reference else store.places()
    if reference and lineage:
        chosen = _with_upstream(store, chosen[0])
    problems: list[str] = []
    for node, artifact_id in chosen:
        try:
            manifest = store.manifest(node, artifact_id)
            found = store.check(manifest) + store.check_inputs(manifest)
        except StoreError as error:
            problems.append(str(error))
            continue
        if rerun and not found:
            found = [f"{line} (recomputed)" for line in pipeline.rerun(manifest)]
        problems += [f"{manifest.reference}: {line}" for line in found]
        if not found:
            session.emit(
                f"{manifest.reference} {'recomputed, identical' if rerun else 'sound'}", {manifest.reference: True}
            )
    if problems:
        error_type = StageError if rerun and all("(recomputed)" in line for line in problems) else StoreError
        raise error_type("Verification failed. " + "; ".join(problems))


def _with_upstream(store: Any, start: tuple[str, str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def walk(node: str, artifact_id: str) -> None:
        for name, upstream in store.manifest(node, artifact_id).identity.upstream.items():
            walk(name, upstream)
        if (node, artifact_id) not in found:
            found.append((node, artifact_id))

    walk(*start)
    return found


@click.command(epilog=examples("icudl plugins", "icudl plugins --json"))
@shared_options
def plugins(session: Session) -> None:
    """List installed sources, models, attacks and executors."""
    from icudl.plugins import GROUPS, plugin_version, registered

    data = {group: {name: plugin_version(group, name) for name in registered(group)} for group in GROUPS}
    lines = [
        f"{group.rpartition('.')[2]:10} {name:16} {origin}"
        for group, names in data.items()
        for name, origin in names.items()
    ]
    session.emit("\n".join(lines), data)


@click.command(epilog=examples("icudl clean", "icudl clean --unused --config study.toml --yes"))
@click.option("--unused", is_flag=True, help="Also delete artifacts that the configured study does not use.")
@click.option("--yes", is_flag=True, help="Delete; without it only say what would be deleted.")
@shared_options
def clean(session: Session, unused: bool, yes: bool) -> None:
    """Delete what interrupted runs left behind.

    The next run then starts those stages from their beginning. Nothing is deleted without --yes.
    """
    pipeline = session.pipeline()
    store = pipeline.store
    leftovers = store.leftovers()
    manifests = []
    if unused:
        planned = {(step.node.name, step.id) for step in pipeline.plan()}
        manifests = [manifest for manifest in store.manifests() if (manifest.node, manifest.id) not in planned]
    names = leftovers + [manifest.reference for manifest in manifests]
    if yes:
        for leftover in leftovers:
            store.discard(leftover)
        for manifest in manifests:
            store.remove(manifest)
    session.emit("\n".join(names), {"deleted" if yes else "would_delete": names})
    verb = "Deleted" if yes else "Would delete"
    session.say(f"{verb} {len(names)} folders." + ("" if yes or not names else " Give --yes to do it."))
