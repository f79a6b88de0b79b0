"""The command that writes a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icudl.cli.commands.results.showing import load_result
from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    from icudl.report.card.contents import Described
    from icudl.store.base import Store
    from icudl.store.manifest import Manifest

FORMATS = ("md", "html", "xml")


@click.command(epilog=examples("icudl card train/lstm", "icudl card train/lstm --format xml --out card.xml"))
@click.argument("reference")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="md, html, or xml (Applied Model Card of the Coalition for Health AI, v0.2). Without it, the name given to "
    "--out decides.",
)
@click.option(
    "--out", "--output", type=click.Path(path_type=Path), help="File to write; without it, the card is printed."
)
@shared_options
def card(session: Session, reference: str, file_format: str | None, out: Path | None) -> None:
    """Write the model card of a fitted model.

    REFERENCE is a result of train. The card tells data, scores, subgroups, calibration, robustness and responsiveness
    from the results that the store holds of the model. What only a person can say is marked.
    """
    from icudl.report.card.chai import to_xml
    from icudl.report.card.contents import make_card
    from icudl.report.card.writers import to_html, to_markdown

    manifest, training = load_result(session, reference, "train")
    made = make_card(_described(session.store(), manifest, training))
    named = out.suffix.removeprefix(".").lower() if out is not None else ""
    chosen = file_format or (named if named in FORMATS else "md")
    text = {"md": to_markdown, "html": to_html, "xml": to_xml}[chosen](made)
    if out is None:
        session.emit(text, {"format": chosen, "card": text})
        return
    out.write_text(text, "utf-8")
    session.emit(str(out), {"format": chosen, "path": str(out)})


def _described(store: Store, manifest: Manifest, training: Any) -> Described:
    from icudl.artifacts import GridDataset
    from icudl.pipeline.provenance import lineage_entry
    from icudl.pipeline.stages import STAGES
    from icudl.report.card.contents import Described

    chain = _chain(store, manifest)
    about: dict[str, dict[str, Any]] = {"score": {}, "attack": {}, "certify": {}, "probe": {}}
    for other in store.manifests():
        read = [(entry.node, entry.id) for entry in other.identity.upstream.values()]
        if other.node in about and (manifest.node, manifest.id) in read:
            found = about[other.node]
            name = other.reference if other.name in found else other.name
            found[name] = store.load(STAGES[other.node].artifact, other)
    grid = manifest.identity.upstream["preprocess"]
    return Described(
        name=manifest.name.removeprefix("train/"),
        reference=manifest.reference,
        version=manifest.environment["versions"]["icudl"],
        training=training,
        grid=store.load(GridDataset, store.manifest(grid.node, grid.id)),
        lineage=[lineage_entry(each) for each in chain],
        hashes={each.reference: each.content for each in chain},
        scores=about["score"],
        attacks=about["attack"],
        certificates=about["certify"],
        probes=about["probe"],
    )


def _chain(store: Store, manifest: Manifest) -> list[Manifest]:
    """Return a result and everything that it was made from, inputs first, each once."""
    found: dict[str, Manifest] = {}

    def visit(each: Manifest) -> None:
        for entry in each.identity.upstream.values():
            if entry.reference not in found:
                visit(store.manifest(entry.node, entry.id))
        found[each.reference] = each

    visit(manifest)
    return list(found.values())
