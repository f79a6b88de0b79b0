"""The synthetic hospital: same arguments same bytes, MIMIC-III's structure, every flaw, a learnable outcome."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, SourceError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.sources.base import WindowOptions
from icudl.sources.synthetic import files as synthetic_files
from icudl.sources.synthetic.course import BLOCK_PATIENTS
from icudl.sources.synthetic.files import Hospital, block_tables
from icudl.sources.synthetic.options import SyntheticOptions
from icudl.sources.synthetic.source import SyntheticSource, write_hospital
from icudl.variables import STUDY_NAMES, STUDY_VARIABLES, select

TABLES = ("ADMISSIONS", "CHARTEVENTS", "D_ITEMS", "D_LABITEMS", "ICUSTAYS", "LABEVENTS", "PATIENTS")
FAHRENHEIT, CELSIUS = (678, 223761), (676, 223762)
HEART_RATES = (211, 220045)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hospital")
    write_hospital(place, patients=600, seed=1, file_format="parquet")
    return place


@pytest.fixture(scope="module")
def table(folder: Path) -> Callable[[str], pl.DataFrame]:
    frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    return frames.__getitem__


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> SourceTables:
    """The hospital as the pipeline sees it, with a window that reaches beyond hour 48."""
    scratch = tmp_path_factory.mktemp("scratch")
    return _source(1500, 5).extract(STUDY_VARIABLES, WindowOptions(hours=120), _context(scratch))


def _source(patients: int, seed: int) -> SyntheticSource:
    return SyntheticSource(SyntheticOptions(patients=patients), seed)


def _context(scratch: Path) -> RunContext:
    return RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=5)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class TestReproducibility:
    def test_same_arguments_same_bytes(self, tmp_path: Path) -> None:
        write_hospital(tmp_path / "a", patients=150, seed=4)
        write_hospital(tmp_path / "b", patients=150, seed=4)
        assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")

    def test_another_seed_gives_another_hospital(self, tmp_path: Path) -> None:
        write_hospital(tmp_path / "a", patients=30, seed=4)
        write_hospital(tmp_path / "b", patients=30, seed=5)
        first, second = _bytes(tmp_path / "a"), _bytes(tmp_path / "b")
        assert all(first[f"{name}.csv.gz"] != second[f"{name}.csv.gz"] for name in TABLES if not name.startswith("D_"))

    def test_blocks_made_in_any_order_give_the_same_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(synthetic_files, "_WORTH_WORKERS", 0)
        patients = 2 * BLOCK_PATIENTS + 10
        write_hospital(tmp_path / "forward", patients, seed=4)
        write_hospital(tmp_path / "backward", patients, seed=4, executor=_Backwards())
        assert _bytes(tmp_path / "forward") == _bytes(tmp_path / "backward")

    @pytest.mark.slow
    def test_worker_processes_give_the_same_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(synthetic_files, "_WORTH_WORKERS", 0)
        write_hospital(tmp_path / "one", 300, seed=4)
        write_hospital(tmp_path / "two", 300, seed=4, executor=ProcessExecutor(2))
        assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")

    def test_a_block_does_not_depend_on_the_size_of_the_hospital(self, tmp_path: Path) -> None:
        small, large = (block_tables(Hospital(tmp_path, size, 4, 0.05, "csv"), 0) for size in (200, 900))
        for name, frame in small.items():
            assert frame.drop("ROW_ID").equals(large[name].drop("ROW_ID"))

    def test_no_time_of_writing_in_the_files(self, tmp_path: Path) -> None:
        write_hospital(tmp_path, patients=20, seed=1)
        for path in tmp_path.glob("*.gz"):
            assert path.read_bytes()[4:8] == bytes(4), path.name

    def test_fingerprint_tells_hospitals_apart(self, tmp_path: Path) -> None:
        digests = {_source(n, seed).fingerprint(tmp_path).digest for n in (100, 101) for seed in (1, 2)}
        assert len(digests) == 4
        assert _source(100, 1).fingerprint(tmp_path) == _source(100, 1).fingerprint(tmp_path)


class _Backwards(SerialExecutor):
    """Runs the last job first."""

    def run(self, task, jobs, *, shared, on_result, tick=None):  # type: ignore[no-untyped-def]
        for index in reversed(range(len(jobs))):
            on_result(index, task(shared, jobs[index], tick or (lambda _units: None)))


class TestWriting:
    def test_resumes_and_ends_with_the_same_bytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        patients = 3 * BLOCK_PATIENTS
        write_hospital(tmp_path / "whole", patients, seed=2)
        made: list[int] = []
        original = synthetic_files.block_tables

        def dies_at_the_third(hospital: Hospital, number: int) -> dict[str, pl.DataFrame]:
            made.append(number)
            if len(made) == 3:
                raise KeyboardInterrupt
            return original(hospital, number)

        monkeypatch.setattr(synthetic_files, "block_tables", dies_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            write_hospital(tmp_path / "cut", patients, seed=2)
        write_hospital(tmp_path / "cut", patients, seed=2)
        assert made == [0, 1, 2, 2]
        assert _bytes(tmp_path / "cut") == _bytes(tmp_path / "whole")

    def test_a_kill_while_the_parts_are_deleted_leaves_a_finished_hospital(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def delete_some(folder: Path, **_options: object) -> None:
            next(path for path in sorted(folder.rglob("*")) if path.is_file()).unlink()
            raise KeyboardInterrupt

        write_hospital(tmp_path / "whole", patients=20, seed=4)
        with monkeypatch.context() as patch:
            patch.setattr("shutil.rmtree", delete_some)
            with pytest.raises(KeyboardInterrupt):
                write_hospital(tmp_path / "killed", patients=20, seed=4)
        write_hospital(tmp_path / "killed", patients=20, seed=4)
        assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "whole")

    def test_does_not_resume_another_hospital(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(synthetic_files, "_join", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_hospital(tmp_path, 60, seed=1)
        with pytest.raises(ConfigError, match="another synthetic hospital"):
            write_hospital(tmp_path, 60, seed=2)
        write_hospital(tmp_path, 60, seed=1)
        assert {path.name for path in tmp_path.iterdir()} == {"synthetic.json", *(f"{name}.csv.gz" for name in TABLES)}

    def test_a_finished_hospital_is_left_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_hospital(tmp_path, 30, seed=1)
        monkeypatch.setattr(synthetic_files, "block_tables", _interrupted)
        write_hospital(tmp_path, 30, seed=1)
        with pytest.raises(ConfigError, match="another synthetic hospital"):
            write_hospital(tmp_path, 30, seed=2)

    def test_real_tables_are_never_written_over(self, tmp_path: Path) -> None:
        precious = tmp_path / "PATIENTS.csv.gz"
        precious.write_bytes(b"real")
        with pytest.raises(ConfigError, match="nothing is written over"):
            write_hospital(tmp_path, 30, seed=1)
        assert precious.read_bytes() == b"real"
        assert list(tmp_path.iterdir()) == [precious]

    def test_all_formats_hold_the_same_values(self, tmp_path: Path) -> None:
        for file_format in synthetic_files.FORMATS:
            write_hospital(tmp_path / file_format, 140, seed=2, file_format=file_format)
        assert (
            gzip.decompress((tmp_path / "csv.gz" / "LABEVENTS.csv.gz").read_bytes())
            == (tmp_path / "csv" / "LABEVENTS.csv").read_bytes()
        )
        for name in TABLES:
            parquet = pl.read_parquet(tmp_path / "parquet" / f"{name}.parquet")
            text = pl.read_csv(tmp_path / "csv" / f"{name}.csv", schema_overrides=parquet.schema, try_parse_dates=True)
            assert parquet.equals(text, null_equal=True), name

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [({"file_format": "xlsx"}, "xlsx"), ({"patients": 0}, "patients = 0"), ({"noise_rows": -1.0}, "noise_rows")],
    )
    def test_wrong_arguments_are_named(self, tmp_path: Path, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            write_hospital(tmp_path, **{"patients": 30, "seed": 1, **arguments})  # type: ignore[arg-type]

    def test_noise_rows_are_of_other_items(self, tmp_path: Path) -> None:
        plain = block_tables(Hospital(tmp_path, 60, 3, 0.0, "parquet"), 0)
        noisy = block_tables(Hospital(tmp_path, 60, 3, 2.0, "parquet"), 0)
        read = plain["CHARTEVENTS"]["ITEMID"].unique()
        assert noisy["CHARTEVENTS"].height == pytest.approx(3 * plain["CHARTEVENTS"].height, rel=0.01)
        assert noisy["CHARTEVENTS"].filter(pl.col("ITEMID").is_in(read.implode())).height == plain["CHARTEVENTS"].height
        assert noisy["LABEVENTS"].height > plain["LABEVENTS"].height

    @pytest.mark.slow
    def test_memory_does_not_grow_with_the_hospital(self, tmp_path: Path) -> None:
        script = (
            "import resource, sys; from pathlib import Path; from icudl.sources.synthetic.source import write_hospital;"
            "write_hospital(Path(sys.argv[1]), int(sys.argv[2]), 1);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        small, large = (
            int(subprocess.check_output([sys.executable, "-c", script, str(tmp_path / str(n)), str(n)], text=True))
            for n in (2 * BLOCK_PATIENTS, 8 * BLOCK_PATIENTS)
        )
        assert large - small < 60_000  # kB; all rows of the larger one held at once would be several times that


def _interrupted(*_arguments: object) -> None:
    raise KeyboardInterrupt


class TestStructure:
    def test_identifiers_are_unique_and_belong_together(self, table: Callable[[str], pl.DataFrame]) -> None:
        for name in TABLES:
            assert table(name)["ROW_ID"].is_unique().all(), name
        for name, key in (("PATIENTS", "SUBJECT_ID"), ("ADMISSIONS", "HADM_ID"), ("ICUSTAYS", "ICUSTAY_ID")):
            assert table(name)[key].is_unique().all()
        stays, admissions = table("ICUSTAYS"), table("ADMISSIONS")
        joined = stays.join(admissions, on=["SUBJECT_ID", "HADM_ID"])
        assert joined.height == stays.height
        assert table("ICUSTAYS")["SUBJECT_ID"].n_unique() == table("PATIENTS").height == 600
        assert (joined["INTIME"] >= joined["ADMITTIME"]).all()
        assert (joined["OUTTIME"] > joined["INTIME"]).all()
        charted = table("CHARTEVENTS").drop_nulls("ICUSTAY_ID").join(stays, on="ICUSTAY_ID")
        assert ((charted["CHARTTIME"] >= charted["INTIME"]) & (charted["CHARTTIME"] < charted["OUTTIME"])).all()

    def test_items_are_declared(self, table: Callable[[str], pl.DataFrame]) -> None:
        assert set(table("CHARTEVENTS")["ITEMID"]) <= set(table("D_ITEMS")["ITEMID"])
        assert set(table("LABEVENTS")["ITEMID"]) <= set(table("D_LABITEMS")["ITEMID"])

    def test_nothing_follows_a_death(self, table: Callable[[str], pl.DataFrame]) -> None:
        admissions = table("ADMISSIONS")
        last = admissions.filter(pl.col("ADMITTIME") == pl.col("ADMITTIME").max().over("SUBJECT_ID"))
        assert admissions["HOSPITAL_EXPIRE_FLAG"].sum() == last["HOSPITAL_EXPIRE_FLAG"].sum() > 0
        dead = admissions.filter(pl.col("HOSPITAL_EXPIRE_FLAG") == 1)
        assert (dead["DEATHTIME"] == dead["DISCHTIME"]).all()
        assert dead.join(table("PATIENTS"), on="SUBJECT_ID")["DOD_HOSP"].null_count() == 0
        stays = table("ICUSTAYS").join(dead, on="HADM_ID")
        assert (stays["INTIME"] < stays["DEATHTIME"]).all()

    def test_stays_do_not_overlap_and_some_are_close(self, table: Callable[[str], pl.DataFrame]) -> None:
        stays = table("ICUSTAYS").sort("SUBJECT_ID", "INTIME")
        gaps = stays.select(
            "HADM_ID",
            gap=(pl.col("INTIME") - pl.col("OUTTIME").shift(1).over("SUBJECT_ID")).dt.total_seconds() / 3600,
        ).drop_nulls()
        assert (gaps["gap"] > 0).all()
        assert ((gaps["gap"] < 24).any(), (gaps["gap"] > 24).any()) == (True, True)
        assert stays.group_by("SUBJECT_ID").agg(pl.col("HADM_ID").n_unique())["HADM_ID"].max() > 1
        assert stays.group_by("HADM_ID").len()["len"].max() > 1

    def test_who_is_there(self, table: Callable[[str], pl.DataFrame]) -> None:
        people = table("ICUSTAYS").join(table("PATIENTS"), on="SUBJECT_ID")
        age = (people["INTIME"] - people["DOB"]).dt.total_days() / 365.25
        assert (age < 1).any()
        assert ((age >= 1) & (age < 18)).any()
        assert (age > 299).any()
        assert not ((age > 91) & (age < 299)).any()
        assert ((people["LOS"] < 2).any(), (people["LOS"] > 10).any()) == (True, True)
        assert set(people["DBSOURCE"]) == {"carevue", "metavision"}


class TestFlaws:
    def test_charting_systems_and_units(self, table: Callable[[str], pl.DataFrame]) -> None:
        rows = table("CHARTEVENTS").join(table("ICUSTAYS").select("ICUSTAY_ID", "DBSOURCE"), on="ICUSTAY_ID")
        old = set(rows.filter(pl.col("DBSOURCE") == "carevue")["ITEMID"])
        new = set(rows.filter(pl.col("DBSOURCE") == "metavision")["ITEMID"])
        assert {211, 51, 442, 455, 6701, 8368, 8440, 8441, 8555, 676, 677, 678, 679, 615, 618, 646} <= old
        assert {220045, 220050, 220051, 220179, 220180, 223761, 223762, 220210, 224690, 220277} <= new
        assert max(old) < 100_000 < min(new)

    def test_error_flags_are_of_metavision(self, table: Callable[[str], pl.DataFrame]) -> None:
        rows = table("CHARTEVENTS").with_columns(new=pl.col("ITEMID") > 200_000)
        assert rows.filter(pl.col("new"))["ERROR"].value_counts().height == 2
        assert rows.filter(~pl.col("new"))["ERROR"].null_count() == rows.filter(~pl.col("new")).height

    def test_entries_that_cannot_be(self, table: Callable[[str], pl.DataFrame]) -> None:
        rows, labs = table("CHARTEVENTS"), table("LABEVENTS")
        rates = rows.filter(pl.col("ITEMID").is_in(HEART_RATES))["VALUENUM"]
        assert ((rates == 0).any(), (rates == 10_000_000).any()) == (True, True)
        assert rows.filter(pl.col("ITEMID").is_in(CELSIUS), pl.col("VALUENUM").is_between(90, 105)).height > 0
        assert rows.filter(pl.col("ITEMID").is_in(FAHRENHEIT), pl.col("VALUENUM").is_between(90, 105)).height > 0
        assert labs.filter(ITEMID=50820, VALUENUM=735).height > 0

    def test_missing_and_repeated_parts(self, table: Callable[[str], pl.DataFrame]) -> None:
        rows, labs = table("CHARTEVENTS"), table("LABEVENTS")
        vitals = rows.filter(pl.col("ITEMID").is_in(HEART_RATES))
        assert vitals.filter(pl.col("VALUENUM").is_null() & pl.col("VALUE").is_not_null()).height > 0
        assert vitals.filter(pl.col("VALUENUM").is_null() & pl.col("VALUE").is_null()).height > 0
        assert vitals["ICUSTAY_ID"].null_count() > 0
        assert vitals.drop("ROW_ID", "WARNING").is_duplicated().any()
        creatinine = labs.filter(ITEMID=50912)
        assert 0.05 < creatinine["HADM_ID"].null_count() / creatinine.height < 0.4
        assert creatinine.filter(pl.col("VALUENUM").is_null()).height > 0
        specimens = labs.filter(ITEMID=50800)
        assert set(specimens["VALUE"]) >= {"ART", "VEN"}
        assert specimens.select("SUBJECT_ID", "CHARTTIME").is_duplicated().any()

    def test_some_stays_have_labs_but_no_charted_row(self, table: Callable[[str], pl.DataFrame]) -> None:
        charted = set(table("CHARTEVENTS")["ICUSTAY_ID"])
        silent = table("ICUSTAYS").filter(~pl.col("ICUSTAY_ID").is_in(list(charted)))
        assert 0 < silent.height < 0.05 * table("ICUSTAYS").height
        admissions = table("ADMISSIONS").filter(HAS_CHARTEVENTS_DATA=0)
        assert set(admissions["HADM_ID"]) <= set(silent["HADM_ID"])

    def test_only_few_rows_are_flawed(self, tables: SourceTables) -> None:
        rows = tables.cleaning.pivot(on="rule", index="variable", values="rows").filter(variable="heartrate")
        assert rows["dropped: implausible value"][0] < 0.01 * rows["read"][0]


class TestOutcome:
    """What can be learned, on a hospital far smaller than the default one: the margins are wide."""

    def test_every_variable_is_measured(self, tables: SourceTables) -> None:
        stays = tables.hours.group_by("variable").agg(pl.col("stay_id").n_unique()).sort("variable")
        assert stays.height == len(STUDY_NAMES)
        share = dict(zip(STUDY_NAMES, stays["stay_id"] / tables.stays.height, strict=True))
        assert all(share[name] > 0.9 for name in ("heartrate", "sysbp", "tempc", "sodium", "creatinine"))
        assert all(0.2 < share[name] < 0.85 for name in ("lactate", "albumin", "ph"))

    def test_mortality(self, tables: SourceTables) -> None:
        cohort = _cohort(tables)
        assert 0.07 < cohort["died"].mean() < 0.14
        assert tables.stays.filter(pl.col("death_hours") < 48).height > 10

    def test_the_first_hours_tell_much_but_not_all(self, tables: SourceTables) -> None:
        window = _auroc(tables, pl.col("hour") < 48)
        assert 0.78 < window < 0.94
        assert _auroc(tables, pl.col("hour") < 12) < window
        assert _auroc(tables, pl.col("hour") >= 0) > window + 0.02  # what lies behind the window gives the end away
        assert 0.35 < _auroc(tables, pl.col("hour") < 48, shuffle=True) < 0.65

    def test_the_sick_are_measured_more_often(self, tables: SourceTables) -> None:
        counts = (
            tables.hours.filter(variable=STUDY_NAMES.index("lactate"))
            .filter(pl.col("hour") < 48)
            .group_by("stay_id")
            .agg(pl.len().alias("n"))
        )
        cohort = _cohort(tables).join(counts, on="stay_id", how="left").with_columns(pl.col("n").fill_null(0))
        mean = cohort.group_by("died").agg(pl.col("n").mean()).sort("died")["n"]
        assert mean[1] > 1.5 * mean[0]


def _cohort(tables: SourceTables) -> pl.DataFrame:
    return tables.stays.filter(
        pl.col("age_years") >= 18,
        pl.col("stay_hours") >= 48,
        pl.col("death_hours").is_null() | (pl.col("death_hours") > 48),
    )


def _auroc(tables: SourceTables, hours: pl.Expr, *, shuffle: bool = False) -> float:
    """Cross-validated AUROC of a logistic regression on mean, lowest, highest and last value of each variable."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mean = pl.col("mean")
    summaries = (
        tables.hours.filter(hours)
        .sort("hour")
        .group_by("stay_id", "variable")
        .agg(mean.mean().alias("middle"), mean.min().alias("low"), mean.max().alias("high"), mean.last().alias("last"))
        .pivot(on="variable", index="stay_id", values=["middle", "low", "high", "last"])
    )
    cohort = _cohort(tables).select("stay_id", "patient_id", "died").join(summaries, on="stay_id", how="left")
    cohort = cohort.sort("stay_id")
    features = cohort.drop("stay_id", "patient_id", "died").to_numpy().astype(float)
    features = np.where(np.isnan(features), np.nanmedian(features, axis=0), features)
    labels = cohort["died"].to_numpy()
    if shuffle:
        labels = np.random.default_rng(0).permutation(labels)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
    scores = cross_val_predict(
        model, features, labels, cv=GroupKFold(4), groups=cohort["patient_id"].to_numpy(), method="predict_proba"
    )
    return float(roc_auc_score(labels, scores[:, 1]))


