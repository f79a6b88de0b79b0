"""How often searches ask a device, and how much they give it at once.

On a CPU an answer costs nothing, and small batches stay in the cache. A GPU that is asked has nothing to do until the
host has heard the answer and thought of the next work, and small batches leave most of it idle. What a search finds for
a stay depends on neither, but for rounding (docs/decisions/0178).
"""

from __future__ import annotations

from torch import Tensor

LOOK_EVERY = 4
"""Iterations after which a search on a GPU asks which stays have finished; until then it carries them along."""

CHUNK, WIDE_CHUNK = 256, 4096
"""Candidates evaluated at once, on a CPU and on other devices; larger batches are slower on a CPU."""

WIDE_SHARD = 1024
"""Stays attacked at once on other devices than a CPU, at least."""


def looks(iteration: int, values: Tensor) -> bool:
    """Tell whether a search on the device of ``values`` asks at this iteration, counted from 1."""
    return values.device.type == "cpu" or iteration % LOOK_EVERY == 0


def chunk_for(values: Tensor) -> int:
    """Return how many candidates are evaluated at once on the device of ``values``."""
    return CHUNK if values.device.type == "cpu" else WIDE_CHUNK


def shard_size(batch_size: int, device: str) -> int:
    """Return how many stays are attacked at once on a device."""
    return batch_size if device == "cpu" else max(batch_size, WIDE_SHARD)
