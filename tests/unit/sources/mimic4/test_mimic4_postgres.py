"""MIMIC-IV on a real PostgreSQL server, in two schemas: the same bits as from files, what is missing, what is found."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest
from psycopg import sql

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext
from icudl.sources.base import LATE, DataSource, SourceBase, VariableOptions, WindowOptions, prepared
from icudl.sources.locating import Survey
from icudl.sources.mimic3.postgres import Mimic3Postgres
from icudl.sources.mimic4.files import Mimic4Files
from icudl.sources.mimic4.layout import LAYOUT
from icudl.sources.mimic4.options import Mimic4Options, Mimic4PostgresOptions
from icudl.sources.mimic4.postgres import Mimic4Postgres
from icudl.stages.extract import extract
from mimic4_tables import FOLDERS, Hospital, at, busy_hospital, lab

LATER = ("2014 - 2016", "2017 - 2019")


@pytest.fixture
def schemas(database: str) -> Iterator[dict[str, str]]:
    name = uuid.uuid4().hex[:8]
    yield {"hosp": f"hosp {name}", "icu": f"icu {name}"}
    with psycopg.connect(database) as connection:
        for kind in ("hosp", "icu"):
            schema = sql.Identifier(f"{kind} {name}")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))


def kind_of(table: str, column: str) -> str:
    """The type that mimic-code's build gives a column, as far as it matters."""
    if column.endswith("time"):
        return "timestamp"
    if column in {"valuenum", "los"} or (table, column) == ("outputevents", "value"):
        return "double precision"
    if column in {"anchor_age", "anchor_year", "hospital_expire_flag"}:
        return "smallint"
    return "integer" if column in {"subject_id", "hadm_id", "stay_id", "itemid"} else "text"


def load(hospital: Hospital, database: str, schemas: dict[str, str]) -> None:
    with psycopg.connect(database) as connection:
        for schema in schemas.values():
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        for table, frame in hospital.frames().items():
            name = sql.Identifier(schemas[FOLDERS["3.1"][table]], table)
            columns = [
                sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind_of(table, column)))
                for column in frame.columns
            ]
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(columns)))
            with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER true)").format(name)) as copy:
                copy.write(frame.write_csv())


def server(database: str, schemas: dict[str, str], **options) -> Mimic4Postgres:
    named = {"hosp_schema": schemas["hosp"], "icu_schema": schemas["icu"]}
    return Mimic4Postgres(Mimic4PostgresOptions(url=database, **named, **options), seed=0)


def read(source: SourceBase, context: RunContext, use: tuple[str, ...] = ("all",)) -> SourceTables:
    return extract(source, VariableOptions(use=use), WindowOptions(hours=48), context)


def test_database_and_files_give_the_same_bits(
    tmp_path: Path, database: str, schemas: dict[str, str], context: RunContext
) -> None:
    hospital = busy_hospital()
    folder = hospital.write(tmp_path / "iv", ending="csv.gz")
    load(hospital, database, schemas)
    source = server(database, schemas)
    assert isinstance(source, DataSource)
    assert source.restricted
    assert source.reach() == f"6 tables in schemas {schemas['hosp']} and {schemas['icu']}"
    digests = set()
    for groups in ((), LATER):
        expected = read(Mimic4Files(Mimic4Options(path=str(folder), year_groups=groups), seed=0), context)
        found = read(server(database, schemas, year_groups=groups), context)
        assert expected.hours.height > 200
        assert found.stays.equals(expected.stays)
        assert found.hours.equals(expected.hours)
        assert found.hours["mean"].to_numpy().tobytes() == expected.hours["mean"].to_numpy().tobytes()
        assert found.cleaning.equals(expected.cleaning)
        assert found.population == "mimic-iv"
        digests.add(source.fingerprint(tmp_path / "memory").digest)
    assert len(digests) == 1
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schemas["hosp"], "patients")
        connection.execute(sql.SQL("UPDATE {} SET anchor_year_group = '2011 - 2013'").format(table))
        # The server counts a change when the connection ends, or later, unless it is told to do so at once.
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert source.fingerprint(tmp_path / "memory").digest not in digests


