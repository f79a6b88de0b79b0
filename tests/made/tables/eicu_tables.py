"""A small eICU written by hand, in the release's layout."""

from __future__ import annotations

import csv
import dataclasses
import gzip
from pathlib import Path
from typing import Any

from icudl.artifacts import SourceTables
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.sources import WindowOptions
from icudl.sources.eicu import Eicu, EicuOptions
from icudl.variables import select

HEADERS = {
    "patient": "patientunitstayid,patienthealthsystemstayid,gender,age,ethnicity,hospitalid,wardid,apacheadmissiondx,"
    "admissionheight,hospitaladmitoffset,hospitaldischargeyear,hospitaldischargeoffset,hospitaldischargestatus,unittype,"
    "unitvisitnumber,admissionweight,unitdischargeoffset,unitdischargestatus,uniquepid",
    "lab": "labid,patientunitstayid,labresultoffset,labtypeid,labname,labresult,labresulttext,labmeasurenamesystem,"
    "labmeasurenameinterface,labresultrevisedoffset",
    "nursecharting": "nursingchartid,patientunitstayid,nursingchartoffset,nursingchartentryoffset,"
    "nursingchartcelltypecat,nursingchartcelltypevallabel,nursingchartcelltypevalname,nursingchartvalue",
    "vitalperiodic": "vitalperiodicid,patientunitstayid,observationoffset,temperature,sao2,heartrate,respiration,cvp,"
    "etco2,systemicsystolic,systemicdiastolic,systemicmean",
    "vitalaperiodic": "vitalaperiodicid,patientunitstayid,observationoffset,noninvasivesystolic,noninvasivediastolic,"
    "noninvasivemean",
    "respiratorycharting": "respchartid,patientunitstayid,respchartoffset,respchartentryoffset,respcharttypecat,"
    "respchartvaluelabel,respchartvalue",
    "intakeoutput": "intakeoutputid,patientunitstayid,intakeoutputoffset,intaketotal,outputtotal,dialysistotal,"
    "nettotal,intakeoutputentryoffset,cellpath,celllabel,cellvaluenumeric,cellvaluetext",
}
Row = dict[str, Any]
OUTPUT = "flowsheet|Flowsheet Cell Labels|I&O|Output (ml)|"


def patient(stay: int, **changes: Any) -> Row:
    """A man of 60 in hospital 73 who stayed three days and lived."""
    return {
        "patientunitstayid": stay, "patienthealthsystemstayid": stay + 1000, "gender": "Male", "age": "60",
        "hospitalid": 73, "apacheadmissiondx": "Sepsis, pulmonary", "admissionheight": 180, "admissionweight": 80,
        "hospitaldischargeyear": 2014, "hospitaldischargeoffset": 6000, "hospitaldischargestatus": "Alive",
        "unittype": "MICU", "unitvisitnumber": 1, "unitdischargeoffset": 4320, "unitdischargestatus": "Alive",
        "uniquepid": f"002-{stay}",
    } | changes  # fmt: skip


def lab(minute: int | None, name: str, value: Any, unit: str = "", *, stay: int = 1, revised: int | None = None) -> Row:
    return {
        "patientunitstayid": stay, "labresultoffset": minute, "labname": name, "labresult": value,
        "labmeasurenameinterface": unit, "labresultrevisedoffset": minute if revised is None else revised,
    }  # fmt: skip


def nurse(minute: int, label: str, name: str, value: Any, *, stay: int = 1) -> Row:
    return {
        "patientunitstayid": stay, "nursingchartoffset": minute, "nursingchartcelltypecat": "Vital Signs",
        "nursingchartcelltypevallabel": label, "nursingchartcelltypevalname": name, "nursingchartvalue": value,
    }  # fmt: skip


def vitals(minute: int, *, stay: int = 1, **values: Any) -> Row:
    return {"patientunitstayid": stay, "observationoffset": minute, **values}


def respiratory(minute: int, label: str, value: Any, *, stay: int = 1) -> Row:
    return {"patientunitstayid": stay, "respchartoffset": minute, "respchartvaluelabel": label, "respchartvalue": value}


def fluid(minute: int, label: str, value: Any, *, path: str = OUTPUT, stay: int = 1) -> Row:
    return {
        "patientunitstayid": stay, "intakeoutputoffset": minute, "cellpath": path + label, "celllabel": label,
        "cellvaluenumeric": value, "cellvaluetext": value,
    }  # fmt: skip


@dataclasses.dataclass
class Hospital:
    """Rows by table; a table whose rows are None is not written."""

    patient: list[Row] = dataclasses.field(default_factory=lambda: [patient(1), patient(2, hospitalid=74)])
    lab: list[Row] | None = dataclasses.field(default_factory=list)
    nursecharting: list[Row] | None = dataclasses.field(default_factory=list)
    vitalperiodic: list[Row] | None = None
    vitalaperiodic: list[Row] | None = None
    respiratorycharting: list[Row] | None = None
    intakeoutput: list[Row] | None = None

    def write(self, folder: Path, *, names: Any = str, packed: bool = True) -> Path:
        """Write the tables; ``names`` changes the case of files and headers."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            rows = getattr(self, field.name)
            if rows is None:
                continue
            header = HEADERS[field.name].split(",")
            path = folder / (names(field.name) + (".csv.gz" if packed else ".csv"))
            with gzip.open(path, "wt", newline="") if packed else path.open("w", newline="") as handle:
                table = csv.DictWriter(handle, header, restval="", lineterminator="\n")
                handle.write(names(",".join(header)) + "\n")
                table.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
        return folder


def read(folder: Path, use: tuple[str, ...], hours: int = 48, **options: Any) -> SourceTables:
    """Read the tables of a folder."""
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=1)
    return Eicu(EicuOptions(path=str(folder), **options), 1).extract(select(use), WindowOptions(hours=hours), context)


def study_folder(folder: Path) -> None:
    """Write a hospital that has every variable of the study, for the contract of sources."""
    labs = {
        "potassium": 4.1, "ionized calcium": 4.6, "pH": 7.4, "paCO2": 40, "lactate": 2, "albumin": 3, "BUN": 20,
        "creatinine": 1, "sodium": 140, "bicarbonate": 24, "platelets x 1000": 200, "glucose": 120, "magnesium": 2,
    }  # fmt: skip
    charted = {
        ("Heart Rate", "Heart Rate"): 80, ("Non-Invasive BP", "Non-Invasive BP Systolic"): 120,
        ("Non-Invasive BP", "Non-Invasive BP Diastolic"): 70, ("Temperature", "Temperature (C)"): 37,
        ("Respiratory Rate", "Respiratory Rate"): 18, ("O2 Saturation", "O2 Saturation"): 97,
    }  # fmt: skip
    stays = range(1, 9)
    hospital = Hospital(
        patient=[
            patient(stay, hospitaldischargestatus="Expired" if stay % 3 == 0 else "Alive", hospitalid=stay % 2)
            for stay in stays
        ],
        lab=[lab(60 * k + 7, name, value, stay=s) for s in stays for k in (1, 30) for name, value in labs.items()],
        nursecharting=[
            nurse(60 * k + 30, *names, value + k % 3, stay=s)
            for s in stays
            for k in range(-1, 60, 6)
            for names, value in charted.items()
        ],
    )
    hospital.write(folder)
