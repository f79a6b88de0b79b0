"""The words of a page follow its outcome; names that a user has given stay as they are."""

from __future__ import annotations

import pytest

from icudl.artifacts import HOSPITAL_DEATH, Outcome
from icudl.preprocessing.outcome import OutcomeOptions, described
from icudl.report.elements import Code, Entry, Figure, Note, Section, Switch, Table
from icudl.report.names import CONDITION_NAMES
from icudl.report.vocabulary import Vocabulary
from icudl.report.wording import columns, numeric

LONG = described(OutcomeOptions(event="long_stay", days=7))
ICU = described(OutcomeOptions(event="icu_death"))


def test_death_in_hospital_changes_nothing() -> None:
    section = Section("a", "How many died in hospital", "Deaths", ("Mortality",))
    assert Vocabulary.of(HOSPITAL_DEATH).value(section) is section


@pytest.mark.parametrize(
    ("outcome", "text", "expected"),
    [
        (ICU, "14 % died in hospital (30); 30 deaths", "14 % died in the ICU (30); 30 deaths"),
        (ICU, "How well models predict death in the ICU", "How well models predict death in the ICU"),
        (LONG, "1,594 stays, 224 deaths", "1,594 stays, 224 long stays"),
        (LONG, "Deaths recognised", "Long stays recognised"),
        (LONG, "survival flipped to death", "no long stay flipped to long stay"),
        (LONG, "a patient who died above one who survived", "a patient with the outcome above one without it"),
        (LONG, "Observed mortality", "Observed share with the outcome"),
        (LONG, "a diet of deathly studies", "a diet of deathly studies"),
    ],
)  # fmt: skip
def test_sentences_in_the_words_of_an_outcome(outcome: Outcome, text: str, expected: str) -> None:
    assert Vocabulary.of(outcome).text(text) == expected


def test_names_of_the_user_and_identifiers_stay() -> None:
    words = Vocabulary.of(LONG, ["mortality", "death-or-not"])
    assert (
        words.text("mortality reaches 0.8, death-or-not 0.7, death 0.6")
        == "mortality reaches 0.8, death-or-not 0.7, long stay 0.6"
    )
    chosen = words.value(Switch("condition", "Deaths", (("survival_to_death", "Death"),)))
    assert (chosen.options, chosen.label) == ((("survival_to_death", "Long stay"),), "Long stays")
    figure = words.value(Figure("deaths", "Deaths", "Patients who died.", chart=Note("mortality of death")))  # type: ignore[arg-type]
    assert (figure.id, figure.title, figure.text) == ("deaths", "Long stays", "Patients with the outcome.")


def test_rules_criteria_and_settings_stay() -> None:
    words = Vocabulary.of(LONG)
    row = ((Entry("death flag without a time", None),),)
    table = Table("cleaning", "What the rules touched", columns("Variable", numeric("Deaths")), row)
    assert words.value(table).rows == row
    assert words.value(table).columns[1].label == "Long stays"
    code = Code("settings", "Settings", '{"event": "death"}')
    assert words.value(code) is code
    origin = Section("origin", "Where", "Origin", ("deaths",))
    assert words.value(origin) is origin


def test_the_explorer_is_told_the_words() -> None:
    told = Vocabulary.of(LONG).of_stays()
    assert told["yes"] == "The outcome: an ICU stay longer than 7 days from ICU admission."
    assert (told["one"], told["none"]) == ("long stay", "no long stay")
    assert Vocabulary.of(ICU).of_stays()["one"] == "death"


def test_no_word_of_a_direction_is_left() -> None:
    words = Vocabulary.of(described(OutcomeOptions(event="column", name="sepsis")))
    for name in CONDITION_NAMES.values():
        assert "death" not in words.text(name)
        assert "survival" not in words.text(name)
