"""Products through oneDNN and through torch's own BLAS are the same product."""

import pytest
import torch

from icudl.attacks.engine import products
from icudl.attacks.engine.products import FEWEST_ROWS, FrozenProduct, has_onednn, rounded_up

SHAPES = [(1, 5, 8), (FEWEST_ROWS - 1, 20, 12), (FEWEST_ROWS, 20, 12), (200, 147, 512), (33, 512, 147)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_to_the_definition(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    n_rows, n_inputs, n_outputs = shape
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(n_rows, n_inputs, generator=rng, dtype=dtype)
    matrix = torch.randn(n_inputs, n_outputs, generator=rng, dtype=dtype)
    expected = (rows.double() @ matrix.double()).to(dtype)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    wide = torch.full((n_rows, n_inputs + 3), torch.nan, dtype=dtype)
    wide[:, :n_inputs] = rows
    for given in (rows, wide[:, :n_inputs]):
        torch.testing.assert_close(FrozenProduct(matrix)(given), expected, rtol=0, atol=tolerance)


def test_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, matrix = torch.rand(50, 30), torch.rand(30, 40)
    fast = FrozenProduct(matrix)
    assert (fast._packed is not None) == has_onednn()
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    plain = FrozenProduct(matrix)
    assert plain._packed is None
    torch.testing.assert_close(plain(rows), fast(rows), rtol=0, atol=1e-5)


def test_rounded_up() -> None:
    numbers = [rounded_up(n) for n in range(1, 2000)]
    assert all(rounded >= n for n, rounded in enumerate(numbers, start=1))
    assert all(rounded <= n + 7 or rounded <= 1.25 * n for n, rounded in enumerate(numbers, start=1))
    assert sorted(numbers) == numbers
    assert len(set(numbers)) < 60
