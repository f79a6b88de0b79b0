"""MIMIC-III on a real PostgreSQL server: loading, the same bits as from files, bad input, secrets."""

from __future__ import annotations

import gzip
import threading
import time
import uuid
from pathlib import Path

import psycopg
import pytest
from mimic3_tables import HEADERS, Hospital, admission, cells, chart, lab, patient, read, rule_counts, stay
from psycopg import sql
from test_mimic3_files import assert_identical, busy_hospital

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.execution.context import RunContext, SilentProgress
from icudl.options import masked
from icudl.sources.base import DataSource, VariableOptions, WindowOptions
from icudl.sources.locating import Survey
from icudl.sources.mimic3.load import load_release
from icudl.sources.mimic3.options import Mimic3PostgresOptions
from icudl.sources.mimic3.postgres import Mimic3Postgres
from icudl.sources.servers import postgres
from icudl.stages.extract import extract
from icudl.variables import STUDY_NAMES


def source(database: str, schema: str) -> Mimic3Postgres:
    return Mimic3Postgres(Mimic3PostgresOptions(url=database, schema=schema), seed=0)


def read_database(
    database: str, schema: str, context: RunContext, use: tuple[str, ...] = STUDY_NAMES, hours: int = 48
) -> SourceTables:
    return extract(source(database, schema), VariableOptions(use=use), WindowOptions(hours=hours), context)


def execute(database: str, schema: str, statement: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL(statement).format(s=sql.Identifier(schema)))


def fails(database: str, schema: str, context: RunContext, *words: str) -> str:
    with pytest.raises(SourceError) as caught:
        read_database(database, schema, context)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert caught.value.__cause__ is None
    return message


@pytest.fixture
def loaded(tmp_path: Path, database: str, schema: str) -> Path:
    """Folder of a busy hospital that is also in the database."""
    folder = busy_hospital().write(tmp_path / "hospital", ending="csv.gz")
    load_release(folder, database, schema, SilentProgress())
    return folder


def test_it_tells_quickly_whether_its_tables_are_there(loaded: Path, database: str, schema: str) -> None:
    assert "tables in schema" in source(database, schema).reach()
    with pytest.raises(SourceError, match="lacks PATIENTS"):
        source(database, "elsewhere").reach()


def test_it_is_a_data_source() -> None:
    assert isinstance(source("", "x"), DataSource)
    assert source("", "x").restricted


@pytest.mark.parametrize("seed", [3, 4])
def test_database_and_files_give_the_same_bits(
    tmp_path: Path, database: str, schema: str, context: RunContext, seed: int
) -> None:
    folder = busy_hospital(seed=seed).write(tmp_path / "hospital", lower=seed == 4)
    load_release(folder, database, schema, SilentProgress())
    from_files = read(folder, context)
    assert len(from_files.hours) > 200
    assert_identical(from_files, read_database(database, schema, context))
    few = {"use": ("spo2", "tempc", "ph"), "hours": 7}
    assert_identical(read(folder, context, **few), read_database(database, schema, context, **few))


def test_every_rule_gives_the_same_counts(tmp_path: Path, database: str, schema: str, context: RunContext) -> None:
    charts = [chart(0.5, 678, 98.6), chart(0.5, 678, 98.6), chart(1, 678, 50), chart(2, 678, 71), chart(90, 678, 98)]
    charts += [chart(-1, 678, 98), chart(3, 678, 98, error=1), chart(3, 678, None), chart(4, 676, 99)]
    charts += [chart(5, 211, "NaN"), chart(5, 211, "Infinity"), chart(5, 211, 1e300), chart(5, 211, -1e300)]
    charts += [chart(6, 211, 80, subject=77), chart(10, 211, 81), chart(13, 211, 82), chart(12, 211, 83)]
    timeless = chart(4, 676, 99)
    timeless[5] = None
    hospital = Hospital(
        charts=[*charts, timeless],
        labs=[lab(1, 50820, 738), lab(1, 50820, 7.38), lab(1, 50820, 7.38), lab(2, 51006, 20, hadm=None)],
        stays=[stay(200, 0, 10), stay(201, 12, 20), stay(202, 12, 20), stay(203, 15, None)],
        admissions=[admission(100), admission(101, subject=2)],
        patients=[patient(1), patient(2)],
    )
    folder = hospital.write(tmp_path / "hospital")
    load_release(folder, database, schema, SilentProgress())
    assert_identical(read(folder, context), read_database(database, schema, context))


