"""Tables for papers: what they tell, what they mask, and that every format can be read back."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
import shutil
import subprocess

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.analysis.numbers.cohorts.characteristics import Category
from icudl.analysis.numbers.comparison import attack_line
from icudl.cli.commands.results.tabling import KINDS
from icudl.report.elements import Entry
from icudl.report.sections.side_by_side import model_lines
from icudl.report.study import StudyResults
from icudl.report.tables.attacks import Fragile, attacks_table, fragility_table
from icudl.report.tables.base import Kind, Line, PaperTable
from icudl.report.tables.cohort import OTHERS, cohort_table, hidden_levels
from icudl.report.tables.scores import scores_table
from icudl.report.tables.writers import full, latex, to_csv, to_html, to_latex, to_markdown
from report_study import fake_table

NASTY = 'a_b & 50% $x$ #1 {y} ~ ^ \\ <i> | "q" “r” ≥ ≤ ° µ ² – − ’ `c` *d* [e] x'


@pytest.fixture(scope="module")
def study() -> StudyResults:
    return fake_table(200)


@pytest.fixture(scope="module")
def tables(study: StudyResults) -> list[PaperTable]:
    lines = [
        attack_line(
            each.model, each.attack, each.data, each.result, each.susceptibility, study.data_named(each.data).grid
        )
        for each in study.attacks
    ]
    fragile = [
        Fragile(
            model=each.model,
            attack=each.attack,
            data=each.data,
            fragility=each.susceptibility.tables["fragility"],
            stays=study.data_named(each.data).grid.stays,
        )
        for each in study.attacks
        if (each.model, each.attack) == ("lstm", "fewest")
    ]
    found = [
        *(cohort_table(each.name, each.grid, restricted=False, several=True) for each in study.data),
        scores_table(model_lines(study, 0)),
        attacks_table(lines),
    ]
    groups = fragility_table(fragile, restricted=True)
    nasty = PaperTable(NASTY, NASTY, NASTY, (NASTY,), (Line(NASTY), Line(NASTY, (Entry(NASTY, 1, NASTY),))), (NASTY,))
    return [*found, *([groups] if groups else []), nasty]


def test_the_command_knows_every_kind():
    assert tuple(Kind) == KINDS


def test_scores_are_those_of_the_report(study: StudyResults, tables: list[PaperTable]):
    (table,) = [each for each in tables if each.id == "scores"]
    lines = model_lines(study, 0)
    told = [line for line in table.lines if line.cells]
    assert len(told) == len(lines)
    values = {cell.sort for line in told for cell in line.cells if cell.sort is not None}
    known = {line.scores["auroc"].value for line in lines if line.deaths >= 10}
    assert known
    assert known <= values
    assert all(line.cells[0].text == "–" for line, of in zip(told, lines, strict=True) if of.deaths < 10)


def test_restricted_cohorts_name_no_small_number(study: StudyResults):
    grid = study.main.grid
    stays = grid.stays.with_columns(
        icu_type=pl.when(pl.int_range(pl.len()) < 4).then(pl.lit("RARE")).otherwise("icu_type")
    )
    grid = dataclasses.replace(grid, stays=stays)
    open_table, masked = (cohort_table("main", grid, restricted=each) for each in (False, True))
    assert any("RARE" in line.label and "4 (" in line.cells[0].text for line in open_table.lines)
    (rare,) = [line for line in masked.lines if line.label == "RARE"]
    assert {cell.text for cell in rare.cells} == {OTHERS, "–"}
    assert len([line for line in masked.lines if line.cells and line.cells[0].text == OTHERS]) > 1
    assert "restricted" in masked.notes[-1]


def test_restricted_scores_and_attacks_name_no_small_number(study: StudyResults):
    lines = tuple(dataclasses.replace(line, deaths=7) for line in model_lines(study, 0))
    headings = [line.label for line in scores_table(lines, restricted=True).lines if not line.cells]
    assert headings
    assert all("<10 deaths" in text for text in headings)
    assert "7 deaths" in scores_table(lines).lines[0].label
    each = study.attacks[0]
    line = attack_line("m", "a", "main", each.result, each.susceptibility, study.main.grid)
    few = {name: dataclasses.replace(flips, attacked=3, flipped=2) for name, flips in line.flips.items()}
    (told,) = [row for row in attacks_table([dataclasses.replace(line, flips=few)], restricted=True).lines if row.cells]
    assert [cell.text for cell in told.cells[:5]] == ["<10", "–", "–", "–", "–"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=6))
def test_no_sum_gives_a_masked_level_away(counts: list[tuple[int, int]]):
    levels = {str(place): (sum(each), *each) for place, each in enumerate(counts)}
    hidden = hidden_levels(Category(column="sex", levels=levels, missing=(0, 0, 0)))
    shown = levels.keys() - hidden
    assert not any(0 < count < 10 for level in shown for count in levels[level])
    if hidden and shown:
        assert len(hidden) > 1
        for column in range(3):
            assert not 0 < sum(levels[level][column] for level in hidden) < 10


def test_csv_and_html_hold_every_cell(tables: list[PaperTable]):
    for table in tables:
        wanted = [full(cell) for line in table.lines for cell in line.cells]
        header, *rows = csv.reader(io.StringIO(to_csv(table)))
        assert header[-len(table.columns) :] == list(table.columns)
        assert [cell for row in rows for cell in row[-len(table.columns) :]] == wanted
        texts: list[str] = []
        parser = html.parser.HTMLParser()
        parser.handle_data = texts.append  # type: ignore[method-assign]
        parser.feed(to_html(table))
        assert {cell.text for line in table.lines for cell in line.cells} - {""} <= set(texts)


def test_markdown_has_as_many_cells_in_every_row(tables: list[PaperTable]):
    for table in tables:
        rows = [row for row in to_markdown(table).splitlines() if row.startswith("|")]
        bars = {row.replace("\\|", "").count("|") for row in rows}
        assert bars == {len(table.columns) + 2}
        assert len(rows) == len(table.lines) + 2


def test_every_row_of_latex_has_as_many_cells(tables: list[PaperTable]):
    for table in tables:
        body = to_latex(table).partition("\\midrule")[2].partition("\\bottomrule")[0]
        rows = [row for row in body.splitlines() if row.endswith("\\\\") and "\\multicolumn" not in row]
        assert rows
        assert {row.replace("\\&", "").count("&") for row in rows} == {len(table.columns)}


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs"))))
def test_no_character_is_left_that_latex_takes_for_a_command(text: str):
    known = ("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "char34")
    told = latex(text)
    for command in known:
        told = told.replace(f"\\{command}{{}}", "")
    for mark in "&%$#_{}":
        told = told.replace(f"\\{mark}", "")
    assert not set(told) & set('\\&%$#_{}~^<>|"')


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tables: list[PaperTable], tmp_path):
    body = "\n\\clearpage\n".join(map(to_latex, tables))
    text = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(text, "utf-8")
    done = subprocess.run(
        ["pdflatex", "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "paper.log").read_text("utf-8", errors="replace")
