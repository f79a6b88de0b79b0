"""What codes mean: ready tables, a user's own, and the units that a code states."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.errors import ConfigError, SourceError
from icudl.sources.meds import Meds, MedsOptions
from icudl.sources.meds.codes import code_table
from icudl.sources.meds.ready import READY, ready
from icudl.sources.rules import mimic4_rules
from icudl.variables import CATALOGUE, select
from meds_data import DataSet, event, of, person, read, stay
from own_tables import counts, means, said


def test_units_that_a_code_states_are_converted(tmp_path: Path) -> None:
    events = [
        event(0.5, "LAB//50912//umol/L", 88.4017), event(1.5, "LAB//RESULT//50912//mg/dL", 1.4),
        event(2.5, "LAB//50912//UNK", 1.5), event(3.5, "LAB//50912//cups", 1.6),
    ]  # fmt: skip
    tables = of(person(), stay(), events, path=tmp_path)
    assert [row[3] for row in means(tables)] == [1.0, 1.4, 1.5, 1.6]
    assert counts(tables, "creatinine")["converted unit"] == 1
    assert "Results of the laboratory have the time at which they were stored" in said(tables)
    assert "Units that are not known, the item's own is taken: 'cups' of LAB//50912//cups." in said(tables)


def test_the_rules_of_mimic_hold_gates_and_repairs(tmp_path: Path) -> None:
    events = [
        event(0.5, "LAB//223761//°F", 98.6), event(1.5, "LAB//223762//°C", 98.6), event(2.5, "LAB//223761//°F", 37.0),
        event(3.5, "LAB//50820//units", 735), event(4.5, "SUBJECT_FLUID_OUTPUT//226559//ml", 80),
        event(5.5, "LAB//226559//ml", 80), event(6.5, "LAB//2237610//°F", 98.6),
    ]  # fmt: skip
    tables = of(person(), stay(), events, path=tmp_path, use=("tempc", "ph", "urine"))
    assert means(tables) == [
        (1, 0, "tempc", 37.0, 1), (1, 1, "tempc", 37.0, 1), (1, 3, "ph", 7.35, 1), (1, 4, "urine", 80.0, 1),
    ]  # fmt: skip
    assert counts(tables, "tempc")["dropped: outside the gate"] == 1


def test_codes_of_ones_own(tmp_path: Path) -> None:
    events = [
        event(0.5, "VITAL//HR//bpm", 80), event(1.5, "VITAL//HR//icu", 90), event(2.5, "CREA", 88.4017),
        event(3.5, "LAB//220045//bpm", 70),
    ]  # fmt: skip
    codes = {"heartrate": ["VITAL//HR//*"], "creatinine": ["CREA"]}
    tables = of(person(), stay(), events, path=tmp_path, codes=codes, units={"creatinine": "umol/L"})
    assert [(row[1], row[2], row[3]) for row in means(tables)] == [
        (0, "heartrate", 80.0), (1, "heartrate", 90.0), (2, "creatinine", 1.0),
    ]  # fmt: skip
    assert "No unit is stated, the catalogue's is taken: VITAL//HR//icu (heartrate, bpm)." in said(tables)
    assert of(person(), stay(), events, path=tmp_path / "n", codes=codes, etl="none").population == "meds"


def test_events_of_ones_own(tmp_path: Path) -> None:
    renamed = {
        "ICU_ADMISSION//MICU": "IN//MICU",
        "ICU_DISCHARGE//SICU": "OUT",
        "HOSPITAL_DISCHARGE//Expired": "LEFT//Expired",
    }
    events = [
        (each[0], each[1], renamed.get(each[2], each[2]), *each[3:]) for each in [*person(), *stay(left="Expired")]
    ]
    options = {"icu_admission": ["IN//*"], "icu_discharge": ["OUT"], "hospital_discharge": ["LEFT//*"]}
    tables = of(events, event(1, "LAB//220045//bpm", 80), path=tmp_path, events=options)
    assert tables.stays.select("stay_hours", "died").rows() == [(100.0, True)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"codes": {"heartrat": ["X"]}}, "Did you mean 'heartrate'"),
        ({"codes": {"heartrate": "X"}}, "Give a list of codes"),
        ({"codes": {"heartrate": ["A*B"]}}, r"a \* only at the end"),
        ({"codes": {"heartrate": ["*"]}}, "Give a list of codes"),
        ({"codes": {"heartrate": ["X"]}, "units": {"heartrate": "mg"}}, "is no unit of heartrate"),
        ({"units": {"heartrat": "bpm"}}, "source.units names 'heartrat'"),
        ({"events": {"icu_admissions": ["X"]}}, "Did you mean 'icu_admission'"),
        ({"events": {"sex": []}}, "source.events.sex"),
    ],
)
def test_options(options, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Meds(MedsOptions(etl="mimic4", **options), 1)


def test_one_code_two_variables(tmp_path: Path) -> None:
    events = [*person(), *stay(left="Alive"), event(1, "LAB//RESULT//potassium//mmol/L", 4)]
    folder = DataSet({"0": events}).write(tmp_path / "meds")
    with pytest.raises(ConfigError, match=r"measures potassium and potassium_serum, and variables.use names both"):
        read(folder, ("potassium", "potassium_serum"), etl="eicu")
    assert means(read(folder, ("potassium_serum",), etl="eicu")) == [(1, 1, "potassium_serum", 4.0, 1)]


def test_who_made_the_data(tmp_path: Path) -> None:
    events = [*person(), *stay(), event(1, "LAB//220045//bpm", 80)]
    told = DataSet({"0": events}, described={"etl_name": "MIMIC_IV_MEDS"}).write(tmp_path / "told")
    assert Meds(MedsOptions(path=str(told)), 1).population == "mimic-iv"
    untold = DataSet({"0": events}, described={"dataset_name": "ours"}).write(tmp_path / "untold")
    with pytest.raises(SourceError, match=r"tell which ETL made .* Set source.etl"):
        read(untold)
    assert means(read(untold, etl="mimic4")) == [(1, 1, "heartrate", 80.0, 1)]
    codes = [event(1, f"LAB//{item}//UNK", 80) for item in (220045, 220179, 220180, 220210, 220277)]
    by_codes = DataSet({"0": [*events, *codes]}, described={}).write(tmp_path / "codes")
    assert Meds(MedsOptions(path=str(by_codes)), 1).population == "mimic-iv"
    with pytest.raises(SourceError, match="No code of the data measures one of the chosen variables"):
        read(untold, ("lactate",), etl="mimic4")
    assert "No code of the data is of lactate" in said(read(untold, ("heartrate", "lactate"), etl="mimic4"))


def test_ready_tables_have_the_variables_of_their_databases() -> None:
    assert code_table(ready("mimic4"), {}, {}, {}).variables == set(mimic4_rules().variables)
    eicu = code_table(ready("eicu"), {}, {}, {}).variables
    assert {"heartrate", "sysbp", "tempc", "creatinine", "potassium"} <= eicu
    assert {"gcs", "urine", "fio2"}.isdisjoint(eicu), "the ETL leaves out their tables"
    assert len({ready(name).population for name in READY}) == len(READY)


@given(st.lists(st.sampled_from(["LAB//220045//bpm", "LAB//50912//umol/L", "X", "LAB//220045", ""]), max_size=8))
def test_found_codes_are_numbered_once(codes: list[str]) -> None:
    found = code_table(ready("mimic4"), {}, {}, {}).found(codes, select(("heartrate", "creatinine")))
    assert set(found.codes) == set(codes) & {"LAB//220045//bpm", "LAB//50912//umol/L"}
    assert [rule.items for rule in found.book.rules] == [(number,) for number in range(len(found.codes))]
    assert {rule.variable for rule in found.book.rules} <= set(CATALOGUE)
