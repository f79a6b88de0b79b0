"""Records and outcomes of the PhysioNet/CinC Challenge 2012, read as they are written."""

from __future__ import annotations

import io
import re

import numpy as np
import polars as pl

from icudl.errors import SourceError
from icudl.execution.context import ProgressTask
from icudl.sources.physionet2012.files import RecordSet, contents, readable

_HEADER = "Time,Parameter,Value"
_NO_SEPARATORS = bytes(set(range(256)) - set(b",\n"))
_TICK = 500  # records between two reports of progress


def read_lines(record_set: RecordSet, bar: ProgressTask) -> tuple[pl.DataFrame, pl.Series]:
    """Read all records of a set.

    Args:
        record_set: The set.
        bar: Progress, one unit for each record.

    Returns:
        The lines as record, time, parameter and value in the order of the files: the record as a number, the others as
        text (null where empty). And the ids of all records, including those without lines.

    Raises:
        SourceError: The archive is damaged or names a path outside itself, or a record occurs twice, is not text, ends
            within a line, or has columns other than Time, Parameter, Value.
    """
    bodies: list[bytes] = []
    records: list[int] = []
    lines: list[int] = []
    with readable(record_set.path):
        for record, content in contents(record_set.path):
            body = _body(record_set.path.name, record, content)
            records.append(record)
            lines.append(body.count(b"\n"))
            bodies.append(body)
            if len(records) % _TICK == 0:
                bar.advance(_TICK)
    if not records:
        raise SourceError(f"{record_set.path.name} holds no record. Expected files named RECORDID.txt; download again.")
    bar.advance(len(records) % _TICK)
    ids = pl.Series("record", records, pl.Int64)
    repeated = ids.filter(ids.is_duplicated())
    if len(repeated):
        raise SourceError(f"{record_set.path.name} holds record {repeated[0]} twice. Expected one file per record.")
    return _parse(b"".join(bodies)).with_columns(record=pl.Series(np.repeat(ids.to_numpy(), lines))), ids


def _body(source: str, record: int, content: bytes) -> bytes:
    """Return the lines after the header, each ended by one newline, after checking their shape."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{source}: record {record} is not UTF-8 text ({error}). Download the set again.") from error
    if content and not content.endswith(b"\n"):
        raise SourceError(
            f"{source}: record {record} has no line break at its end, so its last value may be cut. Download the set "
            "again."
        )
    first, _, body = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    header = first.decode("utf-8", "replace").strip()
    if header != _HEADER:
        raise SourceError(f"{source}: record {record} has the columns {header[:80]!r}. Expected {_HEADER!r}.")
    body = body.strip(b"\n")
    if not body:
        return b""
    if b"\n\n" in body:
        body = re.sub(rb"\n{2,}", b"\n", body)
    body += b"\n"
    if body.translate(None, _NO_SEPARATORS) != b",,\n" * body.count(b"\n") or b'"' in body:
        bad = next((line for line in body.split(b"\n") if line.count(b",") != 2 or b'"' in line), b"")
        raise SourceError(
            f"{source}: record {record} has the line {bad.decode('utf-8', 'replace')[:80]!r}. "
            f"Expected three fields: {_HEADER}."
        )
    return body


def _parse(text: bytes) -> pl.DataFrame:
    schema = {"time": pl.String, "parameter": pl.String, "value": pl.String}
    if not text:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(io.BytesIO(text), has_header=False, schema=schema, quote_char=None)


def read_outcomes(record_set: RecordSet) -> pl.DataFrame:
    """Read record and died from the outcomes of a set.

    Raises:
        SourceError: A column is missing, a record occurs twice, or an outcome is neither 0 nor 1.
    """
    path = record_set.outcomes
    with readable(path):
        text = path.read_bytes()
        text.decode("utf-8")
    try:
        table = pl.read_csv(io.BytesIO(text), infer_schema=False)
        table = table.rename({column: column.strip() for column in table.columns})
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path.name} is no table ({error}). Expected the file as PhysioNet ships it.") from error
    for column in ("RecordID", "In-hospital_death"):
        if column not in table.columns:
            raise SourceError(f"{path.name} lacks the column {column!r}; it has {', '.join(table.columns)}.")
    frame = table.select(
        pl.col("RecordID").str.strip_chars().cast(pl.Int64, strict=False).alias("record"),
        pl.col("In-hospital_death").str.strip_chars().alias("outcome"),
    )
    bad = frame.filter(pl.col("record").is_null() | ~pl.col("outcome").is_in(["0", "1"]).fill_null(value=False))
    if not bad.is_empty():
        raise SourceError(
            f"{path.name}: record {bad['record'][0]} has In-hospital_death = {bad['outcome'][0]!r}. "
            "Expected 0 or 1 for every record."
        )
    repeated = frame.filter(pl.col("record").is_duplicated())["record"]
    if not repeated.is_empty():
        raise SourceError(f"{path.name} holds record {repeated[0]} more than once. Expected one line per record.")
    return frame.select("record", died=pl.col("outcome") == "1")
