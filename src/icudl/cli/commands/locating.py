"""The command that says what data are: locate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    from icudl.sources.searching import Found


@click.command(
    epilog=examples(
        "icudl locate /data/mimiciv/3.1",
        "icudl locate /data/mimiciii --count --write study.toml",
        "icudl locate postgresql://me@localhost/mimic",
    )
)
@click.argument("place", metavar="PATH_OR_URL")
@click.option("--write", "target", type=click.Path(path_type=Path), help="Write the configuration into this new file.")
@click.option("--count", is_flag=True, help="Count the rows of large files too; that reads them whole.")
@shared_options
def locate(session: Session, place: str, target: Path | None, count: bool) -> None:
    """Say which database this is, and how to read it.

    Looks at a folder, above it if it lies within a database, and below it; or at a PostgreSQL server. Prints version,
    tables with their rows and those of the release, missing tables with their variables, and a configuration.
    """
    from icudl.cli.location import as_json, configuration, described

    found = _found(session, place, count=count)
    if target is not None:
        _write(found, target)
    if session.as_json:
        session.emit("", as_json(place, found))
        return
    parts = [text for one in found for text in described(session, one, place)]
    parts += [configuration(one.location) for one in found if one.location.is_readable and target is None]
    session.emit("\n\n".join(parts), None)
    if target is not None:
        session.say(f"Wrote {target}. `icudl run --config {target}` runs the study.")


def _found(session: Session, place: str, *, count: bool) -> Sequence[Found]:
    from icudl.errors import SourceError
    from icudl.options import masked, scheme_of
    from icudl.plugins import load_plugin, registered
    from icudl.sources.locating import Locating, LocatingAddress, Survey
    from icudl.sources.searching import Found, search

    survey = Survey(counts_all=count, progress=session.progress())
    plugins = [load_plugin("icudl.sources", name) for name in registered("icudl.sources")]
    if not scheme_of(place):
        return search(Path(place).expanduser(), survey, [plugin for plugin in plugins if isinstance(plugin, Locating)])
    servers = [plugin for plugin in plugins if isinstance(plugin, LocatingAddress)]
    if scheme_of(place) not in {"postgresql", "postgres"}:
        raise SourceError(
            f"{masked(place)!r} is no address of PostgreSQL. Expected postgresql://USER@HOST:PORT/DATABASE."
        )
    located = [location for server in servers if (location := server.locate_address(place, survey)) is not None]
    if not located:
        raise SourceError(
            f"{masked(place)!r} holds no database that is known. Looked for: "
            f"{'; '.join(server.looked_for() for server in servers)}."
        )
    return [Found(location, Path()) for location in located]


def _write(found: Sequence[Found], target: Path) -> None:
    from icudl.cli.location import configuration
    from icudl.errors import ConfigError

    readable = [one.location for one in found if one.location.is_readable]
    if len(readable) != 1:
        names = "; ".join(f"{one.location.database} at {one.folder}" for one in found)
        expected = "one database that can be read as it is"
        raise ConfigError(f"Nothing was written: {names}. Expected {expected}. Give the folder of one.")
    if target.exists():
        raise ConfigError(f"{str(target)!r} exists already. Delete it or name another file.")
    try:
        target.write_text(configuration(readable[0]) + "\n", "utf-8")
    except OSError as error:
        raise ConfigError(
            f"{str(target)!r} cannot be written: {error.strerror}. Name a place you may write to."
        ) from error
