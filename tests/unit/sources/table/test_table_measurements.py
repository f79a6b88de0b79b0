"""Measurements: names, units, times and the fate of each row, by cases worked by hand."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icudl.errors import ConfigError, SourceError
from icudl.sources.table import TableOptions, TableSource
from icudl.sources.table.cleaning import FATES
from own_tables import STAYS, counts, means, read, said, tables_of, write

HEAD = "stay_id,time,name,value,unit\n"


def many(name: str, values: list[str], unit: str = "", *, stay: int = 1) -> str:
    return "".join(f"{stay},{k / 2},{name},{value},{unit}\n" for k, value in enumerate(values))


def test_every_row_meets_one_fate(tmp_path: Path) -> None:
    rows = [
        "1,0.5,heartrate,80,bpm", "1,0.5,heartrate,80,bpm", "1,0.5,heartrate,84,bpm",  # kept, repeated, kept
        "9,0.5,heartrate,80,bpm", ",0.5,heartrate,80,bpm",  # no such stay, no stay
        "1,soon,heartrate,80,bpm", "1,,heartrate,80,bpm",  # no time
        "1,-0.1,heartrate,80,bpm", "3,50,heartrate,80,bpm", "3,48,heartrate,80,bpm",  # before, after, window
        "1,1,heartrate,NA,bpm", "1,1,heartrate,high,bpm", "1,1,heartrate,80,mmHg", "1,1,heartrate,999,bpm",
        "3,47.99,heartrate,70,",
    ]  # fmt: skip
    tables = read(tmp_path / "data", HEAD + "\n".join(rows) + "\n", use=("heartrate",))
    assert means(tables) == [(1, 0, "heartrate", 82.0, 2), (3, 47, "heartrate", 70.0, 1)]
    found = counts(tables, "heartrate")
    assert found == {
        "read": 15, "kept": 3, "dropped: repeated row": 1, "dropped: of no stay in the table of stays": 2,
        "dropped: no time": 2, "dropped: before the stay": 1, "dropped: after the stay": 1,
        "dropped: outside the window": 1, "dropped: empty": 1, "dropped: no numeric value": 1,
        "dropped: unknown unit": 1, "dropped: implausible value": 1,
    }  # fmt: skip
    assert sum(found.get(fate, 0) for fate in FATES) == found["read"]
    assert "2 rows of 15 belong to no stay" in said(tables)
    assert "'mmHg' of 'heartrate' (1 row; known: bpm)" in said(tables)


def test_units_of_rows_names_headers_and_configuration(tmp_path: Path) -> None:
    rows = HEAD + "1,1,creatinine,88.4,µmol/L\n1,2,creatinine,1.5,mg/dl\n1,3,Krea,10,mg/L\n1,4,creatinine,2,\n"
    tables = read(tmp_path / "data", rows, names={"Krea": "creatinine"})
    assert [row[3] for row in means(tables)] == pytest.approx([1.0, 1.5, 1.0, 2.0], abs=1e-4)
    assert counts(tables, "creatinine")["converted unit"] == 2
    assert "creatinine (mg/dL)" in said(tables), "a unit that is taken without being stated is said"
    stated = read(tmp_path / "data", rows, names={"Krea": "creatinine"}, units={"creatinine": "umol/L"})
    assert [row[3] for row in means(stated)] == pytest.approx([1.0, 0.1131], abs=1e-4)
    assert "overrules" in said(stated)
    assert counts(stated, "creatinine")["dropped: implausible value"] == 2


def test_a_unit_in_brackets_behind_a_name(tmp_path: Path) -> None:
    rows = "stay_id,time,name,value\n1,1,Creatinine [umol/L],176.8\n1,2,Heart rate (bpm),80\n1,3,creatinine [drops],1\n"
    tables = read(tmp_path / "data", rows)
    assert means(tables) == [(1, 1, "creatinine", pytest.approx(2.0, abs=1e-3), 1), (1, 2, "heartrate", 80.0, 1)]
    assert counts(tables, "creatinine [drops]") == {"unknown name": 1}
    assert "'Creatinine [umol/L]' is creatinine" in said(tables)


def test_brackets_behind_a_name_that_is_stated(tmp_path: Path) -> None:
    own = {"Kalzium [mmol/L]": "calcium_total", "Crea (mmHg)": "creatinine", "HF (rectal/oral)": "heartrate"}
    rows = "stay_id,time,name,value\n1,1,Kalzium [mmol/L],2.2\n1,2,HF (rectal/oral),80\n"
    use = ("calcium_total", "heartrate", "creatinine")
    tables = read(tmp_path / "data", rows, use=use, names=own)
    assert means(tables) == [(1, 1, "calcium_total", pytest.approx(8.817, abs=1e-3), 1), (1, 2, "heartrate", 80.0, 1)]
    both = f"{rows}1,3,Crea (mmHg),9\n"
    with pytest.raises(ConfigError, match=r"'Crea \(mmHg\)' has the unit 'mmHg', which is no unit of creatinine"):
        read(tmp_path / "data", both, use=use, names=own)
    tables = read(tmp_path / "data", both, names=own, units={"Crea (mmHg)": "umol/L"}, use=("creatinine",))
    assert counts(tables, "creatinine")["read"] == 1


def test_unknown_names_are_listed_with_rows_and_what_they_may_mean(tmp_path: Path) -> None:
    rows = HEAD + many("heartrate", ["80"]) + many("HF", ["80"] * 3) + many("Kreatinin", ["1"]) + many("mood", ["2"])
    tables = read(tmp_path / "data", rows)
    assert "'HF' (3 rows; heartrate?), 'Kreatinin' (1 row; creatinine?), 'mood' (1 row)" in said(tables)
    assert counts(tables, "HF") == {"unknown name": 3}
    quiet = read(tmp_path / "data", rows, ignore=("mood", "Kreatinin", "HF"))
    assert "no variable has" not in said(quiet)
    assert counts(quiet, "HF") == {}
    assert counts(quiet, "(measurements)") == {"name in source.ignore": 5}
    named = read(tmp_path / "data", rows, names={"HF": "heartrate", "Kreatinin": "creatinine", "gone": "spo2"})
    assert "names that no row has: 'gone'" in said(named)


def test_sodium_is_not_missing(tmp_path: Path) -> None:
    rows = HEAD + "1,1,Na,140,mmol/L\n1,2,NA,141,mmol/L\n"
    tables = read(tmp_path / "data", rows, names={"Na": "sodium"}, use=("sodium",))
    assert [row[1:4] for row in means(tables)] == [(1, "sodium", 140.0), (2, "sodium", 141.0)]


def test_no_known_name_at_all(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r'source.names = \{ "HF" = "heartrate" \}'):
        read(tmp_path / "data", HEAD + many("HF", ["80"]))


def test_variables_without_a_row_are_said(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", HEAD + many("heartrate", ["80"]))
    assert (
        'No row is of creatinine: these inputs stay empty. To leave them out, set variables.use = ["heartrate"]'
        in said(tables)
    )


def test_what_the_study_does_not_use_is_said(tmp_path: Path) -> None:
    rows = HEAD + many("heartrate", ["80"] * 3) + many("MAP", ["75"] * 2) + many("CRP", ["9"])
    tables = read(tmp_path / "data", rows, names={"MAP": "meanbp"}, ignore=("CRP",))
    assert "The measurements hold what variables.use does not name: meanbp (2 rows)." in said(tables)
    assert 'set variables.use = ["heartrate", "meanbp"]' in said(tables)


def test_values_without_a_unit_that_look_like_another_are_refused(tmp_path: Path) -> None:
    values = [str(60 + k) for k in range(40)]
    with pytest.raises(SourceError, match=r"'creatinine' \(creatinine\) has median 79.5.*this looks like umol/L"):
        read(tmp_path / "data", HEAD + many("creatinine", values))
    stated = read(tmp_path / "data", HEAD + many("creatinine", values), units={"creatinine": "umol/L"})
    assert counts(stated, "creatinine")["kept"] == 40
    assert "Check" not in said(stated)
    insisted = read(
        tmp_path / "data", HEAD + many("creatinine", values) + many("heartrate", ["80"]), units={"creatinine": "mg/dL"}
    )
    assert "has median 79.5 mg/dL, where 0.4 to 5 mg/dL is usual: this looks like umol/L" in said(insisted)
    few = read(tmp_path / "data", HEAD + many("creatinine", values[:19]) + many("heartrate", ["80"]))
    assert counts(few, "creatinine")["dropped: implausible value"] == 18, "60 is the largest plausible value"


@pytest.mark.parametrize(
    ("name", "values", "looks"),
    [
        ("glucose", [6.0, 7.5], "mmol/L"), ("tempc", [97.8, 99.0], "°F"), ("pco2", [4.8, 5.6], "kPa"),
        ("hematocrit", [0.28, 0.33], "fraction"), ("fio2", [35, 50], "%"), ("albumin", [28, 33], "g/L"),
        ("calcium", [2.0, 2.3], "mEq/L or calcium_total in mmol/L"), ("calcium", [8.1, 9.0], "calcium_total in mg/dL"),
        ("magnesium", [0.8, 0.9], "mmol/L"), ("platelet", [180000, 220000], "cells/uL"), ("bun", [6.0, 7.5], "mmol/L"),
    ],
)  # fmt: skip
def test_medians_that_betray_a_unit(name: str, values: list[float], looks: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"looks like {looks}"):
        read(tmp_path / "data", HEAD + many(name, [str(value) for value in values * 10]), use=(name,))


def test_a_unit_may_be_stated_under_the_name_as_it_is_written(tmp_path: Path) -> None:
    rows = HEAD + many("Creatinine", [str(61 + k) for k in range(40)])
    tables = read(tmp_path / "data", rows, units={"Creatinine": "umol/L"})
    assert counts(tables, "creatinine")["kept"] == 40


def test_two_units_under_one_name_are_noticed(tmp_path: Path) -> None:
    tables = read(tmp_path / "data", HEAD + many("creatinine", ["1.1"] * 28 + ["97"] * 12))
    assert "30% of the values of 'creatinine' lie outside 0.1 to 60 mg/dL" in said(tables)


def test_a_name_that_speaks_of_urea_is_doubted(tmp_path: Path) -> None:
    rows = HEAD + many("Harnstoff", ["40"] * 20, "mg/dl")
    doubted = read(tmp_path / "data", rows, names={"Harnstoff": "bun"}, use=("bun",))
    assert "'Harnstoff' speaks of urea" in said(doubted)
    stated = read(tmp_path / "data", rows, names={"Harnstoff": "bun"}, units={"Harnstoff": "mg/dL urea"}, use=("bun",))
    assert "speaks of urea" not in said(stated)
    assert means(stated)[0][3] == pytest.approx(40 * 28.014 / 60.056, abs=1e-3)


def test_decimal_commas(tmp_path: Path) -> None:
    rows = "stay_id;time;name;value\n1;0,5;heartrate;80,5\n1;1,5;heartrate;81\n"
    assert means(read(tmp_path / "data", rows, decimal=","))[0] == (1, 0, "heartrate", 80.5, 1)
    with pytest.raises(SourceError, match=r"set source.decimal"):
        read(tmp_path / "data", rows.replace("0,5;h", "0.5;h").replace("1,5;h", "1.5;h").replace("81", "81,0"))


def test_texts_that_mean_no_value(tmp_path: Path) -> None:
    rows = HEAD + "1,1,heartrate,-9,\n1,2,heartrate,80,\n"
    tables = read(tmp_path / "data", rows, missing=("-9",))
    assert counts(tables, "heartrate")["dropped: empty"] == 1


def test_texts_that_are_no_numbers_are_shown_only_where_they_are_frequent(tmp_path: Path) -> None:
    rows = (
        HEAD
        + many("heartrate", ["80"] * 40)
        + many("heartrate", ["<40"] * 6, stay=3)
        + "3,9,heartrate,see note of Ms Doe,\n"
    )
    told = said(read(tmp_path / "data", rows))
    assert "7 values of 47 are no numbers and are left out: '<40' (6), 1 other text" in told
    assert "Doe" not in told


@pytest.mark.parametrize(
    ("header", "value", "options", "hour"),
    [
        ("time", "90", {}, None), ("minutes", "90", {}, 1), ("time", "90", {"time_unit": "minutes"}, 1),
        ("hours", "1.5", {}, 1), ("time", "1", {"time_unit": "days"}, 24),
        ("time", "7200", {"time_unit": "seconds"}, 2),
    ],
)  # fmt: skip
def test_units_of_time(header: str, value: str, options: dict, hour: int | None, tmp_path: Path) -> None:
    rows = f"stay_id,{header},name,value\n1,{value},heartrate,80\n1,0,heartrate,70\n"
    tables = read(tmp_path / "data", rows, **options)
    assert tables.hours["hour"].to_list()[1:] == ([hour] if hour else [])
    assert ("since ICU admission" in said(tables)) == (header == "time" and not options)


def test_numbers_and_timestamps_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has numbers \(1\) and timestamps \(1"):
        read(tmp_path / "data", HEAD + "1,5,heartrate,80,\n1,2024-01-01 05:00,heartrate,80,\n")


def test_timestamps_need_a_time_of_admission(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no time of ICU admission"):
        read(tmp_path / "data", HEAD + "1,2024-01-01 05:00,heartrate,80,\n")
    with pytest.raises(SourceError, match=r"1 of 1 times in column 'time' of measurements.csv cannot be read: '01.02"):
        read(tmp_path / "data", HEAD + "1,01.02.2024 05:00,heartrate,80,\n")


def test_zones_are_not_mixed_without_a_word(tmp_path: Path) -> None:
    stays = "stay_id,patient_id,died,in_time,out_time\n1,1,0,2024-07-01 08:00,2024-07-05 08:00\n"
    rows = HEAD + "1,2024-07-01T08:30:00Z,heartrate,80,\n"
    with pytest.raises(SourceError, match=r"1 timestamps have an offset from UTC and 2 have none"):
        read(tmp_path / "data", rows, stays)
    tables = read(tmp_path / "data", rows, stays, time_zone="Europe/Berlin")
    assert means(tables) == [(1, 2, "heartrate", 80.0, 1)]


def test_a_night_with_an_hour_more(tmp_path: Path) -> None:
    stays = "stay_id,patient_id,died,in_time,out_time\n1,1,0,2024-10-26 20:00,2024-10-30 08:00\n"
    rows = HEAD + "1,2024-10-27 02:30,heartrate,80,\n1,2024-10-27 08:00,heartrate,90,\n"
    by_clock = read(tmp_path / "data", rows, stays)
    assert by_clock.hours["hour"].to_list() == [6, 12]
    in_zone = read(tmp_path / "data", rows, stays, time_zone="Europe/Berlin")
    assert in_zone.hours["hour"].to_list() == [6, 13]
    assert "shows twice" in said(in_zone)


def test_a_value_after_the_end_of_the_stay_is_not_read(tmp_path: Path) -> None:
    rows = HEAD + "3,49.9,heartrate,80,\n3,50,heartrate,80,\n"
    tables = read(tmp_path / "data", rows, hours=72)
    assert tables.hours["hour"].to_list() == [49]


def test_times_in_another_unit_are_doubted(tmp_path: Path) -> None:
    rows = HEAD + "".join(f"1,{minute},heartrate,80,\n" for minute in range(0, 600, 10))
    assert "Check the unit of times" in said(read(tmp_path / "data", rows))


def test_wide(tmp_path: Path) -> None:
    wide = "stay_id,hour,heartrate,Creatinine [umol/L],comment\n1,0,80,88.4,\n1,1,,176.8,sleeps\n3,2,90,,\n"
    tables = read(tmp_path / "data", wide, ignore=("comment",))
    assert [(row[0], row[1], row[2]) for row in means(tables)] == [
        (1, 0, "heartrate"), (1, 0, "creatinine"), (1, 1, "creatinine"), (3, 2, "heartrate"),
    ]  # fmt: skip
    assert counts(tables, "heartrate")["read"] == 2
    with pytest.raises(SourceError, match="no column that is known as name"):
        read(tmp_path / "data", wide, layout="long")


CELL = st.tuples(
    st.sampled_from([1, 2, 3, 4]), st.integers(-1, 60), st.sampled_from(["heartrate", "Creatinine [umol/L]", "odd"]),
    st.decimals(1, 400, places=1).map(str) | st.sampled_from(["x", "1e5"]),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=25, unique_by=lambda cell: cell[:3]))
def test_long_and_wide_tables_of_the_same_values_give_the_same(cells) -> None:
    # Enough numbers for no refusal, and one name of each kind in both layouts.
    cells = [(1, 70 + k, "heartrate", "80") for k in range(30)] + [(1, 0.5, "heartrate", "71"), *cells]
    names = sorted({name for _, _, name, _ in cells})
    by_place: dict[tuple, dict] = {}
    for stay, time, name, value in cells:
        by_place.setdefault((stay, time), {})[name] = value
    wide, long = io.StringIO(), io.StringIO()
    rows = csv.writer(wide)
    rows.writerow(["stay_id", "time", *names])
    rows.writerows([*place, *(cell.get(name, "") for name in names)] for place, cell in by_place.items())
    csv.writer(long).writerows([["stay_id", "time", "name", "value"], *cells])
    with tempfile.TemporaryDirectory() as folder:
        read_wide = read(Path(folder) / "wide", wide.getvalue())
        read_long = read(Path(folder) / "long", long.getvalue())
    assert read_wide.hours.equals(read_long.hours)
    assert read_wide.cleaning.equals(read_long.cleaning)


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(random) -> None:
    rows = [f"{stay},{k / 7:.2f},heartrate,{60 + k % 11}.{k % 10},\n" for stay in (1, 3) for k in range(40)] * 2
    shuffled = rows.copy()
    random.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as folder:
        first, second = (read(Path(folder) / name, HEAD + "".join(r)) for name, r in (("a", rows), ("b", shuffled)))
    assert first.hours.equals(second.hours)
    assert first.warnings == second.warnings


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"names": {"HF": "hartrate"}}, "Did you mean 'heartrate'"),
        ({"names": {"heartrate": "HF"}}, "Write your name first, then the variable"),
        ({"units": {"creatinine": "umol"}}, "Known: mg/dL, umol/L, mmol/L, mg/L"),
        ({"units": {"Krea": "umol/L"}}, "neither in source.names nor a variable"),
        ({"names": {"HF": "heartrate"}, "ignore": ("HF",)}, "both hold 'HF'"),
        ({"separator": ";;"}, "Expected one character"),
        ({"decimal": "'"}, "is not one of"),
    ],
)
def test_options_that_are_refused(options: dict, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        TableSource(TableOptions(**options), 1)


def test_nothing_in_the_window(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"No value of the chosen variables lies in the window.*belong to no stay"):
        read(tmp_path / "data", HEAD + "77,1,heartrate,80,\n")


def test_the_fingerprint_is_of_the_bytes_and_tells_no_path(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", {"stays.csv": STAYS, "vitals.csv": HEAD + "1,1,heartrate,80,\n"})
    first = TableSource(TableOptions(path=str(folder)), 1).fingerprint(tmp_path)
    write(tmp_path / "copy", {"stays.csv": STAYS, "labs.csv": HEAD + "1,1,heartrate,80,\n"})
    assert TableSource(TableOptions(path=str(tmp_path / "copy")), 1).fingerprint(tmp_path).digest == first.digest
    write(folder, {"vitals.csv": HEAD + "1,1,heartrate,81,\n"})
    assert TableSource(TableOptions(path=str(folder)), 1).fingerprint(tmp_path).digest != first.digest
    assert str(tmp_path) not in str(first)


def test_it_says_where_it_finds_what(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", {"stays.csv": STAYS, "vitals.csv": HEAD})
    assert TableSource(TableOptions(path=str(folder)), 1).reach() == f"stays.csv and vitals.csv in {folder}"
    with pytest.raises(SourceError, match=r"source.path is empty"):
        TableSource(TableOptions(), 1).reach()
    assert TableSource(TableOptions(open_data=True), 1).restricted is False
    assert tables_of(write(folder, {"vitals.csv": HEAD + "1,1,heartrate,80,\n"})).population == "table"


@pytest.mark.parametrize(
    ("times", "options", "advice"),
    [
        (("0,5", "1,5", "2"), {}, "source.decimal"),
        (("05/03/2024 09:00", "16/03/2024 09:00", "17/03/2024 09:00"), {"time_format": "%m/%d/%Y %H:%M"}, "%m/%d/%Y"),
        (("2024-03-05 09:00 PM", "2024-03-05 10:00", "2024-03-05 11:00 PM"), {}, "source.time_format"),
    ],
    ids=["decimal commas", "day and month swapped", "twelve hours"],
)
def test_times_of_which_few_can_be_read(times, options, advice, tmp_path: Path) -> None:
    rows = "".join(f"1;{time};heartrate;80\n" for time in times)
    with pytest.raises(SourceError, match=re.escape("2 of 3 times in column 'time'")) as error:
        read(tmp_path / "data", "stay_id;time;name;value\n" + rows, **options)
    assert advice in str(error.value)


def test_a_table_that_was_cut_between_two_rows(tmp_path: Path) -> None:
    stays = "stay_id,age,sex,died,stay_hours\n" + "".join(f"{k},60,F,0,72\n" for k in range(1, 21))
    rows = "stay_id,time,name,value\n" + "".join(f"{k},1,heartrate,80\n" for k in range(1, 21))
    assert "cut off" not in said(read(tmp_path / "whole", rows, stays))
    few = said(read(tmp_path / "few", rows.replace("20,1,h", "99,1,h").replace("19,1,h", "98,1,h"), stays))
    assert "2 rows of 20 belong to no stay" in few
    assert "cut off" not in few, "one in ten is no rule"
    no_stays = said(read(tmp_path / "stays", rows, stays.partition("18,60")[0]))
    assert "3 of 20 stays with measurements are not in the table of stays" in no_stays
    no_rows = said(read(tmp_path / "rows", rows.partition("18,1")[0], stays))
    assert "3 of 20 stays have no row of the chosen variables" in no_rows


def test_files_call_their_columns_otherwise_and_one_is_wide(tmp_path: Path) -> None:
    files = {
        "stays.csv": STAYS,
        "monitor.csv": "Fall,Zeitpunkt,HF,Temp [°F]\n1,1,80,98.6\n2,1,90,\n",
        "labor.csv": "Fallnr,Abnahme,Untersuchung,Ergebnis,Einheit\n1,2,Krea,88.4,umol/L\n",
    }
    stated = {
        "stay_id": ["Fall", "Fallnr"], "time": ["Zeitpunkt", "Abnahme"], "name": "Untersuchung", "value": "Ergebnis",
        "unit": "Einheit",
    }  # fmt: skip
    options = {
        "measurements": ("monitor.csv", "labor.csv"),
        "names": {"HF": "heartrate", "Temp [°F]": "tempc", "Krea": "creatinine"},
    }
    use = ("heartrate", "tempc", "creatinine")
    tables = tables_of(write(tmp_path / "data", files), use, value_columns=stated, **options)
    assert means(tables) == [
        (1, 1, "heartrate", 80, 1), (1, 1, "tempc", 37, 1), (1, 2, "creatinine", pytest.approx(1, abs=1e-4), 1),
        (2, 1, "heartrate", 90, 1),
    ]  # fmt: skip
    for role, header, message in (
        (
            "value",
            "Resultat",
            "monitor.csv and labor.csv have no column 'Resultat', which source.value_columns.value names",
        ),
        (
            "time",
            ["Zeitpunkt", "HF", "Abnahme"],
            r"monitor.csv has the columns 'Zeitpunkt' and 'HF', and .* names both",
        ),
    ):
        with pytest.raises(SourceError, match=message):
            tables_of(tmp_path / "data", use, value_columns={**stated, role: header}, **options)
    with pytest.raises(SourceError, match=r"labor.csv has no column that is known as value"):
        tables_of(tmp_path / "data", use, value_columns={k: v for k, v in stated.items() if k != "value"}, **options)
