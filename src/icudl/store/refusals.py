"""How to tell that a file system refuses to keep what is written: it is full, over quota, or read-only.

Libraries report this in different ways: as an ``OSError`` with its number, with the number in the text (Polars,
safetensors), or as a count of bytes that were not written (NumPy).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from icudl.errors import StoreError

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_TEXT = re.compile(rf"\(os error ({'|'.join(map(str, _NUMBERS))})\)")
_SHORT = re.compile(r"\d+ requested and \d+ written")


def refusal(error: BaseException) -> str | None:
    """Return why the file system refused to write, or None if the error is about something else."""
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return os.strerror(error.errno)
    if isinstance(error, StoreError):
        return None
    found = _TEXT.search(str(error))
    if found:
        return os.strerror(int(found.group(1)))
    return os.strerror(errno.ENOSPC) if isinstance(error, OSError) and _SHORT.search(str(error)) else None


def why(error: BaseException) -> str | None:
    """Return why the file system refused to write, or else what the operating system said of an ``OSError``."""
    return refusal(error) or (error.strerror or str(error) if isinstance(error, OSError) else None)


@contextlib.contextmanager
def translated(what: str, root: Path, reason_of: Callable[[BaseException], str | None] = refusal) -> Iterator[None]:
    """Turn a refusal to write into an error that says what to do.

    Args:
        what: What was to be written.
        root: Folder of the store.
        reason_of: Returns the reason of a refusal, or None for any other error.

    Raises:
        StoreError: Nothing more can be written.
    """
    try:
        yield
    except Exception as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise StoreError(
            f"{what} could not be written to {str(root)!r}: {reason}. Make room or give --store another folder; "
            "finished work is kept, and the same command goes on from there."
        ) from error
