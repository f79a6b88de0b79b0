"""What is remembered of tables between two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from icudl.artifacts import read_json
from icudl.sources.reading.hashing import fingerprint_of_rows, remembering


def test_what_is_added_is_there_the_next_time(tmp_path: Path) -> None:
    store = tmp_path / "memory" / "hashes.json"
    with remembering(store) as known:
        known["a"] = "1"
    with remembering(store) as known:
        assert known == {"a": "1"}


@pytest.mark.parametrize("content", ["", "{", "[1]", '"a"'])
def test_a_damaged_file_is_done_without_and_written_anew(content: str, tmp_path: Path) -> None:
    store = tmp_path / "hashes.json"
    store.write_text(content)
    with remembering(store) as known:
        assert known == {}
        known["a"] = "1"
    assert read_json(store) == {"a": "1"}


def test_nothing_is_kept_of_what_broke_off(tmp_path: Path) -> None:
    store = tmp_path / "hashes.json"

    def broken_off() -> None:
        with remembering(store) as known:
            known["a"] = "1"
            raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        broken_off()
    assert not store.exists()


def test_rows_and_rules_make_the_identity() -> None:
    first = fingerprint_of_rows("rules", {"lab": {"rows": 3, "hash": "7"}})
    assert first == fingerprint_of_rows("rules", {"lab": {"hash": "7", "rows": 3}})
    for other in (("others", {"lab": {"rows": 3, "hash": "7"}}), ("rules", {"lab": {"rows": 3, "hash": "8"}})):
        assert fingerprint_of_rows(*other).digest != first.digest
