"""Ids of stays and patients as whole numbers, whatever they are in a hospital's tables."""

from __future__ import annotations

import hashlib

import polars as pl

from icudl.errors import SourceError

FIRST_OF_TEXT = 2**52
"""Ids below it are numbers of the tables themselves; those from here up to 2**53 stand for other texts.

53 bits is what every reader of JSON keeps exactly.
"""

_WHOLE = r"^(0|[1-9]\d{0,15})(\.0+)?$"


def number_of(text: str) -> int:
    """Return the number that stands for an id that is no whole number: the same in every table and on every machine.

    Args:
        text: The id as it is written, without blanks around it.

    Returns:
        52 bits of the SHA-256 of the text, plus ``FIRST_OF_TEXT``.
    """
    return FIRST_OF_TEXT + int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % FIRST_OF_TEXT


def numbered(ids: pl.Series, what: str) -> pl.Series:
    """Return ids as whole numbers (Int64), null where there is none.

    A whole number stays itself, with ``.0`` behind it too, as programs write it that have no whole numbers with gaps.
    Anything else, one with leading zeros among them, gets ``number_of`` its text.

    Args:
        ids: Text without blanks around it.
        what: What they are ids of, for messages.

    Raises:
        SourceError: Two texts get the same number.
    """
    whole = ids.str.extract(_WHOLE, 1).cast(pl.Int64, strict=False)
    whole = whole.to_frame("id").select(pl.when(pl.col("id") < FIRST_OF_TEXT).then("id")).to_series()
    texts = ids.filter(whole.is_null()).drop_nulls().unique().sort()
    if texts.is_empty():
        return whole
    table = pl.DataFrame({"text": texts, "number": [number_of(text) for text in texts]})
    twice = table.filter(pl.col("number").is_duplicated()).sort("number")
    if not twice.is_empty():
        raise SourceError(
            f"The ids {twice['text'][0]!r} and {twice['text'][1]!r} of {what} get the same number. "
            "Give the ids as whole numbers."
        )
    frame = pl.DataFrame({"text": ids, "whole": whole}).join(table, on="text", how="left", maintain_order="left")
    return frame.select(pl.coalesce("whole", "number")).to_series()
