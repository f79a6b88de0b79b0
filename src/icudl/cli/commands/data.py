"""Commands about data: writing a synthetic hospital, loading MIMIC-III or eICU into PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from icudl.cli.session import Session, examples, shared_options, show_commands


@click.command(
    epilog=examples(
        "icudl synth hospital --patients 1000",
        "icudl synth events --patients 1000 --layout meds",
        "icudl synth large --patients 46520 --format parquet --noise-rows 13.8",
    )
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--patients", type=int, default=3000, show_default=True, help="Size of the hospital; MIMIC-III has 46520."
)
@click.option("--layout", default="mimic3", show_default=True, help="mimic3, mimic4, eicu, meds, clif, yaib or table.")
@click.option("--format", "file_format", default="", help="csv.gz, csv or parquet.  [default: the layout's usual one]")
@click.option("--noise-rows", type=float, help="Rows that no variable reads, for each row that one reads.")
@shared_options
def synth(
    session: Session, directory: Path, patients: int, layout: str, file_format: str, noise_rows: float | None
) -> None:
    """Write a synthetic hospital in the layout of a database."""
    from icudl.execution.base import make_executor
    from icudl.sources.synthetic.source import DEFAULT_NOISE_ROWS, write_hospital

    config = session.config()
    with make_executor(config.execution) as executor:
        write_hospital(
            directory,
            patients,
            config.run.seed,
            layout=layout,
            file_format=file_format,
            noise_rows=DEFAULT_NOISE_ROWS if noise_rows is None else noise_rows,
            executor=executor,
            progress=session.progress(),
        )
    session.emit(
        str(directory), {"path": str(directory), "patients": patients, "layout": layout, "format": file_format}
    )


@click.group("db", invoke_without_command=True)
@click.pass_context
def database_group(context: click.Context) -> None:
    """Work with a PostgreSQL database of MIMIC or eICU."""
    show_commands(context)


@database_group.command(
    "load",
    epilog=examples(
        "icudl db load /data/mimiciii postgresql://owner@localhost/mimic",
        "icudl db load /data/mimiciv/3.1 postgresql://owner@localhost/mimic --database mimic4",
        "icudl db load /data/eicu-crd postgresql://owner@localhost/eicu --database eicu",
    ),
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("url")
@click.option("--database", default="mimic3", show_default=True, type=click.Choice(["mimic3", "mimic4", "eicu"]))
@click.option(
    "--schema",
    help="Schema to fill; of MIMIC-IV the part before _hosp and _icu.  [default: mimiciii, mimiciv or eicu_crd]",
)
@click.option("--replace", is_flag=True, help="Load tables again that the schema already holds.")
@shared_options
def load(session: Session, directory: Path, url: str, database: str, schema: str | None, replace: bool) -> None:
    """Load a release of MIMIC-III, MIMIC-IV or eICU into PostgreSQL.

    Creates the tables and indexes that the reader needs. DIRECTORY holds the release's .csv or .csv.gz files, URL is
    postgresql://USER@HOST:PORT/DATABASE; the password is best kept in .pgpass or PGPASSWORD.
    """
    from icudl.sources.eicu.load import load_release as load_eicu
    from icudl.sources.mimic3.load import load_release as load_mimic3
    from icudl.sources.mimic4.load import load_release as load_mimic4

    loaders = {"mimic3": (load_mimic3, "mimiciii"), "mimic4": (load_mimic4, "mimiciv"), "eicu": (load_eicu, "eicu_crd")}
    load_release, usual = loaders[database]
    schema = schema or usual
    loaded = load_release(directory, url, schema, session.progress(), replace=replace)
    lines = [
        f"{table:14} {rows:>12,} rows" + (" (loaded before)" if table in loaded.present else "")
        for table, rows in loaded.rows.items()
    ]
    lines.append(
        f"The counts are those of {loaded.release}." if loaded.release else "Not the tables of a known release."
    )
    session.emit("\n".join(lines), {"rows": dict(loaded.rows), "release": loaded.release, "schema": schema})
