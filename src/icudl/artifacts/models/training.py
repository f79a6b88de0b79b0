"""The fitted members of a training."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import polars as pl

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.codecs import read_frame, read_json, write_frame, write_json
from icudl.artifacts.models.checkpoint import Checkpoint
from icudl.artifacts.models.member import Member
from icudl.artifacts.models.scores import METRICS_SCHEMA, PREDICTIONS_SCHEMA

HISTORY_SCHEMA: Schema = {
    "member": pl.String,  # text of a Member: "fold-0", "final"
    "network": pl.Int16,  # from 0, within the member's ensemble; 0 where the member is one network
    "epoch": pl.Int32,
    "train_loss": pl.Float64,
    "valid_loss": pl.Float64,
    "valid_auroc": pl.Float64,
    "valid_auprc": pl.Float64,
    "learning_rate": pl.Float64,
}


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """Fitted members, and their scores on stays that they were not fitted on.

    Attributes:
        checkpoints: By the text of their member: one for each fold, and ``"final"``.
        history: Losses and validation scores by member, network and epoch (``HISTORY_SCHEMA``).
        predictions: Out-of-fold and test predictions of the model and of the baselines (``PREDICTIONS_SCHEMA``).
        metrics: With bootstrap intervals (``METRICS_SCHEMA``).
    """

    checkpoints: Mapping[str, Checkpoint]
    history: pl.DataFrame
    predictions: pl.DataFrame
    metrics: pl.DataFrame

    @property
    def model(self) -> str:
        """Name by which predictions and metrics call the model, as opposed to its baselines."""
        return str(next(iter(self.checkpoints.values())).model["name"])

    def write(self, folder: Path) -> None:
        """Write one pair of files per checkpoint, and Parquet tables."""
        (folder / "checkpoints").mkdir()
        for checkpoint in self.checkpoints.values():
            checkpoint.write(folder / "checkpoints")
        write_json(folder / "members.json", list(self.checkpoints))
        write_frame(folder / "history.parquet", check_schema("history", self.history, HISTORY_SCHEMA))
        write_frame(folder / "predictions.parquet", check_schema("predictions", self.predictions, PREDICTIONS_SCHEMA))
        write_frame(folder / "metrics.parquet", check_schema("metrics", self.metrics, METRICS_SCHEMA))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        members = read_json(folder / "members.json")
        return cls(
            checkpoints={member: Checkpoint.read_member(folder / "checkpoints", member) for member in members},
            history=read_frame(folder / "history.parquet", HISTORY_SCHEMA),
            predictions=read_frame(folder / "predictions.parquet", PREDICTIONS_SCHEMA),
            metrics=read_frame(folder / "metrics.parquet", METRICS_SCHEMA),
        )


def network_histories(history: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the epochs of each network by its name for display: those of the final member first, then fold by fold.

    A network that is alone in its member has the member's name; others are told apart by their number
    (``"fold-0, network 2"``).

    Args:
        history: ``HISTORY_SCHEMA``.
    """
    parts = {
        (Member.parse(str(member)), int(str(network))): part.sort("epoch")
        for (member, network), part in history.partition_by("member", "network", as_dict=True).items()
    }
    size = Counter(member for member, _ in parts)
    ordered = sorted(parts, key=lambda key: (-1 if key[0].fold is None else key[0].fold, key[1]))
    return {
        str(member) if size[member] == 1 else f"{member}, network {network}": parts[member, network]
        for member, network in ordered
    }
