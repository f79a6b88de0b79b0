"""Options of pretraining. The module does not import torch, so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.errors import ConfigError
from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainOptions(Options):
    """Pretraining without outcomes, for networks with recurrent layers: these learn to tell hidden charted values.

    A network is pretrained on the stays that it is fitted on, and on no others. What is hidden is drawn anew in every
    epoch, and looks as if it had never been charted.
    """

    table: ClassVar[str] = "pretrain"

    epochs: int = option(
        0,
        "Passes over the stays to fit before the outcomes are looked at; 0 leaves pretraining out.",
        low=0,
        high=10_000,
    )
    learning_rate: float = option(
        2e-3, "Learning rate of the first epoch; it falls to a hundredth.", low=1e-8, high=10.0
    )
    value_share: float = option(0.15, "Chance that a charted value is hidden.", low=0.0, high=0.95)
    run_share: float = option(
        0.15, "Chance that a variable of a stay is hidden for a run of hours, which lies anywhere in the stay.",
        low=0.0,
        high=0.95,
    )  # fmt: skip
    run_hours: int = option(12, "Hours of such a run.", low=1, high=8760)
    variable_share: float = option(0.1, "Chance that a variable of a stay is hidden in all hours.", low=0.0, high=0.95)
    encoder_rate: float = option(
        1.0,
        "Learning rate of the pretrained layers when the network is fitted, as a share of that of all others; 0 leaves "
        "them as they are.",
        low=0.0,
        high=10.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.active and not self.value_share + self.run_share + self.variable_share > 0:
            raise ConfigError(
                f"pretrain.epochs = {self.epochs}, but nothing is hidden: value_share, run_share and variable_share "
                "are 0. Set one of them, or epochs = 0."
            )

    @property
    def active(self) -> bool:
        """Whether networks are pretrained."""
        return self.epochs > 0
