"""The shape of MIMIC-III v1.4: all tables side by side, their names in capitals."""

from __future__ import annotations

import polars as pl

from icudl.sources.mimic.layout import Layout

POPULATION = "mimic-iii"
CITATIONS: tuple[str, ...] = ("mimic3", "physionet")

LAYOUT = Layout(
    database="MIMIC-III",
    edition="MIMIC-III v1.4",
    stay="icustay_id",
    columns={
        "patients": {"subject_id": pl.Int64, "gender": pl.String, "dob": pl.Datetime, "dod": pl.Datetime},
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
            "icustay_id": pl.Int64,
            "first_careunit": pl.String,
            "intime": pl.Datetime,
            "outtime": pl.Datetime,
        },
        "chartevents": {
            "subject_id": pl.Int32,
            "itemid": pl.Int32,
            "charttime": pl.Datetime,
            "valuenum": pl.Float64,
            "error": pl.Float32,
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
            "iserror": pl.Float32,
        },
    },
    required=("patients", "admissions", "icustays", "chartevents", "labevents"),
    folders={},
    is_upper=True,
    # MIT-LCP/mimic-code, postgres_checks.sql; the demo as published.
    stored=("chartevents", "outputevents"),  # LABEVENTS has no such column
    follow_up_days=90,  # MIMIC-III takes deaths after discharge from the social security registry, "at least 90 days".
    releases={
        "MIMIC-III v1.4": {
            "patients": 46_520,
            "admissions": 58_976,
            "icustays": 61_532,
            "d_items": 12_487,
            "d_labitems": 753,
            "labevents": 27_854_055,
            "outputevents": 4_349_218,
            "chartevents": 330_712_483,
        },
        "MIMIC-III Clinical Database Demo v1.4": {
            "patients": 100,
            "admissions": 129,
            "icustays": 136,
            "d_items": 12_487,
            "d_labitems": 753,
            "labevents": 76_074,
            "outputevents": 11_320,
            "chartevents": 758_355,
        },
    },
)