def test_what_is_stored_late_is_left_out_on_the_server_as_from_files(
    tmp_path: Path, database: str, schemas: dict[str, str], context: RunContext
) -> None:
    hospital = busy_hospital()
    times = [None, at(20), at(47), at(48), at(70)]
    hospital.labs = [[*row[:7], times[number % 5], *row[8:]] for number, row in enumerate(hospital.labs)]
    folder = hospital.write(tmp_path / "iv")
    load(hospital, database, schemas)
    expected = read(Mimic4Files(Mimic4Options(path=str(folder), by="stored"), seed=0), context)
    found = read(server(database, schemas, by="stored"), context)
    assert found.hours.equals(expected.hours)
    assert found.cleaning.equals(expected.cleaning)
    assert found.cleaning.filter(pl.col("rule") == LATE)["rows"].sum() > 10
    memory = tmp_path / "memory"
    digests = [server(database, schemas, by=by).fingerprint(memory).digest for by in ("charted", "stored")]
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schemas["hosp"], "labevents")
        connection.execute(sql.SQL("UPDATE {} SET storetime = storetime + interval '1 day'").format(table))
    later = [server(database, schemas, by=by).fingerprint(memory).digest for by in ("charted", "stored")]
    assert later[0] == digests[0]
    assert len({*later, *digests}) == 3


def test_a_variable_of_ones_own_is_read_and_identified(
    tmp_path: Path, database: str, schemas: dict[str, str], context: RunContext
) -> None:
    hospital = busy_hospital()
    hospital.labs += [lab(hour + 0.5, 50889, 3.0 * hour) for hour in range(1, 40)]
    folder = hospital.write(tmp_path / "iv")
    load(hospital, database, schemas)
    crp = {"unit": "mg/L", "range": [0, 500], "items": {"mimic4": [50889]}}
    options = VariableOptions(use=("heartrate",), own={"crp": crp})
    expected = extract(Mimic4Files(Mimic4Options(path=str(folder)), seed=0), options, WindowOptions(hours=48), context)
    bare = server(database, schemas)
    found = extract(bare, options, WindowOptions(hours=48), context)
    assert (found.hours["variable"] == 1).sum() == 39
    assert found.hours.equals(expected.hours)
    assert found.cleaning.equals(expected.cleaning)
    memory, source = tmp_path / "memory", prepared(bare, options)
    before = bare.fingerprint(memory).digest, source.fingerprint(memory).digest
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schemas["hosp"], "labevents")
        connection.execute(sql.SQL("UPDATE {} SET valuenum = 7 WHERE itemid = 50889").format(table))
    assert bare.fingerprint(memory).digest == before[0]
    assert source.fingerprint(memory).digest not in before
    with pytest.raises(ConfigError, match=r"crp is read from a server that was not told of it"):
        bare.extract(options.chosen(bare.available), WindowOptions(hours=48), context)


WRITTEN = {
    pl.Int64: ("numeric(12,2)", "text", "float8", "char(20)", "bigint", "varchar(30)"),
    pl.Float64: ("text", "numeric(30,9)", "varchar(30)", "float8", "char(30)"),
    pl.String: ("char(90)", "varchar(120)", "text"),
    pl.Datetime: ("text", "timestamp(3)", "char(40)", "timestamp", "varchar(30)"),
}
"""Types that loaders of MIMIC-IV have given columns of each kind."""
CLIENTS = (
    {"PGTZ": "UTC", "PGDATESTYLE": "ISO, MDY"},
    {"PGTZ": "America/New_York", "PGDATESTYLE": "SQL, DMY"},
    {"PGTZ": "Asia/Kolkata", "PGDATESTYLE": "German, YMD"},
)


