"""From rows under a hospital's names to hourly means: the fate of each row is counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from icudl.artifacts import CLEANING_SCHEMA
from icudl.errors import SourceError
from icudl.sources import count_unknown_names, rules
from icudl.sources.reading.tallies import CONVERTED, READ
from icudl.sources.table import units
from icudl.sources.table.naming import Meaning, Names, nearest, speaks_of_urea
from icudl.sources.table.reading import Notes, frequent, often, several, shown
from icudl.sources.table.texts import COMMA_NUMBER
from icudl.variables import Variable

FATES: tuple[str, ...] = (
    "kept",
    "dropped: of no stay in the table of stays",
    "dropped: no time",
    "dropped: before the stay",
    "dropped: after the stay",
    "dropped: outside the window",
    "dropped: empty",
    "dropped: no numeric value",
    "dropped: unknown unit",
    "dropped: implausible value",
    "dropped: repeated row",
)
"""Fates of a row; a row that several rules would drop is counted under the first of them in this order."""

(
    _KEPT, _NO_STAY, _NO_TIME, _BEFORE, _AFTER, _NO_WINDOW, _EMPTY, _NO_NUMBER, _NO_UNIT, _IMPLAUSIBLE, _REPEATED,
) = range(len(FATES))  # fmt: skip
_MICROSECONDS_PER_HOUR = 3_600_000_000
FEWEST_FOR_A_MEDIAN = 20
"""Values of a name below which nothing is said about their median."""
MANY = 0.1
"""Share of stays above which it is said that one kind of table has them and the other lacks them."""

_EXAMPLE = '"your name" = "heartrate"'
ASSUMED, STATED, FILED = "assumed", "stated", "filed"
"""Where a unit comes from: nowhere (the catalogue's is taken), the configuration or the name, the row."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cleaned:
    """What is left of the measurements.

    Attributes:
        hours: ``HOURS_SCHEMA``.
        counts: ``CLEANING_SCHEMA``.
    """

    hours: pl.DataFrame
    counts: pl.DataFrame


def cleaned(
    entries: pl.DataFrame,
    starts: pl.DataFrame,
    names: Names,
    variables: Sequence[Variable],
    window_hours: int,
    notes: Notes,
) -> Cleaned:
    """Find the variable, unit, stay and hour of each row, and average the values of an hour.

    Equal rows (stay, time, name, value) are one value filed twice. Sums are of whole millionths, so that no mean
    depends on the order of rows.

    Args:
        entries: ``measurements.ENTRIES_SCHEMA``.
        starts: ``Stays.starts``.
        names: What names mean.
        variables: The requested variables.
        window_hours: Length of the window.
        notes: Takes counts and warnings.

    Raises:
        SourceError: No row has a known name, most values cannot be read, or values without a stated unit look like
            another unit.
    """
    meanings = {
        name: names.meaning(name) for name in entries["name"].drop_nulls().unique().sort() if name not in names.ignore
    }
    known = {name: meaning for name, meaning in meanings.items() if meaning is not None}
    _notes_on_names(entries, known, names, variables, notes)
    rows = _with_units(entries, known, variables)
    _require_numbers(rows)
    _notes_on_units(rows, known, variables, notes)
    _check_medians(rows, variables, notes)
    judged = _judged(rows, starts, window_hours)
    _notes_on_rows(judged, notes)
    _notes_on_stays(judged, starts, notes)
    kept = judged.filter(pl.col("fate") == _KEPT)
    distinct = kept.unique(["stay_id", "offset", "name", "amount"], maintain_order=True)
    sums = distinct.group_by(
        "stay_id", "variable", hour=(pl.col("offset") // _MICROSECONDS_PER_HOUR).cast(pl.Int16)
    ).agg(total=pl.col("amount").sum(), count=pl.len())
    ignored = entries["name"].is_in(sorted(names.ignore)).fill_null(value=False)
    unknown = count_unknown_names(entries["name"].filter(~ignored), tuple(known))
    return Cleaned(rules.means(sums), pl.concat([_counts(judged, distinct, variables), unknown]))


def _notes_on_names(
    entries: pl.DataFrame, known: dict[str, Meaning], names: Names, variables: Sequence[Variable], notes: Notes
) -> None:
    counts = entries.group_by("name").len().sort("len", "name", descending=[True, False])
    unknown = [(name, rows) for name, rows in counts.rows() if name not in known and name not in names.ignore]
    listed = [
        f"{'(no name)' if name is None else repr(name)} ({several(rows, 'row')}{_hint(name)})" for name, rows in unknown
    ]
    if listed and not known:
        raise SourceError(
            f"No name in the measurements is known: {shown(listed, 20)}. Say what they mean: "
            f"{_as_toml(unknown)}, or give names of the catalogue."
        )
    if listed:
        total = sum(rows for _, rows in unknown)
        notes.say(
            f"{several(total, 'row')} of {len(entries):,} under {several(len(unknown), 'name')} that no variable has "
            f"are left out: {shown(listed, 20)}. Add them to source.names, or to source.ignore if they are not wanted."
        )
    ignored = int(entries["name"].is_in(sorted(names.ignore)).sum())
    notes.count("(measurements)", "name in source.ignore", ignored)
    unused = sorted(set(names.names) - set(known))
    if unused:
        notes.say(f"source.names holds names that no row has: {shown(map(repr, unused), 20)}.")
    guessed = [f"{name!r} is {meaning.variable}" for name, meaning in known.items() if meaning.is_guess]
    if guessed:
        notes.say(f"Names taken for those of the catalogue: {shown(guessed, 40)}.")
    there = {meaning.variable for meaning in known.values()}
    absent = [variable.name for variable in variables if variable.name not in there]
    used = [variable.name for variable in variables]
    others = {meaning.variable: 0 for meaning in known.values() if meaning.variable not in used}
    for name, rows in counts.rows():
        if name in known and known[name].variable in others:
            others[known[name].variable] += rows
    if others:
        held = [f"{variable} ({several(rows, 'row')})" for variable, rows in sorted(others.items())]
        notes.say(
            f"The measurements hold what variables.use does not name: {shown(held, 40)}. Add it there if the model is "
            "to see it."
        )
    if absent:
        present = [f'"{variable}"' for variable in [*used, *sorted(others)] if variable in there]
        notes.say(
            f"No row is of {', '.join(absent)}: these inputs stay empty. To leave them out, set variables.use = "
            f"[{', '.join(present)}]."
        )


def _hint(name: str | None) -> str:
    variable = nearest(name) if name else ""
    return f"; {variable}?" if variable else ""


def _as_toml(unknown: Sequence[tuple[str | None, int]]) -> str:
    pairs = [f'"{name}" = "{nearest(name)}"' for name, _ in unknown if name and nearest(name)]
    return f"source.names = {{ {', '.join(pairs[:12] or [_EXAMPLE])} }}"


def _with_units(entries: pl.DataFrame, known: dict[str, Meaning], variables: Sequence[Variable]) -> pl.DataFrame:
    """Return the rows of the requested variables with their unit.

    Returns:
        The columns of the entries, variable (index), low, high, unit_offset, unit_divisor (null where the unit is
        unknown), unit_name and origin (``ASSUMED``, ``STATED`` or ``FILED``).
    """
    index = {variable.name: position for position, variable in enumerate(variables)}
    asked = {name: meaning for name, meaning in known.items() if meaning.variable in index}
    pairs = entries.select("name", "unit").unique().filter(pl.col("name").is_in(sorted(asked)))
    table = []
    for name, unit in pairs.sort("name", "unit").rows():
        meaning = asked[name]
        variable = variables[index[meaning.variable]]
        origin = STATED if meaning.unit else FILED if unit is not None else ASSUMED
        found = meaning.unit or units.unit_of(variable, unit)
        table.append(
            (
                name, unit, index[variable.name], float(variable.low), float(variable.high), origin,
                found.offset if found else None, found.divisor if found else None, found.unit if found else unit,
            )
        )  # fmt: skip
    schema = {
        "name": pl.String, "unit": pl.String, "variable": pl.UInt8, "low": pl.Float64, "high": pl.Float64,
        "origin": pl.String, "unit_offset": pl.Float64, "unit_divisor": pl.Float64, "unit_name": pl.String,
    }  # fmt: skip
    joined = pl.DataFrame(table, schema=schema, orient="row")
    return entries.join(joined, on=["name", "unit"], how="inner", nulls_equal=True, maintain_order="left")


def _canonical() -> pl.Expr:
    return (pl.col("value") - pl.col("unit_offset")) / pl.col("unit_divisor")


def _require_numbers(rows: pl.DataFrame) -> None:
    """Refuse measurements of which most values are no numbers."""
    bad = rows.filter(pl.col("value").is_null() & pl.col("text").is_not_null())
    written = len(bad) + int(rows["value"].is_not_null().sum())
    if len(bad) * 2 > written:
        commas = bad["text"].str.contains(f"^{COMMA_NUMBER.pattern}$").sum()
        advice = (
            'They have decimal commas: set source.decimal = ",".'
            if commas * 2 > len(bad)
            else "Check which column holds the values: source.value_columns.value."
        )
        raise SourceError(
            f"{len(bad):,} of {written:,} values are no numbers: {frequent(bad['text'])}. {advice} "
            "Expected numbers as 7.4."
        )


def _notes_on_units(rows: pl.DataFrame, known: dict[str, Meaning], variables: Sequence[Variable], notes: Notes) -> None:
    groups = rows.group_by("name", "unit", "variable", "origin", "unit_name", "unit_divisor").len().sort("name", "unit")
    unknown, overruled, assumed = [], [], {}
    for name, unit, index, origin, unit_name, divisor, count in groups.rows():
        variable = variables[index].name
        if divisor is None:
            unknown.append(
                f"{unit!r} of {name!r} ({several(count, 'row')}; known: {units.known_units(variables[index])})"
            )
        if origin == STATED and unit is not None and units.unit_of(variables[index], unit) != known[name].unit:
            overruled.append(f"{unit!r} of {name!r} ({several(count, 'row')}) as {unit_name}")
        if origin == ASSUMED:
            assumed[name] = f"{name} ({unit_name})" if name == variable else f"{name} ({variable}, {unit_name})"
        if speaks_of_urea(name) and variable == "bun" and unit_name == "mg/dL":
            notes.say(
                f"{name!r} speaks of urea, and its unit is read as mg/dL of urea nitrogen. If it is mg/dL of urea, the "
                "values are 2.14 times too high: set source.units = "
                f'{{ "{name}" = "mg/dL urea" }}.'
            )
    if unknown:
        notes.say(f"Units that are not known for their variable; these rows are left out: {shown(unknown, 20)}.")
    if overruled:
        notes.say(f"Units that source.units overrules: {shown(overruled, 20)}.")
    if assumed:
        notes.say(f"No unit is stated, the catalogue's is taken: {shown(assumed.values(), 40)}.")


def _check_medians(rows: pl.DataFrame, variables: Sequence[Variable], notes: Notes) -> None:
    """Refuse values without a stated unit whose median is ordinary in another unit only; warn of other odd medians."""
    with_unit = rows.filter(pl.col("value").is_not_null() & pl.col("unit_divisor").is_not_null())
    canonical = _canonical()
    groups = (
        with_unit.group_by("name", "variable", "origin", "unit_name")
        .agg(
            count=pl.len(),
            filed=pl.col("value").median(),
            median=canonical.median(),
            outside=(~canonical.is_between("low", "high")).mean(),
        )
        .filter(pl.col("count") >= FEWEST_FOR_A_MEDIAN)
        .sort("name", "unit_name")
    )
    wrong = []
    for name, index, origin, unit_name, _, filed, median, outside in groups.rows():
        variable = variables[index]
        if variable.name not in units.TYPICAL:
            continue  # nobody knows what is usual for a variable beside the catalogue
        low, high = units.TYPICAL[variable.name]
        fits = [each.unit for each in units.units_that_fit(variable.name, filed) if each.unit != unit_name]
        unit = f" {variable.unit}" if variable.unit else ""
        if not low <= median <= high:
            told = (
                f"{name!r} ({variable.name}) has median {filed:.4g}"
                + (f" {unit_name}" if origin != ASSUMED else "")
                + f", where {low:g} to {high:g}{unit} is usual"
            )
            if variable.name == "calcium":
                totals = units.units_that_fit("calcium_total", filed)
                fits += [f"calcium_total in {each.unit} (calcium is the ionised part)" for each in totals]
            if fits:
                told += f": this looks like {' or '.join(fits)}"
            if fits and origin == ASSUMED:
                wrong.append(told)
            else:
                notes.say(f"{told}. Check unit and meaning.")
        elif outside > 0.2:
            notes.say(
                f"{outside:.0%} of the values of {name!r} lie outside {variable.low:g} to {variable.high:g}{unit}, the "
                "plausible range: two units under one name, or another measurement."
            )
    if wrong:
        raise SourceError(
            f"No unit is stated, and the catalogue's does not fit: {'; '.join(wrong)}. State the unit in source.units "
            "(the catalogue's, if the values are right), or change source.names."
        )


def _judged(rows: pl.DataFrame, starts: pl.DataFrame, window_hours: int) -> pl.DataFrame:
    """Return stay_id, name, variable, offset, amount, fate, text and is_converted of each row."""
    offset = pl.when("since_admission").then("moment").otherwise(pl.col("moment") - pl.col("start"))
    value = _canonical()
    placed = rows.join(
        starts.with_columns(is_known=True), on="stay_id", how="left", maintain_order="left"
    ).with_columns(offset=offset)
    fate = (
        pl.when(pl.col("is_known").is_null())
        .then(_NO_STAY)
        .when(pl.col("offset").is_null())
        .then(_NO_TIME)
        .when(pl.col("offset") < 0)
        .then(_BEFORE)
        .when((pl.col("offset") >= pl.col("end")).fill_null(value=False))
        .then(_AFTER)
        .when(pl.col("offset") >= window_hours * _MICROSECONDS_PER_HOUR)
        .then(_NO_WINDOW)
        .when(pl.col("value").is_null() & pl.col("text").is_null())
        .then(_EMPTY)
        .when(pl.col("value").is_null())
        .then(_NO_NUMBER)
        .when(pl.col("unit_divisor").is_null())
        .then(_NO_UNIT)
        .when(~value.is_between("low", "high"))
        .then(_IMPLAUSIBLE)
        .otherwise(_KEPT)
        .cast(pl.UInt8)
    )
    changed = (pl.col("unit_offset") != 0) | (pl.col("unit_divisor") != 1)
    return placed.with_columns(fate=fate).select(
        "stay_id", "name", "variable", "offset", "fate", "text",
        amount=pl.when(pl.col("fate") == _KEPT).then(rules.amount(value)),
        is_converted=changed.fill_null(value=False) & pl.col("fate").is_in([_KEPT, _IMPLAUSIBLE]),
    )  # fmt: skip


def _notes_on_rows(judged: pl.DataFrame, notes: Notes) -> None:
    counts = dict(judged.group_by("fate").len().rows())
    total = len(judged)
    texts = {
        _NO_STAY: "belong to no stay in the table of stays (or to one that was left out)",
        _NO_TIME: "have no time that can be read, or belong to a stay without a time of admission",
        _BEFORE: "lie before the admission to intensive care",
    }
    for fate, text in texts.items():
        if counts.get(fate):
            notes.say(f"{several(counts[fate], 'row')} of {total:,} {text}, and are left out.")
    after = counts.get(_AFTER, 0)
    if after:
        doubt = " Check the unit of times (source.time_unit) and the length of stays." if after * 2 > total else ""
        notes.say(f"{several(after, 'row')} of {total:,} lie after the end of their stay, and are left out.{doubt}")
    bad = judged.filter(pl.col("fate") == _NO_NUMBER)
    if len(bad):
        notes.say(f"{several(len(bad), 'value')} of {total:,} are no numbers and are left out: {often(bad['text'])}.")


def _notes_on_stays(judged: pl.DataFrame, starts: pl.DataFrame, notes: Notes) -> None:
    """Say how many stays one kind of table has and the other lacks, where they are more than a few.

    A table that was cut between two rows is whole as far as its rows go.
    """
    measured = judged["stay_id"].drop_nulls().unique()
    known = measured.is_in(starts["stay_id"].implode())
    strange, silent = int((~known).sum()), len(starts) - int(known.sum())
    if strange > MANY * len(measured):
        notes.say(
            f"{strange:,} of {several(len(measured), 'stay')} with measurements are not in the table of stays. If they "
            "should be, that table is cut off, or it writes their ids in another way."
        )
    if silent > MANY * len(starts):
        notes.say(
            f"{silent:,} of {several(len(starts), 'stay')} have no row of the chosen variables. If they were measured, "
            "the measurements are cut off, or write the ids of stays in another way."
        )


def _counts(judged: pl.DataFrame, distinct: pl.DataFrame, variables: Sequence[Variable]) -> pl.DataFrame:
    """Return ``CLEANING_SCHEMA``: every rule of every variable, rules that touched nothing included."""
    counts = {(variable, fate): rows for variable, fate, rows in judged.group_by("variable", "fate").len().rows()}
    kept = dict(distinct.group_by("variable").len().rows())
    converted = dict(judged.filter("is_converted").group_by("variable").len().rows())
    rows = []
    for position, variable in enumerate(variables):
        of_fate = {fate: counts.get((position, fate), 0) for fate in range(len(FATES))}
        read = sum(of_fate.values())
        of_fate[_REPEATED] = of_fate[_KEPT] - kept.get(position, 0)
        of_fate[_KEPT] = kept.get(position, 0)
        rows += [(variable.name, READ, read), (variable.name, CONVERTED, converted.get(position, 0))]
        rows += [(variable.name, FATES[fate], number) for fate, number in of_fate.items()]
    return pl.DataFrame(rows, schema=dict(CLEANING_SCHEMA), orient="row")
