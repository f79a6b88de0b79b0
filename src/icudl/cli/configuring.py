"""The commands of `icudl config`."""

from __future__ import annotations

from pathlib import Path

import click

from icudl.cli.session import Session, shared_options


@click.group("config")
def config_group() -> None:
    """Write, show and check configurations."""


@config_group.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("config.toml"))
@shared_options
def init(session: Session, file: Path) -> None:
    """Write FILE (config.toml) with every key explained at its default, or as --config and --set say."""
    from icudl.config.document import to_document
    from icudl.errors import ConfigError

    if file.exists():
        raise ConfigError(f"{str(file)!r} exists already. Delete it or name another file.")
    document = to_document(session.config())
    try:
        file.write_text(document, "utf-8")
    except OSError as error:
        raise ConfigError(
            f"{str(file)!r} cannot be written: {error.strerror}. Name a place you may write to."
        ) from error
    session.emit(str(file), {"path": str(file)})


@config_group.command("show")
@shared_options
def show_config(session: Session) -> None:
    """Print the resolved configuration; what is not at its default is marked with where it came from."""
    from icudl.config.document import to_toml

    config = session.config()
    lines: list[str] = []
    for table, values in config.to_dict().items():
        lines.append(f"[{table}]")
        for key, value in values.items():
            origin = config.origins.get(f"{table}.{key}")
            lines.append(f"{key} = {to_toml(value)}" + (f"  # {origin}" if origin else ""))
    session.emit("\n".join(lines), {"config": config.to_dict(), "origins": dict(config.origins)})


@config_group.command("check")
@shared_options
def check(session: Session) -> None:
    """Check every key, type and limit, and that the plug-ins named exist."""
    from icudl.execution.base import make_executor
    from icudl.plugins import load_plugin

    config = session.config()
    load_plugin("icudl.sources", config.source.name)
    load_plugin("icudl.models", config.model.name)
    load_plugin("icudl.attacks", config.attack.name)
    make_executor(config.execution)
    config.variables.chosen()
    session.emit("The configuration is valid.", {"valid": True})


@config_group.command("schema")
@shared_options
def schema(session: Session) -> None:
    """Print a JSON schema of the configuration, for editors."""
    import json

    from icudl.config.document import json_schema

    del session
    click.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
