"""The PhysioNet 2012 reader on small sets written out line by line."""

from __future__ import annotations

import io
import tarfile

import polars as pl
import pytest

from icudl.artifacts import SourceTables
from icudl.errors import SourceError
from icudl.sources.base import DataSource, WindowOptions
from icudl.sources.physionet2012.options import PhysioNet2012Options
from icudl.sources.physionet2012.source import PhysioNet2012
from icudl.variables import select

DESCRIPTORS = {"Age": "54", "Gender": "0", "Height": "-1", "ICUType": "4", "Weight": "-1"}
OUTCOMES = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"


def record(record_id, *lines, **descriptors):
    """The text of one record: its descriptors, then the lines."""
    head = [f"00:00,{name},{value}" for name, value in {"RecordID": record_id, **DESCRIPTORS, **descriptors}.items()]
    return "\n".join(["Time,Parameter,Value", *head, *lines, ""])


def write_archive(path, members):
    """A tar of {member name: text or TarInfo}."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_set(folder, name, records, died=(), *, archive=True, outcomes=None):
    """One set: an archive or a folder, and its outcomes."""
    if archive:
        write_archive(folder / f"set-{name}.tar.gz", {f"set-{name}/{key}.txt": text for key, text in records.items()})
    else:
        (folder / f"set-{name}").mkdir()
        for key, text in records.items():
            (folder / f"set-{name}" / f"{key}.txt").write_text(text)
    lines = [f"{key},1,1,5,-1,{int(key in died)}" for key in (records if outcomes is None else outcomes)]
    (folder / f"Outcomes-{name}.txt").write_text("\n".join([OUTCOMES, *lines]) + "\n")


def read(path, context, use=("heartrate", "ph", "tempc", "sysbp"), hours=48) -> SourceTables:
    source = PhysioNet2012(PhysioNet2012Options(path=str(path)), 0)
    assert isinstance(source, DataSource)
    return source.extract(select(use, source.available), WindowOptions(hours=hours), context)


def touched(tables, variable):
    """The rules that touched a variable."""
    rows = tables.cleaning.filter((tables.cleaning["variable"] == variable) & (tables.cleaning["rows"] > 0))
    return dict(rows.select("rule", "rows").rows())


def test_golden_hours_and_every_fate(tmp_path, context):
    lines = [
        "00:00,HR,60",
        "00:59,HR,70",
        "01:00,HR,-1",
        "01:30,HR,0",
        "01:31,HR,999",
        "02:00,HR,80",
        "02:00,HR,80",
        "02:00,HR,90",
        "03:00,HR,",
        "47:59,HR,100",
        "48:00,HR,50",
        "05:00,pH,735",
        "05:30,pH,7.45",
        "06:00,Temp,98.6",
        "06:10,Temp,2.9",
        "07:00,SysABP,120",
        "07:00,NISysABP,110",
        "08:00,,5",
        "08:00,Haemoglobin,5",
    ]
    write_set(tmp_path, "a", {11: record(11, *lines)})
    tables = read(tmp_path, context)
    assert tables.hours.rows() == [
        (11, 0, 0, 65.0, 2),
        (11, 2, 0, 85.0, 2),
        (11, 5, 1, 7.4, 2),
        (11, 6, 2, 37.0, 1),
        (11, 7, 3, 115.0, 2),
        (11, 47, 0, 100.0, 1),
    ]
    assert touched(tables, "heartrate") == {
        "read": 11,
        "kept": 5,
        "dropped: -1 means missing": 1,
        "dropped: zero": 1,
        "dropped: implausible value": 1,
        "dropped: repeated row": 1,
        "dropped: no numeric value": 1,
        "dropped: outside the window": 1,
        "several values at one time": 2,
    }
    assert touched(tables, "ph") == {"read": 2, "kept": 2, "repaired unit": 1}
    assert touched(tables, "tempc") == {"read": 2, "kept": 1, "repaired unit": 1, "dropped: implausible value": 1}
    assert touched(tables, "(lines)") == {
        "lines read": 25, "lines without a parameter": 1, "lines of an unknown parameter": 1,
    }  # fmt: skip


def test_stays_and_their_descriptors(tmp_path, context):
    records = {
        3: record(3, "01:00,HR,80", Age="90", Gender="1", Height="175.3", ICUType="1", Weight="81.6"),
        2: record(2, "01:00,HR,80", "00:00,Weight,70", Gender="-1", Height="1.8"),
        1: record(1),
        4: record(4, "01:00,HR,80", Height="431.8", Weight="0", ICUType="2"),
    }
    write_set(tmp_path, "b", records, died={3})
    tables = read(tmp_path, context)
    columns = [
        "stay_id", "patient_id", "age_years", "sex", "icu_type", "height_cm", "weight_kg", "source_set", "stay_hours",
        "death_hours", "died",
    ]  # fmt: skip
    stays = tables.stays.select(columns).with_columns(pl.col(pl.Float32).cast(pl.Float64).round(1))
    assert stays.rows() == [
        (2, 2, 54.0, None, "SICU", None, None, "b", 48.0, None, False),
        (3, 3, 90.0, "M", "CCU", 175.3, 81.6, "b", 48.0, None, True),
        (4, 4, 54.0, "F", "CSRU", None, None, "b", 48.0, None, False),
    ]
    assert touched(tables, "(records)") == {"records read": 4, "records without a time series": 1}
    assert touched(tables, "height_cm") == {
        "read": 4, "kept": 1, "dropped: -1 means missing": 1, "dropped: implausible value": 2,
    }  # fmt: skip
    assert touched(tables, "sex") == {"read": 4, "kept": 3, "dropped: -1 means missing": 1}


def test_a_variable_that_the_challenge_does_not_have_is_wholly_missing(tmp_path, context):
    write_set(tmp_path, "a", {1: record(1, "01:00,HR,80")})
    tables = read(tmp_path, context, use=("calcium", "heartrate"))
    assert tables.hours.rows() == [(1, 1, 1, 80.0, 1)]
    assert (
        dict(tables.cleaning.filter(tables.cleaning["variable"] == "calcium").select("rule", "rows").rows())["read"]
        == 0
    )


def test_all_takes_every_series_once(tmp_path, context):
    write_set(tmp_path, "a", {1: record(1, "01:00,SaO2,97", "01:00,Weight,80", "01:00,Urine,0")})
    tables = read(tmp_path, context, use=("all",))
    names = [variable.name for variable in tables.variables]
    assert len(names) == 34
    assert "calcium" not in names
    assert "sao2" not in names
    assert sorted(names[row[2]] for row in tables.hours.rows()) == ["spo2", "urine", "weight"]
    assert read(tmp_path, context, use=("sao2", "spo2")).hours.rows() == [(1, 1, 0, 97.0, 1), (1, 1, 1, 97.0, 1)]


def test_a_shorter_window_reads_no_further(tmp_path, context):
    write_set(tmp_path, "a", {1: record(1, "01:00,HR,80", "02:00,HR,90")})
    assert read(tmp_path, context, hours=2).hours.rows() == [(1, 1, 0, 80.0, 1)]


def test_an_archive_beside_its_own_folder_is_read_and_beside_another_refused(tmp_path, context):
    records = {k: record(k, f"0{k}:00,HR,{60 + k}") for k in (1, 2)}
    write_set(tmp_path, "a", records)
    write_set(tmp_path, "a", records, archive=False)
    assert read(tmp_path, context).stays.height == 2
    edited = tmp_path / "set-a" / "2.txt"
    edited.write_text(edited.read_text().replace("62", "63"))
    with pytest.raises(SourceError, match=r"set-a\.tar\.gz and .* set-a .* differ in 1 of 2 records, the first 2"):
        read(tmp_path, context)
    edited.unlink()
    with pytest.raises(SourceError, match="differ in 1 of 2 records"):
        read(tmp_path, context)


def test_lines_of_unknown_parameters_are_counted_by_name(tmp_path, context):
    write_set(tmp_path, "a", {1: record(1, "01:00,HR,80", "02:00,hr,80", "03:00,hr,80", "04:00,Foo,1")})
    tables = read(tmp_path, context)
    assert touched(tables, "hr") == {"unknown name": 2}
    assert touched(tables, "Foo") == {"unknown name": 1}
    assert touched(tables, "(lines)")["lines of an unknown parameter"] == 3


def test_archives_folders_and_line_endings_give_the_same_tables(tmp_path, context):
    records = {k: record(k, f"0{k}:00,HR,{60 + k}", "05:00,pH,7.4") for k in range(1, 6)}
    folders = [tmp_path / name for name in ("archive", "plain", "folder", "windows", "upper")]
    for folder in folders:
        folder.mkdir()
    write_set(folders[0], "a", records, died={2})
    write_set(folders[1], "a", {}, outcomes=records, died={2})
    (folders[1] / "set-a.tar.gz").unlink()
    write_archive(folders[1] / "set-a.tar", {f"./set-a/{key}.txt": text for key, text in reversed(records.items())})
    write_set(folders[2], "a", records, died={2}, archive=False)
    odd = {key: "\ufeff" + text.replace("\n", "\r\n").replace("pH,7.4", "pH,7.4\r\n") for key, text in records.items()}
    write_set(folders[3], "a", odd, died={2})
    write_set(folders[4], "A", records, died={2})
    first, *others = [read(folder, context) for folder in folders]
    assert first.stays["died"].to_list() == [False, True, False, False, False]
    for other in others:
        for name in ("stays", "hours", "cleaning"):
            assert getattr(first, name).equals(getattr(other, name)), name
    one = read(folders[2] / "set-a", context)
    assert one.hours.equals(first.hours)
    assert read(folders[0] / "set-a.tar.gz", context).hours.equals(first.hours)


def test_any_number_of_sets_makes_one_cohort(tmp_path, context):
    for number, name in enumerate("cab"):
        write_set(tmp_path, name, {number + 1: record(number + 1, "01:00,HR,80")}, archive=name != "b")
    tables = read(tmp_path, context)
    assert tables.stays.select("stay_id", "source_set").rows() == [(1, "c"), (2, "a"), (3, "b")]
    assert touched(tables, "(records)")["records read"] == 3


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path):
    def digest(folder):
        return PhysioNet2012(PhysioNet2012Options(path=str(folder)), 0).fingerprint(tmp_path).digest

    for name, text in (("x", record(1, "01:00,HR,80")), ("y", record(1, "01:00,HR,81"))):
        (tmp_path / name).mkdir()
        write_set(tmp_path / name, "a", {1: text}, archive=False)
    before = digest(tmp_path / "x")
    assert before != digest(tmp_path / "y")
    (tmp_path / "x").rename(tmp_path / "elsewhere")
    assert digest(tmp_path / "elsewhere") == before
    outcomes = tmp_path / "elsewhere" / "Outcomes-a.txt"
    outcomes.write_text(outcomes.read_text().replace(",0\n", ",1\n"))
    assert digest(tmp_path / "elsewhere") != before


def _link(name):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


GOOD = record(1, "01:00,HR,80")


@pytest.mark.parametrize(("members", "message"), [
    ({"set-a/1.txt": GOOD, "../../etc/2.txt": GOOD}, r"'../../etc/2.txt', a path outside"),
    ({"/root/1.txt": GOOD}, r"'/root/1.txt', a path outside"),
    ({"set-a/1.txt": _link("set-a/1.txt")}, r"a link or a device"),
    ({"set-a/1.txt": GOOD, "1.txt": GOOD}, r"record 1 twice"),
    ({"set-a/readme.md": GOOD}, r"holds no record"),
    ({"1.txt": GOOD.replace("Parameter", "Name")}, r"record 1 has the columns 'Time,Name,Value'"),
    ({"1.txt": ""}, r"record 1 has the columns ''"),
    ({"1.txt": record(1, "01:00,HR,eighty")}, r"record 1 has the value 'eighty' for HR at 01:00"),
    ({"1.txt": record(1, "01:00,HR,80,mmHg")}, r"record 1 has the line '01:00,HR,80,mmHg'"),
    ({"1.txt": record(1, "01:00,HR")}, r"record 1 has the line '01:00,HR'"),
    ({"1.txt": record(1, "1am,HR,80")}, r"record 1 has the time '1am'"),
    ({"1.txt": record(1, ",HR,80")}, r"record 1 has the time None"),
    ({"1.txt": record(2, "01:00,HR,80")}, r"record 1 holds RecordID 2"),
    ({"1.txt": GOOD.encode() + b"01:30,\xff\xfe,3\n"}, r"record 1 is not UTF-8 text"),
])  # fmt: skip
def test_bad_archives_give_one_clear_message(tmp_path, context, members, message):
    write_archive(tmp_path / "set-a.tar.gz", members)
    (tmp_path / "Outcomes-a.txt").write_text(f"{OUTCOMES}\n1,1,1,1,1,0\n")
    with pytest.raises(SourceError, match=message):
        read(tmp_path, context)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Outcomes-a.txt", "scratch", "set-a.tar.gz"]


def test_a_truncated_archive_is_damaged(tmp_path, context):
    write_set(tmp_path, "a", {k: record(k, "01:00,HR,80") for k in range(1, 50)})
    archive = tmp_path / "set-a.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"set-a.tar.gz cannot be read.*download it again"):
        read(tmp_path, context)


@pytest.mark.parametrize(("outcomes", "message"), [
    ("1,1,1,1,1,0\n2,1,1,1,1,0\n", r"Outcomes-a.txt holds 1 outcomes, the first of record 2, that set-a.tar.gz lacks"),
    ("", r"set-a.tar.gz holds 1 records, the first 1, that Outcomes-a.txt lacks"),
    ("1,1,1,1,1,0\n1,1,1,1,1,0\n", r"holds record 1 more than once"),
    ("1,1,1,1,1,maybe\n", r"record 1 has In-hospital_death = 'maybe'"),
    ("1,1,1,1,1,\n", r"record 1 has In-hospital_death = None"),
])  # fmt: skip
def test_outcomes_and_records_must_match(tmp_path, context, outcomes, message):
    write_set(tmp_path, "a", {1: GOOD})
    (tmp_path / "Outcomes-a.txt").write_text(f"{OUTCOMES}\n{outcomes}")
    with pytest.raises(SourceError, match=message):
        read(tmp_path, context)


def test_outcomes_lacking_a_column_or_altogether(tmp_path, context):
    write_set(tmp_path, "a", {1: GOOD})
    (tmp_path / "Outcomes-a.txt").write_text("RecordID,Survival\n1,0\n")
    with pytest.raises(SourceError, match="lacks the column 'In-hospital_death'; it has RecordID, Survival"):
        read(tmp_path, context)
    (tmp_path / "Outcomes-a.txt").unlink()
    with pytest.raises(SourceError, match=r"Outcomes-a.txt is missing beside set-a.tar.gz"):
        read(tmp_path, context)


def test_paths_without_a_set(tmp_path, context):
    with pytest.raises(SourceError, match=r"source.path is empty"):
        read("", context)
    with pytest.raises(SourceError, match=r"does not exist"):
        read(tmp_path / "nowhere", context)
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(SourceError, match=r"holds no set of the challenge; found: notes.md"):
        read(tmp_path, context)


def test_a_set_or_a_record_there_twice(tmp_path, context):
    write_set(tmp_path, "a", {1: GOOD})
    write_archive(tmp_path / "set-a.tar", {"1.txt": GOOD})
    with pytest.raises(SourceError, match=r"2 archives or folders: set-a.tar, set-a.tar.gz"):
        read(tmp_path, context)
    (tmp_path / "set-a.tar").unlink()
    write_set(tmp_path, "b", {1: GOOD})
    with pytest.raises(SourceError, match=r"Record 1 is in set a and in set b"):
        read(tmp_path, context)


def test_nothing_in_the_window(tmp_path, context):
    write_set(tmp_path, "a", {1: GOOD})
    with pytest.raises(SourceError, match=r"No value of the chosen variables"):
        read(tmp_path, context, use=("lactate",))


def test_a_record_that_ends_within_a_line(tmp_path, context):
    write_set(tmp_path, "a", {1: record(1, "47:30,HR,126").rstrip()}, archive=False)
    with pytest.raises(SourceError, match="record 1 has no line break at its end"):
        read(tmp_path, context)


def test_a_record_with_the_number_of_another_in_it(tmp_path, context):
    write_set(tmp_path, "a", {1: record(1, "00:00,RecordID,2", "01:00,HR,80")})
    with pytest.raises(SourceError, match="record 1 holds RecordID 2"):
        read(tmp_path, context)
