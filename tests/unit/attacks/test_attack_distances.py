"""Entry-wise norms against numpy (defect 3 of the original: the induced matrix 1-norm in place of the L1)."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from icudl.attacks import distances

CHANGES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5)),
    elements=st.one_of(st.just(0.0), st.floats(-2, 2, width=32)),
)


@given(changes=CHANGES)
def test_equal_to_numpy(changes: np.ndarray) -> None:
    tensor, flat = torch.from_numpy(changes), changes.reshape(len(changes), -1)
    np.testing.assert_array_equal(distances.l0(tensor), (flat != 0).sum(axis=1))
    np.testing.assert_allclose(distances.l1(tensor), np.abs(flat).sum(axis=1))
    np.testing.assert_allclose(distances.l2(tensor), np.linalg.norm(flat, axis=1))
    np.testing.assert_allclose(distances.linf(tensor), np.abs(flat).max(axis=1))


def test_not_the_induced_matrix_norm() -> None:
    change = torch.ones(1, 48, 19)
    assert distances.l1(change).item() == 48 * 19
    assert torch.linalg.matrix_norm(change, ord=1).item() == 48
