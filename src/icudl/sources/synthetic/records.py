"""PATIENTS, ADMISSIONS, ICUSTAYS and the dictionaries D_ITEMS and D_LABITEMS of the synthetic hospital."""

from __future__ import annotations

import numpy as np
import polars as pl

from icudl.sources.synthetic.course import Times, stream
from icudl.sources.synthetic.items import CHART_ITEMS, COUNT_LABS, GAS_LABS, LABS, NOISE_ITEMS, NOISE_LABS, SPECIMEN
from icudl.sources.synthetic.patients import Block

_NEWBORN = 3
_UNITS = ("MICU", "SICU", "CCU", "CSRU", "TSICU")
_WARDS = {"MICU": 52, "SICU": 33, "CCU": 7, "CSRU": 14, "TSICU": 57, "NICU": 56}
_DIAGNOSES = (
    "SEPSIS",
    "PNEUMONIA",
    "CONGESTIVE HEART FAILURE",
    "GASTROINTESTINAL BLEED",
    "CORONARY ARTERY DISEASE\\CORONARY ARTERY BYPASS GRAFT /SDA",
    "RESPIRATORY FAILURE",
    "S/P FALL, HEAD BLEED",
)


def _stamp(times: Times) -> Times:
    return times.astype("datetime64[us]")


def patients_table(block: Block) -> pl.DataFrame:
    """Return the rows of PATIENTS of a block, without ROW_ID."""
    people = block.patients
    # MIMIC-III shows dates of death without the time of day.
    in_hospital = people.died.astype("datetime64[D]")
    later_days = np.nan_to_num(people.dead_later, nan=0.0).astype("timedelta64[D]")
    later = people.last_discharge.astype("datetime64[D]") + later_days
    registry = np.where(np.isnan(people.dead_later), np.datetime64("NaT", "D"), later)
    # The death registry knows two in three of the deaths in hospital as well.
    known = np.where(people.ids % 3 > 0, in_hospital, np.datetime64("NaT", "D"))
    registry = np.where(np.isnat(registry), known, registry)
    dod = np.where(np.isnat(in_hospital), registry, in_hospital)
    return pl.DataFrame(
        {
            "SUBJECT_ID": people.ids.astype(np.int32),
            "GENDER": np.where(people.male, "M", "F"),
            "DOB": _stamp(people.born),
            "DOD": _stamp(dod),
            "DOD_HOSP": _stamp(in_hospital),
            "DOD_SSN": _stamp(registry),
            "EXPIRE_FLAG": (~np.isnat(dod)).astype(np.int32),
        }
    )


def admissions_table(block: Block, seed: int) -> pl.DataFrame:
    """Return the rows of ADMISSIONS of a block, without ROW_ID."""
    rng = stream(seed, block.number, "registration")
    people, stays = block.patients, block.stays
    place = np.flatnonzero(stays.first)
    size = len(place)
    final = np.append(place[1:], len(stays)) - 1
    charted = np.add.reduceat(~stays.silent, place) > 0
    patient = stays.patient[place]
    newborn = people.kind[patient] == _NEWBORN
    died = stays.died[final]
    urgent = rng.choice(3, size, p=[0.8, 0.15, 0.05])
    kind = np.where(newborn, "NEWBORN", np.array(["EMERGENCY", "ELECTIVE", "URGENT"])[urgent])
    emergency = (urgent == 0) & ~newborn & (rng.random(size) < 0.7)
    registered = stays.admitted[place] - rng.integers(20, 600, size).astype("timedelta64[m]")
    left = stays.admitted[place] + rng.integers(5, 240, size).astype("timedelta64[m]")
    nothing = np.datetime64("NaT", "s")
    pick = _Pick(rng, size)
    home = pick("HOME|HOME HEALTH CARE|SNF|REHAB/DISTINCT PART HOSP|LONG TERM CARE HOSPITAL")
    return pl.DataFrame(
        {
            "SUBJECT_ID": people.ids[patient].astype(np.int32),
            "HADM_ID": stays.hadm_id[place].astype(np.int32),
            "ADMITTIME": _stamp(stays.admitted[place]),
            "DISCHTIME": _stamp(stays.discharged[place]),
            "DEATHTIME": _stamp(np.where(died, stays.discharged[place], nothing)),
            "ADMISSION_TYPE": kind,
            "ADMISSION_LOCATION": np.where(
                emergency, "EMERGENCY ROOM ADMIT", pick("TRANSFER FROM HOSP/EXTRAM|PHYS REFERRAL/NORMAL DELI")
            ),
            "DISCHARGE_LOCATION": np.where(died, "DEAD/EXPIRED", home),
            "INSURANCE": pick("Medicare|Private|Medicaid|Government|Self Pay"),
            "LANGUAGE": pick("ENGL|ENGL|SPAN|RUSS|"),
            "RELIGION": pick("CATHOLIC|NOT SPECIFIED|PROTESTANT QUAKER|JEWISH|UNOBTAINABLE"),
            "MARITAL_STATUS": np.where(newborn, "", pick("MARRIED|SINGLE|WIDOWED|DIVORCED|")),
            "ETHNICITY": pick(
                "WHITE|WHITE|WHITE|BLACK/AFRICAN AMERICAN|HISPANIC OR LATINO|ASIAN|UNKNOWN/NOT SPECIFIED"
            ),
            "EDREGTIME": _stamp(np.where(emergency, registered, nothing)),
            "EDOUTTIME": _stamp(np.where(emergency, left, nothing)),
            "DIAGNOSIS": np.where(newborn, "NEWBORN", pick("|".join(_DIAGNOSES))),
            "HOSPITAL_EXPIRE_FLAG": died.astype(np.int32),
            "HAS_CHARTEVENTS_DATA": charted.astype(np.int32),
        }
    ).with_columns(pl.col("LANGUAGE", "MARITAL_STATUS").replace("", None))


