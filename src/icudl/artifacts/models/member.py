"""Which model of a training is meant."""

from __future__ import annotations

import dataclasses
import re
from typing import Self

_FOLD = re.compile(r"fold-(0|[1-9][0-9]*)")
_FINAL = "final"


@dataclasses.dataclass(frozen=True)
class Member:
    """One model of a training: the model of a fold, or the final one.

    Tables, file names and mappings use the text of a member: ``"fold-0"``, ``"final"``.

    Attributes:
        fold: The fold that the model was not fitted on. None for the final model, which was fitted on every stay that
            is not a test stay.
    """

    fold: int | None = None

    @classmethod
    def of_fold(cls, fold: int) -> Self:
        """Return the member that was not fitted on the stays of a fold; -1 is the fold of test stays."""
        return cls(None if fold < 0 else int(fold))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the member whose text this is.

        Raises:
            ValueError: The text is that of no member.
        """
        if text == _FINAL:
            return cls()
        found = _FOLD.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a member of a training. Expected 'final', 'fold-0', 'fold-1', ...")
        return cls(int(found.group(1)))

    def __str__(self) -> str:
        return _FINAL if self.fold is None else f"fold-{self.fold}"


FINAL = Member()
"""The member that was fitted on every stay that is not a test stay."""
