"""The Parquet files of the store."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
from decisions import Decisions
from stored import STORED
from target import Target, seeds_of

from icudl.artifacts import (
    ATTACKED_SCHEMA,
    FLOW_SCHEMA,
    HOURS_SCHEMA,
    METRICS_SCHEMA,
    PREDICTIONS_SCHEMA,
    STAYS_SCHEMA,
    AttackResult,
    GridDataset,
    SourceTables,
    TrainingResult,
)

TOKENS = (b"\0", b"\xff" * 4, b"PAR1", b"\x15\x00", b"\x7f\xff\xff\xff", b"stay_id", b"\x80" * 9)
DTYPES = (pl.Int64, pl.Int16, pl.UInt8, pl.Float64, pl.Float32, pl.String, pl.Boolean, pl.Binary, pl.Date)


def _frame_changed(content: bytes, decisions: Decisions) -> bytes:
    frame = pl.read_parquet(io.BytesIO(content))
    try:
        frame = _altered(frame, decisions)
    except pl.exceptions.PolarsError:  # no such change can be made of this table
        return content
    target = io.BytesIO()
    frame.write_parquet(target, compression=decisions.of(("zstd", "uncompressed", "gzip", "lz4")))
    return target.getvalue()


def _altered(frame: pl.DataFrame, decisions: Decisions) -> pl.DataFrame:
    column = decisions.of(frame.columns or ("x",))
    match decisions.below(7):
        case 0:
            return frame.drop(column, strict=False)
        case 1:
            return frame.rename({column: decisions.of(("x", "", column.upper(), "stay_id", "é"))}, strict=False)
        case 2:
            return frame.with_columns(pl.col(frame.columns).cast(decisions.of(DTYPES), strict=False))
        case 3:
            return frame.with_columns(pl.lit(None).cast(frame.schema.get(column, pl.Int64)).alias(column))
        case 4:
            return frame.head(decisions.below(3))
        case 5:
            return pl.concat([frame, frame])
        case _:
            return frame.with_columns(pl.col(column).implode().alias(column))


def _correct(artifact: object) -> None:
    """What was read has its declared columns, and a grid's table the rows of its arrays."""
    expected = []
    if isinstance(artifact, SourceTables):
        expected = [(artifact.stays, STAYS_SCHEMA), (artifact.hours, HOURS_SCHEMA)]
        assert artifact.stays["stay_id"].is_sorted()
        assert artifact.stays["stay_id"].null_count() == 0
    elif isinstance(artifact, GridDataset):
        expected = [(artifact.stays, STAYS_SCHEMA), (artifact.flow, FLOW_SCHEMA)]
        assert artifact.stays.height == len(artifact.labels)
        assert artifact.stay_ids.dtype == artifact.patient_ids.dtype == "int64"
    elif isinstance(artifact, TrainingResult):
        expected = [(artifact.predictions, PREDICTIONS_SCHEMA), (artifact.metrics, METRICS_SCHEMA)]
    elif isinstance(artifact, AttackResult):
        expected = [(artifact.stays, ATTACKED_SCHEMA)]
    for frame, schema in expected:
        assert dict(frame.schema) == dict(schema)


def feed(data: bytes, folder: Path) -> None:
    """Change one table of one artifact, and read the artifact."""
    STORED.keep(folder)
    decisions = Decisions(data)
    node, name = decisions.of([key for key in STORED.files if key[1].endswith(".parquet")])
    content = STORED.files[node, name]
    kind = decisions.below(8)
    if kind == 7:
        content = decisions.rest()
    else:
        content = decisions.spoilt(content, TOKENS) if kind % 2 else _frame_changed(content, decisions)
    _correct(STORED.load(node, name, content))


TARGET = Target("tables", feed, seeds_of(32))
