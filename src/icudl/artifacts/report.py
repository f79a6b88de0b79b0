"""The rendered report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from icudl.artifacts.files.codecs import read_json, write_json
from icudl.errors import StoreError

PAGE, ANSWER = "index.html", "answer.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToldNumber:
    """One of the few numbers of an answer.

    Attributes:
        label: What it is.
        value: The number as text.
        detail: Interval, denominator or split.
    """

    label: str
    value: str
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportAnswer:
    """What the first screen of the page says, in the words of the study's outcome; nothing of a single stay.

    Attributes:
        setting: What was predicted, for whom, from what.
        headline: What was found, in one sentence.
        lead: Sentences below it.
        numbers: The few numbers.
        cautions: What must not be missed.
    """

    setting: str
    headline: str
    lead: tuple[str, ...]
    numbers: tuple[ToldNumber, ...]
    cautions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` described.

        Raises:
            TypeError: Something is missing, or unknown.
            KeyError: The same.
        """
        return cls(
            **{
                **values,
                "lead": tuple(values["lead"]),
                "numbers": tuple(ToldNumber(**each) for each in values["numbers"]),
                "cautions": tuple(values["cautions"]),
            }
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """The rendered page.

    Attributes:
        html: Content of ``index.html``, which needs no other file.
        files: Further files (figures) by their name relative to the page.
        answer: What its first screen says; None of a page that tells no answer.
    """

    html: str
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    answer: ReportAnswer | None = None

    def write(self, folder: Path) -> None:
        """Write ``index.html``, ``answer.json`` and the files beside them."""
        (folder / PAGE).write_bytes(self.html.encode())
        if self.answer is not None:
            write_json(folder / ANSWER, self.answer.to_dict())
        for name, content in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            StoreError: The page is missing or is not UTF-8, or the answer is damaged.
        """
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in {PAGE, ANSWER, "manifest.json"}
        }
        page = folder / PAGE
        try:
            return cls(html=page.read_bytes().decode(), answer=_answer_in(folder), files=files)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{page} cannot be read as a page ({error}). Delete the artifact and run its stage again."
            ) from error


def _answer_in(folder: Path) -> ReportAnswer | None:
    path = folder / ANSWER
    if not path.is_file():
        return None
    told = read_json(path)
    try:
        return ReportAnswer.from_dict(told)
    except (TypeError, KeyError) as error:
        raise StoreError(
            f"{path} is no answer of a report ({error}). Delete the artifact and run its stage again."
        ) from error
