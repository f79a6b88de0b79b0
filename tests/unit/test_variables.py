"""The catalogue, and choosing from it."""

from __future__ import annotations

import pytest

from icudl.errors import ConfigError
from icudl.variables import CATALOGUE, OTHER_VARIABLES, STUDY_VARIABLES, select


def test_names_are_unique_and_ranges_run_upwards():
    assert len(CATALOGUE) == len(STUDY_VARIABLES) + len(OTHER_VARIABLES)
    for variable in CATALOGUE.values():
        assert variable.low < variable.high, variable.name
        assert variable.group in {"lab", "vital", "other"}, variable.name
        assert variable.label, variable.name


def test_selection_keeps_the_order_asked_for():
    assert [variable.name for variable in select(["gcs", "potassium"])] == ["gcs", "potassium"]


def test_all_takes_what_the_source_measures_in_the_catalogue_s_order():
    assert [variable.name for variable in select(["all"], {"gcs", "lactate", "potassium"})] == [
        "potassium", "lactate", "gcs",
    ]  # fmt: skip
    assert len(select(["all"])) == len(CATALOGUE)


@pytest.mark.parametrize(("names", "message"), [
    (["potasium"], r"'potasium'.*Did you mean 'potassium'"),
    (["gcs", "gcs"], "'gcs' twice"),
    ([], "is empty"),
    (["all", "gcs"], "'all' beside others"),
])  # fmt: skip
def test_a_bad_selection_is_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        select(names)
