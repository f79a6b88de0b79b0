"""The criteria of the cohort, each on stays at its very edge."""

from __future__ import annotations

import pytest

from icudl.errors import SourceError
from icudl.preprocessing.cohort import CohortOptions, select_cohort
from tables_by_hand import stay, tables


def _left(stays, hours=None, **options):
    left, _ = select_cohort(tables(stays, hours), CohortOptions(**options))
    return left["stay_id"].to_list()


def test_flow_counts_stays_patients_and_deaths_after_each_criterion():
    stays = [
        stay(1, patient_id=10),
        stay(2, patient_id=10, stay_number=2),
        stay(3, age_years=17.2),
        stay(4, stay_hours=20.0, died=True, death_hours=20.0),
        stay(5, died=True, death_hours=47.9, stay_hours=50.9),
        stay(6, died=True, death_hours=99.0),
    ]
    left, flow = select_cohort(tables(stays), CohortOptions(first_stay_only=True))
    assert left["stay_id"].to_list() == [1, 6]
    assert flow.rows() == [
        ("all ICU stays", 0, 6, 5, 3),
        ("age at least 18", 1, 5, 4, 3),
        ("ICU stay of at least 48 h", 1, 4, 3, 2),
        ("alive at hour 48", 1, 3, 2, 1),
        ("first ICU stay of the patient", 1, 2, 2, 1),
        ("at least 1 hourly value charted in the window", 0, 2, 2, 1),
    ]


def test_edges_of_age_and_stay():
    stays = [
        stay(1, age_years=18.0),
        stay(2, age_years=17.99),
        stay(3, age_years=None),
        stay(4, stay_hours=48.0),
        stay(5, stay_hours=47.999),
        stay(6, stay_hours=None),
    ]
    assert _left(stays) == [1, 4]
    assert _left(stays, min_age_years=0) == [1, 2, 3, 4]
    assert _left(stays, min_age_years=0.5) == [1, 2, 4]
    assert _left(stays, min_stay_hours=47) == [1, 4, 5]


def test_death_at_exactly_the_end_of_the_window_is_inside_it():
    stays = [
        stay(1, died=True, death_hours=48.0),
        stay(2, died=True, death_hours=48.01),
        stay(3, died=True, death_hours=None),
    ]
    assert _left(stays) == [2, 3]
    assert _left(stays, alive_at_window_end=False) == [1, 2, 3]


def test_first_stay_means_first_in_the_source_even_where_that_one_is_too_short():
    stays = [stay(1, patient_id=9, stay_hours=5.0), stay(2, patient_id=9, stay_number=2), stay(3)]
    assert _left(stays, first_stay_only=True) == [3]


def test_values_charted_after_the_stay_do_not_count():
    stays = [stay(1, stay_hours=10.5), stay(2), stay(3, stay_hours=10.5), stay(4)]
    hours = [(1, 11, 0, 80.0, 1), (1, 10, 0, 80.0, 1), (2, 3, 1, 2.0, 1), (3, 11, 0, 80.0, 1)]
    assert _left(stays, hours, min_stay_hours=0) == [1, 2]
    two = [(4, 0, 0, 1.0, 1), (4, 0, 1, 1.0, 1)]
    options = CohortOptions(min_stay_hours=0, min_measured_values=2)
    left, flow = select_cohort(tables(stays, [*hours, *two]), options)
    assert left["stay_id"].to_list() == [4]
    assert flow["criterion"][-1] == "at least 2 hourly values charted in the window"


def test_an_empty_cohort_says_where_the_stays_went():
    with pytest.raises(SourceError, match=r"all ICU stays: 1; age at least 90: 0") as caught:
        select_cohort(tables([stay(1)]), CohortOptions(min_age_years=90))
    assert "[cohort]" in str(caught.value)


@pytest.mark.parametrize(("stays", "message"), [
    ([stay(7), stay(7)], "Stay 7 occurs more than once"),
    ([stay(7, died=None)], "Stay 7 has no outcome"),
])  # fmt: skip
def test_stays_that_cannot_be_used_are_refused(stays, message):
    with pytest.raises(SourceError, match=message):
        select_cohort(tables(stays), CohortOptions())
