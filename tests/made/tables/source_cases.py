"""Small folders of data for sources that read files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SERIES = {
    "HR": (60, 120),
    "NISysABP": (90, 150),
    "NIDiasABP": (50, 90),
    "Temp": (36, 38),
    "Glucose": (80, 200),
    "K": (3, 6),
}


def physionet_folder(folder: Path) -> None:
    """Write one set of twelve records as the challenge ships them, values drawn at random."""
    rng = np.random.default_rng(11)
    (folder / "set-a").mkdir()
    outcomes = ["RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"]
    for record in range(1001, 1013):
        lines = ["Time,Parameter,Value", f"00:00,RecordID,{record}", "00:00,Age,60", "00:00,Gender,1"]
        lines += ["00:00,Height,-1", "00:00,ICUType,2", "00:00,Weight,80"]
        for minute in sorted(rng.integers(0, 48 * 60, size=40)):
            name = rng.choice(list(SERIES))
            lines.append(f"{minute // 60:02d}:{minute % 60:02d},{name},{rng.uniform(*SERIES[name]):.1f}")
        (folder / "set-a" / f"{record}.txt").write_text("\n".join(lines) + "\n", "utf-8")
        outcomes.append(f"{record},1,1,5,-1,{record % 3 == 0:d}")
    (folder / "Outcomes-a.txt").write_text("\n".join(outcomes) + "\n", "utf-8")


def table_folder(folder: Path) -> None:
    """Write a hospital's own tables: twelve stays of eleven patients, hours since admission, some units of its own."""
    rng = np.random.default_rng(12)
    stays = ["stay_id,patient_id,age,sex,died,stay_hours,death_hours"]
    values = ["stay_id,time,name,value,unit"]
    units = {"creatinine": ("umol/L", 60, 140), "heartrate": ("bpm", 60, 120), "tempc": ("°C", 36, 38)}
    for stay in range(1, 13):
        died = stay % 3 == 0
        stays.append(f"A-{stay},P{min(stay, 11)},{50 + stay},{'FM'[stay % 2]},{died:d},90,{80 if died else ''}")
        for name, (unit, low, high) in units.items():
            values += [
                f"A-{stay},{time:.2f},{name},{rng.uniform(low, high):.1f},{unit}"
                for time in np.sort(rng.uniform(-2, 60, size=12))
            ]
    values.append("A-1,5.0,hart rate,80,bpm")
    (folder / "stays.csv").write_text("\n".join(stays) + "\n", "utf-8")
    (folder / "measurements.csv").write_text("\n".join(values) + "\n", "utf-8")
