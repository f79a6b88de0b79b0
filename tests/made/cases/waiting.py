"""A mode that refuses what makes the host wait for a device, on devices that need no waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = frozenset(
    {
        "aten._local_scalar_dense",
        "aten.equal",
        "aten.is_nonzero",
        "aten.item",
        "aten.masked_select",
        "aten.nonzero",
        "aten._unique2",
        "aten.unique_consecutive",
        "aten.unique_dim",
        "aten.bincount",
        "aten.repeat_interleave.Tensor",
        "aten._pack_padded_sequence",
    }
)
"""Operations whose result, or whose shape, the host learns from the device."""


class WaitedError(RuntimeError):
    """The host would wait."""


class NoWaiting(TorchDispatchMode):
    """Refuses ``WAITS`` and indices that are masks: how many there are is known to the device only.

    Attributes:
        refuses: Whether to raise, or only to count.
        counts: How often each operation came.
    """

    def __init__(self, *, refuses: bool = True) -> None:
        super().__init__()
        self.refuses = refuses
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = str(func)
        if name in WAITS or name.rpartition(".")[0] in WAITS or _has_mask(name, args):
            self.counts[name] = self.counts.get(name, 0) + 1
            if self.refuses:
                raise WaitedError(name)
        return func(*args, **(kwargs or {}))


def _has_mask(name: str, args: Sequence[Any]) -> bool:
    if not name.startswith(("aten.index.", "aten.index_put", "aten._index_put")):
        return False
    return any(index is not None and index.dtype in {torch.bool, torch.uint8} for index in args[1])
