"""MIMIC-IV from a folder of CSV, CSV.gz or Parquet files."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from icudl.errors import SourceError
from icudl.options import masked, scheme_of
from icudl.sources.base import SourceOptions
from icudl.sources.mimic.files import MimicFiles
from icudl.sources.mimic.folder import TableFile
from icudl.sources.mimic.stays import Stays
from icudl.sources.mimic4.layout import CITATIONS, LAYOUT, POPULATION
from icudl.sources.mimic4.options import Mimic4Options
from icudl.sources.mimic4.stays import stays_of
from icudl.sources.rules import RuleBook, mimic4_rules


class Mimic4Files(MimicFiles):
    """The MIMIC-IV tables of a folder, of any version from 1.0 on.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: The patients of MIMIC-IV; those of the demo are some of them. Some are patients of MIMIC-III too,
            under other ids: no id tells which, and ``year_groups`` leaves them out.
        available: Names of the variables that have rules.
    """

    Options: ClassVar[type[SourceOptions]] = Mimic4Options

    citations = CITATIONS
    population = POPULATION
    layout = LAYOUT

    def __init__(self, options: Mimic4Options, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``."""
        super().__init__(
            options,
            seed,
            path=options.path,
            by=options.by,
            items=options.items,
            is_open=options.open_data,
        )
        self._path = options.path
        self._year_groups = options.year_groups

    @classmethod
    def rules(cls) -> RuleBook:
        """Return the rules of MIMIC-IV."""
        return mimic4_rules()

    def stays_of(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
        """Join the small tables, of the chosen groups of years; see ``mimic4.stays``."""
        return stays_of(patients, admissions, icustays, self._year_groups)

    def _tables(self) -> dict[str, TableFile]:
        if scheme_of(self._path):
            raise SourceError(
                f"source.path = {masked(self._path)!r} is an address. Give the folder that holds hosp/ and icu/, "
                "or read the database: source mimic4_postgres with source.url."
            )
        return super()._tables()
