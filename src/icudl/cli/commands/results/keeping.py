"""Commands that keep an installation and a store in order: plugins, clean."""

from __future__ import annotations

import click

from icudl.cli.session import Session, examples, shared_options


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
@click.option("--yes", is_flag=True, help="Delete. Without --yes the command only lists what it would delete.")
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
        planned = {(step.node.key.stage, step.id) for step in pipeline.plan()}
        manifests = [manifest for manifest in store.manifests() if (manifest.node, manifest.id) not in planned]
    names = leftovers + [f"{manifest.reference} ({manifest.name})" for manifest in manifests]
    if yes:
        for leftover in leftovers:
            store.discard(leftover)
        for manifest in manifests:
            store.remove(manifest)
    session.emit("\n".join(names), {"deleted" if yes else "would_delete": names})
    verb = "Deleted" if yes else "Would delete"
    folders = "1 folder" if len(names) == 1 else f"{len(names)} folders"
    session.say(f"{verb} {folders}." + ("" if yes or not names else " Give --yes to do it."))
