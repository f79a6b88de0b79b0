"""Tables as other loaders leave them, read by clients of other settings: the same stays and hours, or an error."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import psycopg
import pytest
from mimic3_tables import Hospital, admission, chart, lab, patient, read, stay
from psycopg import sql
from test_mimic3_files import assert_identical

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext, SilentProgress
from icudl.sources.base import VariableOptions, WindowOptions
from icudl.sources.mimic3.load import load_release
from icudl.sources.mimic3.options import Mimic3PostgresOptions
from icudl.sources.mimic3.postgres import Mimic3Postgres
from icudl.stages.extract import extract
from icudl.variables import STUDY_NAMES

COLUMNS = {
    "patients": ("subject_id", "gender", "dob"),
    "admissions": ("subject_id", "hadm_id", "deathtime", "hospital_expire_flag"),
    "icustays": ("subject_id", "hadm_id", "icustay_id", "first_careunit", "intime", "outtime"),
    "chartevents": ("subject_id", "itemid", "charttime", "valuenum", "error"),
    "labevents": ("subject_id", "itemid", "charttime", "valuenum"),
}
TIMES = ("dob", "deathtime", "intime", "outtime", "charttime")
TEXTS = ("gender", "first_careunit")
NUMBERS = ("valuenum", "error")
LOADERS = {
    "text": dict.fromkeys(("times", "texts", "numbers", "ids"), "text"),
    "varchar": dict.fromkeys(("times", "texts", "numbers", "ids"), "varchar(40)"),
    "char": dict.fromkeys(("times", "texts", "numbers", "ids"), "char(40)"),
    "numeric": {"times": "timestamp(3)", "texts": "text", "numbers": "numeric(30,9)", "ids": "numeric(12,2)"},
    "double": {"times": "timestamp(0)", "texts": "varchar(20)", "numbers": "float8", "ids": "float8"},
    "bigint": {"times": "timestamp", "texts": "char(20)", "numbers": "numeric", "ids": "bigint"},
}
CLIENTS = (
    {"PGTZ": "UTC", "PGDATESTYLE": "ISO, MDY"},
    {"PGTZ": "America/New_York", "PGDATESTYLE": "SQL, DMY"},
    {"PGTZ": "Asia/Kolkata", "PGDATESTYLE": "German, YMD"},
)


def hospital() -> Hospital:
    charts = [chart(hour, 211, 60 + hour / 4, error=int(hour % 5 == 0)) for hour in range(20)]
    charts += [chart(3, 678, 98.6), chart(4, 211, None), chart(2, 211, 71.125, subject=2)]
    return Hospital(
        charts=charts,
        labs=[lab(hour, 50822, 3 + hour / 8) for hour in range(0, 40, 3)],
        stays=[stay(200, 0, 60), stay(201, 0, 70, subject=2, hadm=101)],
        admissions=[admission(100, death=55), admission(101, subject=2)],
        patients=[patient(1, sex="F"), patient(2, sex="M")],
    )


def source(database: str, schema: str) -> Mimic3Postgres:
    return Mimic3Postgres(Mimic3PostgresOptions(url=database, schema=schema), seed=0)


def read_database(database: str, schema: str, context: RunContext, scratch: Path) -> SourceTables:
    scratch.mkdir()
    window, use = WindowOptions(hours=48), VariableOptions(use=STUDY_NAMES)
    return extract(source(database, schema), use, window, dataclasses.replace(context, scratch=scratch))


def alter(database: str, schema: str, table: str, column: str, kind: str, using: str = "") -> None:
    statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING {}").format(
        sql.Identifier(schema, table), sql.Identifier(column), sql.SQL(kind), sql.SQL(using or f"{column}::{kind}")
    )
    with psycopg.connect(database) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("loader", LOADERS)
def test_types_and_clients_change_neither_values_nor_fingerprint(
    loader: str, database: str, schema: str, tmp_path: Path, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital().write(tmp_path / "hospital")
    load_release(folder, database, schema, SilentProgress())
    expected, known = read(folder, context), source(database, schema).fingerprint(tmp_path / "known").digest
    assert len(expected.hours) > 30
    for table, columns in COLUMNS.items():
        for column in columns:
            what = (
                "times"
                if column in TIMES
                else "texts"
                if column in TEXTS
                else "numbers"
                if column in NUMBERS
                else "ids"
            )
            alter(database, schema, table, column, LOADERS[loader][what])
    for number, client in enumerate(CLIENTS):
        for name, value in client.items():
            monkeypatch.setenv(name, value)
        assert_identical(read_database(database, schema, context, tmp_path / f"scratch-{number}"), expected)
        assert source(database, schema).fingerprint(tmp_path / f"memory-{number}").digest == known


@pytest.mark.parametrize(
    ("column", "kind", "using", "word"),
    [
        ("admissions.hospital_expire_flag", "boolean", "hospital_expire_flag = 1", "true"),
        ("icustays.icustay_id", "numeric", "icustay_id + 0.5", "200.5"),
        ("chartevents.itemid", "text", "'item ' || itemid", "item 211"),
        ("labevents.charttime", "text", "'yesterday morning'", "yesterday morning"),
        ("chartevents.charttime", "text", "charttime || '+02'", "without a zone: 2150-01-01 10:00:00.02"),
        ("icustays.intime", "varchar", "intime || ' EST'", "without a zone: 2150-01-01 10:00:00 EST"),
        ("admissions.deathtime", "char(40)", "to_char(deathtime, 'DD/MM/YYYY')", "without a zone: 03/01/2150"),
    ],
)
def test_what_is_no_such_value_is_an_error(
    column: str, kind: str, using: str, word: str, database: str, schema: str, tmp_path: Path, context: RunContext
) -> None:
    load_release(hospital().write(tmp_path / "hospital"), database, schema, SilentProgress())
    table, name = column.split(".")
    alter(database, schema, table, name, kind, using)
    with pytest.raises(SourceError, match=f"A value cannot be read .*{word}"):
        read_database(database, schema, context, tmp_path / "here")
