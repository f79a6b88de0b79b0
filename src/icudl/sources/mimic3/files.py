"""MIMIC-III from a folder of CSV, CSV.gz or Parquet files."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from icudl.sources.base import SourceOptions
from icudl.sources.mimic.files import MimicFiles
from icudl.sources.mimic.stays import Stays
from icudl.sources.mimic3.layout import CITATIONS, LAYOUT, POPULATION
from icudl.sources.mimic3.options import Mimic3Options
from icudl.sources.mimic3.stays import stays_of
from icudl.sources.rules import RuleBook, mimic3_rules


class Mimic3Files(MimicFiles):
    """The MIMIC-III tables of a folder.

    Attributes:
        restricted: True unless ``source.open_data`` declares the data open.
        citations: Works to cite.
        population: The patients of MIMIC-III; those of the demo are some of them.
        available: Names of the variables that have rules.
    """

    Options: ClassVar[type[SourceOptions]] = Mimic3Options

    citations = CITATIONS
    population = POPULATION
    layout = LAYOUT

    def __init__(self, options: Mimic3Options, seed: int) -> None:
        """Take the folder from ``options.path``; nothing is read before ``fingerprint`` or ``extract``."""
        super().__init__(
            options,
            seed,
            path=options.path,
            by=options.by,
            items=options.items,
            is_open=options.open_data,
        )

    @classmethod
    def rules(cls) -> RuleBook:
        """Return the rules of MIMIC-III."""
        return mimic3_rules()

    def stays_of(self, patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> Stays:
        """Join the small tables; see ``mimic3.stays``."""
        return stays_of(patients, admissions, icustays)
