"""Figures of the fitting: losses and validation scores by epoch."""

from __future__ import annotations

import polars as pl

from icudl.artifacts import network_histories
from icudl.report.charts.descriptions import Axis, Line, Lines
from icudl.report.elements import Block, Figure, Switch
from icudl.report.wording import rounded

EPOCH = Axis(label="Epoch", whole=True)
SCORES = {"valid_auroc": "AUROC", "valid_auprc": "AUPRC"}


def training_curves(history: pl.DataFrame) -> list[Block]:
    """Draw losses and validation scores by epoch, one series for each network."""
    rows = network_histories(history)
    members = list(rows)

    def line(name: str, member: str, column: str, dash: int) -> Line:
        return Line(name=name, x=rows[member]["epoch"].to_list(), y=rounded(rows[member][column]), dash=dash % 6)

    loss = {
        member: Lines(
            x=EPOCH,
            y=Axis(label="Loss"),
            series=(line("Validation", member, "valid_loss", 0), line("Training", member, "train_loss", 1)),
        )
        for member in members
    }
    scores = {
        column: Lines(
            x=EPOCH,
            y=Axis(label=f"Validation {label}"),
            series=tuple(line(member, member, column, place) for place, member in enumerate(members)),
        )
        for column, label in SCORES.items()
    }
    basis = "Stays of the training folds: those fitted on, and the validation stays of each member."
    return [
        Figure(
            "training-loss",
            "Loss while training",
            "Loss on the stays fitted on and on the validation stays, by epoch. Training stops when the validation "
            "score no longer gets better; a growing distance between the two is over-fitting.",
            loss,
            (Switch("member", "Member", tuple((member, member) for member in members)),),
            basis=basis,
        ),
        Figure(
            "training-scores",
            "Validation scores while training",
            "Score on the validation stays of each member (one a fold, and the final model), by epoch. The best epoch "
            "is kept.",
            scores,
            (Switch("score", "Score", tuple(SCORES.items())),),
            basis=basis,
        ),
    ]
