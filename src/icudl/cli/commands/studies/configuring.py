"""The commands of `icudl config`."""

from __future__ import annotations

from pathlib import Path

import click

from icudl.cli.session import Session, examples, shared_options, show_commands


@click.group("config", invoke_without_command=True)
@click.pass_context
def config_group(context: click.Context) -> None:
    """Write, show and check configurations."""
    show_commands(context)


@config_group.command(
    "init",
    epilog=examples(
        "icudl config init study.toml",
        "icudl config init study.toml --from default",
        "icudl config init mine.toml --from mimic4 --set source.path=/data/mimic-iv",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), default=Path("config.toml"))
@click.option("--from", "study", metavar="STUDY", help="Study to begin with, of those that come with the package.")
@shared_options
def init(session: Session, file: Path, study: str | None) -> None:
    """Write a file in which every key is explained.

    Without FILE, the command writes config.toml. Keys have their defaults, or the values of --from, --config and --set.
    `icudl config studies` lists the studies that come with the package.
    """
    from icudl.config.document import to_document
    from icudl.config.packaged import packaged_study
    from icudl.errors import ConfigError

    if study is not None and session.config_path is not None:
        raise ConfigError("--from and --config both name a configuration to begin with. Give one of them.")

    if file.exists():
        raise ConfigError(f"{str(file)!r} exists already. Delete it or name another file.")
    document = to_document(session.config(None if study is None else packaged_study(study)))
    try:
        file.touch(mode=0o600)  # it may hold a password
        file.write_text(document, "utf-8")
    except OSError as error:
        raise ConfigError(
            f"{str(file)!r} cannot be written: {error.strerror}. Name a place you may write to."
        ) from error
    session.emit(str(file), {"path": str(file)})


@config_group.command(
    "show", epilog=examples("icudl config show --config study.toml", "icudl config show --set model.name=gru --json")
)
@shared_options
def show_config(session: Session) -> None:
    """Print the configuration with all that was merged into it.

    Merged are defaults, file and --set. Each value that is not the default is marked with its origin.
    """
    from icudl.config.document import to_listing

    config = session.config()
    session.emit(to_listing(config), {"config": config.to_dict(), "origins": dict(config.origins)})


@config_group.command("studies", epilog=examples("icudl config studies"))
@shared_options
def studies(session: Session) -> None:
    """List the studies that come with the package, for --from."""
    from icudl.config.packaged import packaged

    found = {name: path.read_text("utf-8").partition("\n")[0].lstrip("# ") for name, path in packaged().items()}
    widest = max(map(len, found), default=0)
    session.emit("\n".join(f"{name:{widest}}  {words}" for name, words in found.items()), found)


@config_group.command(
    "check", epilog=examples("icudl config check study.toml", "icudl config check --config study.toml")
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@shared_options
def check(session: Session, file: Path | None) -> None:
    """Check a configuration: every key, type, limit and plug-in name.

    The configuration is FILE, or that of --config.
    """
    from icudl.cli.commands.studies.running import say_unread
    from icudl.errors import ConfigError
    from icudl.pipeline.graph import build_graph
    from icudl.pipeline.run import check_plugins

    if file is not None and session.config_path is not None:
        raise ConfigError(f"Two files to check, {str(file)!r} and {str(session.config_path)!r}. Give one of them.")
    config = session.config(file)
    check_plugins(config)
    build_graph(config)
    say_unread(session, config)
    session.emit("The configuration is valid.", {"valid": True})


@config_group.command("schema", epilog=examples("icudl config schema > icudl.schema.json"))
@shared_options
def schema(session: Session) -> None:
    """Print a JSON schema of the configuration, for editors."""
    import json

    from icudl.config.document import json_schema

    del session
    click.echo(json.dumps(json_schema(), indent=1))
