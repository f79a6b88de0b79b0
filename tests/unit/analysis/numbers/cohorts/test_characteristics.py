"""The first table of a paper: its numbers, counted again one stay at a time."""

from __future__ import annotations

import statistics

import numpy as np
import polars as pl

from icudl.analysis.numbers.cohorts import characteristics as module
from icudl.analysis.numbers.cohorts.characteristics import characteristics
from report_study import fake_study


def test_quantities_are_those_of_a_count_by_hand(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    grid = fake_study(60).main.grid
    found = characteristics(grid)
    place = next(place for place, each in enumerate(grid.variables) if each.name == "lactate")
    lactate = next(each for each in found.quantities if each.label == grid.variables[place].label)
    for column, label in enumerate((None, 0, 1)):
        means = []
        for stay in range(60):
            charted = [float(value) for value in grid.values[stay, :, place] if not np.isnan(value)]
            if charted and label in {None, int(grid.labels[stay])}:
                means.append(statistics.fmean(charted))
        spread = lactate.spreads[column]
        assert spread.known == len(means)
        assert spread.known + spread.missing == found.columns[column].stays
        assert spread.median is not None
        assert abs(spread.median - statistics.median(means)) < 1e-9


def test_columns_add_up_and_unknown_descriptions_are_left_out():
    grid = fake_study(60).main.grid
    stays = grid.stays.with_columns(height_cm=pl.lit(None, pl.Float32), sex=pl.lit("F"))
    stays[0, "sex"] = None
    found = characteristics(module.GridDataset(**{**vars(grid), "stays": stays}))
    assert found.columns[0].stays == found.columns[1].stays + found.columns[2].stays == 60
    assert not [each for each in found.quantities if each.label == "Height"]
    (sex,) = [each for each in found.categories if each.column == "sex"]
    assert sex.levels["F"][0] + sex.missing[0] == 60
    assert sex.missing[0] == 1
