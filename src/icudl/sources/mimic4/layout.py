"""The shape of MIMIC-IV: tables of the hospital and of the ICU in a folder each, names in small letters.

All versions from 1.0 to 3.1 have the columns that are read. Version 1.0 keeps patients and admissions in a folder
``core``, which later versions have merged into ``hosp``.
"""

from __future__ import annotations

import polars as pl

from icudl.sources.mimic.layout import Layout

POPULATION = "mimic-iv"
CITATIONS: tuple[str, ...] = ("mimic4", "physionet")

LAYOUT = Layout(
    database="MIMIC-IV",
    edition="MIMIC-IV",
    stay="stay_id",
    columns={
        "patients": {
            "subject_id": pl.Int64,
            "gender": pl.String,
            "anchor_age": pl.Int64,
            "anchor_year": pl.Int64,
            "anchor_year_group": pl.String,
            "dod": pl.Datetime,
        },
        "admissions": {
            "subject_id": pl.Int64,
            "hadm_id": pl.Int64,
            "dischtime": pl.Datetime,
            "deathtime": pl.Datetime,
            "hospital_expire_flag": pl.Int64,
        },
        "icustays": {
            "subject_id": pl.Int64,
            "hadm_id": pl.Int64,
            "stay_id": pl.Int64,
            "first_careunit": pl.String,
            "intime": pl.Datetime,
            "outtime": pl.Datetime,
        },
        "chartevents": {
            "subject_id": pl.Int32,
            "itemid": pl.Int32,
            "charttime": pl.Datetime,
            "valuenum": pl.Float64,
        },
        "labevents": {
            "subject_id": pl.Int32,
            "itemid": pl.Int32,
            "charttime": pl.Datetime,
            "valuenum": pl.Float64,
        },
        "outputevents": {
            "subject_id": pl.Int32,
            "itemid": pl.Int32,
            "charttime": pl.Datetime,
            "value": pl.Float64,
        },
    },
    required=("patients", "admissions", "icustays", "chartevents", "labevents"),
    folders={
        "patients": ("hosp", "core"),
        "admissions": ("hosp", "core"),
        "icustays": ("icu",),
        "chartevents": ("icu",),
        "labevents": ("hosp",),
        "outputevents": ("icu",),
    },
    is_upper=False,
    # MIT-LCP/mimic-code, mimic-iv/buildmimic: validate.sql as of versions 2.1, 2.2 and 3.1, validate_demo.sql. For 1.0
    # and 3.0, what other public repositories report (no check of mimic-code's own was found); of 2.0 no counts of all
    # tables were found.
    stored=("chartevents", "labevents", "outputevents"),
    follow_up_days=365,  # MIMIC-IV 2 and 3: dod is censored one year after the last discharge.
    releases={
        "MIMIC-IV v1.0": {
            "patients": 382_278,
            "admissions": 523_740,
            "icustays": 76_540,
            "labevents": 122_103_667,
            "outputevents": 4_457_381,
            "chartevents": 329_499_788,
        },
        "MIMIC-IV v2.1": {
            "patients": 299_777,
            "admissions": 431_088,
            "icustays": 73_141,
            "labevents": 118_057_948,
            "outputevents": 4_234_697,
            "chartevents": 314_035_266,
        },
        "MIMIC-IV v2.2": {
            "patients": 299_712,
            "admissions": 431_231,
            "icustays": 73_181,
            "labevents": 118_171_367,
            "outputevents": 4_234_967,
            "chartevents": 313_645_063,
        },
        "MIMIC-IV v3.0": {
            "patients": 364_627,
            "admissions": 546_028,
            "icustays": 94_458,
            "labevents": 158_478_383,
            "outputevents": 5_359_395,
            "chartevents": 432_997_491,
        },
        "MIMIC-IV v3.1": {
            "patients": 364_627,
            "admissions": 546_028,
            "icustays": 94_458,
            "labevents": 158_374_764,
            "outputevents": 5_359_395,
            "chartevents": 432_997_491,
        },
        "MIMIC-IV Clinical Database Demo v2.2": {
            "patients": 100,
            "admissions": 275,
            "icustays": 140,
            "labevents": 107_727,
            "outputevents": 9_362,
            "chartevents": 668_862,
        },
    },
)
