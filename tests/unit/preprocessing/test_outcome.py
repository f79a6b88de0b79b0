"""The label of each outcome, on stays at its very edge, and who is left out."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.artifacts import OUTCOMES_SCHEMA, SourceTables
from icudl.artifacts.data.outcome import EVENTS
from icudl.errors import ConfigError, SourceError
from icudl.preprocessing.cohort import CohortOptions, select_cohort
from icudl.preprocessing.outcome import COLUMNS, OutcomeOptions, described, require_told
from tables_by_hand import stay, tables


def _told(stays: list[dict[str, Any]], **columns: list[Any]) -> SourceTables:
    made = tables(stays)
    frame = pl.DataFrame({"stay_id": [each["stay_id"] for each in stays]} | columns)
    schema = {name: dtype for name, dtype in OUTCOMES_SCHEMA.items() if name in frame.columns}
    return dataclasses.replace(made, outcomes=frame.cast(schema))


def _labels(made: SourceTables, cohort: CohortOptions | None = None, **options: Any) -> dict[int, bool]:
    left, _ = select_cohort(made, cohort or CohortOptions(), OutcomeOptions(**options))
    return dict(left.select("stay_id", "label").iter_rows())


def test_every_event_has_words_and_columns() -> None:
    assert set(COLUMNS) == set(EVENTS)
    phrases = {event: described(OutcomeOptions(event=event)).phrase for event in EVENTS}
    assert len(set(phrases.values())) == len(EVENTS)
    assert (
        described(OutcomeOptions(event="long_stay", days=1)).phrase
        == "an ICU stay longer than 1 day from ICU admission"
    )
    assert described(OutcomeOptions(event="column", name="sepsis")).phrase == "sepsis"


def test_death_in_the_icu_leaves_out_deaths_at_an_unknown_hour() -> None:
    stays = [stay(1, died=True, death_hours=80.0), stay(2, died=True), stay(3, died=True), stay(4)]
    made = _told(stays, icu_death=[True, None, False, False])
    assert _labels(made, event="icu_death") == {1: True, 3: False, 4: False}
    _, flow = select_cohort(made, CohortOptions(), OutcomeOptions(event="icu_death"))
    assert ("known whether the patient died in the ICU", 1, 3, 3, 1) in flow.rows()


def test_death_within_days_needs_a_patient_who_was_followed() -> None:
    day = 24.0
    deaths = [30 * day, 30 * day + 0.01, None, None, 47.0, None]
    followed = [90 * day, 90 * day, 30 * day, 30 * day - 0.01, 90 * day, None]
    made = _told([stay(number) for number in range(1, 7)], any_death_hours=deaths, followed_hours=followed)
    # Stay 5 is dead at hour 48, though not in hospital as far as the table of stays tells.
    assert _labels(made, event="death_within_days") == {1: True, 2: False, 3: False}
    later = _labels(made, event="death_within_days", since="window_end")
    assert later == {1: True, 2: True}, "two days later than from admission, and stay 3 was not followed so long"


def test_a_death_within_days_that_is_known_needs_no_follow_up() -> None:
    made = _told([stay(1), stay(2)], any_death_hours=[100.0, None], followed_hours=[None, 900.0])
    assert _labels(made, event="death_within_days") == {1: True, 2: False}


def test_a_long_stay_is_longer_than_the_days() -> None:
    made = tables([stay(1, stay_hours=168.0), stay(2, stay_hours=168.01), stay(3, stay_hours=60.0)])
    assert _labels(made, event="long_stay", days=7) == {1: False, 2: True, 3: False}
    assert _labels(made, event="long_stay", days=5, since="window_end") == {1: False, 2: True, 3: False}
    with pytest.raises(SourceError, match="ends at hour 48, before the outcome begins to count at hour 48"):
        _labels(made, event="long_stay", days=2)


def test_readmission_is_of_those_who_left_alive() -> None:
    stays = [stay(number) for number in range(1, 6)]
    made = _told(stays, icu_death=[False, False, True, None, False], readmission_hours=[48.0, 48.01, None, 10.0, None])
    assert _labels(made, event="readmission", days=2) == {1: True, 2: False, 5: False}
    _, flow = select_cohort(made, CohortOptions(), OutcomeOptions(event="readmission", days=2))
    assert ("left the ICU alive", 2, 3, 3, 1) in flow.rows()


def test_a_column_needs_no_death() -> None:
    made = _told([stay(1, died=None), stay(2, died=None), stay(3, died=None)], column=[True, False, None])
    assert _labels(made, event="column") == {1: True, 2: False}
    with pytest.raises(SourceError, match="Stay 1 has no outcome"):
        _labels(made)


def test_a_column_whose_hour_is_told_is_predicted_of_those_who_do_not_have_it_yet() -> None:
    stays = [stay(number, stay_hours=100.0) for number in range(1, 5)]
    made = _told(stays, column=[True, True, True, False], column_hours=[48.0, 48.5, 60.0, None])
    assert _labels(made, event="column") == {2: True, 3: True, 4: False}
    assert _labels(made, event="column", gap_hours=1) == {3: True, 4: False}
    assert _labels(made) == dict.fromkeys(range(1, 5), False), "another outcome has no such hour"
    _, flow = select_cohort(made, CohortOptions(), OutcomeOptions())
    assert not flow["criterion"].str.contains("without the outcome").any()


def test_the_gap_moves_the_moment_from_which_the_outcome_counts() -> None:
    stays = [
        stay(1, died=True, death_hours=54.0, stay_hours=54.0),
        stay(2, died=True, death_hours=54.01, stay_hours=54.01),
        stay(3, stay_hours=53.9),
        stay(4, stay_hours=54.0),
    ]
    made = tables(stays)
    assert _labels(made, gap_hours=6) == {2: True, 4: False}
    assert _labels(made, CohortOptions(min_stay_hours=48), gap_hours=6) == {2: True, 3: False, 4: False}
    _, flow = select_cohort(made, CohortOptions(), OutcomeOptions(gap_hours=6))
    assert [row[0] for row in flow.rows()][2:4] == ["ICU stay of at least 54 h", "alive at hour 54"]


def test_an_outcome_that_the_tables_lack_is_one_error() -> None:
    with pytest.raises(SourceError, match="do not tell death in the ICU: their outcomes lack icu_death"):
        _labels(tables([stay(1)]), event="icu_death")


def test_an_outcome_that_the_source_lacks_is_one_error() -> None:
    told = frozenset({"hospital_death", "long_stay"})
    require_told(told, OutcomeOptions(event="long_stay"), "eicu")
    with pytest.raises(
        ConfigError, match=r"'readmission' is not told by the source 'eicu'.* hospital_death, long_stay"
    ):
        require_told(told, OutcomeOptions(event="readmission"), "eicu")
    with pytest.raises(ConfigError, match=r"source\.stay_columns = { outcome"):
        require_told(told, OutcomeOptions(event="column"), "table")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 2000), st.none() | st.floats(0, 2000), st.booleans()), min_size=1, max_size=20),
    st.floats(0, 48),
)
def test_no_outcome_inside_window_and_gap_is_predicted(
    drawn: list[tuple[float, float | None, bool]], gap: float
) -> None:
    """Whatever the stays, who is left in the cohort is alive and in the ICU when the outcome begins to count."""
    stays = [
        stay(number, stay_hours=length, died=died and death is not None, death_hours=death if died else None)
        for number, (length, death, died) in enumerate(drawn)
    ]
    stays.append(stay(len(stays)))  # so that the cohort is not empty
    left, flow = select_cohort(tables(stays), CohortOptions(), OutcomeOptions(gap_hours=gap))
    assert (left["stay_hours"] >= 48 + gap).all()
    assert (left["death_hours"].drop_nulls() > 48 + gap).all()
    assert flow["stays"][-1] == len(left)
    assert flow["deaths"][-1] == left["label"].sum()
