"""Descriptions of charts. ``as_json`` is the one place in which they become what the page's scripts read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

Numbers = Sequence[float | int | None]
"""None stands for a number that does not exist."""

Marks = Literal["", "all", "only"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis.

    Attributes:
        label: What it measures.
        percent: Whether numbers are shares, written as percentages.
        log: Whether it is logarithmic.
        whole: Whether it counts: only whole numbers are written beside it.
        min: Where it begins; None lets the data decide.
        max: Where it ends.
        words: Words that stand for the places 0, 1, 2, ...; empty for numbers.
        reference: Place of a dashed line; None for no line.
    """

    label: str
    percent: bool = False
    log: bool = False
    whole: bool = False
    min: float | None = None
    max: float | None = None
    words: tuple[str, ...] = ()
    reference: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A series of points.

    Attributes:
        name: Its name in the legend.
        x: Horizontal places.
        y: Vertical places.
        low: Lower bounds of the 95 % intervals; None where there are no intervals.
        high: Upper bounds.
        labels: A name for each point; empty for none.
        big: 1 for points drawn large, 0 for the others; empty where all are alike.
        step: Whether the line climbs in steps.
        marks: ``"all"`` draws the points too, ``"only"`` draws them without a line.
        dash: Number of the dash pattern.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    labels: tuple[str, ...] = ()
    big: tuple[int, ...] = ()
    step: bool = False
    marks: Marks = ""
    dash: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """A dashed horizontal line with a word beside it."""

    y: float
    label: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines:
    """Curves and points over two axes.

    Attributes:
        x: Horizontal axis.
        y: Vertical axis.
        series: What is drawn.
        rules: Reference lines.
        diagonal: Whether the diagonal is drawn.
        named: Whether the labels stand beside the points.
    """

    kind: ClassVar[str] = "lines"

    x: Axis
    y: Axis
    series: tuple[Line, ...]
    rules: tuple[Rule, ...] = ()
    diagonal: bool = False
    named: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """A series of a histogram: one height for each bin."""

    name: str
    y: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bars:
    """A histogram.

    Attributes:
        edges: Limits of the bins.
        x: Horizontal axis.
        y: Vertical axis.
        series: Heights.
        whole: Whether bins hold whole numbers.
    """

    kind: ClassVar[str] = "bars"

    edges: Numbers
    x: Axis
    y: Axis
    series: tuple[Bar, ...]
    whole: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot:
    """A series of numbers, one for each row.

    Attributes:
        name: Its name in the legend.
        x: Its numbers.
        low: Lower bounds of the 95 % intervals; None where there are no intervals.
        high: Upper bounds.
        notes: A remark on each number; empty for none.
    """

    name: str
    x: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dots:
    """Numbers of named rows, as dots with intervals or as bars.

    Attributes:
        x: Horizontal axis.
        rows: Names of the rows.
        series: Numbers.
        bars: Whether bars are drawn instead of dots.
        sortable: Whether the reader may sort the rows.
    """

    kind: ClassVar[str] = "dots"

    x: Axis
    rows: tuple[str, ...]
    series: tuple[Dot, ...]
    bars: bool = False
    sortable: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heat:
    """A map over hours and named rows.

    Attributes:
        hours: Number T of hours.
        rows: Names of the F rows.
        values: F times T numbers, row after row.
        label: What they measure.
        percent: Whether they are shares, written as percentages.
        zero: What a cell without a number means; "" for "never changed".
    """

    kind: ClassVar[str] = "heat"

    hours: int
    rows: tuple[str, ...]
    values: Numbers
    label: str
    percent: bool = False
    zero: str = ""


Chart = Lines | Bars | Dots | Heat
Variants = Mapping[str, Chart]
"""Charts of one kind by what the reader chooses: the values of the switches, joined with ``|``."""


def as_json(chart: Chart | Variants) -> dict[str, Any]:
    """Return what the scripts draw. What all variants share stands there once, beside ``variants``."""
    if not isinstance(chart, Mapping):
        return {"kind": chart.kind, **_described(chart)}
    described = {key: {"kind": each.kind, **_described(each)} for key, each in chart.items()}
    shared = _shared(list(described.values()))
    variants = {
        key: {name: value for name, value in each.items() if name not in shared} for key, each in described.items()
    }
    return {**shared, "variants": variants}


def _shared(described: list[dict[str, Any]]) -> dict[str, Any]:
    first = described[0] if described else {}
    return {name: value for name, value in first.items() if all(name in d and d[name] == value for d in described)}


def _described(value: Any) -> Any:
    """Turn dataclasses into mappings; fields that have their default are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _described(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.default is dataclasses.MISSING or getattr(value, field.name) != field.default
        }
    return [_described(item) for item in value] if isinstance(value, list | tuple) else value
