"""Figures of the fitting: losses and validation scores by epoch."""

from __future__ import annotations

from typing import Any

import polars as pl

from icudl.artifacts import network_histories
from icudl.report.elements import (
    Block,
    Figure,
    Switch,
)
from icudl.report.wording import rounded


def training_curves(history: pl.DataFrame) -> list[Block]:
    """Draw losses and validation scores by epoch, one series for each network."""
    rows = network_histories(history)
    members = list(rows)

    def line(name: str, member: str, column: str, dash: int) -> dict[str, Any]:
        epochs = rows[member]["epoch"].to_list()
        return {"name": name, "x": epochs, "y": rounded(rows[member][column]), "dash": dash % 6}

    loss = {
        member: {"series": [line("Validation", member, "valid_loss", 0), line("Training", member, "train_loss", 1)]}
        for member in members
    }
    scores = {
        column: {
            "y": {"label": f"Validation {label}"},
            "series": [line(member, member, column, place) for place, member in enumerate(members)],
        }
        for column, label in (("valid_auroc", "AUROC"), ("valid_auprc", "AUPRC"))
    }
    return [
        Figure(
            "training-loss",
            "Loss while training",
            "Loss on the stays fitted on and on the validation stays, by epoch. Training stops when the validation "
            "score no longer gets better; a growing distance between the two is over-fitting.",
            {"kind": "lines", "x": {"label": "Epoch"}, "y": {"label": "Loss"}, "variants": loss},
            (Switch("member", "Member", tuple((member, member) for member in members)),),
        ),
        Figure(
            "training-scores",
            "Validation scores while training",
            "Score on the validation stays of each member (one a fold, and the final model), by epoch. The best epoch "
            "is kept.",
            {"kind": "lines", "x": {"label": "Epoch"}, "variants": scores},
            (Switch("score", "Score", (("valid_auroc", "AUROC"), ("valid_auprc", "AUPRC"))),),
        ),
    ]
