"""One thread inside the block, whether torch was there before or comes later; what was set before returns."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from icudl.execution.threads import single_thread


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_block_of_one_thread(is_loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    if not is_loaded:
        monkeypatch.setitem(sys.modules, "torch", None)
    try:
        with single_thread():
            assert torch.get_num_threads() == 1
            assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        assert torch.get_num_threads() == 2
        assert os.environ["OMP_NUM_THREADS"] == "3"
        assert "MKL_NUM_THREADS" not in os.environ
    finally:
        torch.set_num_threads(before)
