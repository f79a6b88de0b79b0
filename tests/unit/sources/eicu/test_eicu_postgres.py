"""eICU on a real PostgreSQL server: the same bits as from files in any zone of the client, what is missing, loading."""

from __future__ import annotations

import dataclasses
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest
from psycopg import sql

from eicu_tables import Hospital, fluid, lab, nurse, patient, respiratory, vitals
from icudl.artifacts import SourceTables
from icudl.cli import main
from icudl.errors import SourceError
from icudl.execution.context import RunContext, SilentProgress
from icudl.sources.base import LATE, SourceBase, WindowOptions
from icudl.sources.eicu.folder import COLUMNS
from icudl.sources.eicu.load import load_release
from icudl.sources.eicu.options import EicuOptions, EicuPostgresOptions
from icudl.sources.eicu.postgres import EicuPostgres
from icudl.sources.eicu.source import Eicu
from icudl.sources.locating import Survey
from icudl.sources.mimic3.postgres import Mimic3Postgres
from icudl.variables import Variable, select

CLIENTS = (
    {"PGTZ": "UTC", "PGDATESTYLE": "ISO, MDY"},
    {"PGTZ": "America/New_York", "PGDATESTYLE": "SQL, DMY"},
    {"PGTZ": "Asia/Kolkata", "PGDATESTYLE": "German, YMD"},
)
USE = ("creatinine", "magnesium", "calcium", "heartrate", "tempc", "spo2", "sysbp", "fio2", "urine")
VITALS = ("nursecharting", "vitalperiodic", "vitalaperiodic")
OWN = Variable(name="crp", label="CRP", unit="mg/L", group="lab", low=0, high=500, items={"eicu": ["CRP"]})


def busy_hospital(stays: int = 9) -> Hospital:
    rng = random.Random(8)
    tables = [field.name for field in dataclasses.fields(Hospital)]
    of = Hospital(**{name: [] for name in tables})
    for stay in range(1, stays + 1):
        of.patient.append(patient(stay, hospitalid=stay % 3, age="> 89" if stay == 4 else "60"))
        for _ in range(30):
            minute = rng.randrange(-60, 3500)
            late = minute + rng.choice((0, 40, 600))
            unit = rng.choice(("mg/dL", "mEq/L", " mEq/L ", ""))
            of.lab.append(
                lab(
                    minute,
                    rng.choice(("creatinine", "creatinine ")),
                    round(rng.uniform(0.5, 9), 2),
                    stay=stay,
                    revised=late,
                )
            )
            of.lab.append(lab(minute, "magnesium", round(rng.uniform(1, 3), 1), unit, stay=stay, revised=late))
            of.lab.append(lab(minute, "ionized calcium", round(rng.uniform(1, 5), 2), "mmol/L", stay=stay))
            of.lab.append(lab(minute, "CRP", rng.randrange(1, 300), "mg/L", stay=stay))
            of.lab.append(lab(minute, "urinary sodium", 40, stay=stay))
            rate = nurse(minute, "Heart Rate", "Heart Rate", rng.choice(("80", " 91 ", "x", "")), stay=stay)
            of.nursecharting.append(rate | {"nursingchartentryoffset": late})
            of.nursecharting.append(
                nurse(minute, "Temperature", "Temperature (C)", rng.choice((36.6, 98.6)), stay=stay)
            )
            of.nursecharting.append(nurse(minute, "Pain Score", 'Pain, "worst"', 3, stay=stay))
            of.vitalperiodic.append(vitals(minute, stay=stay, heartrate=rng.randrange(60, 99), sao2=97))
            of.vitalaperiodic.append(vitals(minute, stay=stay, noninvasivesystolic=rng.randrange(90, 150)))
            of.respiratorycharting.append(
                respiratory(minute, "FiO2", rng.choice(("40%", "40% ", "0.5", "1")), stay=stay)
            )
            of.intakeoutput.append(fluid(minute, rng.choice(("Urine", "Foley", "Stool")), 100, stay=stay))
    return of


@pytest.fixture
def schema(database: str) -> Iterator[str]:
    name = f"eicu {uuid.uuid4().hex[:8]}"
    yield name
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def read(source: SourceBase, context: RunContext, variables: tuple[Variable, ...] = select(USE)) -> SourceTables:
    return source.extract(variables, WindowOptions(hours=48), context)


def same(found: SourceTables, expected: SourceTables) -> None:
    assert expected.hours.height > 200
    assert found.stays.equals(expected.stays, null_equal=True)
    assert found.hours["mean"].to_numpy().tobytes() == expected.hours["mean"].to_numpy().tobytes()
    assert found.hours.equals(expected.hours)
    assert found.cleaning.equals(expected.cleaning)
    assert found.outcomes.equals(expected.outcomes, null_equal=True)
    assert found.warnings == expected.warnings
    assert found.population == expected.population


def test_server_and_files_give_the_same_bits_to_every_client(
    tmp_path: Path, database: str, schema: str, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = busy_hospital().write(tmp_path / "eicu")
    loaded = load_release(folder, database, schema, SilentProgress())
    assert loaded.rows["lab"] == 9 * 150
    digests = set()
    for by in ("charted", "stored"):
        expected = read(Eicu(EicuOptions(path=str(folder), vitals=VITALS, by=by), 1), context)
        assert (expected.cleaning.filter(pl.col("rule") == LATE)["rows"].sum() > 0) == (by == "stored")
        for number, client in enumerate(CLIENTS if by == "charted" else CLIENTS[-1:]):
            for name, value in client.items():
                monkeypatch.setenv(name, value)
            source = EicuPostgres(EicuPostgresOptions(url=database, schema=schema, vitals=VITALS, by=by), 1)
            same(read(source, context), expected)
            digests.add((by, source.fingerprint(tmp_path / f"memory-{number}").digest))
    assert len(digests) == 2
    assert source.reach() == (
        "patient, lab, nursecharting, vitalperiodic, vitalaperiodic, respiratorycharting, intakeoutput in schema "
        f"{schema!r}"
    )
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("UPDATE {} SET hospitalid = 8").format(sql.Identifier(schema, "patient")))
    assert ("stored", source.fingerprint(tmp_path / "memory-0").digest) not in digests


