"""Proofs about predictions: which values of which stays can flip them, and from where to where."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import polars as pl

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.codecs import (
    read_frame,
    read_json,
    variables_from_json,
    variables_to_json,
    write_frame,
    write_json,
)
from icudl.variables import Variable

CERTIFIED_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "label": pl.Int8,  # 1 for death
    "member": pl.String,  # text of the Member that was proved about: one that was not fitted on the stay
    "split": pl.String,  # "out-of-fold" or "test"
    "length": pl.Int16,  # hours of the sequence
    "status": pl.String,  # a CertificateStatus value
    "probability_before": pl.Float64,  # of death, for the unchanged stay
    "values": pl.Int32,  # that may be wrong
    "proven": pl.Int32,  # values that cannot flip the prediction
    "flippable": pl.Int32,  # values that can, each with a witness
    "undecided": pl.Int32,
    "boxes": pl.Int32,  # intervals bounded
}
VALUES_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "hour": pl.Int16,
    "variable": pl.UInt8,  # index into the variables of the same artifact
    "lower": pl.Float64,  # unit coordinates: 0 and 1 are the winsor limits of the variable
    "upper": pl.Float64,
    "verdict": pl.String,  # a CertificateStatus value: proven, flips or undecided
    "bound": pl.Float64,  # logits, smallest possible lead of the present class; null where the value flips
    "witness": pl.Float64,  # unit coordinate at which the model says the other class; null for none
    "probability": pl.Float64,  # of death at the witness, by the verification's own forward pass
    "boxes": pl.Int32,  # intervals bounded
}
PIECES_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "hour": pl.Int16,
    "variable": pl.UInt8,
    "low": pl.Float64,  # unit coordinates; the pieces of a value cover its range, end to end
    "high": pl.Float64,
    "verdict": pl.String,  # a PieceVerdict value
    "bound": pl.Float64,  # logits: least lead of the present class (holds, open), greatest (flips), null (edge)
}
FLIPS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "hour": pl.Int16,
    "variable": pl.UInt8,
    "low": pl.Float64,  # every value from here to high flips; null where only a witness is known
    "high": pl.Float64,
    "outer_low": pl.Float64,  # no value just below this flips
    "outer_high": pl.Float64,  # nor just above this
    "entry_low": pl.Float64,  # smallest and largest flipping entry in the variable's unit
    "entry_high": pl.Float64,
}
NEARBY_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "most": pl.Int16,  # values that may be wrong at once; 0 for all
    "within": pl.Float64,  # by which share of the range between the winsor limits
    "proven": pl.Boolean,  # no such change flips the prediction; otherwise nothing is known
    "bound": pl.Float64,  # logits, smallest possible lead of the present class
}
WHOLE_RANGE = 1.0
"""Share of a range within which a value may be anywhere, wherever it is now."""

TABLES: Mapping[str, Schema] = {
    "stays": CERTIFIED_SCHEMA,
    "values": VALUES_SCHEMA,
    "pieces": PIECES_SCHEMA,
    "flips": FLIPS_SCHEMA,
    "nearby": NEARBY_SCHEMA,
}


class CertificateStatus(enum.StrEnum):
    """What is proved of a stay, or of one of its values."""

    PROVEN = "proven"  # no single wrong value flips the prediction
    FLIPS = "flips"  # one does, and it is named
    UNDECIDED = "undecided"
    MISCLASSIFIED = "misclassified"  # not looked at: the model is wrong already
    NOTHING_TO_CHANGE = "nothing_to_change"  # no value of the stay may be wrong
    INVALID_OUTPUT = "invalid_output"  # the model gave NaN for the unchanged stay


class PieceVerdict(enum.StrEnum):
    """What is proved of a piece of a value's range."""

    HOLDS = "holds"  # no value of the piece flips the prediction
    FLIPS = "flips"  # every value of the piece does
    EDGE = "edge"  # the class changes somewhere within
    OPEN = "open"  # not decided


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Certificates:
    """Proofs that no single wrong value flips a prediction, and the values that do.

    Attributes:
        stays: One row per stay considered (``CERTIFIED_SCHEMA``).
        values: One row per value that may be wrong (``VALUES_SCHEMA``).
        pieces: The proof: what holds on each piece of each value's range (``PIECES_SCHEMA``).
        flips: One row per interval of flipping values (``FLIPS_SCHEMA``).
        nearby: One row per stay and threat of small errors of several values (``NEARBY_SCHEMA``), where asked for.
        variables: F variables.
        n_hours: Length T of the window.
        threat_model: What may be wrong.
        options: Options that the proofs used.
    """

    stays: pl.DataFrame
    values: pl.DataFrame
    pieces: pl.DataFrame
    flips: pl.DataFrame
    nearby: pl.DataFrame
    variables: tuple[Variable, ...]
    n_hours: int
    threat_model: str
    options: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        for name, schema in TABLES.items():
            write_frame(folder / f"{name}.parquet", check_schema(name, getattr(self, name), schema))
        meta = {
            "variables": variables_to_json(self.variables),
            "n_hours": self.n_hours,
            "threat_model": self.threat_model,
            "options": dict(self.options),
        }
        write_json(folder / "certificates.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "certificates.json")
        tables = {name: read_frame(folder / f"{name}.parquet", schema) for name, schema in TABLES.items()}
        return cls(
            **tables,
            variables=variables_from_json(meta["variables"]),
            n_hours=meta["n_hours"],
            threat_model=meta["threat_model"],
            options=meta["options"],
        )
