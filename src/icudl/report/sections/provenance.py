"""Section of the page: where every number comes from, and what to cite."""

from __future__ import annotations

import json
from collections.abc import Sequence

from icudl.artifacts import LineageEntry
from icudl.report.citations import cited
from icudl.report.elements import (
    Block,
    Code,
    Listing,
    Note,
    Section,
    Table,
)
from icudl.report.wording import columns, row


def provenance_section(lineage: Sequence[LineageEntry]) -> Section:
    """Tell the origin of the page."""
    lead = (
        (
            "Every stage of the study wrote an artifact whose name is a fingerprint of its inputs and settings: the "
            "same data, settings and code give the same names and the same bytes."
        ),
    )
    rows = tuple(
        row(
            entry.node,
            entry.id,
            entry.plugin or "–",
            ", ".join(f"{node} {identity}" for node, identity in entry.upstream.items()) or "–",
            "restricted" if entry.restricted else "open",
        )
        for entry in lineage
    )
    blocks: list[Block] = [
        Table(
            "lineage",
            "Lineage",
            columns("Stage", "Artifact", "Plug-in", "Made from", "Data"),
            rows,
            "Restricted means that the data underneath are credentialed.",
        )
    ]
    blocks += [Note(f"{entry.node}: {text}") for entry in lineage for text in entry.warnings]
    blocks += [
        Code(
            f"options-{place}-{entry.node}",
            f"Settings of {entry.node} ({entry.id})",
            json.dumps(entry.options, sort_keys=True, indent=2, ensure_ascii=False),
        )
        for place, entry in enumerate(lineage)
    ]
    works = cited(key for entry in lineage for key in entry.citations)
    blocks.append(Listing("citations", "Please cite", tuple((work.text, work.link) for work in works)))
    return Section("origin", "Where these numbers come from", "Origin", lead, tuple(blocks))
