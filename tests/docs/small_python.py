"""Run blocks of Python, or the command line, with every study cut small: a page in a fraction of its time."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import icudl.config.load as loading
from icudl.config.schema import MAIN, PLUGINS, Config

SMALL = (
    "source.patients=260",
    "split.folds=2",
    "model.hidden_size=8",
    "model.fc_size=8",
    "training.max_epochs=2",
    "training.bootstrap_samples=20",
    "attack.max_stays=12",
    "attack.iterations=20",
    "analysis.bootstrap_samples=20",
    "execution.workers=1",
)
READS_ONLY = {"config", "doctor"}
"""Commands that show the configuration: there the page is followed to the letter."""


def has_option(config: Config, setting: str) -> bool:
    """Whether a configuration has the option that a setting is about; entries of a study with names are left alone."""
    table, _, key = setting.partition("=")[0].partition(".")
    if table not in PLUGINS:
        return True
    family = PLUGINS[table].family
    if family and (
        list(getattr(config, family)) != [MAIN] or any(name.startswith(f"{family}.") for name in config.origins)
    ):
        return False
    return key in {field.name for field in dataclasses.fields(getattr(config, table))}


def cut_small() -> None:
    """Let every configuration that is read from now on be a small one; what the page sets itself stands."""
    whole = loading.load_config

    def small(
        path: Path | None = None,
        settings: Sequence[str] = (),
        *,
        defaults: Sequence[str] = (),
        completed: bool = True,
    ) -> Config:
        keys = {setting.partition("=")[0] for setting in settings} - {"source.patients"}
        asked = whole(path, settings, defaults=defaults, completed=completed)
        added = [item for item in SMALL if item.partition("=")[0] not in keys and has_option(asked, item)]
        kept = [setting for setting in settings if not setting.startswith("source.patients=")]
        return whole(path, (*added, *kept), defaults=defaults, completed=completed)

    loading.load_config = small


def run_blocks() -> None:
    """Run the files whose paths come in, one a line, in one namespace; answer each with ``done``."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        path = Path(line.strip())
        exec(compile(path.read_text("utf-8"), str(path), "exec"), namespace)
        print("done", file=answers, flush=True)


def command_line(words: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    from icudl.cli import main

    if not (words and words[0] in READS_ONLY):
        cut_small()
    sys.argv = ["icudl", *words]
    return main()


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "blocks":
        cut_small()
        run_blocks()
    else:
        sys.exit(command_line(words))
