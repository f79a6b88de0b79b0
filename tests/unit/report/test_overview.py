"""What the first screen of a study of several says, and what it keeps to the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from icudl.analysis.conditions import CONDITIONS
from icudl.analysis.intervals import wilson
from icudl.analysis.numbers.comparison import AttackLine, Estimate, Flips, ModelLine
from icudl.report.elements import Note, Section
from icudl.report.sections.overview import overview_section
from icudl.report.study import StudyResults
from report_study import fake_table


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


def attacked(model: str, flipped: int, of: int, data: str = "main", plugin: str = "sweep") -> AttackLine:
    none = Flips(attacked=0, flipped=0, share=Estimate(None, None, None))
    flips: Mapping[str, Flips] = dict.fromkeys(CONDITIONS, none) | {
        "both": Flips(attacked=of, flipped=flipped, share=Estimate(*wilson(flipped, of)))
    }
    return AttackLine(
        model=model,
        attack="one_value",
        data=data,
        plugin=plugin,
        threat_model="measured",
        flips=flips,
        fewest=1.0,
        charted=1.0,
    )


def warnings(section: Section) -> list[str]:
    return [block.text for block in section.blocks if isinstance(block, Note) and block.level == "warning"]


def test_one_warning_four_cards_and_four_sentences(study: StudyResults) -> None:
    no_more = Estimate(-0.03, -0.08, 0.02)
    section = overview_section(
        study,
        [
            scored("lstm", 0.85, 15),
            scored("summary", 0.82, 15, difference=no_more),
            scored("lstm", 0.9, 60, "out-of-fold"),
            scored("lstm", 0.8, 30, "external", "elsewhere"),
            scored("summary", 0.81, 30, "external", "elsewhere"),
        ],
        [
            attacked("lstm", 2, 40),
            attacked("summary", 5, 40),
            attacked("lstm", 3, 30, "elsewhere"),
            attacked("summary", 6, 30, "elsewhere"),
        ],
    )
    (warning,) = warnings(section)
    assert "15 of the held-out test stays of main and 30 of the stays of elsewhere" in warning
    assert "out-of-fold" not in warning
    assert section.lead[:3] == (
        (
            "On 150 held-out test stays of main (15 deaths), the AUROC runs from 0.820 (summary) to 0.850 (lstm); no "
            "other model differs from lstm by more than chance explains."
        ),
        (
            "The attack “one_value” (one charted value may change) flips summary most often (12.5 %, 5 of 40 "
            "attacked stays) and lstm least often (5.0 %, 2 of 40 attacked stays); their 95 % intervals overlap, so "
            "chance may explain the difference."
        ),
        (
            "On 300 stays of elsewhere (30 deaths), where nothing was fitted, the AUROC runs from 0.800 (lstm) to "
            "0.810 (summary) and “one_value” flips 10.0 % (lstm) to 20.0 % (summary) of the predictions."
        ),
    )
    assert len(section.lead) == 4
    assert [(fact.label, fact.value) for fact in section.facts] == [
        ("ICU stays studied", "150"),
        ("AUROC of lstm, best of 2", "0.850"),
        ("Flipped by one_value, most: summary", "12.5 %"),
        ("Flipped by one_value, least: lstm", "5.0 %"),
    ]
    assert section.facts[1].detail == "95 % interval 0.800 to 0.900; 150 held-out test stays, 15 deaths"
    assert section.facts[3].detail == "95 % interval 1.4 % to 16.5 %; 2 of 40 attacked stays"


def test_intervals_apart_are_told_apart(study: StudyResults) -> None:
    lines = [attacked("lstm", 1, 60), attacked("summary", 30, 60)]
    worse = Estimate(-0.2, -0.3, -0.1)
    models = [scored("lstm", 0.85, 15), scored("summary", 0.65, 15, difference=worse)]
    lead = overview_section(study, models, lines).lead
    assert "summary differs from lstm by more than chance explains" in lead[0]
    assert "their 95 % intervals do not overlap" in lead[1]


def test_nothing_is_said_of_a_handful(study: StudyResults) -> None:
    section = overview_section(
        study,
        [scored("lstm", 0.912, 9), scored("lstm", 0.934, 9, "external", "elsewhere")],
        [attacked("lstm", 7, 9), attacked("summary", 1, 9), attacked("lstm", 7, 9, "elsewhere")],
    )
    said = " ".join([*section.lead, *(f"{fact.value} {fact.detail}" for fact in section.facts)])
    assert not any(number in said for number in ("0.912", "0.934", "77.8 %", "11.1 %"))
    assert "fewer than 10 patients died" in section.lead[0]
    assert "fewer than 10 stays" in section.lead[1]
    assert "too few to tell" in section.lead[2]
    assert [fact.value for fact in section.facts[1:]] == ["–", "–"]


def test_out_of_fold_stays_speak_where_the_test_holds_too_few_deaths(study: StudyResults) -> None:
    models = [scored("lstm", 0.99, 4), scored("lstm", 0.8, 20, "out-of-fold")]
    section = overview_section(study, models, [attacked("lstm", 2, 40)])
    assert section.lead[0].startswith("On 200 out-of-fold stays of main (20 deaths), lstm reaches an AUROC of 0.800")
    assert "4 of the held-out test stays of main and 20 of the out-of-fold stays of main" in warnings(section)[0]


def test_cells_that_were_never_charted_are_told_of_first(study: StudyResults) -> None:
    lines = [
        dataclasses.replace(attacked(model, 5, 40, plugin="proximal"), threat_model="grid", charted=charted)
        for model, charted in (("lstm", 0.4), ("summary", 0.3))
    ]
    sentence = overview_section(study, [scored("lstm", 0.85, 15)], lines).lead[1]
    assert sentence == (
        "The attack “one_value” (any cell of the filled-in record may change; 60.0 % to 70.0 % of the cells it changed "
        "were never charted) flips the same share of predictions of every model: 12.5 %."
    )


def test_enough_deaths_need_no_warning(study: StudyResults) -> None:
    real = dataclasses.replace(
        study, lineage=tuple(dataclasses.replace(entry, plugin="mimic4") for entry in study.lineage)
    )
    assert overview_section(real, [scored("lstm", 0.85, 100)], [attacked("lstm", 2, 40)]).blocks == ()
