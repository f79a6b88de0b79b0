"""Options of a hospital's own tables, apart from the reader so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from icudl.options import option
from icudl.sources.base import NAME_DOC, SourceOptions

ENCODINGS = ("utf-8", "cp1252", "latin-1", "utf-16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions(SourceOptions):
    """Which tables are read, and what their columns, names and units mean."""

    name: str = option("table", NAME_DOC)
    path: str = option(
        "", "Folder of the tables; a relative path starts at the configuration file.", identity=False, path=True
    )
    stays: str = option(
        "",
        "File in that folder with one row a stay (.csv, .csv.gz, .parquet, .xlsx); a sheet of a workbook is "
        'written "book.xlsx#Sheet". Empty: the file called stays, icustays, admissions, cohort or patients.',
    )
    measurements: tuple[str, ...] = option(
        (),
        "Files in that folder with the measurements. Empty: the files called measurements, observations, events, "
        "values, vitals or labs.",
    )
    population: str = option(
        "",
        "Name of the hospital. Data sets of one population are taken to be the same patients under the same ids. "
        "Empty: all tables that name no population are of one.",
    )
    layout: str = option(
        "auto",
        "long: a row for each value, with columns for name and value; wide: a column for each variable; auto: long "
        "if there are columns for name and value.",
        choices=("auto", "long", "wide"),
    )
    stay_columns: Mapping[str, Any] = option(
        {},
        'Columns of the table of stays that have names of their own: { stay_id = "FALLNR", died = "exitus" }. Known '
        "are stay_id, patient_id, admission_id, age, sex, died, stay_hours, stay_days, in_time, out_time, death_time, "
        "death_hours, icu_type, height_cm, weight_kg, source_set, and outcome: a column of 0 and 1 for outcome.event = "
        '"column", beside which died may be absent.',
    )
    value_columns: Mapping[str, Any] = option(
        {},
        'Columns of the measurements that have names of their own: { time = "Zeit" }, or a list where they are called '
        'otherwise in each file: { time = ["Zeit", "Abnahme"] }. Known are stay_id, time, name, value and unit.',
    )
    names: Mapping[str, Any] = option(
        {},
        'What your names mean: { "HF" = "heartrate", "Kreatinin" = "creatinine" }. Names and labels of the '
        "catalogue are known.",
    )
    units: Mapping[str, Any] = option(
        {},
        'Unit of each of your names, or of a variable under all its names: { "Kreatinin" = "umol/L" }. It holds '
        "whatever a column of units says.",
    )
    ignore: tuple[str, ...] = option((), "Your names that are left out on purpose.")
    missing: tuple[str, ...] = option((), 'Further texts that mean "no value", for example "-9".')
    deaths: tuple[str, ...] = option(
        (), "Further texts in the column of outcomes that mean death in hospital, for example a code of discharge."
    )
    survivals: tuple[str, ...] = option(
        (), 'Further texts in the column of outcomes that mean survival; "" if survivors have an empty cell.'
    )
    females: tuple[str, ...] = option((), 'Further texts in the column of sex that mean female, for example "Vrouw".')
    males: tuple[str, ...] = option((), "Further texts in the column of sex that mean male.")
    time_unit: str = option(
        "auto",
        "Unit of times given as numbers since ICU admission; auto: minutes if the column's name says so, else hours.",
        choices=("auto", "seconds", "minutes", "hours", "days"),
    )
    time_format: str = option(
        "",
        'How timestamps are written, for example "%d.%m.%Y %H:%M". Empty: YYYY-MM-DD HH:MM[:SS], with or without T '
        "and an offset from UTC.",
    )
    time_zone: str = option(
        "",
        'Zone of timestamps without an offset, for example "Europe/Berlin". Empty: their differences are taken by '
        "the clock, so a stay over a change to or from summer time is an hour off.",
    )
    decimal: str = option(".", "Decimal sign of numbers in text.", choices=(".", ","))
    separator: str = option("", "What parts the columns of a CSV file. Empty: comma, semicolon, tab or bar.")
    encoding: str = option("utf-8", "Encoding of CSV files.", choices=ENCODINGS)
    open_data: bool = option(False, "The data are open: nothing made from them is marked restricted.")
