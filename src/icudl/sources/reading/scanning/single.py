"""The judge of single lines: how many fields a line has, and whether its quotes match."""

from __future__ import annotations


def fields_of(line: bytes) -> int:
    """Return how many fields a line of a CSV file has; 0 where its quotes do not match.

    Quotes match if they stand at both ends of a field, or doubled between them. Elsewhere some readers take a quote for
    a character and others for the begin of a field that may run over many lines.
    """
    outside = line.removesuffix(b"\r").split(b'"')
    if len(outside) % 2 == 0:
        return 0
    for position, part in enumerate(outside):
        if position % 2 or len(outside) == 1:
            continue
        # Between two quoted parts there is a separator, or nothing where a quote is doubled.
        opens = position == 0 or part == b"" or part.startswith(b",")
        closes = position == len(outside) - 1 or part == b"" or part.endswith(b",")
        if not (opens and closes):
            return 0
    return 1 + sum(part.count(b",") for part in outside[::2])
