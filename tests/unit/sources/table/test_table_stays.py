"""The table of stays: each rule by a case worked by hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from icudl.errors import ConfigError, SourceError
from icudl.preprocessing.outcome import OutcomeOptions, require_told, with_labels
from icudl.sources.table import TableOptions, TableSource, number_of
from own_tables import STAYS, counts, read, said, tables_of, write

VALUES = "stay_id,time,name,value\n1,1,heartrate,80\n"


def column(tables, name: str) -> list:
    return tables.stays[name].to_list()


def test_what_a_table_tells(tmp_path: Path) -> None:
    stays = "stay_id,patient_id,admission_id,age,sex,died,stay_hours,death_hours,icu_type,height,weight,site\n"
    stays += "2,P1,7,60.5,male,yes,72,70,MICU,180,80,north\n1,P1,6,60,w,No,50,,SICU,1.8,900,\n"
    tables = read(tmp_path / "data", VALUES, stays)
    assert column(tables, "stay_id") == [1, 2]
    assert column(tables, "patient_id") == [number_of("P1")] * 2
    assert column(tables, "admission_id") == [6, 7]
    assert column(tables, "age_years") == [60, 60.5]
    assert column(tables, "sex") == ["F", "M"]
    assert column(tables, "died") == [False, True]
    assert column(tables, "stay_hours") == [50, 72]
    assert column(tables, "death_hours") == [None, 70]
    assert column(tables, "icu_type") == ["SICU", "MICU"]
    assert column(tables, "height_cm") == [None, 180]
    assert column(tables, "weight_kg") == [None, 80]
    assert column(tables, "source_set") == ["", "north"]
    assert column(tables, "stay_number") == [1, 2]
    assert counts(tables, "height_cm") == {"implausible: unknown": 1}
    assert "'site' of stays.csv is source_set" in said(tables)


def test_times_of_admission_give_length_death_and_order_of_stays(tmp_path: Path) -> None:
    stays = "stay_id,subject_id,age,sex,died,intime,outtime,deathtime\n"
    stays += (
        "1,9,60,F,0,2024-05-02 08:00,2024-05-04 09:30,\n2,9,60,F,1,2024-04-01 08:00,2024-04-03 08:00,2024-04-02 20:00\n"
    )
    tables = read(tmp_path / "data", "stay_id,charttime,name,value\n1,2024-05-02 10:59:59,heartrate,80\n", stays)
    assert column(tables, "stay_hours") == [49.5, 48]
    assert column(tables, "death_hours") == [None, 36]
    assert column(tables, "stay_number") == [2, 1]
    assert tables.hours["hour"].to_list() == [2]
    assert "'intime' of stays.csv is in_time" not in said(tables), "the same letters are no guess"
    assert "'subject_id' of stays.csv is patient_id" in said(tables)


def test_a_stay_without_an_outcome_is_left_out_and_said(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, STAYS.replace("3,11,72.5,M,0", "3,11,72.5,M,"))
    assert column(tables, "stay_id") == [1, 2]
    assert counts(tables, "died") == {"no outcome: the stay is left out": 1}
    assert "1 stay has no outcome" in said(tables)
    with pytest.raises(SourceError, match=r"No stay of stays\.csv has an outcome"):
        read(tmp_path / "none", VALUES, "stay_id,died,stay_hours\n1,,50\n")


def test_words_for_outcomes(tmp_path: Path) -> None:
    stays = STAYS.replace(",F,0,", ",F,home,").replace(",F,1,", ",F,Exitus,")
    with pytest.raises(SourceError, match=r"2 outcomes of stays.csv cannot be read: 'Exitus' \(1\), 'home' \(1\)"):
        read(tmp_path / "data", VALUES, stays)
    tables = read(tmp_path / "data", VALUES, stays, deaths=("exitus",), survivals=("home",))
    assert column(tables, "died") == [False, True, False]
    with pytest.raises(ConfigError, match="both hold 'home'"):
        TableSource(TableOptions(deaths=("home",), survivals=("home",)), 1)


def test_an_empty_cell_may_mean_survival(tmp_path: Path) -> None:
    stays = STAYS.replace(",F,0,", ",F,,").replace(",M,0,", ",M,,").replace(",F,1,", ",F,x,")
    tables = read(tmp_path / "data", VALUES, stays, deaths=("x",), survivals=("",))
    assert column(tables, "died") == [False, True, False]
    assert counts(tables, "died") == {}


def test_a_decimal_comma_is_a_matter_of_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", {"vitals.csv": "stay_id;time;name;value\n1;1,5;heartrate;80,5\n"})
    pl.read_csv(STAYS.encode()).with_columns(stay_hours=pl.col("stay_hours") + 0.5).write_parquet(
        folder / "stays.parquet"
    )
    tables = tables_of(folder, decimal=",")
    assert column(tables, "stay_hours") == [72.5, 60.5, 50.5]
    assert tables.hours["mean"].to_list() == [80.5]


def test_a_code_may_mean_the_opposite_of_what_is_usual(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, deaths=("0",), survivals=("1",), stays=STAYS.replace(",60,55", ",60,"))
    assert column(tables, "died") == [True, False, True]


def test_a_time_of_death_of_a_survivor_is_left_out(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, STAYS.replace("F,0,72,", "F,0,72,500"))
    assert column(tables, "death_hours") == [None, 55, None]
    assert counts(tables, "death_hours") == {"survivor with a time of death: the time is left out": 1}


def test_ages(tmp_path: Path) -> None:
    stays = STAYS.replace(",60,F", ",> 89,F").replace(",61,F", ",old,F").replace(",72.5,", ",300,")
    tables = read(tmp_path / "data", VALUES, stays)
    assert column(tables, "age_years")[0] == pytest.approx(91.4)
    assert column(tables, "age_years")[1:] == [None, None]
    assert counts(tables, "age_years") == {"hidden: 91.4": 1, "no number: unknown": 1, "implausible: unknown": 1}


def test_codes_of_sex_that_nobody_knows(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, STAYS.replace(",F,", ",X,"))
    assert column(tables, "sex") == [None, None, "M"]
    assert counts(tables, "sex") == {"unreadable code": 2}
    assert "X" not in said(tables), "a text that few rows have stays out of what is kept"
    stated = tables_of(tmp_path / "data", females=("x",), males=("w",))
    assert column(stated, "sex") == ["F", "F", "M"]
    with pytest.raises(ConfigError, match=r"source\.females and source\.males both hold 'X'"):
        tables_of(tmp_path / "data", females=("X",), males=("X",))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("2,10,61", "1,10,61"), "has 1 stay in rows that differ, the first 1"),
        (("2,10,61", ",10,61"), "1 row of stays.csv without an id"),
        (("2,10,61", "2,,61"), "without an id of the patient"),
        (("died", "dyed"), "no column that is known as died"),
        (("stay_hours", "los"), "does not tell how long a stay lasted"),
    ],
)
def test_stays_that_are_refused(change: tuple[str, str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=expected):
        read(tmp_path / "data", VALUES, STAYS.replace(*change))


def test_a_repeated_row_is_one_stay(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, STAYS + "1,10,60,F,0,72,\n")
    assert column(tables, "stay_id") == [1, 2, 3]
    assert counts(tables, "(stays)") == {"repeated row": 1}


def test_a_stay_that_ends_before_it_begins_has_no_length(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, STAYS.replace("F,0,72", "F,0,-72"))
    assert column(tables, "stay_hours") == [None, 60, 50]
    assert "end before they begin" in said(tables)


def test_days_are_hours_times_twenty_four(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, STAYS.replace("stay_hours", "los_days").replace(",72,", ",3,"))
    assert column(tables, "stay_hours") == [72, 1440, 1200]


def test_without_patients_every_stay_is_one_and_that_is_said(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", VALUES, "stay_id,age,died,stay_hours\n1,60,0,50\n2,60,1,50\n")
    assert column(tables, "patient_id") == [1, 2]
    assert "each stay counts as a patient of its own" in said(tables)


def test_a_timestamp_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    stays = "stay_id,patient_id,died,in_time,out_time\n1,9,0,02.05.2024 08:00,04.05.2024 08:00\n"
    with pytest.raises(SourceError, match=r"'02.05.2024 08:00' \(1\).*source.time_format"):
        read(tmp_path / "data", VALUES, stays)
    values = "stay_id,time,name,value\n1,02.05.2024 09:30,heartrate,80\n"
    tables = read(tmp_path / "data", values, stays, time_format="%d.%m.%Y %H:%M")
    assert (column(tables, "stay_hours"), tables.hours["hour"].to_list()) == ([48], [1])


def test_columns_by_their_names_in_the_configuration(tmp_path: Path) -> None:
    stays = STAYS.replace("stay_id,patient_id", "FALLNR,PATNR").replace("died", "exitus")
    stated = {"stay_id": "fallnr", "patient_id": "PATNR", "died": "exitus"}
    assert column(read(tmp_path / "data", VALUES, stays, stay_columns=stated), "stay_id") == [1, 2, 3]
    with pytest.raises(SourceError, match=r"no column 'FALL', which source.stay_columns.stay_id names"):
        read(tmp_path / "data", VALUES, stays, stay_columns=stated | {"stay_id": "FALL"})
    with pytest.raises(ConfigError, match=r"source.stay_columns names 'dead'.*Known: stay_id"):
        TableSource(TableOptions(stay_columns={"dead": "x"}), 1)
    with pytest.raises(ConfigError, match="Give the header of the column as text"):
        TableSource(TableOptions(value_columns={"time": 3}), 1)


def test_the_population_is_that_of_the_configuration() -> None:
    assert TableSource(TableOptions(), 1).population == "table"
    assert TableSource(TableOptions(population="st. elsewhere"), 1).population == "st. elsewhere"


def test_a_patient_comes_back(tmp_path: Path) -> None:
    stays = "stay_id,FALL,age,sex,died,Aufnahme,out_time\n"
    stays += "1,9,60,F,0,2024-05-02 08:00,2024-05-04 08:00\n"
    stays += "2,9,60,F,0,2024-05-06 20:00,2024-05-09 08:00\n"
    stays += "3,9,60,F,,2024-05-09 07:00,2024-05-12 08:00\n"  # left out, but a return all the same
    stays += "4,8,60,M,1,2024-05-01 08:00,2024-05-04 08:00\n"
    values = "stay_id,time,name,value\n1,2024-05-02 09:00,heartrate,80\n"
    named = {"patient_id": "FALL", "in_time": "Aufnahme"}
    tables = read(tmp_path / "data", values, stays, stay_columns=named)
    told = tables.outcomes.select("stay_id", "readmission_hours").rows()
    assert told == [(1, 60.0), (2, 0.0), (4, None)]
    labels = with_labels(tables, OutcomeOptions(event="readmission", days=2)).select("stay_id", "label").rows()
    assert labels == [(1, False), (2, True), (4, None)], "whoever died with no time cannot be told"
    # Without a statement, and where a time is missing, it is not told.
    (tmp_path / "data" / "stays.csv").write_text(stays.replace("2024-05-09 07:00", ""), "utf-8")
    lost = tables_of(tmp_path / "data", stay_columns=named)
    assert "readmission_hours" not in lost.outcomes.columns
    assert "1 stay of patients with several stays has no time of admission" in said(lost)
    plain = TableOptions(path=str(tmp_path / "data"), stay_columns={"in_time": "Aufnahme"})
    assert "readmission" not in TableSource(plain, 1).outcomes
    with pytest.raises(ConfigError, match=r"Name its columns: source\.stay_columns = \{ patient_id"):
        require_told(TableSource(plain, 1).outcomes, OutcomeOptions(event="readmission"), "table")
