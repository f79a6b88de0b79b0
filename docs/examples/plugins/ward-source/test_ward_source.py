import csv
import random

import pytest
from ward_source import WardOptions, WardSource

from icudl.errors import SourceError
from icudl.testing import SOURCE_CHECKS, check_counts_unknown_names


@pytest.fixture
def ward(tmp_path):
    """Thirty stays with heart rates and potassium, some beyond the window, one impossible, two under a wrong name."""
    rng = random.Random(1)
    folder = tmp_path / "ward"
    folder.mkdir()
    with (folder / "stays.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["stay", "patient", "age", "sex", "hours", "died", "death_hour"])
        for stay in range(30):
            died = stay % 5 == 0
            rows.writerow([stay, stay // 2, 60, "F", 80, int(died), 75 if died else ""])
    with (folder / "measurements.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["stay", "time", "name", "value"])
        for stay in range(30):
            for _ in range(40):
                rows.writerow([stay, round(rng.uniform(-2, 79), 2), "heartrate", round(rng.gauss(80, 10), 1)])
            rows.writerow([stay, 3.5, "potassium", 4.1])
        rows.writerow([0, 5.0, "heartrate", 9999])
        rows.writerows([[stay, 6.0, "hart rate", 80] for stay in (3, 4)])
    return WardSource(WardOptions(path=str(folder)), seed=1)


@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_contract(check, ward, tmp_path):
    check(ward, tmp_path / "work")


def test_rows_under_a_wrong_name_are_counted(ward, tmp_path):
    check_counts_unknown_names(ward, tmp_path / "work", {"hart rate": 2})


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(SourceError, match=r"stays\.csv"):
        WardSource(WardOptions(path=str(tmp_path)), seed=1).fingerprint(tmp_path)
