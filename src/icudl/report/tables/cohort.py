"""The first table of a paper: what the stays of a cohort are like, by outcome."""

from __future__ import annotations

import math

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.cohorts.characteristics import Category, Characteristics, Quantity, Spread, characteristics
from icudl.artifacts import GridDataset
from icudl.report.elements import Entry
from icudl.report.tables.base import NOTHING, Kind, Line, PaperTable, is_small
from icudl.report.wording import percent

_LEVEL_NAMES = {"sex": {"F": "women", "M": "men"}}
_CATEGORY_NAMES = {"sex": "Sex", "icu_type": "First care unit"}
OTHERS = "masked"


def cohort_table(name: str, grid: GridDataset, *, restricted: bool, several: bool = False) -> PaperTable:
    """Describe the stays of one data set by outcome.

    Of restricted data, numbers of fewer than ten stays are masked, together with as many others as it takes that no
    sum gives them away.

    Args:
        name: Name of the data set.
        grid: Its cohort.
        restricted: Whether the data are credentialed.
        several: Whether the study has several data sets, so that the table is called by the name of its own.
    """
    found = characteristics(grid)
    shown = [place for place, _ in enumerate(found.columns)]
    notes = [
        (
            "Numbers are median [first to third quartile] or n (% of the known). A measured variable is described by "
            "one number a stay: the mean of its charted hours."
        )
    ]
    if restricted and any(is_small(column.stays) for column in found.columns[1:]):
        shown = [0]
        notes.append(f"An outcome of fewer than {SMALLEST_GROUP} stays is not told apart.")
    columns = tuple(
        f"{words} (n = {found.columns[place].stays:,})"
        for place, words in enumerate(("All stays", "Survived", "Died"))
        if place in shown
    )
    told = _Teller(found, shown, restricted=restricted)
    lines = [Line("Patients", (*(_plain(found.columns[place].patients) for place in shown), NOTHING))]
    lines += [told.quantity(each) for each in found.quantities if not each.measured]
    for category in found.categories:
        lines += told.category(category)
    lines.append(Line("Measured variables"))
    lines += [told.quantity(each, indented=True) for each in found.quantities if each.measured]
    if told.masked:
        notes.append(
            f"<{SMALLEST_GROUP} and “{OTHERS}”: left out because the data are restricted and the number, or one that "
            f"follows from it, is of fewer than {SMALLEST_GROUP} stays."
        )
    missing = "Missing" if len(shown) == 1 else "Missing: survived / died"
    return PaperTable(
        id=f"{Kind.COHORT}-{name}" if several else Kind.COHORT.value,
        title=f"Characteristics of the {found.columns[0].stays:,} stays of {name}, by outcome ({grid.outcome.phrase})",
        head="Characteristic",
        columns=(*columns, missing),
        lines=tuple(lines),
        notes=tuple(notes),
    )


def _plain(value: int) -> Entry:
    return Entry(f"{value:,}", float(value))


def _decimals(typical: float | None) -> int:
    """Return how many decimals a line has: so many that its typical value has three significant digits."""
    if not typical:
        return 1
    return min(max(2 - math.floor(math.log10(abs(typical))), 0), 3)


class _Teller:
    """Writes the lines, and remembers whether one of them was masked."""

    def __init__(self, found: Characteristics, shown: list[int], *, restricted: bool) -> None:
        self.stays = [column.stays for column in found.columns]
        self.shown = shown
        self.restricted = restricted
        self.masked = False

    def quantity(self, of: Quantity, *, indented: bool = False) -> Line:
        label = f"{of.label}, {of.unit}" if of.unit else of.label
        digits = _decimals(of.spreads[0].median)
        cells = [self._spread(of.spreads[place], digits) for place in self.shown]
        counts = [(spread.known, spread.missing) for spread in of.spreads]
        small = any(is_small(each) for pair in counts for each in pair)
        return Line(label, (*cells, self._missing([missing for _, missing in counts], small=small)), indented)

    def category(self, of: Category) -> list[Line]:
        small = any(is_small(each) for each in of.missing)
        known = [stays - missing for stays, missing in zip(self.stays, of.missing, strict=True)]
        hidden = hidden_levels(of) if self.restricted else frozenset()
        names = _LEVEL_NAMES.get(of.column, {})
        empty = tuple(Entry("", None) for _ in self.shown)
        lines = [Line(_CATEGORY_NAMES[of.column], (*empty, self._missing(list(of.missing), small=small)))]
        for level, counts in of.levels.items():
            if level in hidden:
                self.masked = True
                cells = tuple(Entry(OTHERS, None) for _ in self.shown)
            else:
                cells = tuple(self._part(counts[place], known[place]) for place in self.shown)
            lines.append(Line(names.get(level, level), (*cells, NOTHING), indented=True))
        return lines

    def _spread(self, of: Spread, digits: int) -> Entry:
        if of.median is None or of.low is None or of.high is None:
            return NOTHING
        if self.restricted and is_small(of.known):
            self.masked = True
            return Entry(f"<{SMALLEST_GROUP}", None)
        low, median, high = (f"{value:,.{digits}f}" for value in (of.low, of.median, of.high))
        return Entry(f"{median} [{low} to {high}]", of.median)

    def _part(self, count: int, known: int) -> Entry:
        return Entry(f"{count:,} ({percent(count / known)})" if known else "0", float(count))

    def _missing(self, counts: list[int], *, small: bool) -> Entry:
        if self.restricted and small:
            self.masked = True
            return Entry(OTHERS, None)
        if len(self.shown) == 1:
            return _plain(counts[0])
        return Entry(" / ".join(f"{each:,}" for each in counts[1:]), float(counts[0]))


def hidden_levels(of: Category) -> frozenset[str]:
    """Return the levels of a category that are masked: the small ones, and others until no sum gives them away.

    A level is small where a column has between one and nine stays at it. The columns add up to known totals, so the
    masked levels together must hold no stay of a column, or ten, and must be two at least.
    """
    order = sorted(of.levels, key=lambda level: (sum(of.levels[level]), level))
    hidden = [level for level in order if any(is_small(count) for count in of.levels[level])]
    for level in order:
        sums = [sum(counts) for counts in zip(*(of.levels[name] for name in hidden), strict=True)]
        if not hidden or (len(hidden) > 1 and not any(is_small(each) for each in sums)):
            break
        if level not in hidden:
            hidden.append(level)
    return frozenset(hidden)
