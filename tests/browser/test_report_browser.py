"""The report opened in a browser: it draws, it is usable by mouse and by keyboard, it is silent and accessible.

The default suite opens one report, in ``test_report_of_a_run.py``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest

from icudl.report.build import build_report
from icudl.report.options import ReportOptions
from icudl.report.study import StudyResults
from report_study import MARKUP, fake_study, fake_table, of_one_attack

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("report-browser")]

Open = Callable[..., Any]

WIDTHS = (360, 768, 1400, 1920)
"""Of a phone, a tablet, a screen, and a wide screen."""


def open_table(page: Any, details: str) -> Any:
    """Open a table of data and return its rows: the browser tells the page of it a moment after the click."""
    page.locator(f"{details} summary").click()
    rows = page.locator(f"{details} tbody tr")
    rows.first.wait_for()
    return rows


@pytest.fixture(scope="session")
def study() -> StudyResults:
    return fake_study(160)


@pytest.fixture(scope="session")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(fake_study(160, every_table=True), tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="session")
def study_page(study: StudyResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(study, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def table_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(fake_table(120), tmp_path_factory.mktemp("table"))


def write_page(study: StudyResults, folder: Path) -> Path:
    """Write the page of a study and return its path."""
    path = folder / "index.html"
    path.write_text(build_report(study, ReportOptions()).html, "utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_figure_is_drawn_in_silence(open_report: Open, study_page: Path, width: int, scheme: str) -> None:
    opened = open_report(study_page, width=width, scheme=scheme)
    drawn = opened.page.evaluate(
        "[...document.querySelectorAll('figure.chart')]"
        ".map(box => [box.id, Number(box.querySelector('.plot').dataset.drawn)])"
    )
    assert len(drawn) >= 20
    assert [name for name, values in drawn if not values] == []
    assert opened.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.complaints == []
    assert len(opened.requests) == 1


def test_every_variant_of_every_switch_is_drawn(open_report: Open, full_page: Path) -> None:
    opened = open_report(full_page)
    assert opened.page.locator("#sweep-map .plot svg").count() == 1
    opened.page.evaluate(
        """() => {
          for (const box of document.querySelectorAll('[data-switch]')) {
            if (box.tagName === 'SELECT') {
              for (const option of box.options) { box.value = option.value; box.dispatchEvent(new Event('change')); }
            } else for (const radio of box.querySelectorAll('input')) radio.click();
          }
        }"""
    )
    assert opened.complaints == []
    blank = "[...document.querySelectorAll('.plot')].filter(plot => !Number(plot.dataset.drawn)).length"
    assert opened.page.evaluate(blank) == 0


def test_the_map_answers_to_click_and_keyboard(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    plot = page.locator("#map .plot")
    before = plot.inner_html()
    page.locator("#map [data-switch=condition] label").nth(1).click()
    assert plot.inner_html() != before
    page.locator("#map [data-switch=measure]").select_option("sensitivity")
    assert "Sensitivity" in plot.locator("svg").text_content()
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert "Calcium (ionised), hour 1" in page.locator("#map [aria-live]").text_content()
    page.locator("#map .tools button").click()
    assert page.locator("#map .tools button").inner_text() == "Study order"


def test_switches_work_by_keyboard(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    page.locator("#roc [data-switch=split] input").first.focus()
    before = page.locator("#roc .plot").inner_html()
    page.keyboard.press("ArrowRight")
    assert page.locator("#roc [data-switch=split] input").nth(1).is_checked()
    assert page.locator("#roc .plot").inner_html() != before


def test_a_curve_can_be_zoomed_and_reset(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    plot = page.locator("#fewest-changes .plot")
    plot.scroll_into_view_if_needed()
    before = plot.inner_html()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 200, steps=4)
    page.mouse.up()
    assert plot.inner_html() != before
    page.locator("#fewest-changes .tools button").click()
    assert page.locator("#fewest-changes .tools button").count() == 0
    plot.focus()
    page.keyboard.press("+")
    assert page.locator("#fewest-changes .tools button").count() == 1
    page.keyboard.press("0")
    assert page.locator("#fewest-changes .tools button").count() == 0


def test_a_pointer_reads_values_and_the_legend_hides_a_series(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    plot = page.locator("#roc .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    assert "Deaths recognised" in page.locator("#tip").inner_text()
    curves = page.locator("#roc .plot path.curve").count()
    page.locator("#roc .legend button").nth(1).click()
    assert page.locator("#roc .plot path.curve").count() == curves - 1


def test_every_figure_has_its_data_table(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    rows = open_table(page, "#ranking details.data")
    assert rows.count() == 19
    assert rows.first.locator("th").inner_text() == "Potassium"
    page.locator("#ranking details.data thead button").nth(1).click()
    column = [float(cell) for cell in page.locator("#ranking details.data tbody td:nth-child(2)").all_inner_texts()]
    assert column == sorted(column, reverse=True)
    with page.expect_download() as saved:
        page.locator("#ranking .save button:has-text('CSV')").click()
    assert saved.value.suggested_filename == "ranking.csv"


def test_tables_are_sorted_and_filtered(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    page.locator("#clinical-sizes thead button").nth(3).click()
    assert page.locator("#clinical-sizes thead th").nth(3).get_attribute("aria-sort") == "descending"
    stays = [int(text) for text in page.locator("#clinical-sizes tbody tr td:nth-child(4)").all_inner_texts()]
    assert stays == sorted(stays, reverse=True)
    page.locator("#clinical-sizes-filter").fill("potass")
    shown = page.locator("#clinical-sizes tbody tr:visible th").all_inner_texts()
    assert set(shown) == {"Potassium"}


def test_the_stay_explorer_works_by_click_and_keyboard(open_report: Open, study_page: Path) -> None:
    opened = open_report(study_page)
    page = opened.page
    assert page.locator(".small-plots svg").count() == 19
    first = opened.text("[data-explorer=view] h3")
    page.locator("[data-explorer=next]").click()
    second = opened.text("[data-explorer=view] h3")
    assert first != second
    page.locator("[data-explorer=list]").focus()
    page.keyboard.press("ArrowUp")
    assert opened.text("[data-explorer=view] h3") == first
    page.locator("[data-explorer=list] [role=option]").nth(2).click()
    chosen = page.locator("[data-explorer=list] [aria-selected=true]").inner_text()
    assert opened.text("[data-explorer=view] h3") in chosen
    page.locator("[data-explorer=search]").fill("no such stay")
    assert "No stay fits" in opened.text("[data-explorer=view]")
    assert page.locator(".small-plots svg").count() == 0
    page.locator("[data-explorer=search]").fill("")
    page.locator("[data-explorer=direction]").select_option("death")
    assert "predicted death becomes predicted survival" in opened.text("[data-explorer=view]")
    assert open_table(page, "#stay-explorer details.values").count() == 48
    assert "→" in page.locator("#stay-explorer details.values tbody").inner_text()
    page.locator("[data-explorer=sort]").select_option("stay")
    names = page.locator("[data-explorer=list] [role=option] span:first-child").all_inner_texts()
    assert names == sorted(names)
    assert opened.complaints == []


def first_explored(study: StudyResults) -> dict[str, Any]:
    """Return the row of the stay that the explorer opens on: fewest changes, then the largest change of risk."""
    attack = of_one_attack(study).result
    changes = attack.perturbations.filter(example="best").group_by("stay_id").len("changes")
    swing = (pl.col("best_probability") - pl.col("probability_before")).abs()
    return attack.stays.join(changes, on="stay_id").sort("changes", -swing).row(0, named=True)


def test_the_explorer_tells_the_values_of_the_artifacts(
    open_report: Open, study_page: Path, study: StudyResults
) -> None:
    opened = open_report(study_page)
    first = first_explored(study)["stay_id"]
    assert opened.text("[data-explorer=view] h3") == f"Stay {first}"
    unpacked = opened.page.evaluate(
        """(first) => {
          const pack = JSON.parse(document.getElementById('report-data').textContent).explorers[0].pack;
          const stay = pack.stays.find((each) => each.id === first);
          const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const bits = bytes(stay.mask), steps = new DataView(bytes(stay.values).buffer), out = [];
          let taken = 0;
          for (let cell = 0; cell < pack.hours * pack.variables.length; cell += 1) {
            if (!(bits[cell >> 3] & (128 >> (cell & 7)))) { out.push(null); continue; }
            const { low, step } = pack.variables[cell % pack.variables.length];
            out.push(low + step * steps.getUint16(2 * taken++, true));
          }
          return out;
        }""",
        first,
    )
    row = study.main.grid.stay_ids.tolist().index(first)
    expected = study.main.grid.values[row].ravel()
    for cell, value in zip(unpacked, expected.tolist(), strict=True):
        assert cell is None if np.isnan(value) else cell == pytest.approx(value, rel=1e-3)
    attack = of_one_attack(study).result
    changes = attack.perturbations.filter(stay_id=first, example="best").sort("hour", "variable")
    said = opened.page.locator("[data-explorer=view] ul.changes li").all_inner_texts()
    assert len(said) == min(8, changes.height)
    for text, change in zip(said, changes.iter_rows(named=True), strict=False):
        variable = attack.variables[change["variable"]]
        found = re.fullmatch(r"(.*) at hour (\d+): ([-\d.,]+) to ([-\d.,]+)(.*)", text)
        assert found is not None
        assert (found[1], int(found[2]), found[5].strip()) == (variable.label, change["hour"], variable.unit)
        for part, name in ((3, "before_clinical"), (4, "after_clinical")):
            assert float(found[part].replace(",", "")) == pytest.approx(change[name], rel=0.01)


def _saved(page: Any, box: Any, kind: str, folder: Path) -> Path:
    """Press a button by keyboard and return the file that the page offers."""
    with page.expect_download() as download:
        box.locator(f".save button:has-text('{kind}')").first.press("Enter")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.parametrize("place", ["figure.chart", "figure.picture", ".explorer"])
def test_what_is_drawn_is_saved_as_svg_png_and_csv(
    open_report: Open, study_page: Path, tmp_path: Path, place: str
) -> None:
    opened = open_report(study_page, scheme="dark")
    page, box = opened.page, opened.page.locator(f"{place}:visible").first
    svg = _saved(page, box, "SVG", tmp_path)
    drawing = ET.fromstring(svg.read_text("utf-8"))
    parts = list(drawing.iter())
    assert drawing.find("{*}title").text
    assert {part.tag.rpartition("}")[2] for part in parts} >= {"svg", "text", "rect"}
    assert not any("class" in part.attrib or "var(" in str(part.attrib) for part in parts)
    page.goto(svg.as_uri())  # it stands alone, without the page's style
    assert page.evaluate("document.querySelectorAll('text').length") > 5
    page.goto(study_page.as_uri())
    png = _saved(page, box, "PNG", tmp_path).read_bytes()
    wide = int.from_bytes(png[16:20])
    assert png.startswith(b"\x89PNG")
    assert wide == 3 * float(drawing.get("width"))
    table = _saved(page, box, "CSV", tmp_path).read_text("utf-8").splitlines()
    assert len({len(cells) for cells in csv.reader(table)}) == 1
    assert len(table) > 3
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert opened.complaints == []


def test_charted_values_outside_the_limits_are_marked_and_told(
    open_report: Open, study_page: Path, study: StudyResults
) -> None:
    page = open_report(study_page).page
    fragile = first_explored(study)
    scaler = study.models[0].training.checkpoints[fragile["member"]].scaler
    values = study.main.grid.values[study.main.grid.stay_ids.tolist().index(fragile["stay_id"])]
    # A hundredth of the width between the limits is as good as inside; the steps of the page blur that a little.
    width = scaler.upper - scaler.lower
    outside, on = (
        (values > scaler.upper + share * width) | (values < scaler.lower - share * width) for share in (0.011, 0.009)
    )
    assert outside.any()
    assert outside.sum() <= page.locator(".explorer circle.beyond").count() <= on.sum()
    told = page.locator(".explorer .cut").inner_text()
    first = int(np.flatnonzero(outside.any(axis=0))[0])
    assert told.startswith(f"Outside what the model can see: {study.main.grid.variables[first].label} ")
    assert "the model sees" in told
    assert page.locator(".explorer line.limit").count() >= outside.any(axis=0).sum()


def test_the_theme_can_be_switched(open_report: Open, study_page: Path) -> None:
    page = open_report(study_page).page
    page.locator("#theme-switch").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#theme-switch").inner_text() == "Light page"


def test_markup_in_data_stays_text(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(write_page(fake_study(60, markup=True), tmp_path))
    page = opened.page
    assert page.title() == "ICU Deep Learning"
    assert page.locator("main img").count() == 0
    assert MARKUP in page.locator("#cleaning").inner_text()
    page.locator("[data-explorer=search]").fill("onerror")
    assert MARKUP in opened.text("[data-explorer=view]")
    assert opened.complaints == []
    assert len(opened.requests) == 1


def test_one_chapter_of_each_kind_is_shown_and_the_reader_chooses_which(open_report: Open, table_page: Path) -> None:
    opened = open_report(table_page)
    page = opened.page
    assert page.locator(".chapter:visible").count() == page.locator(".group").count()
    assert page.locator("#roc--summary .plot svg").count() == 1
    assert page.locator("#roc--lstm .plot svg").count() == 0
    page.get_by_label("Model", exact=True).select_option(label="lstm")
    assert page.locator("#roc--summary").is_hidden()
    assert page.locator("#roc--lstm .plot svg").is_visible()
    page.locator("#attacks-in-detail-choice").select_option(label="summary, fewest, elsewhere")
    assert page.locator("#whom-in-detail-choice").input_value() == "whom-in-detail--summary-fewest-elsewhere"
    assert page.locator("#whom-in-detail--summary-fewest-elsewhere").is_visible()
    visible = page.locator("#attacks-in-detail h3:visible").all_inner_texts()
    assert visible[0] == "summary, fewest, elsewhere: how easily predictions are flipped"
    assert len([text for text in visible if not text.startswith("summary, fewest, elsewhere: ")]) == 0
    assert opened.complaints == []
    assert len(opened.requests) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_a_link_into_a_hidden_chapter_shows_it(open_report: Open, table_page: Path) -> None:
    page = open_report(table_page).page
    page.evaluate("window.location.hash = 'map--lstm-fewest-main'")
    page.locator("#map--lstm-fewest-main .plot svg").wait_for()
    assert page.locator(".chapter:visible").count() == page.locator(".group").count()


def test_a_link_to_what_is_folded_away_unfolds_it(open_report: Open, table_page: Path) -> None:
    opened = open_report(table_page, unfolded=False)
    page = opened.page
    assert page.locator("#by-hour--lstm-fewest-main").is_hidden()
    page.evaluate("window.location.hash = 'by-hour--lstm-fewest-main'")
    page.locator("#by-hour--lstm-fewest-main .plot svg").wait_for()
    assert page.locator("#measured--main").is_hidden()
    page.locator("#cohort--main details.folded > summary").click()
    page.locator("#measured--main .plot svg").wait_for()
    assert opened.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_answer_stands_on_the_first_screen(open_report: Open, table_page: Path, width: int) -> None:
    opened = open_report(table_page, width=width, unfolded=False)
    page = opened.page
    bottom = "(wanted) => document.querySelector(wanted).getBoundingClientRect().bottom"
    screens = 2 if width < 1000 else 1
    for part in ("#summary h2", "#summary .facts", "#picture"):
        assert page.evaluate(bottom, part) <= 900 * screens, part
    assert "wrong charted values flip" in opened.text("#summary h2").lower()
    assert page.locator("#picture .movedto").count() >= 2
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_words_of_the_picture_keep_apart(open_report: Open, table_page: Path) -> None:
    page = open_report(table_page, width=1400, unfolded=False).page
    boxes = page.locator("#picture .plot > svg text").evaluate_all(
        """nodes => nodes.map(node => {
            const box = node.getBoundingClientRect();
            return [node.textContent, box.left, box.top, box.right, box.bottom];
        })"""
    )
    across = [
        (one[0], other[0])
        for place, one in enumerate(boxes)
        for other in boxes[:place]
        if min(one[3], other[3]) - max(one[1], other[1]) > 1 and min(one[4], other[4]) - max(one[2], other[2]) > 3
    ]
    assert len(boxes) > 10
    assert not across


def test_counts_have_whole_ticks_and_a_figure_alone_fills_its_row(open_report: Open, table_page: Path) -> None:
    page = open_report(table_page, width=1400, unfolded=False).page
    ticks = page.locator("figure[id^='sweep-counts']:visible .plot text[text-anchor='middle']").all_text_contents()
    assert {"1", "2"} <= set(ticks)
    assert not [tick for tick in ticks if re.fullmatch(r"\d*\.\d+", tick)]
    alone = page.locator("figure[id^='fewest-changes']:visible").first
    assert alone.evaluate("node => node.offsetWidth === node.parentElement.clientWidth")


def test_sections_are_reached_on_a_phone(open_report: Open, table_page: Path) -> None:
    from playwright.sync_api import expect

    opened = open_report(table_page, width=360, unfolded=False)
    page = opened.page
    assert page.locator("#nav-list").is_hidden()
    page.locator("#nav-switch").click()
    assert page.locator("#nav-list a:visible").count() == 7
    page.keyboard.press("Escape")
    assert page.locator("#nav-list").is_hidden()
    page.locator("#nav-switch").click()
    page.locator("#nav-list a", has_text="Stays").click()
    assert page.locator("#nav-list").is_hidden()
    expect(page.locator("#nav-here")).to_have_text("Stays")
    assert opened.complaints == []


def test_the_picture_of_restricted_data_shows_no_stay(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(write_page(fake_table(80, restricted=True), tmp_path), unfolded=False)
    assert opened.page.locator("#picture > .plot > svg rect").count() == 100
    assert "Stay 2" not in opened.text("#picture")
    assert opened.complaints == []


def test_a_link_opens_its_chapter_again_after_another_was_chosen(open_report: Open, table_page: Path) -> None:
    opened = open_report(table_page)
    page = opened.page
    link = page.locator("#models-table tbody a", has_text="lstm").first
    link.click()
    assert page.locator("#models-in-detail--lstm").is_visible()
    choice = page.get_by_label("Model", exact=True)
    choice.focus()
    page.keyboard.press("ArrowDown")
    page.locator("#models-in-detail--summary").wait_for()
    assert page.evaluate("window.location.hash") == "#models-in-detail--summary"
    link.click()
    page.locator("#models-in-detail--lstm").wait_for()
    assert choice.input_value() == "models-in-detail--lstm"
    assert opened.complaints == []


def test_print_shows_the_chosen_chapters(open_report: Open, table_page: Path) -> None:
    page = open_report(table_page).page
    page.get_by_label("Model", exact=True).select_option(label="lstm")
    page.emulate_media(media="print")
    shown = {each.get_attribute("id") for each in page.locator(".chapter:visible").all()}
    assert {"models-in-detail--lstm", "attacks-in-detail--summary-one_value-main"} <= shown
    assert len(shown) == page.locator(".group").count()
    assert page.locator(".chooser select").first.is_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_that_shows_less_than_it_holds_says_so(open_report: Open, table_page: Path, width: int) -> None:
    page = open_report(table_page, width=width).page
    found = page.evaluate(
        """() => [...document.querySelectorAll('.tablebox')].filter((box) => box.offsetParent).map((box) => {
          const scroll = box.querySelector('.scroll'), line = box.querySelector('.more');
          const told = !line.hidden && line.textContent.includes('sideways');
          return [box.id, scroll.scrollWidth > scroll.clientWidth + 1, told];
        })"""
    )
    assert [name for name, cut, said in found if cut != said] == []
    cut = {name for name, hidden, _ in found if hidden}
    assert cut.isdisjoint({"models-table", "attacks-table"}) == (width >= 1400)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_axe_finds_nothing_serious(open_report: Open, study_page: Path, width: int, scheme: str) -> None:
    page = open_report(study_page, width=width, scheme=scheme).page
    open_table(page, "#ranking details.data")
    assert violations(page, {"serious", "critical"}) == []


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (360, "dark")])
def test_axe_finds_nothing_in_the_report_of_a_table(
    open_report: Open, table_page: Path, width: int, scheme: str
) -> None:
    page = open_report(table_page, width=width, scheme=scheme).page
    assert violations(page, {"moderate", "serious", "critical"}) == []


def violations(page: Any, impacts: set[str]) -> list[str]:
    """Return what axe finds on a page, each with the first place of it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in found if item["impact"] in impacts]