def test_types_of_other_loaders_and_clients_change_nothing(
    tmp_path: Path, database: str, schemas: dict[str, str], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital = busy_hospital(rows=200)
    folder = hospital.write(tmp_path / "iv")
    load(hospital, database, schemas)
    known = server(database, schemas).fingerprint(tmp_path / "before").digest
    expected = read(Mimic4Files(Mimic4Options(path=str(folder), year_groups=LATER), seed=0), context)
    assert expected.hours.height > 50
    for number, client in enumerate(CLIENTS):
        with psycopg.connect(database) as connection:
            for table, columns in LAYOUT.columns.items():
                changes = []
                for place, (column, narrow) in enumerate(columns.items()):
                    kind = {pl.Int32: pl.Int64}.get(narrow, narrow)
                    written = WRITTEN[kind][(place + 2 * number) % len(WRITTEN[kind])]
                    through = {pl.String: "::text", pl.Datetime: "::text::timestamp"}.get(kind, "::text::numeric")
                    changes.append(
                        sql.SQL("ALTER {0} TYPE {1} USING {0}{2}::{1}").format(
                            sql.Identifier(column), sql.SQL(written), sql.SQL(through)
                        )
                    )
                connection.execute(
                    sql.SQL("ALTER TABLE {} {}").format(
                        sql.Identifier(schemas[FOLDERS["3.1"][table]], table), sql.SQL(", ").join(changes)
                    )
                )
        for name, value in client.items():
            monkeypatch.setenv(name, value)
        found = read(server(database, schemas, year_groups=LATER), context)
        assert found.stays.equals(expected.stays)
        assert found.hours.equals(expected.hours)
        assert found.hours["mean"].to_numpy().tobytes() == expected.hours["mean"].to_numpy().tobytes()
        assert found.cleaning.equals(expected.cleaning)
        assert server(database, schemas).fingerprint(tmp_path / f"after-{number}").digest == known
        for name in client:
            monkeypatch.delenv(name)
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schemas["icu"], "icustays")
        zoned = sql.SQL("ALTER TABLE {} ALTER intime TYPE timestamptz USING intime::text::timestamptz")
        connection.execute(zoned.format(table))
    with pytest.raises(SourceError, match=r"icustays.intime hold times with a time zone"):
        read(server(database, schemas), context)


def test_what_is_missing_is_said(database: str, schemas: dict[str, str], context: RunContext) -> None:
    load(Hospital(), database, schemas)
    with psycopg.connect(database) as connection:
        for table in ("chartevents", "outputevents"):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schemas["icu"], table)))
    with pytest.raises(SourceError) as caught:
        read(server(database, schemas), context)
    for words in (
        f"lack {schemas['icu']}.chartevents.",
        "source.hosp_schema",
        "source.icu_schema",
        "--database mimic4",
    ):
        assert words in str(caught.value)
    with pytest.raises(SourceError, match=r"Schemas 'nowhere' and 'icu .*' lack nowhere.patients, nowhere.admissions"):
        server(database, {"hosp": "nowhere", "icu": schemas["icu"]}).reach()


def test_a_server_says_what_it_holds(own_database: str) -> None:
    hospital = busy_hospital(rows=20)
    load(hospital, own_database, {"hosp": "wards", "icu": "unit"})
    found = Mimic4Postgres.locate_address(own_database, Survey(counts_all=True))
    assert found is not None
    assert found.source == "mimic4_postgres"
    assert found.settings == {"url": own_database, "hosp_schema": "wards", "icu_schema": "unit"}
    assert [table.rows for table in found.tables] == [frame.height for frame in hospital.frames().values()]
    assert (found.patients, found.stays, found.missing) == (12, 18, ())
    assert Mimic3Postgres.locate_address(own_database, Survey()) is None


def test_a_value_that_cannot_be_read_names_the_database(
    database: str, schemas: dict[str, str], context: RunContext
) -> None:
    load(Hospital(), database, schemas)
    with psycopg.connect(database) as connection:
        table = sql.Identifier(schemas["icu"], "chartevents")
        connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN valuenum").format(table))
    with pytest.raises(SourceError, match=r"lacks a column .* Expected the columns of MIMIC-IV\."):
        read(server(database, schemas), context)


def test_it_measures_what_the_files_measure() -> None:
    files, tables = Mimic4Files(Mimic4Options(), seed=0), Mimic4Postgres(Mimic4PostgresOptions(), seed=0)
    assert files.available == tables.available
    assert files.population == tables.population
    assert pl.Series(sorted(files.available or ())).len() == 36
