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

    def without(self, name: str) -> Figure:
        """Leave out a switch, such as one between things that are alike; what its first choice draws stays.

        Args:
            name: Of the switch; a figure that lacks it stays as it is.
        """
        place = next((at for at, switch in enumerate(self.switches) if switch.name == name), None)
        if place is None or not isinstance(self.chart, Mapping):
            return self
        first = self.switches[place].options[0][0]
        choices = [(key.split("|"), chart) for key, chart in self.chart.items()]
        kept = {"|".join(key[:place] + key[place + 1 :]): chart for key, chart in choices if key[place] == first}
        switches = tuple(switch for switch in self.switches if switch.name != name)
        return dataclasses.replace(self, chart=kept if switches else kept[""], switches=switches)


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
    """One number of the answer.

    Attributes:
        label: What it is.
        value: The number as text.
        detail: Interval, denominator or split.
        warning: Whether it says that the evidence is thin.
    """

    label: str
    value: str
    detail: str
    warning: bool = False


@dataclasses.dataclass(frozen=True)
class Advice:
    """Something that the reader can do with what was found.

    Attributes:
        title: What to do, in a few words.
        text: Why, with the numbers.
        link: Anchor of the place that tells more.
    """

    title: str
    text: str
    link: str


@dataclasses.dataclass(frozen=True)
class StayPicture:
    """One stay before and after a change; ``picture.js`` draws it.

    Attributes:
        title: Who it is, and what the model said.
        text: What was changed and what came of it, in plain words.
        pack: The stay, packed as for the stay explorer.
        id: Fixed identifier.
    """

    title: str
    text: str
    pack: Mapping[str, Any]
    id: str = "picture"


@dataclasses.dataclass(frozen=True)
class SharesPicture:
    """A hundred squares, each for one of a hundred attacked stays, coloured by what it takes to flip them.

    Attributes:
        title: What the squares stand for.
        text: How to read them, in plain words.
        shares: Words and share of each group, from the most to the least fragile; together 1.
        id: Fixed identifier.
    """

    title: str
    text: str
    shares: tuple[tuple[str, float], ...]
    id: str = "picture"


@dataclasses.dataclass(frozen=True)
class Answer:
    """The first screen of the page.

    Attributes:
        id: Anchor.
        short: Label in the navigation.
        setting: What was predicted, for whom, from what.
        headline: What was found, in one sentence.
        lead: Sentences below it.
        facts: The few numbers.
        advice: What to do with them.
        notes: What must not be missed.
        picture: What the finding looks like; None where nothing was flipped.
    """

    id: str
    short: str
    setting: str
    headline: str
    lead: tuple[str, ...]
    facts: tuple[Fact, ...]
    advice: tuple[Advice, ...]
    notes: tuple[Note, ...]
    picture: StayPicture | SharesPicture | None


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
        short: Label in the navigation.
        folded: Further figures and tables, shown when asked for.
    """

    id: str
    title: str
    short: str
    lead: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    folded: tuple[Block, ...] = ()

    @property
    def contents(self) -> tuple[Block, ...]:
        """All figures, tables and notes, those folded away too."""
        return self.blocks + self.folded

    def based_on(self, basis: str) -> Section:
        """Return the section with ``basis`` under each figure that does not name one of its own."""
        return dataclasses.replace(
            self,
            blocks=tuple(_based(block, basis) for block in self.blocks),
            folded=tuple(_based(block, basis) for block in self.folded),
        )

    def under(self, name: str, title: str) -> Section:
        """Return the section as one of several: identifiers end in ``name``, the heading begins with ``title``."""
        return dataclasses.replace(
            self,
            id=f"{self.id}--{name}",
            title=f"{title}: {self.title[:1].lower()}{self.title[1:]}",
            blocks=tuple(_renamed(block, name) for block in self.blocks),
            folded=tuple(_renamed(block, name) for block in self.folded),
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
        label: What the reader chooses. Groups with the same label show the same choice.
        chapters: What there is to choose from.
        chosen: Anchor of the chapter shown at the beginning.
    """

    id: str
    label: str
    chapters: tuple[Chapter, ...]
    chosen: str


@dataclasses.dataclass(frozen=True)
class Layer:
    """A part of the page with a heading of its own: the answer lies above, evidence and provenance below.

    Attributes:
        id: Anchor.
        title: Heading.
        short: Label in the navigation.
        text: What it is for, in a sentence.
        parts: Its sections and groups.
    """

    id: str
    title: str
    short: str
    text: str
    parts: tuple[Section | Group, ...]


Part = Answer | Layer


def sections_of(parts: Iterable[Part]) -> list[Section]:
    """Return all sections in order, those of chapters too."""
    inner = [each for part in parts if isinstance(part, Layer) for each in part.parts]
    return [
        section
        for part in inner
        for section in (
            [part] if isinstance(part, Section) else [each for chapter in part.chapters for each in chapter.sections]
        )
    ]