class _Pick:
    """Draws one of several words for each row."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng, self._size = rng, size

    def __call__(self, words: str) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
        options = np.array(words.split("|"))
        return options[self._rng.integers(0, len(options), self._size)]


def icustays_table(block: Block, seed: int) -> pl.DataFrame:
    """Return the rows of ICUSTAYS of a block, without ROW_ID."""
    rng = stream(seed, block.number, "wards")
    people, stays = block.patients, block.stays
    newborn = people.kind[stays.patient] == _NEWBORN
    pick = _Pick(rng, len(stays))
    first = np.where(newborn, "NICU", pick("|".join(_UNITS)))
    last = np.where(newborn | (rng.random(len(stays)) < 0.93), first, pick("|".join(_UNITS)))
    days = (stays.outtime - stays.intime).astype(np.float64) / 86400.0
    wards = pl.DataFrame({"first": first, "last": last}).with_columns(
        pl.col("first", "last").replace_strict(_WARDS, return_dtype=pl.Int32)
    )
    return pl.DataFrame(
        {
            "SUBJECT_ID": people.ids[stays.patient].astype(np.int32),
            "HADM_ID": stays.hadm_id.astype(np.int32),
            "ICUSTAY_ID": stays.icustay_id.astype(np.int32),
            "DBSOURCE": np.where(stays.metavision, "metavision", "carevue"),
            "FIRST_CAREUNIT": first,
            "LAST_CAREUNIT": last,
            "FIRST_WARDID": wards["first"],
            "LAST_WARDID": wards["last"],
            "INTIME": _stamp(stays.intime),
            "OUTTIME": _stamp(stays.outtime),
            "LOS": np.round(days, 4),
        }
    )


def chart_items() -> pl.DataFrame:
    """Return the D_ITEMS table."""
    rows = [(item.item, item.label, item.metavision, item.unit, item.category) for item in CHART_ITEMS]
    rows += [(item.item, item.label, item.metavision, item.unit, "Other") for item in NOISE_ITEMS]
    rows.sort()
    frame = pl.DataFrame(
        {
            "ROW_ID": range(1, len(rows) + 1),
            "ITEMID": [row[0] for row in rows],
            "LABEL": [row[1] for row in rows],
            "ABBREVIATION": [row[1] if row[2] else None for row in rows],
            "DBSOURCE": ["metavision" if row[2] else "carevue" for row in rows],
            "LINKSTO": "chartevents",
            "CATEGORY": [row[4] if row[2] else None for row in rows],
            "UNITNAME": [(row[3] or None) if row[2] else None for row in rows],
            "PARAM_TYPE": ["Numeric" if row[2] else None for row in rows],
        }
    )
    return frame.with_columns(CONCEPTID=pl.lit(None, dtype=pl.String))


def lab_items() -> pl.DataFrame:
    """Return the D_LABITEMS table."""
    gases = {lab.item for lab in GAS_LABS}
    counts = {lab.item for lab in COUNT_LABS}
    rows: list[tuple[int, str, str, str | None]] = [(SPECIMEN, "SPECIMEN TYPE", "BLOOD GAS", None)]
    for lab in LABS:
        category = "Blood Gas" if lab.item in gases else "Hematology" if lab.item in counts else "Chemistry"
        rows.append((lab.item, lab.label, category, lab.loinc))
    rows += [(item.item, item.label, "Chemistry" if item.item < 51100 else "Hematology", None) for item in NOISE_LABS]
    rows.sort()
    return pl.DataFrame(
        {
            "ROW_ID": range(1, len(rows) + 1),
            "ITEMID": [row[0] for row in rows],
            "LABEL": [row[1] for row in rows],
            "FLUID": ["Urine" if "Urine" in row[1] and "Urea" not in row[1] else "Blood" for row in rows],
            "CATEGORY": [row[2] for row in rows],
            "LOINC_CODE": pl.Series([row[3] for row in rows], dtype=pl.String),
        }
    )
