"""The page on attacking one's own model does what it says, as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "attack_your_model.md"


@pytest.mark.slow  # it trains and attacks at the size of the page; tests/unit/interop attacks a module in seconds
def test_the_page_runs_and_its_script_has_ten_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    script = next(block for block in blocks if "icudl.attack_module" in block)
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), names)
        if block == script:
            assert names["found"].flipped.mean() > 0.5
            assert (tmp_path / "where.svg").read_bytes().startswith(b"<?xml")
            assert "success" in capsys.readouterr().out
