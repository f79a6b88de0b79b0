"""`icudl doctor`: check that a run has everything it needs, and say how to fix what is missing."""

from __future__ import annotations

import dataclasses

import click

from icudl.cli.session import Session, examples, shared_options

MARKS = {"ok": "✓", "note": "·", "broken": "✗"}


@click.command(epilog=examples("icudl doctor", "icudl doctor --config study.toml --store /data/runs"))
@shared_options
def doctor(session: Session) -> None:
    """Find out what is missing or broken, and what to do about it.

    Checks Python, libraries, device, threads, memory, disk, store, configuration, data, extras and plug-ins. Include
    the output in a bug report. The exit code is 0 unless something is broken.
    """
    from icudl.cli.examination import examine
    from icudl.errors import IcudlError

    findings = examine(session.config, session.store_path)
    lines, width = [], max(len(finding.subject) for finding in findings)
    for finding in findings:
        lines.append(f"{MARKS[finding.state]} {finding.subject:{width}} {finding.found}")
        if finding.advice:
            lines.append(f"  {'':{width}} -> {finding.advice}")
    session.emit("\n".join(lines), [dataclasses.asdict(finding) for finding in findings])
    broken = [finding.subject for finding in findings if finding.state == "broken"]
    if broken:
        raise IcudlError(
            f"{len(broken)} of {len(findings)} checks failed: {', '.join(broken)}. Follow the advice above."
        )
