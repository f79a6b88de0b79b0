"""The report of several models, attacks and data sets: what stands side by side, and what is named."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest

from icudl.report.build import build_report
from icudl.report.charts.descriptions import Dots
from icudl.report.elements import Figure, Table
from icudl.report.options import ReportOptions
from icudl.report.sections.model.quality import quality_section
from icudl.report.study import StudyResults
from report_study import fake_study, fake_table


@pytest.fixture(scope="module")
def study() -> StudyResults:
    return fake_table(100)


@pytest.fixture(scope="module")
def page(study: StudyResults) -> str:
    return build_report(study, ReportOptions(explorer_stays=5)).html


def rows_of(page: str, table: str) -> list[list[str]]:
    """Return the cells of a table of the page, row after row."""
    body = page.split(f'id="{table}"')[1].split("<tbody>")[1].split("</tbody>", maxsplit=1)[0]
    return [
        [
            re.sub(r"</?a[^>]*>", "", re.sub(r"<small> (.*)</small>", r" | \1", cell))
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)
        ]
        for row in body.split("<tr>")[1:]
    ]


def test_no_identifier_stands_twice(page: str) -> None:
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_every_model_and_data_set_has_a_line(study: StudyResults, page: str) -> None:
    rows = rows_of(page, "models-table")
    found = {(row[0].split(" | ")[0], row[1].split(" | ")[0]) for row in rows}
    stays = ("main, held-out test stays", "main, out-of-fold stays", "elsewhere, external stays")
    assert {(model.name, words) for model in study.models for words in stays} <= found
    labels = study.external[0].grid.labels
    on = f"elsewhere, external stays | {len(labels):,} stays, {int(labels.sum()):,} deaths"
    external = next(row for row in rows if row[:2] == ["summary | LSTM with summaries", on])
    assert external[2] == "0.882 | 0.862 to 0.902"


def test_the_first_model_has_no_difference_to_itself_and_the_second_has(page: str) -> None:
    rows = {(row[0].split(" | ")[0], row[1].split(" | ")[0]): row for row in rows_of(page, "models-table")}
    assert rows["lstm", "main, out-of-fold stays"][-1] == "–"
    assert re.match(r"[+-]\d\.\d{3} \| [+-]\d", rows["summary", "main, out-of-fold stays"][-1])


def test_no_score_is_written_on_fewer_than_ten_deaths(study: StudyResults, page: str) -> None:
    main = study.main.grid
    assert int(main.labels[main.is_test].sum()) < 10
    row = next(row for row in rows_of(page, "models-table") if row[1].startswith("main, held-out test stays"))
    assert row[2:] == ["– | fewer than 10 deaths", *["–"] * len(row[3:])]


def test_every_attack_has_a_line_with_what_may_be_changed(study: StudyResults, page: str) -> None:
    rows = rows_of(page, "attacks-table")
    found = [(row[0], row[1].split(" | ")[0], row[2]) for row in rows]
    assert found == [(each.model, each.attack, each.data) for each in study.attacks]
    for row, each in zip(rows, study.attacks, strict=True):
        both = each.susceptibility.tables["summary"].filter(condition="both", example="best").row(0, named=True)
        what = "charted values" if each.attack == "one_value" else "any cell of the filled-in record"
        assert row[1].endswith(what)
        assert row[3] == f"{both['attacked']:,}"
        assert row[6].startswith(f"{100 * both['success']:.1f} % | ")


def test_cells_that_were_never_charted_are_told_of(study: StudyResults, page: str) -> None:
    attack = next(each for each in study.attacks if each.attack == "fewest")
    grid = study.data_named(attack.data).grid
    row_of = {stay: row for row, stay in enumerate(grid.stay_ids.tolist())}
    best = attack.result.perturbations.filter(example="best").select("stay_id", "hour", "variable").rows()
    charted = sum(grid.counts[row_of[stay], hour, variable] > 0 for stay, hour, variable in best) / len(best)
    row = next(
        row
        for row in rows_of(page, "attacks-table")
        if (row[0], row[1].split(" | ")[0], row[2]) == ("lstm", "fewest", "main")
    )
    assert row[-1] == f"{100 * charted:.1f} %"
    assert "Most of the cells that these attacks changed were never charted: fewest on lstm (" in page


def test_a_heading_of_a_column_keeps_its_percent_sign(page: str) -> None:
    headings = re.findall(r"<th scope=\"col\"[^>]*>([^<]*%[^<]*)</th>", page)
    assert headings
    assert not [heading for heading in headings if " %" in heading]


def test_the_tables_lead_to_the_chapters(page: str) -> None:
    chapters = re.findall(r'<div class="chapter" id="([^"]*)"', page)
    linked = re.findall(r'<t[dh][^>]*><a href="#([^"]*)"', page)
    in_detail = {each for each in chapters if each.startswith(("models-in-detail", "attacks-in-detail"))}
    assert set(linked) == in_detail


def test_headings_say_names(page: str) -> None:
    headings = re.findall(r"<h3[^>]*>(.*?)</h3>", page)
    assert "lstm: how well the model predicts" in headings
    assert "summary, one_value, elsewhere: how easily predictions are flipped" in headings
    assert "elsewhere: who was studied" in headings
    assert "lstm, fewest: search for settings" in headings


def test_single_stays_are_shown_for_one_attack_of_each_model(study: StudyResults, page: str) -> None:
    data = json.loads(page.split('id="report-data">')[1].split("</script>", 1)[0])
    assert [item["id"] for item in data["explorers"]] == [
        "stay-explorer--lstm-one_value-main",
        "stay-explorer--summary-one_value-main",
    ]
    first = study.attacks[0].susceptibility.tables["fragility"].sort("rank")["stay_id"].head(5).to_list()
    assert [stay["id"] for stay in data["explorers"][0]["pack"]["stays"]] == first
    assert "it shows single stays of one attack on each model: " in page


def test_every_figure_of_an_attack_says_its_stays(study: StudyResults, page: str) -> None:
    attack = next(each for each in study.attacks if each.data == "elsewhere")
    attacked = attack.susceptibility.tables["fragility"].height
    anchor = f"map--{attack.model}-{attack.attack}-elsewhere"
    assert (
        f"elsewhere: {attacked:,} attacked stays"
        in page.split(f'id="{anchor}"')[1].split("</figcaption>", maxsplit=1)[0]
    )


def test_no_single_stay_of_restricted_data_is_shown() -> None:
    study = fake_table(60, restricted=True)
    page = build_report(study, ReportOptions()).html
    assert "stay-explorer" not in page.split("<script>")[1].split('id="report-data">')[1]
    numbers = set(re.findall(r"(?<![\d.])\d{6}(?!\d)", page))
    assert numbers & {str(stay) for data in study.data for stay in data.grid.stay_ids.tolist()} == set()


def test_the_lineage_speaks_in_names(page: str) -> None:
    assert ["attack/summary/fewest/elsewhere", "attack"] not in rows_of(page, "lineage")
    assert "attack/summary/fewest/elsewhere" in [row[0] for row in rows_of(page, "lineage")]


def test_a_study_of_one_of_each_has_no_comparison_and_no_choice() -> None:
    page = build_report(fake_study(60), ReportOptions(explorer_stays=0)).html
    sections = re.findall(r'<section id="([^"]*)"', page)
    assert sections == [
        "quality", "attack", "where", "whom-groups", "cohort", "tuning", "glossary", "origin",
    ]  # fmt: skip
    layers = re.findall(r'<li><a href="#([^"]*)">', page.split('id="nav-list"')[1].split("</ul>", maxsplit=1)[0])
    assert layers == ["summary", "models", "fragile", "whom", "evidence", "provenance"]
    assert "data-chapters autocomplete" not in page


def test_hospitals_of_external_data_stand_side_by_side(study: StudyResults) -> None:
    main, elsewhere = study.data
    labels = elsewhere.grid.labels
    rank = np.where(labels == 1, np.cumsum(labels), np.arange(len(labels)) % 30)
    names = np.where(rank <= 12, "h0", np.where(rank <= 14, "h1", "h2"))
    stays = elsewhere.grid.stays.with_columns(source_set=pl.Series(names))
    other = dataclasses.replace(elsewhere, grid=dataclasses.replace(elsewhere.grid, stays=stays))
    section = quality_section(dataclasses.replace(study, data=(main, other)), study.models[0])
    (table,) = [block for block in section.contents if isinstance(block, Table) and block.id == "hospital-scores"]
    rows = [[entry.text for entry in row] for row in table.rows]
    assert [row[0] for row in rows] == ["h0", "2 other hospitals together", "All 3 hospitals"]
    assert {row[1] for row in rows} == {"stays of elsewhere (external)"}
    assert rows[1][4:] == ["3", "–", "–", "–", "–", "–"]
    assert int(rows[0][3]) + int(rows[1][3]) == int(rows[2][3]) == len(labels)
    assert re.fullmatch(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", rows[0][5])
    (figure,) = [block for block in section.contents if isinstance(block, Figure) and block.id == "hospitals"]
    assert isinstance(figure.chart, Mapping)
    drawn = figure.chart["external-0|ratio"]
    assert isinstance(drawn, Dots)
    assert drawn.rows == ("h0", "All 3 hospitals")
    assert drawn.x.reference == 1
    whole = quality_section(study, study.models[0])
    assert not any(isinstance(block, Table) and block.id == "hospital-scores" for block in whole.contents)