WRITTEN = {
    pl.Int64: ("numeric(12,2)", "text", "float8", "char(20)", "bigint", "varchar(30)"),
    pl.Float64: ("text", "numeric(30,9)", "varchar(30)", "float8", "char(30)"),
    pl.String: ("char(90)", "varchar(120)", "text"),
}
"""Types that loaders of eICU have given columns of each kind."""


def test_types_of_other_loaders_change_nothing(
    tmp_path: Path, database: str, schema: str, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = busy_hospital().write(tmp_path / "eicu")
    load_release(folder, database, schema, SilentProgress())
    expected = read(Eicu(EicuOptions(path=str(folder), vitals=VITALS), 1), context)
    source = EicuPostgres(EicuPostgresOptions(url=database, schema=schema, vitals=VITALS), 1)
    known = source.fingerprint(tmp_path / "known").digest
    for number, client in enumerate(CLIENTS):
        for name, value in client.items():
            monkeypatch.setenv(name, value)
        with psycopg.connect(database) as connection:
            for table, columns in COLUMNS.items():
                changes = []
                for place, (column, kind) in enumerate(columns.items()):
                    written = WRITTEN[kind][(place + 2 * number) % len(WRITTEN[kind])]
                    through = "::text" if kind is pl.String else "::text::numeric"
                    changes.append(
                        sql.SQL("ALTER {0} TYPE {1} USING {0}{2}::{1}").format(
                            sql.Identifier(column), sql.SQL(written), sql.SQL(through)
                        )
                    )
                connection.execute(
                    sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(schema, table), sql.SQL(", ").join(changes))
                )
        same(read(source, context), expected)
        assert source.fingerprint(tmp_path / f"typed-{number}").digest == known
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schema, "patient")
        halved = "ALTER TABLE {} ALTER hospitalid TYPE numeric(9,1) USING hospitalid::text::numeric + 0.5"
        connection.execute(sql.SQL(halved).format(table))
    with pytest.raises(SourceError, match=r"A value cannot be read .*1\.5"):
        read(source, context)


def test_a_variable_of_ones_own_is_read_from_the_server(
    tmp_path: Path, database: str, schema: str, context: RunContext
) -> None:
    folder = busy_hospital().write(tmp_path / "eicu")
    load_release(folder, database, schema, SilentProgress())
    variables = (*select(("creatinine",)), OWN)
    expected = read(Eicu(EicuOptions(path=str(folder)), 1), context, variables)
    found = read(EicuPostgres(EicuPostgresOptions(url=database, schema=schema), 1), context, variables)
    same(found, expected)
    assert (found.hours["variable"] == 1).sum() > 100


def test_a_server_is_searched_for_its_schema(tmp_path: Path, own_database: str) -> None:
    assert EicuPostgres.locate_address(own_database, Survey()) is None
    folder = busy_hospital(2).write(tmp_path / "eicu")
    load_release(folder, own_database, "hospital", SilentProgress())
    with psycopg.connect(own_database) as connection:
        # Another database's table of the same name, and a schema of eICU without any event.
        connection.execute("CREATE TABLE public.patient (id integer); CREATE TABLE public.lab (id integer)")
        connection.execute("CREATE SCHEMA half; CREATE TABLE half.patient AS TABLE hospital.patient")
        connection.execute("DROP TABLE hospital.intakeoutput")
    found = EicuPostgres.locate_address(own_database, Survey())
    assert found is not None
    assert found.is_readable
    assert found.source == "eicu_postgres"
    assert found.settings == {"url": own_database, "schema": "hospital"}
    assert found.database == "eICU-CRD, version unknown on PostgreSQL"
    assert found.stays == 2
    assert [(table.name, table.file, table.rows) for table in found.tables[:2]] == [
        ("patient", "hospital.patient", 2),
        ("lab", "hospital.lab", None),
    ]
    assert [(table.name, table.variables) for table in found.missing] == [("intakeoutput", ("urine", "weight"))]
    counted = EicuPostgres.locate_address(own_database, Survey(counts_all=True))
    assert counted is not None
    assert {table.name: table.rows for table in counted.tables}["lab"] == 2 * 150
    assert Mimic3Postgres.locate_address(own_database, Survey()) is None


def test_a_load_goes_on_and_what_is_missing_is_said(
    tmp_path: Path, database: str, schema: str, context: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = busy_hospital(2).write(tmp_path / "eicu")
    words = ["db", "load", str(folder), database, "--database", "eicu", "--schema", schema, "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["nursecharting"] == 2 * 90
    assert len(load_release(folder, database, schema, SilentProgress()).present) == 7
    source = EicuPostgres(EicuPostgresOptions(url=database, schema=schema), 1)
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schema, "lab")
        connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN labresult").format(table))
    with pytest.raises(SourceError, match=r"lab lacks the column labresult\. Expected the columns of eICU 2\.0"):
        read(source, context)
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("DROP TABLE {}").format(table))
    with pytest.raises(SourceError, match=r"'creatinine' is read from LAB, which the schema 'eicu .*' lacks"):
        read(source, context)
    with pytest.raises(SourceError, match=r"Schema 'nowhere' lacks patient\. Set source\.schema .*--database eicu"):
        EicuPostgres(EicuPostgresOptions(url=database, schema="nowhere"), 1).reach()
