"""How a check fails."""

from __future__ import annotations


def require(kept: object, broken: str) -> None:
    """Raise AssertionError by hand: an assert statement vanishes under ``python -O``.

    Raises:
        AssertionError: The promise is broken.
    """
    if not kept:
        raise AssertionError(broken)
