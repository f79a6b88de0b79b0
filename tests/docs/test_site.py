"""The site builds strictly, every page can be reached, and no page asks another server for anything."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = {
    path.relative_to(REPOSITORY / "docs").with_suffix(".html")
    for path in (REPOSITORY / "docs").rglob("*.md")
    if "examples" not in path.parts
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_can_be_reached_from_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text("utf-8")
    navigation = start[start.index('<div class="md-sidebar md-sidebar--primary"') :]
    linked = {Path(target) for target in re.findall(r'<a href="([^"#:]+\.html)"', navigation)}
    seen, todo = set(), linked | {Path("index.html")}
    while todo - seen:
        page = (todo - seen).pop()
        seen.add(page)
        text = (site / page).read_text("utf-8")
        sidebar = text[
            text.index('<div class="md-sidebar md-sidebar--primary"') : text.index('<div class="md-content"')
        ]
        todo |= {
            Path(os.path.normpath(page.parent / target)) for target in re.findall(r'<a href="([^"#:]+\.html)"', sidebar)
        }
    assert seen >= SOURCES, f"not in the navigation: {sorted(map(str, SOURCES - seen))}"
    assert {Path("reference/command_line.html"), Path("decisions/index.html")} <= seen


@pytest.mark.parametrize(
    ("words", "page"),
    [("own csv", "start/own_tables.html"), ("xgboost", "start/own_model.html"), ("mimic-iv", "start/mimic.html")],
)
def test_the_search_leads_to_the_page_for_a_reader(site: Path, words: str, page: str) -> None:
    index = json.loads((site / "search/search_index.json").read_text("utf-8"))["docs"]
    found = [each for each in index if all(word in f"{each['title']} {each['text']}".lower() for word in words.split())]
    assert page in {each["location"].partition("#")[0] for each in found}
    decisions = [each for each in index if each["location"].startswith("decisions/")]
    assert decisions
    assert all(each["boost"] < 1 for each in decisions if "index" not in each["location"])


def test_no_page_asks_another_server_for_anything(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"', path.read_text("utf-8"))
        loaded += re.findall(
            r'<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href="([^"]+)"', path.read_text("utf-8")
        )
        outside = [address for address in loaded if re.match(r"(https?:)?//", address)]
        assert not outside, f"{path.relative_to(site)} loads {outside}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", path.read_text("utf-8")), path


def test_formulae_are_drawn_by_the_browser_itself(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert "arithmatex" not in path.read_text("utf-8"), path.relative_to(site)
    text = (site / "explanation/scores.html").read_text("utf-8")
    assert "http://www.w3.org/1998/Math/MathML" in text


def test_the_references_hold_what_the_code_has(site: Path) -> None:
    from icudl.cli.app import app
    from icudl.config.document import options_by_table

    commands = (site / "reference/command_line.html").read_text("utf-8")
    for name in app.commands:
        assert f"icudl {name}" in commands
    keys = (site / "reference/configuration.html").read_text("utf-8")
    for table, plugins in options_by_table().items():
        for options in plugins.values():
            for field in dataclasses.fields(options):
                # In place of the mapping itself stand the keys of its entries.
                name = "NAME.items" if field.name == "own" else field.name
                assert f"<code>{table}.{name}</code>" in keys
    assert "hours.parquet" in (site / "reference/artifacts.html").read_text("utf-8")
