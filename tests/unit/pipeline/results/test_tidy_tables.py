"""Tidy tables: names in the place of indices, blocks that add up, every column described."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.analysis import tidy
from icudl.cli.commands.results.exporting import TABLES
from report_study import fake_study, of_one_attack


def test_the_command_knows_every_table():
    assert tuple(tidy.TABLES) == TABLES


def test_measurements_are_the_charted_cells_whatever_the_block(monkeypatch):
    grid = fake_study(30).main.grid
    whole = pl.concat(tidy.measurements("here", grid))
    monkeypatch.setattr(tidy, "BLOCK", 7)
    assert pl.concat(tidy.measurements("here", grid)).equals(whole)
    assert whole.height == int((~np.isnan(grid.values)).sum())
    lactate = next(place for place, each in enumerate(grid.variables) if each.name == "lactate")
    own = whole.filter(variable="lactate")
    assert set(own["unit"]) == {"mmol/L"}
    assert np.isclose(own["value"].sum(), np.nansum(grid.values[:, :, lactate].astype(np.float64)))


def test_changes_name_variables_and_tell_what_was_charted():
    study = fake_study(60)
    attack, grid = of_one_attack(study), study.main.grid
    frame = pl.concat(tidy.changes("here", "m", "a", attack.result, grid))
    stored = attack.result.perturbations
    assert frame.height == stored.height > 0
    index = {each.name: place for place, each in enumerate(grid.variables)}
    assert [index[name] for name in frame["variable"]] == stored["variable"].to_list()
    row_of = {int(stay): row for row, stay in enumerate(grid.stay_ids)}
    for stay, hour, variable, charted in frame.select("stay_id", "hour", "variable", "charted").iter_rows():
        assert charted == (not np.isnan(grid.values[row_of[stay], hour, index[variable]]))


def test_a_cohort_tells_splits_and_folds():
    grid = fake_study(60).main.grid
    (frame,) = tidy.cohort("here", grid)
    assert set(frame["split"]) == {"training", "test"}
    assert (frame["fold"].is_null() == (frame["split"] == "test")).all()
    assert frame["label"].sum() == grid.labels.sum()
