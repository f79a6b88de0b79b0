"""What a folder holds, in the words of a message."""

from __future__ import annotations

from pathlib import Path

_SHOWN = 20


def listed(folder: Path) -> str:
    """Return the names of the first entries of a folder, in order; a folder among them ends with a slash.

    An archive that was unpacked may have left a folder that is named like the table in it.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    return ", ".join(path.name + ("/" if path.is_dir() else "") for path in entries[:_SHOWN]) or "nothing"
