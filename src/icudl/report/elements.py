"""What the page is made of: figures, tables and sections, as values that know nothing of HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from icudl.report.charts.descriptions import Chart, Variants

Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Switch:
    """A choice between variants of one figure.

    Attributes:
        name: Identifier, unique in its figure.
        label: What is chosen.
        options: Pairs of value and label; the first one is shown at the beginning.
    """

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure; ``page.js`` draws it and the data table behind it.

    Attributes:
        id: Fixed identifier, also the anchor on the page.
        title: A short noun phrase.
        text: What the figure shows and how to read it, in plain words.
        chart: What is drawn; with switches, a chart for each choice.
        switches: What the reader can choose.
        size: ``"half"``, ``"full"`` or ``"small"``.
        basis: Data set, split and number of stays that the figure is about.
    """

    id: str
    title: str
    text: str
    chart: Chart | Variants
    switches: tuple[Switch, ...] = ()
    size: str = "half"
    basis: str = ""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table; numbers are aligned to the right and sorted by value."""

    label: str
    numeric: bool = False


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cell whose text differs from what it is sorted by.

    Attributes:
        text: What the cell says.
        sort: What it is sorted by in a column of numbers; None sorts last.
        detail: A second, smaller line: an interval, or what the first line is.
        chapter: Anchor of the chapter that tells more; "" for none.
    """

    text: str
    sort: float | None
    detail: str = ""
    chapter: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that the reader can sort.

    Attributes:
        id: Fixed identifier.
        title: A short noun phrase.
        columns: Its columns.
        rows: Cells in the order of the columns.
        text: How to read it, in plain words.
        filtered: Offer a field that hides rows without the text typed.
    """

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    text: str = ""
    filtered: bool = False


@dataclasses.dataclass(frozen=True)
class Note:
    """A sentence that must not be missed.

    Attributes:
        text: The sentence.
        level: ``"warning"`` or ``"info"``.
    """

    text: str
    level: str = "info"


@dataclasses.dataclass(frozen=True)
class Fact:
    """One number of the summary.

    Attributes:
        label: What it is.
        value: The number as text.
        detail: Interval, denominator or split.
    """

    label: str
    value: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Terms:
    """Words explained, or names with their values.

    Attributes:
        id: Fixed identifier.
        title: A short noun phrase.
        pairs: Word and meaning.
    """

    id: str
    title: str
    pairs: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Listing:
    """A numbered list.

    Attributes:
        id: Fixed identifier.
        title: A short noun phrase.
        lines: Text and link ("" for none) of each line.
    """

    id: str
    title: str
    lines: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Code:
    """Preformatted text, folded away until asked for."""

    id: str
    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Explorer:
    """Place of a stay explorer, and its packed stays (``icudl.report.sections.attack.explorer``).

    Attributes:
        pack: What the script unpacks.
        id: Fixed identifier.
    """

    pack: Mapping[str, Any]
    id: str = "stay-explorer"


@dataclasses.dataclass(frozen=True)
class FigureGrid:
    """Small figures that share a title, an explanation and the switches.

    Attributes:
        id: Fixed identifier.
        title: A short noun phrase.
        text: What the figures show.
        switches: What the reader can choose, for all of them at once.
        figures: Each has a chart for each choice.
        basis: Data set, split and number of stays that the figures are about.
    """

    id: str
    title: str
    text: str
    switches: tuple[Switch, ...]
    figures: tuple[Figure, ...]
    basis: str = ""


Block = Figure | FigureGrid | Table | Note | Terms | Listing | Code | Explorer


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: Anchor.
        title: Heading.
        lead: Paragraphs under the heading.
        blocks: Figures, tables and notes in order.
        facts: Numbers shown large (the summary only).
        short: Label in the navigation.
    """

    id: str
    title: str
    short: str
    lead: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    facts: tuple[Fact, ...] = ()

    def based_on(self, basis: str) -> Section:
        """Return the section with ``basis`` under each figure that does not name one of its own."""
        return dataclasses.replace(self, blocks=tuple(_based(block, basis) for block in self.blocks))

    def under(self, name: str, title: str) -> Section:
        """Return the section as one of several: identifiers end in ``name``, the heading begins with ``title``."""
        return dataclasses.replace(
            self,
            id=f"{self.id}--{name}",
            title=f"{title}: {self.title[:1].lower()}{self.title[1:]}",
            blocks=tuple(_renamed(block, name) for block in self.blocks),
        )


def _based(block: Block, basis: str) -> Block:
    if isinstance(block, Figure | FigureGrid) and not block.basis:
        return dataclasses.replace(block, basis=basis)
    return block


def _renamed(block: Block, name: str) -> Block:
    if isinstance(block, Note):
        return block
    if isinstance(block, FigureGrid):
        figures = tuple(dataclasses.replace(figure, id=f"{figure.id}--{name}") for figure in block.figures)
        return dataclasses.replace(block, id=f"{block.id}--{name}", figures=figures)
    return dataclasses.replace(block, id=f"{block.id}--{name}")


@dataclasses.dataclass(frozen=True)
class Chapter:
    """The sections about one model, or about one attack.

    Attributes:
        id: Anchor, and the value by which the reader chooses the chapter.
        title: Its name in the choice.
        sections: Its sections.
    """

    id: str
    title: str
    sections: tuple[Section, ...]


@dataclasses.dataclass(frozen=True)
class Group:
    """Chapters alike, one of which is shown at a time.

    Attributes:
        id: Anchor.
        short: Label in the navigation.
        label: What the reader chooses.
        chapters: What there is to choose from; the first is shown at the beginning.
    """

    id: str
    short: str
    label: str
    chapters: tuple[Chapter, ...]


Part = Section | Group


def sections_of(parts: Iterable[Part]) -> list[Section]:
    """Return all sections in order, those of chapters too."""
    return [
        section
        for part in parts
        for section in (
            [part] if isinstance(part, Section) else [each for chapter in part.chapters for each in chapter.sections]
        )
    ]