def test_contradicting_outcomes_and_blanks_are_read_alike(
    tmp_path: Path, database: str, schema: str, context: RunContext
) -> None:
    hospital = Hospital(admissions=[admission(death=60)], patients=[patient(sex="f ")])
    hospital.admissions[0][HEADERS["ADMISSIONS"].split().index("HOSPITAL_EXPIRE_FLAG")] = 0
    folder = hospital.write(tmp_path / "hospital")
    load_release(folder, database, schema, SilentProgress())
    from_files, from_database = read(folder, context), read_database(database, schema, context)
    assert_identical(from_database, from_files)
    assert from_database.population == from_files.population == "mimic-iii"
    assert rule_counts(from_database, "died") == {"death time without the flag: a death": 1}


def test_a_variable_whose_table_is_absent_is_an_error(
    database: str, schema: str, context: RunContext, loaded: Path
) -> None:
    with pytest.raises(SourceError, match=r"'urine' is read from OUTPUTEVENTS, which schema .* lacks"):
        read_database(database, schema, context, use=("heartrate", "urine"))


def test_the_end_of_the_window_is_outside_and_halves_go_up(
    tmp_path: Path, database: str, schema: str, context: RunContext
) -> None:
    """Worked out by hand: that two readers agree says nothing where both are wrong."""
    charts = [chart(0, 211, 80, seconds=48 * 3600 - 1), chart(48, 211, 90)]
    # Two million and a half millionths: to the even number it would be rounded down.
    hospital = Hospital(charts=charts, labs=[lab(1, 50822, 2.0000005)])
    load_release(hospital.write(tmp_path / "hospital"), database, schema, SilentProgress())
    tables = read_database(database, schema, context)
    assert cells(tables) == {(200, 47, "heartrate"): (80, 1), (200, 1, "potassium"): (2.000001, 1)}
    assert rule_counts(tables, "heartrate") == {"read": 2, "kept": 1, "dropped: outside the window": 1}
    assert_identical(tables, read(tmp_path / "hospital", context))


