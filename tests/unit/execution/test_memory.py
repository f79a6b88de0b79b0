"""The memory that a process may take, on a machine and within a container."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from icudl.execution.memory import forget_peak, free_memory, peak_memory, total_memory


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("1000\n", "400\n", 600), ("100\n", "400\n", 0)],
)
def test_the_limit_of_a_container(limit: str, used: str, left: int, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    assert free_memory(tmp_path) == left
    assert total_memory(tmp_path) == int(limit)


@pytest.mark.parametrize("limit", ["max\n", ""])
def test_without_a_limit_the_machine_is_the_bound(limit: str, tmp_path: Path) -> None:
    if limit:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("400\n")
    free, total = free_memory(tmp_path), total_memory(tmp_path)
    assert free is not None
    assert total is not None
    assert 10**6 < free < total < 10**14


def test_the_limit_of_a_container_in_the_older_control_groups(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("300\n")
    assert free_memory(tmp_path) == 700


@pytest.mark.parametrize(
    ("statistics", "left"),
    [
        ("anon 100\ninactive_anon 20\nactive_file 50\ninactive_file 250\nunevictable 7\n", 900),
        ("total_inactive_file 250\nworkingset_activate_file 70\n", 600),
        ("inactive_file 500\n", 1000),
        ("inactive_file many\n", 600),
        ("", 600),
    ],
)
def test_files_in_memory_take_nothing_away(statistics: str, left: int, tmp_path: Path) -> None:
    """The kernel drops them where memory is asked for."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text(statistics)
    assert free_memory(tmp_path) == left


def test_files_in_memory_in_the_older_control_groups(tmp_path: Path) -> None:
    """The groups within count too: their use does."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("300\n")
    (tmp_path / "memory" / "memory.stat").write_text(
        "inactive_file 1\nactive_file 2\ntotal_inactive_file 30\ntotal_active_file 70\n"
    )
    assert free_memory(tmp_path) == 800


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux lets a peak begin anew")
def test_a_peak_that_is_forgotten_begins_anew() -> None:
    # A mapping of its own: what a list or an array gave back may stay with the allocator.
    with mmap.mmap(-1, 150_000_000) as block:
        for start in range(0, len(block), mmap.PAGESIZE):
            block[start] = 1
        high = peak_memory()
    forget_peak()
    assert peak_memory() < high - 100_000_000
