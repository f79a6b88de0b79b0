"""Which precision attacks compute in, on devices that offer several."""

from __future__ import annotations

import contextlib

import torch


def whole_float32() -> contextlib.AbstractContextManager[None]:
    """Keep cuDNN from rounding the factors of float32 products to ten bits (TF32), as it does by default.

    Margins near zero decide what is an example: their error may not exceed the slack that targets leave for rounding
    (``attacks.target.checkpoint.SLACK``).
    """
    cudnn = torch.backends.cudnn
    flags: contextlib.AbstractContextManager[None] = cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )
    return flags
