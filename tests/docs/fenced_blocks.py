"""The fenced blocks of a page, and the commands in them.

A comment on the line before a block says what is to be done with it::

    <!-- not run: REASON -->     checked, but not run: it needs what a test does not have
    <!-- file: PATH -->          the block is the whole of docs/PATH

Any other block of bash or python is run, in order, in one empty folder a page; one of toml must be well-formed.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
LANGUAGES = {"bash", "python", "toml", "json", "r", "text"}
PAGES = [REPOSITORY / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "examples" not in path.parts)]

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<word>not run|file): (?P<rest>.*?) -->\n)?^(?P<indent>[ ]*)```(?P<language>\w*)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: File it stands in.
        line: Line of its first fence.
        language: Word behind the fence.
        text: What is between the fences.
        not_run: Why it is not run, or "".
        file: Path below ``docs/`` whose content it is, or "".
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str
    file: str

    @property
    def is_run(self) -> bool:
        return self.language in {"bash", "python"} and not self.not_run and not self.file

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 1 + bool(found["word"]),
            language=found["language"],
            text=found["text"],
            not_run=found["rest"] if found["word"] == "not run" else "",
            file=found["rest"] if found["word"] == "file" else "",
        )
        for found in _BLOCK.finditer(text)
    ]


def calls(block: Block) -> Iterator[list[str]]:
    """Yield the words behind ``icudl`` of each call in a block of bash."""
    joined = re.sub(r"\\\n", " ", block.text)
    for line in re.sub(r"<<'?(\w+)'?\n.*?^\1$", "", joined, flags=re.MULTILINE | re.DOTALL).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] | None = None
        for token in lexer:
            if words is None:
                words = [] if Path(token).name == "icudl" else None
            elif re.fullmatch(r"[|&;()<>]+", token):
                yield words
                words = None
            else:
                words.append(token)
        if words is not None:
            yield words
