"""Reports opened in a browser: a made-up one, the synthetic hospital, and PhysioNet 2012 with 2,000 attacked stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icudl.config.load import load_config
from icudl.pipeline.run import Pipeline
from icudl.report.build import build_report
from icudl.report.options import ReportOptions
from report_study import fake_study

pytestmark = pytest.mark.browser

SMALL = (
    "split.folds=3",
    "model.hidden_size=8",
    "training.bootstrap_samples=50",
    "attack.max_stays=40",
    "analysis.bootstrap_samples=50",
)


def check(opened: Any) -> None:
    """Require what every report must be: drawn, silent, alone, and usable."""
    page = opened.page
    drawn = "[...document.querySelectorAll('.plot')].filter(plot => !Number(plot.dataset.drawn)).length"
    assert page.evaluate(drawn) == 0
    first = opened.text("[data-explorer=view] h3")
    page.locator("[data-explorer=next]").click()
    assert opened.text("[data-explorer=view] h3") != first
    page.locator("#map [data-switch=measure]").select_option("sensitivity")
    assert opened.complaints == []
    assert len(opened.requests) == 1


def page_of(folder: Path, *settings: str) -> Path:
    """Run the pipeline up to the report and return the path of the page."""
    pipeline = Pipeline(load_config(None, settings, defaults=SMALL), folder)
    report = pipeline.run("report")
    path = folder / "index.html"
    path.write_text(report.html, "utf-8")
    return path


def test_a_report_is_drawn_and_usable(open_report: Callable[..., Any], tmp_path: Path) -> None:
    """What the default suite sees of a browser; the slow tests try everything on the page."""
    path = tmp_path / "index.html"
    path.write_text(build_report(fake_study(60), ReportOptions()).html, "utf-8")
    check(open_report(path))


@pytest.mark.slow
def test_the_report_of_the_synthetic_hospital(open_report: Callable[..., Any], tmp_path: Path) -> None:
    path = page_of(tmp_path, "source.patients=300", "training.max_epochs=2", "attack.iterations=20")
    check(open_report(path))


@pytest.mark.exhaustive  # minutes of training and attacks; the slow tests build a page of 4,000 stays without them
@pytest.mark.data
def test_the_report_of_physionet_2012(open_report: Callable[..., Any], tmp_path: Path, data_folder: Path) -> None:
    path = page_of(
        tmp_path,
        "source.name=physionet2012",
        f"source.path={data_folder / 'physionet-2012'}",
        "training.max_epochs=3",
        "model.hidden_size=24",
        "attack.max_stays=2700",
        "attack.iterations=40",
        "report.explorer_stays=4000",
    )
    opened = open_report(path)
    check(opened)
    assert (
        opened.page.evaluate(
            "JSON.parse(document.getElementById('report-data').textContent).explorers[0].pack.stays.length"
        )
        > 1500
    )
    assert path.stat().st_size < 10_000_000
