"""Section of the page: where every number comes from, and what to cite."""

from __future__ import annotations

import json
from collections.abc import Sequence

from icudl.artifacts import LineageEntry
from icudl.report.citations import cited
from icudl.report.elements import Block, Code, Listing, Note, Section, Table
from icudl.report.wording import columns, row


def provenance_section(lineage: Sequence[LineageEntry]) -> Section:
    """Tell the origin of the page."""
    lead = (
        (
            "Every result of the study has a fingerprint of its inputs and of the settings asked for: the same data, "
            "settings and code give the same fingerprints and the same bytes. The settings below are those that were "
            "used, after any search."
        ),
    )
    names = {entry.id: entry.name for entry in lineage}
    rows = tuple(
        row(
            entry.name,
            entry.id,
            entry.plugin or "–",
            ", ".join(f"{names.get(identity, node)} {identity}" for node, identity in entry.upstream.items()) or "–",
            "restricted" if entry.restricted else "open",
        )
        for entry in lineage
    )
    blocks: list[Block] = [
        Table(
            "lineage",
            "Lineage",
            columns("Result", "Fingerprint", "Plug-in", "Made from", "Data"),
            rows,
            "Restricted means that the data underneath are credentialed.",
        )
    ]
    blocks += [Note(f"{entry.name}: {text}") for entry in lineage for text in entry.warnings]
    works = cited(key for entry in lineage for key in entry.citations)
    blocks.append(Listing("citations", "Please cite", tuple((work.text, work.link) for work in works)))
    settings = tuple(
        Code(
            f"options-{place}-{entry.node}",
            f"Settings of {entry.name} ({entry.id})",
            json.dumps(entry.options, sort_keys=True, indent=2, ensure_ascii=False),
        )
        for place, entry in enumerate(lineage)
    )
    return Section("origin", "Where these numbers come from", "Origin", lead, tuple(blocks), settings)
