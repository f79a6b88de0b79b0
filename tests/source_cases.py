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