def test_times_with_a_zone_are_refused(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    execute(database, schema, "ALTER TABLE {s}.labevents ALTER charttime TYPE timestamptz")
    execute(database, schema, "ALTER TABLE {s}.icustays ALTER intime TYPE timestamptz")
    fails(database, schema, context, "icustays.intime, labevents.charttime", "time zone")
    with pytest.raises(SourceError, match="time zone"):
        source(database, schema).reach()


def test_a_read_only_account_is_enough(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    role = f"reader_{uuid.uuid4().hex[:8]}"
    execute(database, schema, f"CREATE ROLE {role} LOGIN PASSWORD 'open-sesame'")
    execute(database, schema, f"GRANT USAGE ON SCHEMA {{s}} TO {role}")
    try:
        url = _as_user(database, role, "open-sesame")
        fails(url, schema, context, "denies access")
        execute(database, schema, f"GRANT SELECT ON ALL TABLES IN SCHEMA {{s}} TO {role}")
        assert_identical(read_database(url, schema, context), read(loaded, context))
    finally:
        execute(database, schema, f"DROP OWNED BY {role}")
        execute(database, schema, f"DROP ROLE {role}")


def _as_user(database: str, user: str, password: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(database) | {"user": user, "password": password}
    return psycopg.conninfo.make_conninfo("", **parts)


def test_extraction_changes_nothing(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    statement = sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, "chartevents"))
    with postgres.connection(database, read_only=True) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(statement)
        connection.rollback()


def test_fingerprint_follows_the_rows(database: str, schema: str, tmp_path: Path, loaded: Path) -> None:
    def digest(memory: str = "memory") -> str:
        fingerprint = source(database, schema).fingerprint(tmp_path / memory)
        assert masked(database) not in repr(fingerprint)
        return fingerprint.digest

    reference = digest()
    assert digest() == reference == digest("other")
    load_release(loaded, database, schema, SilentProgress(), replace=True)
    assert digest("fresh") == reference
    execute(database, schema, "UPDATE {s}.labevents SET subject_id = -subject_id WHERE itemid = 50822")
    assert digest("after") != reference
    execute(database, schema, "UPDATE {s}.labevents SET subject_id = -subject_id WHERE itemid = 50822")
    execute(database, schema, "INSERT INTO {s}.chartevents (itemid) VALUES (999999)")
    assert digest("again") == reference, "items that no rule names are no part of the data"


def test_fingerprint_is_remembered(database: str, schema: str, tmp_path: Path, loaded: Path, monkeypatch) -> None:
    before = source(database, schema).fingerprint(tmp_path / "memory")
    monkeypatch.setattr("icudl.sources.mimic.sql.contents_of", lambda *_: pytest.fail("counted again"))
    assert source(database, schema).fingerprint(tmp_path / "memory") == before


# Loading


def test_a_load_goes_on_where_it_broke_off(tmp_path: Path, database: str, schema: str, context: RunContext) -> None:
    folder = busy_hospital().write(tmp_path / "hospital")
    whole = (folder / "CHARTEVENTS.csv").read_text()
    (folder / "CHARTEVENTS.csv").write_text(whole.replace(",7,", ",seven,", 1) + "broken,row\n")
    with pytest.raises(SourceError, match="loading chartevents"):
        load_release(folder, database, schema, SilentProgress())
    fails(database, schema, context, "lacks CHARTEVENTS", "icudl db load")
    (folder / "CHARTEVENTS.csv").write_text(whole)
    loaded = load_release(folder, database, schema, SilentProgress())
    assert set(loaded.present) == {"patients", "admissions", "icustays", "labevents"}
    assert loaded.release == ""
    assert_identical(read(folder, context), read_database(database, schema, context))


def test_counts_are_checked_against_the_release(tmp_path: Path, database: str, schema: str) -> None:
    hospital = Hospital(patients=[patient(subject) for subject in range(1, 101)])
    with pytest.raises(SourceError, match="ADMISSIONS has 1 rows instead of 129"):
        load_release(hospital.write(tmp_path / "hospital"), database, schema, SilentProgress())


def test_load_of_bad_folders(tmp_path: Path, database: str, schema: str) -> None:
    with pytest.raises(SourceError, match="not a folder"):
        load_release(tmp_path / "nowhere", database, schema, SilentProgress())
    folder = busy_hospital(rows=20).write(tmp_path / "parquet", ending="parquet")
    with pytest.raises(SourceError, match="is Parquet"):
        load_release(folder, database, schema, SilentProgress())
    folder = busy_hospital(rows=20).write(tmp_path / "short", ending="csv.gz")
    content = (folder / "LABEVENTS.csv.gz").read_bytes()
    (folder / "LABEVENTS.csv.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"LABEVENTS\.csv\.gz cannot be read: the compressed file is truncated"):
        load_release(folder, database, schema, SilentProgress())


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_a_load_that_quotes_swallow_rows_of_is_refused(ending: str, tmp_path: Path, database: str, schema: str) -> None:
    folder = Hospital(charts=[chart(hour, 211, 80 + hour) for hour in range(9)]).write(tmp_path / "hospital")
    path = folder / "CHARTEVENTS.csv"
    lines = path.read_text("utf-8").splitlines()
    lines[3], lines[6] = lines[3] + '"', lines[6] + '"'
    path.unlink()
    write = gzip.compress if ending == "csv.gz" else bytes
    (folder / f"CHARTEVENTS.{ending}").write_bytes(write("\n".join(lines).encode()))
    with pytest.raises(
        SourceError, match=rf"CHARTEVENTS.{ending} has 9 lines below its header, .* made 6 rows: a quote"
    ):
        load_release(folder, database, schema, SilentProgress())
    (folder / f"CHARTEVENTS.{ending}").write_bytes(write("\n".join(lines).replace('"', "").encode()))
    assert load_release(folder, database, schema, SilentProgress()).rows["chartevents"] == 9


# Bad input


def test_missing_schema_table_and_column(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    fails(database, "nowhere", context, "'nowhere'", "source.schema")
    execute(database, schema, "ALTER TABLE {s}.chartevents RENAME COLUMN valuenum TO number")
    fails(database, schema, context, "lacks a column", "valuenum", "chartevents")
    execute(database, schema, "DROP TABLE {s}.labevents")
    fails(database, schema, context, "lacks LABEVENTS")


def test_text_in_a_numeric_column(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    execute(database, schema, "ALTER TABLE {s}.chartevents ALTER COLUMN valuenum TYPE text")
    execute(database, schema, "UPDATE {s}.chartevents SET valuenum = 'eighty' WHERE itemid = 211")
    fails(database, schema, context, "A value cannot be read", "eighty", "chartevents")


def test_duplicate_stay_and_empty_table(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    execute(database, schema, "INSERT INTO {s}.icustays SELECT * FROM {s}.icustays LIMIT 1")
    fails(database, schema, context, "ICUSTAY_ID 200", "more than once")
    execute(database, schema, "DELETE FROM {s}.icustays")
    fails(database, schema, context, "icustays has no rows")


def test_nothing_in_any_window(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    execute(database, schema, "UPDATE {s}.icustays SET intime = intime + interval '9 years', outtime = NULL")
    fails(database, schema, context, "No value of the chosen variables")


def test_unreachable_server(context: RunContext) -> None:
    url = "postgresql://somebody:hunter2@127.0.0.1:1/database"
    message = fails(url, "mimiciii", context, "connection to PostgreSQL failed", "port 1")
    assert "hunter2" not in message
    message = fails("postgresql://u:hunter2@[broken/x", "mimiciii", context, "is not a connection URL")
    assert "hunter2" not in message


def test_wrong_password(database: str, schema: str, context: RunContext, loaded: Path, tmp_path, monkeypatch) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(database)
    if not str(parts.get("host", "")).startswith("/"):
        pytest.skip("needs a server whose pg_hba.conf the test can change")
    hba = Path(str(parts["host"])) / "pg_hba.conf"
    if not hba.exists():
        pytest.skip("the server's socket is not in its data folder")
    execute(database, schema, "CREATE ROLE locked LOGIN PASSWORD 'right-secret'")
    execute(database, schema, "GRANT USAGE ON SCHEMA {s} TO locked")
    execute(database, schema, "GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO locked")
    before = hba.read_text()
    try:
        hba.write_text("local all locked scram-sha-256\n" + before)
        _reload_until_refused(database, _as_user(database, "locked", "wrong-secret"))
        message = fails(_as_user(database, "locked", "wrong-secret"), schema, context, "password authentication failed")
        assert "wrong-secret" not in message
        monkeypatch.setenv("PGPASSWORD", "wrong-too")
        assert "wrong-too" not in fails(_without_password(database, "locked"), schema, context, "authentication failed")
        monkeypatch.delenv("PGPASSWORD")
        passfile = tmp_path / "pgpass"
        passfile.write_text("*:*:*:locked:right-secret\n")
        passfile.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(passfile))
        assert_identical(read_database(_without_password(database, "locked"), schema, context), read(loaded, context))
    finally:
        hba.write_text(before)
        execute(database, schema, "SELECT pg_reload_conf()")
        execute(database, schema, "DROP OWNED BY locked")
        execute(database, schema, "DROP ROLE locked")


def _reload_until_refused(database: str, url: str) -> None:
    for _ in range(100):
        execute(database, "", "SELECT pg_reload_conf()")
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return
        time.sleep(0.05)
    pytest.fail("the server did not take up its changed pg_hba.conf")


def _without_password(database: str, user: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(database) | {"user": user}
    parts.pop("password", None)
    return psycopg.conninfo.make_conninfo("", **parts)


def test_server_gone_in_mid_query(database: str, schema: str, context: RunContext, loaded: Path) -> None:
    with psycopg.connect(database) as blocker:
        blocker.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(schema, "labevents")))

        def cut_off() -> None:
            with psycopg.connect(database, autocommit=True) as killer:
                for _ in range(200):
                    killed = killer.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'icudl' AND wait_event_type = 'Lock'"
                    ).fetchall()
                    if killed:
                        return
                    time.sleep(0.05)

        thread = threading.Thread(target=cut_off)
        thread.start()
        fails(database, schema, context, "connection to PostgreSQL failed", "reading labevents", "run again")
        thread.join()
    assert [path.name[:12] for path in context.scratch.iterdir()] == ["chartevents-"]
    assert_identical(read_database(database, schema, context), read(loaded, context))


# Secrets


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@host:5432/mimic",
        "postgresql://user:s3cret@host/mimic?sslpassword=s3cret",
        "host=host user=user password=s3cret dbname=mimic",
        "host=host password='s3cret' dbname=mimic",
        "postgresql://host/mimic?user=user&password=s3cret",
    ],
)
def test_passwords_are_masked_wherever_options_are_recorded(url: str) -> None:
    options = Mimic3PostgresOptions(url=url)
    assert "s3cret" not in masked(url)
    assert "host" in masked(url)
    assert "s3cret" not in repr(options)
    assert "s3cret" not in str(options.to_dict())
    assert options.url == url
    assert "s3cret" not in postgres.scrubbed(f'password "s3cret" of {url} is wrong', url)


def test_a_password_is_scrubbed_in_either_spelling() -> None:
    url = "postgresql://user:p%40ss@host/mimic"
    assert "p@ss" not in postgres.scrubbed("bad password p@ss (p%40ss)", url)
    assert "p%40ss" not in postgres.scrubbed("bad password p@ss (p%40ss)", url)


def test_a_server_says_what_it_holds(tmp_path: Path, own_database: str) -> None:
    assert Mimic3Postgres.locate_address(own_database, Survey()) is None
    folder = busy_hospital().write(tmp_path / "hospital", ending="csv.gz")
    for schema in ("other", "mimiciii"):
        load_release(folder, own_database, schema, SilentProgress())
    for counts_all in (False, True):
        found = Mimic3Postgres.locate_address(own_database, Survey(counts_all=counts_all))
        assert found is not None
        assert (found.database, found.source) == ("MIMIC-III, version unknown on PostgreSQL", "mimic3_postgres")
        assert found.settings == {"url": own_database, "schema": "mimiciii"}
        assert (found.patients, found.stays) == (8, 12)
        assert {table.name: table.rows for table in found.tables}["CHARTEVENTS"] == (1600 if counts_all else None)
        assert [(table.name, table.variables) for table in found.missing] == [("OUTPUTEVENTS", ("urine",))]
        assert found.notes == ("Other schemas hold such tables as well: other.",)
