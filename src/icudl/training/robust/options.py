"""Options of robust training. The module does not import torch, so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustOptions(Options):
    """Training of networks against wrong and missing values. All of it is off by default, and each part combines.

    Only stays that a network is fitted on are altered, anew in every epoch: validation stays, which choose epoch,
    calibration and threshold, are read as they are, and so is every stay that is scored.
    """

    table: ClassVar[str] = "robust"

    error_rate: float = option(
        0.0,
        "Chance that an entry of a stay to fit is wrong: one of the mistakes of the attack entry_errors that stays "
        "plausible, drawn with equal chances.",
        low=0.0,
        high=1.0,
    )
    value_dropout: float = option(0.0, "Chance that a charted value of a stay to fit is left out.", low=0.0, high=0.95)
    variable_dropout: float = option(
        0.0, "Chance that all values of a variable are left out of a stay to fit.", low=0.0, high=0.95
    )
    adversarial_share: float = option(
        0.0,
        "Share of the loss that is taken of records in which charted values were changed on purpose, within the threat "
        "model measured, towards the wrong verdict.",
        low=0.0,
        high=1.0,
    )
    consistency: float = option(
        0.0,
        "Weight of the divergence between the risks of a record as it is and of the one changed on purpose (as in "
        "TRADES, Zhang et al. 2019), added to the loss.",
        low=0.0,
        high=100.0,
    )
    changed_values: int = option(1, "Charted values that are changed on purpose in a record.", low=1, high=1000)
    tries: int = option(
        4,
        "Changes tried on each record, of which the worst is taken: the half rounded up by gradient, the others at "
        "random.",
        low=1,
        high=1000,
    )

    @property
    def alters(self) -> bool:
        """Whether records are altered at random."""
        return self.error_rate > 0 or self.value_dropout > 0 or self.variable_dropout > 0

    @property
    def searches(self) -> bool:
        """Whether changes are sought on purpose."""
        return self.adversarial_share > 0 or self.consistency > 0

    @property
    def active(self) -> bool:
        """Whether training differs from the usual one."""
        return self.alters or self.searches
