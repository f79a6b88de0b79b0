"""Make the pictures of README and docs from a real run: the report's first screen, and the terminal of the demo.

    .venv/bin/python scripts/documentation/pictures.py --store runs

The store must hold the report of `icudl demo`; without it, the demo is run first. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
SCREENS = {
    "report": (1400, 900, "light"),
    "report-dark": (1400, 900, "dark"),
    "report-phone": (390, 844, "light"),
}
COLUMNS = 104


def main() -> None:
    """Run the demo, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=REPOSITORY / "runs")
    store = parser.parse_args().store
    words = run_demo(store)
    page = page_of(words)
    PICTURES.mkdir(exist_ok=True)
    draw_screens(page)
    draw_terminal(words)


def page_of(words: str) -> Path:
    """Return the page that a run names at its end."""
    return Path(next(line for line in words.splitlines() if line.startswith("report: ")).removeprefix("report: "))


def run_demo(store: Path) -> str:
    """Return what `icudl demo` writes on the terminal."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())", "demo", "--store", store],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env={"COLUMNS": str(COLUMNS), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    return done.stdout


def draw_screens(page: Path) -> None:
    """Write what a browser shows of the report at several sizes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, (width, height, scheme) in SCREENS.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            tab = context.new_page()
            tab.goto(page.resolve().as_uri())
            tab.wait_for_function("document.documentElement.dataset.ready === 'true'")
            tab.screenshot(path=PICTURES / f"{name}.png")
            context.close()
        browser.close()


def draw_terminal(words: str) -> None:
    """Write the end of a run, from its answer on, as SVG."""
    lines = words.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("Predicted: "))
    last = next((place for place, line in enumerate(lines) if line.startswith("Cohort")), len(lines))
    report = "/".join(page_of(words).parts[-3:])
    shown = [line.rstrip() for line in (*lines[first:last], f"report: runs/{report}")]
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text("$ icudl demo", style="bold"))
    for line in shown:
        console.print(Text(line), no_wrap=True, crop=True)
    # The fonts of the reader do: a picture loads nothing.
    drawn = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="icudl demo", unique_id="demo"), flags=re.DOTALL)
    (PICTURES / "terminal.svg").write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
