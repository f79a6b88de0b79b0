"""Small records as the PhysioNet/CinC Challenge 2019 ships them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from icudl.sources.physionet2019.columns import HEADER

HOURS = 60


def record(hours: int = HOURS, sepsis_from: int | None = None, **columns: Mapping[int, float]) -> str:
    """A record of a woman of 60; ``columns`` names values by hour."""
    lines = ["|".join(HEADER)]
    for hour in range(hours):
        fixed = {"Age": 60, "Gender": 0, "Unit1": 1, "Unit2": 0, "HospAdmTime": -4.2, "ICULOS": hour + 1}
        values = fixed | {"SepsisLabel": int(sepsis_from is not None and hour >= sepsis_from)}
        values |= {name: given[hour] for name, given in columns.items() if hour in given}
        lines.append("|".join(str(values.get(name, "NaN")) for name in HEADER))
    return "\n".join(lines) + "\n"


def write_records(folder: Path, records: Mapping[int, str]) -> Path:
    """Write records into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in records.items():
        (folder / f"p{number:06d}.psv").write_text(text, "utf-8")
    return folder


def challenge_folder(folder: Path) -> None:
    """Write one set of twelve records, values drawn at random, every third with sepsis at the end."""
    rng = np.random.default_rng(14)

    def drawn(low: float, high: float, share: float) -> dict[int, float]:
        return {hour: round(float(rng.uniform(low, high)), 1) for hour in range(HOURS) if rng.random() < share}

    records = {
        number: record(sepsis_from=50 if number % 3 == 0 else None, HR=drawn(60, 120, 0.9), Potassium=drawn(3, 6, 0.2))
        for number in range(1, 13)
    }
    write_records(folder / "training_setA", records)
