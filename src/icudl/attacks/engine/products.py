"""Products of rows with a constant matrix, in which a recurrent pass spends its time.

On a CPU, torch passes float32 products to the BLAS that it was built with. oneDNN, which torch contains for its own
layers, computes products of the shapes used here up to twice as fast (docs/decisions/0042), so it is called wherever
possible.
"""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST_ROWS = 16
"""Below this size, setting up a oneDNN call costs more than it saves."""


def has_onednn() -> bool:
    """Tell whether this build of torch has the oneDNN operators, which are not part of its public API."""
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))


class FrozenProduct:
    """The map x -> x W.

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
    """Round a number of rows up to one of few sizes, because oneDNN compiles a kernel for each number of rows."""
    step = 8 if n_rows <= 64 else 16 if n_rows <= 256 else 64
    return -(-n_rows // step) * step
