"""What a model predicts: the outcome that the labels of a data set stand for."""

from __future__ import annotations

import dataclasses

HOSPITAL_DEATH_EVENT = "hospital_death"
DEATHS: tuple[str, ...] = (HOSPITAL_DEATH_EVENT, "icu_death", "death_within_days")
"""Events that are deaths."""

EVENTS: tuple[str, ...] = (*DEATHS, "long_stay", "readmission", "column")
"""What may be predicted; ``column`` is a column of 0 and 1 of a hospital's own table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """An outcome with the words for it.

    Attributes:
        event: One of ``EVENTS``.
        phrase: The outcome in the middle of a sentence: "death in hospital", "ICU stay longer than 7 days".
    """

    event: str
    phrase: str

    @property
    def is_death(self) -> bool:
        """Whether the outcome is a death."""
        return self.event in DEATHS


HOSPITAL_DEATH = Outcome(event=HOSPITAL_DEATH_EVENT, phrase="death in hospital")
"""The outcome unless another is asked for."""
