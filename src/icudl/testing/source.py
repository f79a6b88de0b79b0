"""The contract of data sources as checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from icudl.artifacts import HOSPITAL_DEATH, SourceTables
from icudl.artifacts.data.outcome import EVENTS
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.preprocessing.outcome import COLUMNS
from icudl.sources import UNKNOWN_NAME, DataSource, WindowOptions
from icudl.sources.base import outcomes_told
from icudl.testing.requirement import require
from icudl.variables import CATALOGUE, STUDY_VARIABLES

_HOURS = 24


def extract(source: DataSource, scratch: Path, hours: int = _HOURS) -> SourceTables:
    """Extract the study's variables inside a window of this many hours, serially; ``scratch`` is created."""
    scratch.mkdir(parents=True)
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=7)
    return source.extract(STUDY_VARIABLES, WindowOptions(hours=hours), context)


def check_is_a_source(source: DataSource, folder: Path) -> None:  # noqa: ARG001 - all checks are called alike
    """The source has what the protocol asks for, in the right types."""
    require(isinstance(source, DataSource), "what icudl.sources.DataSource declares is not all there")
    require(isinstance(source.restricted, bool), f"restricted is {source.restricted!r}, not True or False")
    require(isinstance(source.citations, tuple), f"citations is {source.citations!r}, not a tuple")
    available: object = source.available
    require(
        available is None or (isinstance(available, frozenset) and available and available <= set(CATALOGUE)),
        f"available is {available!r}, neither None nor a frozenset of names of icudl.variables.CATALOGUE",
    )


def check_is_reached(source: DataSource, folder: Path) -> None:  # noqa: ARG001 - all checks are called alike
    """The source says in a few words, on one line, what it found."""
    found: object = source.reach()
    require(isinstance(found, str) and found and "\n" not in found, f"reach() gives {found!r}, not a few words")


def check_says_whose_patients_these_are(source: DataSource, folder: Path) -> None:
    """The population has a name, and the tables carry it."""
    name: object = source.population
    require(isinstance(name, str) and name.strip(), f"population is {name!r}, not the name of a population")
    found = extract(source, folder / "tables").population
    require(found == name, f"the tables are of the population {found!r}, the source says {name!r}")


def check_tables_belong_together(source: DataSource, folder: Path) -> None:
    """One row a stay; hours inside the window, of stays that exist; at least one value behind each mean."""
    tables = extract(source, folder / "tables")
    require(tables.stays["stay_id"].is_unique().all(), "a stay has more than one row")
    require(tables.hours.height > 0, "no hourly value was found")
    known = tables.hours["stay_id"].is_in(tables.stays["stay_id"].to_list())
    require(known.all(), "an hourly value belongs to a stay that is not among the stays")
    require(
        tables.hours.select("stay_id", "hour", "variable").is_unique().all(),
        "a stay, hour and variable has more than one row",
    )
    require(tables.hours["hour"].is_between(0, _HOURS - 1).all(), "an hour lies outside the window")
    require((tables.hours["count"] >= 1).all(), "a mean is made of no value")


def check_values_are_plausible(source: DataSource, folder: Path) -> None:
    """Every mean lies in the plausible range of its variable: canonical units, errors of entry removed."""
    tables = extract(source, folder / "tables")
    for index, variable in enumerate(tables.variables):
        means = tables.hours.filter(pl.col("variable") == index)["mean"]
        require(
            means.is_between(variable.low, variable.high).all(),
            f"a value of {variable.name} lies outside {variable.low:g} to {variable.high:g} {variable.unit}",
        )


def check_deaths_are_consistent(source: DataSource, folder: Path) -> None:
    """Death in hospital is known for every stay, and only those who died have an hour of death."""
    stays = extract(source, folder / "tables").stays
    if HOSPITAL_DEATH.event in outcomes_told(source):
        require(stays["died"].null_count() == 0, "a stay has no outcome")
    require(stays.filter(pl.col("death_hours").is_not_null())["died"].all(), "a survivor has an hour of death")