class TestSource:
    def test_leaves_no_hospital_behind_and_is_not_restricted(self, tmp_path: Path) -> None:
        source = _source(40, 1)
        tables = source.extract(STUDY_VARIABLES, WindowOptions(), _context(tmp_path))
        assert not source.restricted
        assert tables.hours["hour"].max() == 47
        assert not [path for path in tmp_path.iterdir() if path.is_dir()]


class TestWhoItsPatientsAre:
    def test_the_seed_of_the_options_goes_before_that_of_the_run(self, tmp_path: Path) -> None:
        def source(seed: int, of_run: int) -> SyntheticSource:
            return SyntheticSource(SyntheticOptions(patients=40, seed=seed), of_run)

        assert source(5, 7).fingerprint(tmp_path) == source(-1, 5).fingerprint(tmp_path)
        assert source(5, 7).fingerprint(tmp_path) != source(-1, 7).fingerprint(tmp_path)
        assert source(5, 7).population == source(-1, 5).population != source(-1, 7).population

    def test_two_hospitals_of_one_study_are_different_patients(self, tmp_path: Path) -> None:
        ages = []
        for seed in (-1, 8):
            (tmp_path / str(seed)).mkdir()
            source = SyntheticSource(SyntheticOptions(patients=30, seed=seed), 5)
            found = source.extract(STUDY_VARIABLES, WindowOptions(), _context(tmp_path / str(seed)))
            assert found.population == source.population
            ages.append(found.stays["age_years"].to_list())
        assert ages[0] != ages[1]

    def test_a_smaller_hospital_of_the_seed_has_patients_of_the_larger_one(self) -> None:
        small, large = (
            block_tables(Hospital(Path(), patients, 5, 0.05, "parquet"), 0)["PATIENTS"].drop("ROW_ID")
            for patients in (BLOCK_PATIENTS, 2 * BLOCK_PATIENTS)
        )
        assert small.equals(large)
        assert _source(BLOCK_PATIENTS, 5).population == _source(2 * BLOCK_PATIENTS, 5).population

    def test_what_it_offers_is_simulated(self, tmp_path: Path) -> None:
        source = _source(150, 5)
        variables = select(["all"], source.available)
        found = source.extract(variables, WindowOptions(), _context(tmp_path))
        assert set(found.hours["variable"].unique()) == set(range(len(variables)))

    def test_a_variable_whose_table_it_does_not_write_is_refused_before_it_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="'urine' is read from OUTPUTEVENTS, which the synthetic hospital lacks"):
            _source(1000, 5).extract(select(("heartrate", "urine")), WindowOptions(), _context(tmp_path))
        assert list(tmp_path.iterdir()) == []
