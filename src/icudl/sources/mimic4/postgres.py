"""MIMIC-IV from a PostgreSQL database, in the two schemas that mimic-code's build makes."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from psycopg import sql

from icudl.sources.base import SourceOptions
from icudl.sources.locating import Location, Survey
from icudl.sources.mimic.postgres import MimicPostgres
from icudl.sources.mimic.servers import located
from icudl.sources.mimic.sql import ServerTables, patients_with
from icudl.sources.mimic.stays import Stays
from icudl.sources.mimic4.layout import CITATIONS, LAYOUT, POPULATION
from icudl.sources.mimic4.options import Mimic4PostgresOptions
from icudl.sources.mimic4.stays import stays_of
from icudl.sources.rules import RuleBook, mimic4_rules
from icudl.sources.servers.postgres import Expected

TABLES = {
    folder: tuple(table for table in LAYOUT.columns if LAYOUT.folders[table][0] == folder) for folder in ("hosp", "icu")
}
"""Tables of each schema."""


class Mimic4Postgres(MimicPostgres):
    """The MIMIC-IV tables of two PostgreSQL schemas, of versions 2.0 and later; a read-only account is enough.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: The patients of MIMIC-IV; see ``mimic4.files``.
        available: Names of the variables that have rules.
    """

    Options: ClassVar[type[SourceOptions]] = Mimic4PostgresOptions

    citations = CITATIONS
    population = POPULATION
    layout = LAYOUT
    expected = Expected(
        "MIMIC-IV",
        "MIMIC-IV",
        "Set source.hosp_schema and source.icu_schema to the schemas of MIMIC-IV, load a release with "
        "`icudl db load DIR URL --database mimic4`, or read its files (source mimic4).",
        "load the release with `icudl db load --database mimic4`",
    )

    def __init__(self, options: Mimic4PostgresOptions, seed: int) -> None:
        """Take the connection from ``options.url`` and libpq's environment; nothing is opened yet."""
        hospital = dict.fromkeys(TABLES["hosp"], options.hosp_schema)
        unit = dict.fromkeys(TABLES["icu"], options.icu_schema)
        super().__init__(
            options,
            seed,
            url=options.url,
            schemas=hospital | unit,
            by=options.by,
            items=options.items,
            is_open=options.open_data,
        )
        self._year_groups = options.year_groups

    @classmethod
    def rules(cls) -> RuleBook:
        """Return the rules of MIMIC-IV."""
        return mimic4_rules()

    @classmethod
    def looked_for(cls) -> str:
        """Say which tables are looked for; see ``sources.locating.LocatingAddress``."""
        return f"MIMIC-IV: schemas with {', '.join(TABLES['hosp'])} and with {', '.join(TABLES['icu'])}"

    @classmethod
    def locate_address(cls, url: str, survey: Survey) -> Location | None:
        """Look for schemas of MIMIC-IV; see ``sources.locating.LocatingAddress``."""
        options = Mimic4PostgresOptions()
        groups = {
            "hosp_schema": (options.hosp_schema, TABLES["hosp"]),
            "icu_schema": (options.icu_schema, TABLES["icu"]),
        }
        return located(url, LAYOUT, options.name, mimic4_rules(), groups, survey)

    def stays_of(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
        """Join the small tables, of the chosen groups of years; see ``mimic4.stays``."""
        return stays_of(patients, admissions, icustays, self._year_groups)

    def patients_read(self, tables: ServerTables) -> sql.Composable:
        """Return the condition on stays of patients of the chosen groups of years."""
        if not self._year_groups:
            return super().patients_read(tables)
        return patients_with(tables, "anchor_year_group", self._year_groups)
