"""The list of decision records, from their headings."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"

INTRODUCTION = """# Decisions

What a newcomer would question, and every deliberate deviation from the original study, one page each. Numbers are
given in blocks to parts of the project, so that gaps between them mean nothing.

"""


def render() -> str:
    """Return the page."""
    lines = []
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        heading = path.read_text("utf-8").splitlines()[0].lstrip("# ")
        number, title = re.split(r"[.:]?\s+", heading, maxsplit=1)
        lines.append(f"* {number}: [{title}]({path.name})")
    return INTRODUCTION + "\n".join(lines) + "\n"
