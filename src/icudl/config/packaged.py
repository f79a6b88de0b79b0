"""Studies that come with the package: the files of the folder ``configs`` of the repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from icudl.errors import ConfigError, suggestion

DEFAULT = "default"
"""The study that answers: one wrong charted value, a few, errors that nobody aimed, on two models."""

QUICK = "smoke"
"""The default study, small."""

_PLACES = (Path(__file__).parent / "studies", Path(__file__).parents[3] / "configs")
"""In an installed package, and in a clone whose package is installed in place."""


def packaged() -> Mapping[str, Path]:
    """Return the files of the studies by name."""
    folder = next((place for place in _PLACES if place.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.toml"))}


def packaged_study(name: str) -> Path:
    """Return the file of a study.

    Raises:
        ConfigError: No study has this name.
    """
    studies = packaged()
    if name not in studies:
        raise ConfigError(
            f"No study {name!r} comes with the package.{suggestion(name, studies)} Choose one of {', '.join(studies)}."
        )
    return studies[name]
