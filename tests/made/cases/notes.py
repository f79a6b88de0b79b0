"""The smallest artifact there is, and how it is sealed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Self

from icudl.store.base import Store
from icudl.store.manifest import Identity, Manifest, content_hash, list_files


@dataclasses.dataclass(frozen=True)
class Note:
    """A text in a file, and the same in a folder below."""

    text: str

    def write(self, folder: Path) -> None:
        (folder / "note.txt").write_text(self.text, "utf-8")
        (folder / "more").mkdir()
        (folder / "more" / "note.txt").write_text(self.text, "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        assert (folder / "more" / "note.txt").read_text("utf-8") == (folder / "note.txt").read_text("utf-8")
        return cls((folder / "note.txt").read_text("utf-8"))


def identity(**changes: object) -> Identity:
    """Return the identity of a note; it does not hold the text, as that of a careless stage would not."""
    values: dict[str, object] = {
        "node": "note", "stage_version": 1, "options": {"table": {"key": 1}}, "upstream": {}, "plugin": "", "seed": 1,
    }  # fmt: skip
    return Identity(**(values | changes))  # type: ignore[arg-type]


def seal(store: Store, text: str = "hello", **changes: object) -> Manifest:
    """Seal a note."""
    own = identity(**changes)

    def describe(folder: Path) -> Manifest:
        files = list_files(folder)
        return Manifest(
            identity=own, id=own.id, name=own.node, content=content_hash(files), files=files,
            upstream_content={}, options={}, used={}, origins={}, restricted=False,
            citations=(), counts={}, warnings=(), environment={},
        )  # fmt: skip

    return store.seal(own.node, own.id, Note(text), describe)
