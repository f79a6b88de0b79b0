"""The rendered report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from icudl.errors import StoreError


@dataclasses.dataclass(frozen=True)
class Report:
    """The rendered page.

    Attributes:
        html: Content of ``index.html``, which needs no other file.
        files: Further files (figures) by their name relative to the page.
    """

    html: str
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``index.html`` and the files beside it."""
        (folder / "index.html").write_bytes(self.html.encode())
        for name, content in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            StoreError: The page is missing or is not UTF-8.
        """
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in {"index.html", "manifest.json"}
        }
        page = folder / "index.html"
        try:
            return cls(html=page.read_bytes().decode(), files=files)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{page} cannot be read as a page ({error}). Delete the artifact and run its stage again."
            ) from error