def check_tells_the_outcomes_it_names(source: DataSource, folder: Path) -> None:
    """The tables hold what each outcome needs that the source says it tells, one row a stay."""
    told = outcomes_told(source)
    require(bool(told) and told <= set(EVENTS), f"outcomes is {sorted(told)}, not some of {', '.join(EVENTS)}")
    tables = extract(source, folder / "tables")
    for event in sorted(told):
        lost = [column for column in COLUMNS[event] if column not in tables.outcomes.columns]
        require(not lost, f"the source says that it tells {event}, and its outcomes lack {', '.join(lost)}")
    ids = tables.outcomes["stay_id"]
    require(ids.is_unique().all(), "a stay has more than one row of outcomes")
    require(ids.is_in(tables.stays["stay_id"].to_list()).all(), "an outcome belongs to no stay")


def check_no_date_leaves_the_source(source: DataSource, folder: Path) -> None:
    """Times are hours from ICU admission; no absolute date is handed on."""
    tables = extract(source, folder / "tables")
    for frame in (tables.stays, tables.hours, tables.cleaning):
        require(not any(dtype.is_temporal() for dtype in frame.dtypes), "a column holds dates")


def check_extraction_repeats_itself(source: DataSource, folder: Path) -> None:
    """Two extractions give the same bytes."""
    written: list[dict[str, bytes]] = []
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        extract(source, folder / f"{name}-scratch").write(folder / name)
        written.append({path.name: path.read_bytes() for path in (folder / name).iterdir()})
    require(written[0] == written[1], "two extractions differ")


def check_window_cuts_first(source: DataSource, folder: Path) -> None:
    """A longer window does not change the hours of the shorter one: no later value can reach them."""
    short, long = extract(source, folder / "short"), extract(source, folder / "long", 2 * _HOURS)
    require(long.hours.filter(pl.col("hour") < _HOURS).equals(short.hours), "a longer window changes the first hours")


def check_fingerprint_is_of_the_data(source: DataSource, folder: Path) -> None:
    """The fingerprint repeats itself, is a SHA-256, and tells no path."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second = source.fingerprint(folder), source.fingerprint(folder)
    require(first == second, "two fingerprints of the same data differ")
    require(len(first.digest) == 64, f"the digest {first.digest!r} is no hexadecimal SHA-256")
    require(str(folder) not in str(first), "the fingerprint tells a path")


def check_counts_unknown_names(source: DataSource, folder: Path, unknown: Mapping[str, int]) -> None:
    """Rows under a name that nobody knows are counted, not dropped without a word.

    Not one of ``SOURCE_CHECKS``: it needs data with such rows, and is for sources whose rows name their variable.

    Args:
        source: A source of data that hold rows under unknown names.
        folder: An empty folder to work in.
        unknown: How many rows there are of each unknown name.
    """
    cleaning = extract(source, folder / "tables").cleaning.filter(pl.col("rule") == UNKNOWN_NAME)
    found = dict(cleaning.select("variable", "rows").iter_rows())
    require(
        found == dict(unknown),
        f"the cleaning table counts {found} under {UNKNOWN_NAME!r}, not {dict(unknown)}; "
        "icudl.sources.count_unknown_names makes these rows",
    )


SOURCE_CHECKS: tuple[Callable[[DataSource, Path], None], ...] = (
    check_is_a_source,
    check_is_reached,
    check_says_whose_patients_these_are,
    check_tables_belong_together,
    check_values_are_plausible,
    check_deaths_are_consistent,
    check_tells_the_outcomes_it_names,
    check_no_date_leaves_the_source,
    check_extraction_repeats_itself,
    check_window_cuts_first,
    check_fingerprint_is_of_the_data,
)
"""The contract of data sources, one function a promise; each takes a source and an empty folder to work in."""
