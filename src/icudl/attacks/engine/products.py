"""Products of rows with a matrix that never changes: where a recurrent pass spends its time.

On a CPU, torch hands float32 products to the BLAS it was built with. oneDNN, which torch carries for its own layers,
does products of the shapes met here up to twice as fast (docs/decisions/0042), so it is called where it can be.
"""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST_ROWS = 16
"""Below this, setting up a oneDNN call costs more than it saves."""


def has_onednn() -> bool:
    """Tell whether this build of torch has the operators that are called; they are its own, not part of its API."""
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))


class FrozenProduct:
    """x -> x W.

    Args:
        matrix: W (K, N).
    """

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix.contiguous()
        self._packed: Tensor | None = None
        if matrix.device.type == "cpu" and matrix.dtype == torch.float32 and has_onednn():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(matrix.t().contiguous())  # noqa: SLF001

    def __call__(self, rows: Tensor) -> Tensor:
        """Return a new (B, N) array, given ``rows`` (B, K)."""
        if self._packed is None or len(rows) < FEWEST_ROWS:
            return torch.mm(rows, self.matrix)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, None, "none", [], "")  # noqa: SLF001
        return product


def rounded_up(n_rows: int) -> int:
    """Return a number of rows that is not below ``n_rows`` and one of few: oneDNN compiles a kernel for each number."""
    step = 8 if n_rows <= 64 else 16 if n_rows <= 256 else 64
    return -(-n_rows // step) * step
