"""How libraries say that memory ran out."""

from __future__ import annotations

import re

_TEXT = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out: Python's and NumPy's own, or torch's, known by its text."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_TEXT.search(str(error))))
