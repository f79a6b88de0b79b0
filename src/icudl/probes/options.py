"""Options of probes. The module does not import torch, so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeOptions(Options):
    """Does risk follow clinical derangements, are verdicts reversed by entry errors? Asked where [probe] is given.

    The usual rates are published ones. Of 6,930 manual entries of glucose 3.7 % were wrong, and 0.5 % clinically
    significantly so (Mays and Mathias, J Am Med Inform Assoc 2019;26:269); of fields of electronic data capture 0.14 %
    were (Nahm et al., PLoS One 2008;3:e3049). No source was found that tells the kinds of errors apart, so they have
    equal weights unless others are set.
    """

    table: ClassVar[str] = "probe"

    split: str = option(
        "both",
        "Stays to probe: test, out-of-fold, or both. Each is read by a model that was not fitted on it.",
        choices=("both", "test", "out-of-fold"),
    )
    max_stays: int = option(
        500,
        "Probe at most this many stays (drawn at random, both classes in proportion); 0 probes all.",
        low=0,
        high=1_000_000_000,
    )
    hours: int = option(
        24, "Last hours of a stay in which the charted values of a variable are deranged.", low=1, high=10_000
    )
    steps: int = option(4, "Steps in which a variable goes from its normal value to its deranged one.", low=1, high=100)
    error_rate: float = option(
        0.005, "Chance that a charted entry is wrong: clinically significant errors, Mays 2019.", low=0.0, high=1.0
    )
    error_rate_low: float = option(
        0.0014, "Lower end of the range of that chance: electronic data capture, Nahm 2008.", low=0.0, high=1.0
    )
    error_rate_high: float = option(
        0.037, "Upper end of the range of that chance: all wrong manual entries, Mays 2019.", low=0.0, high=1.0
    )
    weight_transposition: float = option(
        1.0, "Weight of exchanged digits among the errors that can happen to an entry.", low=0.0, high=1000.0
    )
    weight_decimal: float = option(1.0, "Weight of a decimal point that is off by one place.", low=0.0, high=1000.0)
    weight_unit: float = option(1.0, "Weight of another unit.", low=0.0, high=1000.0)
    weight_neighbour: float = option(1.0, "Weight of an exchange with the field beside.", low=0.0, high=1000.0)
    weight_sign: float = option(1.0, "Weight of a lost sign.", low=0.0, high=1000.0)
    weight_copy_forward: float = option(1.0, "Weight of the last value entered again.", low=0.0, high=1000.0)
    draws: int = option(
        40, "Records with two or more errors that are drawn for each stay and rate.", low=2, high=1_000_000
    )
    batch_size: int = option(32, "Stays probed at once, and kept at once when a run is interrupted.", low=1, high=65536)

    @property
    def rates(self) -> tuple[float, float, float]:
        """Lower end, usual rate, upper end."""
        return self.error_rate_low, self.error_rate, self.error_rate_high
