"""A headless Chromium for the tests of the report; they are skipped where there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@dataclasses.dataclass
class Opened:
    """A page and what it did that it must not do."""

    page: Any
    complaints: list[str]
    requests: list[str]

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.page.locator(selector).first.inner_text())


@pytest.fixture
def open_report(browser: Any) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_it(path: Path, *, width: int = 1280, scheme: str = "light", unfolded: bool = True) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(180_000)  # milliseconds; the machine may be busy
        opened = Opened(context.new_page(), [], [])
        opened.page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(path.as_uri())
        opened.page.wait_for_function("document.documentElement.dataset.ready === 'true'")
        if unfolded:
            opened.page.evaluate("for (const fold of document.querySelectorAll('details.folded')) fold.open = true")
            drawn = ".chapter:not([hidden]) details.folded .plot:empty, .layer > section details.folded .plot:empty"
            opened.page.wait_for_function(f"!document.querySelector('{drawn}')")
        return opened

    yield open_it
    for context in contexts:
        context.close()
