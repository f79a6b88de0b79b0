"""The rendered report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Self


@dataclasses.dataclass(frozen=True)
class Report:
    """The rendered page.

    Attributes:
        html: The whole of ``index.html``, self-contained.
        files: Further files by relative name (figures).
    """

    html: str
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``index.html`` and the files beside it."""
        (folder / "index.html").write_text(self.html, "utf-8")
        for name, content in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in {"index.html", "manifest.json"}
        }
        return cls(html=(folder / "index.html").read_text("utf-8"), files=files)
