"""What the first screen of a report says, and what it keeps to the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.intervals import wilson
from icudl.analysis.numbers.comparison import AttackLine, Estimate, Flips, ModelLine
from icudl.analysis.numbers.headline import headline
from icudl.artifacts import Outcome
from icudl.report.elements import Answer, Entry, SharesPicture, StayPicture, Table
from icudl.report.options import ReportOptions
from icudl.report.sections.answer.answer import answer
from icudl.report.sections.answer.conclusions import attack_sentence, models_sentence
from icudl.report.sections.side_by_side import models_section
from icudl.report.study import StudyResults
from report_study import fake_study, fake_table


@pytest.fixture(scope="module")
def study() -> StudyResults:
    return fake_table(100)


def scored(
    model: str, auroc: float, deaths: int, split: str = "test", data: str = "main", difference: Estimate | None = None
) -> ModelLine:
    return ModelLine(
        model=model,
        baseline=False,
        beside="",
        data=data,
        split=split,
        stays=10 * deaths,
        deaths=deaths,
        scores={"auroc": Estimate(auroc, auroc - 0.05, auroc + 0.05)},
        difference=difference,
    )


def attacked(
    model: str,
    flipped: int,
    of: int,
    data: str = "main",
    plugin: str = "sweep",
    attack: str = "one_value",
    fewest: float | None = 1.0,
) -> AttackLine:
    none = Flips(attacked=0, flipped=0, share=Estimate(None, None, None))
    flips: Mapping[str, Flips] = dict.fromkeys(CONDITIONS, none) | {
        "both": Flips(attacked=of, flipped=flipped, share=Estimate(*wilson(flipped, of)))
    }
    return AttackLine(
        model=model,
        attack=attack,
        data=data,
        plugin=plugin,
        threat_model="measured",
        flips=flips,
        fewest=fewest,
        charted=1.0,
    )


def told(study: StudyResults, models: list[ModelLine], attacks: list[AttackLine], **options: bool) -> Answer:
    found = headline(models, attacks, study.main.name)
    return answer(study, ReportOptions(**options), models, attacks, found)  # type: ignore[arg-type]


def warnings(of: Answer) -> list[str]:
    return [note.text for note in of.notes if note.level == "warning"]


NO_MORE = Estimate(-0.03, -0.08, 0.02)
SEVERAL = [
    scored("lstm", 0.85, 15),
    scored("summary", 0.82, 15, difference=NO_MORE),
    scored("lstm", 0.9, 60, "out-of-fold"),
    scored("lstm", 0.8, 30, "external", "elsewhere"),
    scored("summary", 0.81, 30, "external", "elsewhere"),
]
ONE_VALUE = [
    attacked("lstm", 2, 40),
    attacked("summary", 5, 40),
    attacked("lstm", 3, 30, "elsewhere"),
    attacked("summary", 6, 30, "elsewhere"),
]


def test_the_first_screen_of_several_models(study: StudyResults) -> None:
    found = told(study, SEVERAL, ONE_VALUE)
    assert found.headline == "One wrong charted value is enough to flip 5.0 % of the predictions of the model lstm."
    assert found.lead[:2] == (
        (
            "That is 2 of 40 attacked stays of main; 95 % interval 1.4 % to 16.5 %. Flipped least often is lstm "
            "(5.0 %), most often summary (12.5 %); chance may explain the difference."
        ),
        (
            "On 300 stays of elsewhere (30 deaths), where nothing was fitted, the AUROC runs from 0.800 (lstm) to "
            "0.810 (summary) and “one_value” flips 10.0 % (lstm) to 20.0 % (summary) of the predictions."
        ),
    )
    assert [(fact.value, fact.warning) for fact in found.facts] == [
        ("0.850", False),
        ("5.0 %", False),
        ("15 deaths", True),
    ]
    assert found.facts[0].detail == "95 % interval 0.800 to 0.900; 150 held-out test stays, 15 deaths"
    assert found.facts[1].detail == "95 % interval 1.4 % to 16.5 %; 2 of 40 attacked stays"
    (warning,) = warnings(found)
    assert "15 of the held-out test stays of main and 30 of the stays of elsewhere" in warning
    assert "out-of-fold" not in warning


def test_what_another_hospital_tells(study: StudyResults) -> None:
    home = scored("lstm", 0.85, 150)
    thin = told(study, [home, scored("lstm", 0.8, 70, "external", "elsewhere")], [attacked("lstm", 2, 900)])
    (warning,) = warnings(thin)
    assert warning.startswith("The metrics of elsewhere are no evidence: ")
    assert "demonstration" not in warning
    assert "Test it on more stays elsewhere" in [each.title for each in thin.advice]
    enough = told(study, [home, scored("lstm", 0.8, 170, "external", "elsewhere")], [attacked("lstm", 2, 900)])
    assert "Expect what elsewhere shows" in [each.title for each in enough.advice]
    alone = told(study, [home], [attacked("lstm", 2, 900)])
    assert "Test it elsewhere" in [each.title for each in alone.advice]


def test_another_outcome_stands_beside_its_stays(study: StudyResults) -> None:
    data = [
        dataclasses.replace(
            each, grid=dataclasses.replace(each.grid, outcome=Outcome(event="icu_death", phrase="death in the ICU"))
        )
        for each in study.external
    ]
    changed = dataclasses.replace(study, data=(study.main, *data))
    for of, ending in ((study, "30 deaths"), (changed, "30 deaths; judged by death in the ICU")):
        (table,) = models_section(of, SEVERAL, {"lstm": "", "summary": ""}).blocks
        assert isinstance(table, Table)
        on = {cell.detail for row in table.rows for cell in row if isinstance(cell, Entry) and "external" in cell.text}
        assert on == {f"300 stays, {ending}"}


def test_other_questions_stand_beside_the_first(study: StudyResults) -> None:
    several = attacked("lstm", 39, 40, plugin="greedy", attack="one_value", fewest=3.0)
    errors = attacked("lstm", 4, 40, plugin="entry_errors", attack="one_value")
    found = told(study, SEVERAL, [errors, several, *ONE_VALUE])
    assert "One wrong charted value" in found.headline
    assert (
        "Where several charted values may be wrong, 97.5 % flip, half of them with at most 3 values." in found.lead[1]
    )
    assert "swapped digits" in found.lead[1]
    assert "flips 10.0 %" in found.lead[1]
    assert ("How many charted values it takes", "3") in [(fact.label, fact.value) for fact in found.facts]


def test_a_model_is_preferred_only_where_chance_does_not_explain_it(study: StudyResults) -> None:
    def titles(models: list[ModelLine], attacks: list[AttackLine]) -> list[str]:
        return [each.title for each in told(study, models, attacks).advice]

    apart = [attacked("lstm", 1, 60), attacked("summary", 30, 60)]
    worse = [scored("lstm", 0.7, 15), scored("summary", 0.82, 15)]
    assert "Prefer lstm" in titles(SEVERAL, apart)
    assert "Weigh summary against lstm" in titles(worse, apart)
    for models in (SEVERAL, worse):
        assert "Choose no model by these shares yet" in titles(models, ONE_VALUE)


def test_equal_shares_choose_no_model(study: StudyResults) -> None:
    found = told(study, SEVERAL, [attacked("lstm", 40, 40), attacked("summary", 40, 40)])
    assert [each.text for each in found.advice if each.title.startswith("Choose no model")] == [
        "lstm ranks patients best (AUROC 0.850); every model is flipped equally often (100 %)."
    ]


def test_intervals_apart_are_told_apart(study: StudyResults) -> None:
    lines = [attacked("lstm", 1, 60), attacked("summary", 30, 60)]
    models = [scored("lstm", 0.85, 15), scored("summary", 0.65, 15, difference=Estimate(-0.2, -0.3, -0.1))]
    assert "summary differs from lstm by more than chance explains" in models_sentence(study, models)
    assert "by more than chance explains" in attack_sentence(study, lines, "one_value")
    assert "chance does not explain the difference" in told(study, models, lines).lead[0]
    assert "chance" not in attack_sentence(study, ONE_VALUE, "one_value")


def test_nothing_is_said_of_a_handful(study: StudyResults) -> None:
    models = [scored("lstm", 0.912, 9), scored("lstm", 0.934, 9, "external", "elsewhere")]
    attacks = [attacked("lstm", 7, 9), attacked("summary", 1, 9), attacked("lstm", 7, 9, "elsewhere")]
    found = told(study, models, attacks)
    said = " ".join(
        [
            found.headline,
            *found.lead,
            *(f"{fact.value} {fact.detail}" for fact in found.facts),
            *(f"{each.title} {each.text}" for each in found.advice),
        ]
    )
    assert not any(number in said for number in ("0.912", "0.934", "77.8 %", "11.1 %"))
    assert found.headline.startswith("Too few stays were attacked")
    assert "fewer than 10 patients died" in models_sentence(study, models)
    assert "fewer than 10 stays" in attack_sentence(study, attacks, "one_value")
    assert "too few to tell" in found.lead[0]
    assert [fact.value for fact in found.facts[:2]] == ["–", "–"]
    assert found.picture is None


def test_out_of_fold_stays_speak_where_the_test_holds_too_few_deaths(study: StudyResults) -> None:
    models = [scored("lstm", 0.99, 4), scored("lstm", 0.8, 20, "out-of-fold")]
    found = told(study, models, [attacked("lstm", 2, 40)])
    assert found.facts[0].value == "0.800"
    assert "200 out-of-fold stays, 20 deaths" in found.facts[0].detail
    assert "4 of the held-out test stays of main and 20 of the out-of-fold stays of main" in warnings(found)[0]


def test_cells_that_were_never_charted_are_told_of_in_the_first_sentence(study: StudyResults) -> None:
    lines = [
        dataclasses.replace(attacked(model, 5, 40, plugin="proximal"), threat_model="grid", charted=charted)
        for model, charted in (("lstm", 0.4), ("summary", 0.3))
    ]
    found = told(study, [scored("lstm", 0.85, 15)], lines)
    assert found.headline == (
        "Most of the changed cells were never charted (60.0 %): changes of the filled-in record flip 12.5 % of the "
        "predictions of the model lstm."
    )
    charted = told(study, [scored("lstm", 0.85, 15)], [*lines, attacked("lstm", 8, 40)])
    assert charted.headline.startswith("One wrong charted value is enough to flip 20.0 %")
    assert "100" not in charted.headline


@pytest.mark.parametrize(("deaths", "enough"), [(99, False), (100, True)])
def test_a_hundred_deaths_are_enough_to_speak_of_a_model(study: StudyResults, deaths: int, enough: bool) -> None:
    """Vergouwe et al. 2005, Collins et al. 2016: at least 100 events."""
    found = told(study, [scored("lstm", 0.85, deaths)], [attacked("lstm", 2, 40)])
    assert (not warnings(found)) is enough
    assert (not any(fact.warning for fact in found.facts)) is enough


def test_enough_deaths_need_no_warning(study: StudyResults) -> None:
    real = dataclasses.replace(
        study, lineage=tuple(dataclasses.replace(entry, plugin="mimic4") for entry in study.lineage)
    )
    found = told(real, [scored("lstm", 0.85, 100)], [attacked("lstm", 2, 40)])
    assert found.notes == ()
    assert not any(fact.warning for fact in found.facts)


def test_the_picture_is_a_stay_that_the_fewest_values_flip(study: StudyResults) -> None:
    attack = study.attacks[0]
    picture = told(study, SEVERAL, [dataclasses.replace(attacked("lstm", 20, 40))]).picture
    assert isinstance(picture, StayPicture)
    (stay,) = picture.pack["stays"]
    fragility = attack.susceptibility.tables["fragility"]
    assert stay["best"]["changed"] == fragility["changed"].min()
    assert picture.title.startswith(f"Stay {stay['id']}: ")
    assert "the risk goes from" in picture.text


def test_the_picture_of_restricted_data_is_of_all_stays() -> None:
    study = fake_table(100, restricted=True)
    lines = [attacked("lstm", 20, 40)]
    picture = told(study, SEVERAL, lines).picture
    assert isinstance(picture, SharesPicture)
    assert sum(share for _, share in picture.shares) == pytest.approx(1)
    shown = told(study, SEVERAL, lines, show_restricted_rows=True).picture
    assert isinstance(shown, StayPicture)


def test_a_model_alone_is_called_what_it_is() -> None:
    study = fake_study(100)
    line = dataclasses.replace(attacked("main", 8, 40), attack="main")
    assert "of the predictions of the LSTM." in told(study, [scored("main", 0.8, 20)], [line]).headline
