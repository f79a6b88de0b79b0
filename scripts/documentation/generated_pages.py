"""Pages that are made from the code whenever the site is built, so that they cannot fall behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# A hook is loaded by its path, not imported from its folder.
sys.path.insert(0, str(Path(__file__).parent))

import api_page
import artifacts_page
import commands_page
import configuration_page
import decisions_page
import errors_page

PAGES: dict[str, Callable[[], str]] = {
    "reference/api.md": api_page.render,
    "reference/artifacts.md": artifacts_page.render,
    "reference/command_line.md": commands_page.render,
    "reference/configuration.md": configuration_page.render,
    "reference/errors.md": errors_page.render,
    "decisions/index.md": decisions_page.render,
}
"""Page by its path under ``docs/``, and what writes it."""


FOR_CONTRIBUTORS = ("decisions/", "releasing.md")
"""Pages that a search lists after those for readers."""


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the search list pages for readers first."""
    del config, files
    if page.file.src_uri.startswith(FOR_CONTRIBUTORS):
        page.meta["search"] = {"boost": 0.2}
    return markdown


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages to those that lie in the folder."""
    for path, render in PAGES.items():
        files.append(File.generated(config, path, content=render()))
    return files
