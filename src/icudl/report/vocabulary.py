"""The words of a page for outcomes other than death in hospital.

Sections are written for deaths in hospital. What they say is put into the words of another outcome in one place, after
they are made, so that no section has to know which outcome it speaks of.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from icudl.artifacts import HOSPITAL_DEATH, Outcome
from icudl.report.elements import Code, Section, Table

_NOUNS = {"long_stay": ("long stay", "long stays"), "readmission": ("readmission", "readmissions")}
_EVENT = ("event", "events")
_AS_WRITTEN = ("attrition", "cleaning", "lineage")
"""Tables whose cells are names of rules and criteria."""

_FIELDS_AS_WRITTEN = frozenset({"id", "chapter"})
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words for one outcome.

    Attributes:
        outcome: The outcome.
        words: What stands for each word of a page about deaths in hospital, in lower case.
        protected: Texts that are left as they are: names that a user has given.
    """

    outcome: Outcome
    words: Mapping[str, str]
    protected: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcome: Outcome, protected: Iterable[str] = ()) -> Vocabulary:
        """Return the words for an outcome."""
        return cls(outcome, _words(outcome), tuple(sorted(set(protected), key=len, reverse=True)))

    def text(self, text: str) -> str:
        """Return a text in these words; a capital at the beginning of a word stays one."""
        if not self.words:
            return text
        return self._pattern().sub(lambda found: found[0] if found["kept"] else self._word(found[0]), text)

    def value(self, value: Value) -> Value:
        """Return a section, a block or anything they are made of in these words."""
        return cast("Value", self._value(value)) if self.words else value

    def _pattern(self) -> re.Pattern[str]:
        kept = "|".join(re.escape(name) for name in self.protected) or "(?!)"
        words = "|".join(re.escape(word) for word in sorted(self.words, key=len, reverse=True))
        return re.compile(rf"(?P<kept>(?<![\w-])(?:{kept})(?![\w-]))|(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)

    def _word(self, found: str) -> str:
        word = self.words[found.lower()]
        return word[:1].upper() + word[1:] if found[:1].isupper() else word

    def _value(self, value: Any) -> Any:  # noqa: PLR0911 - one case per kind of value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, tuple | list):
            return type(value)(self._value(item) for item in value)
        if isinstance(value, Code) or (isinstance(value, Section) and value.id == "origin"):
            return value
        if isinstance(value, Table) and value.id.split("--")[0] in _AS_WRITTEN:
            return dataclasses.replace(value, columns=self._value(value.columns), text=self.text(value.text))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changed = {
                field.name: self._told(getattr(value, field.name), is_pack=field.name == "pack")
                for field in dataclasses.fields(value)
                if field.init and field.name not in _FIELDS_AS_WRITTEN
            }
            return dataclasses.replace(value, **changed)
        if isinstance(value, Mapping):
            return {key: self._value(item) for key, item in value.items()}
        return value

    def _told(self, value: Any, *, is_pack: bool) -> Any:
        """Return a field of a block; stays that are packed for a script take the words along."""
        return dict(value) | {"words": self.of_stays()} if is_pack else self._value(value)

    def of_stays(self) -> dict[str, str]:
        """Return what the explorer of single stays says."""
        none, one = self.text("survival"), self.text("death")
        yes = f"The outcome: {self.outcome.phrase}."
        no = f"Not the outcome, {self.outcome.phrase}."
        return {"yes": yes, "no": no, "none": none, "one": one}


def _words(outcome: Outcome) -> dict[str, str]:
    if outcome == HOSPITAL_DEATH:
        return {}
    if outcome.is_death:
        when = outcome.phrase.removeprefix("death ")
        return {
            "dies in hospital": f"dies {when}",
            "died in hospital": f"died {when}",
            "death in the icu": outcome.phrase,
            "death in hospital": outcome.phrase,
        }
    one, many = _NOUNS.get(outcome.event, _EVENT)
    return {
        "predicts whether the patient dies in hospital": f"predicts the outcome: {outcome.phrase}",
        "died in hospital": f"had the outcome, {outcome.phrase}",
        "death in the icu": outcome.phrase,
        "death in hospital": outcome.phrase,
        "patient who died": "patient with the outcome",
        "one who survived": "one without it",
        "patients who died": "patients with the outcome",
        "patients who survived": "patients without it",
        "who died": "with the outcome",
        "who survived": "without the outcome",
        "patients predicted to die": "patients predicted to have the outcome",
        "predicted to die": "predicted to have the outcome",
        "such patients die": "such patients have the outcome",
        "will die": "will have the outcome",
        "die": "have the outcome",
        "died": "with the outcome",
        "survived": "without it",
        "survivors": "patients without the outcome",
        "survival": f"no {one}",
        "death": one,
        "deaths": many,
        "mortality": "share with the outcome",
    }
