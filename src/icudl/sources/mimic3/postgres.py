"""MIMIC-III from a PostgreSQL database."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from icudl.sources.base import SourceOptions
from icudl.sources.locating import Location, Survey
from icudl.sources.mimic.postgres import MimicPostgres
from icudl.sources.mimic.servers import located
from icudl.sources.mimic.stays import Stays
from icudl.sources.mimic3.layout import CITATIONS, LAYOUT, POPULATION
from icudl.sources.mimic3.options import Mimic3PostgresOptions
from icudl.sources.mimic3.stays import stays_of
from icudl.sources.rules import RuleBook, mimic3_rules
from icudl.sources.servers.postgres import MIMIC3


class Mimic3Postgres(MimicPostgres):
    """The MIMIC-III tables of a PostgreSQL schema; a read-only account is enough.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: The patients of MIMIC-III; those of the demo are some of them.
        available: Names of the variables that have rules.
    """

    Options: ClassVar[type[SourceOptions]] = Mimic3PostgresOptions

    citations = CITATIONS
    population = POPULATION
    layout = LAYOUT
    expected = MIMIC3

    def __init__(self, options: Mimic3PostgresOptions, seed: int) -> None:
        """Take the connection from ``options.url`` and libpq's environment; nothing is opened yet."""
        super().__init__(
            options,
            seed,
            url=options.url,
            schemas=dict.fromkeys(LAYOUT.columns, options.schema),
            by=options.by,
            items=options.items,
            is_open=options.open_data,
        )

    @classmethod
    def rules(cls) -> RuleBook:
        """Return the rules of MIMIC-III."""
        return mimic3_rules()

    @classmethod
    def looked_for(cls) -> str:
        """Say which tables are looked for; see ``sources.locating.LocatingAddress``."""
        return f"MIMIC-III: a schema with {', '.join(LAYOUT.required)}"

    @classmethod
    def locate_address(cls, url: str, survey: Survey) -> Location | None:
        """Look for a schema of MIMIC-III; see ``sources.locating.LocatingAddress``."""
        options = Mimic3PostgresOptions()
        groups = {"schema": (options.schema, tuple(LAYOUT.columns))}
        return located(url, LAYOUT, options.name, mimic3_rules(), groups, survey)

    def stays_of(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
        """Join the small tables; see ``mimic3.stays``."""
        return stays_of(patients, admissions, icustays)
