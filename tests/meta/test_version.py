"""The version stands in one place; the changelog and the installed package agree with it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import icudl

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def test_the_newest_heading_of_the_changelog_is_the_version() -> None:
    headings = re.findall(r"^## (\S+) \((.+)\)$", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0][0] == icudl.__version__
    assert headings[0][1] == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", headings[0][1])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in headings[1:])


def test_the_build_reads_the_version_from_the_code() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/icudl/__init__.py"
    assert version("icu-deep-learning") == icudl.__version__


TOO_BIG = ("catboost",)
"""Extras whose tests are skipped where they are not installed: 97 MB for one file format."""


def test_dev_brings_whatever_an_extra_brings() -> None:
    """The tests exercise every extra, so they need what each extra needs."""
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    apart = {"dev", "all", *TOO_BIG}
    everything = {line for name, lines in extras.items() if name not in apart for line in lines}
    assert everything <= set(extras["dev"])
    named = set(re.findall(r"[a-z0-9]+", extras["all"][0].partition("[")[2]))
    assert named == set(extras) - {"all", "dev", "docs"}


@pytest.mark.parametrize("light", ["tensorboard", "dask", "foolbox", "mkdocs", "playwright"])
def test_what_is_an_extra_is_no_requirement(light: str) -> None:
    lines = [line for line in requires("icu-deep-learning") or [] if line.lower().startswith(light)]
    assert lines
    assert all("extra ==" in line for line in lines)
