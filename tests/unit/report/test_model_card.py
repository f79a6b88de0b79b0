"""Model cards: what they tell, what they leave to a person, and that their files are well formed."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest

from attack_cases import make_case
from icudl.artifacts import METRICS_SCHEMA, PREDICTIONS_SCHEMA, LineageEntry, Outcome, TrainingResult
from icudl.report.card.chai import NAMESPACE, to_xml
from icudl.report.card.contents import Card, Described, ToFill, make_card
from icudl.report.card.writers import to_html, to_markdown
from icudl.training.pretraining.options import PretrainOptions
from icudl.training.robust.options import RobustOptions

N_STAYS = 30
NASTY = "<script>alert(1)</script> | & x"


@pytest.fixture(scope="module")
def card() -> Card:
    grid, made = make_case(N_STAYS)
    metrics = [
        ("lstm", "test", "all", "auroc", 0.81, 0.7, 0.9, 20, 4),
        ("lstm", "test", "all", "ece", 0.03, 0.01, 0.05, 20, 4),
        ("lstm", "test", "sex=F", "auroc", 0.75, 0.6, 0.9, 200, 40),
        ("lstm", "test", "sex=M", "auroc", 1.0, 1.0, 1.0, 9, 1),
        ("logistic_regression", "test", "all", "auroc", 0.5, 0.4, 0.6, 20, 4),
    ]
    predictions = [("lstm", "final", "test", -1, stay, stay % 2, 0.25, 0.5) for stay in range(4)]
    training = TrainingResult(
        checkpoints=made.checkpoints,
        history=made.history,
        predictions=pl.DataFrame(predictions, dict(PREDICTIONS_SCHEMA), orient="row"),
        metrics=pl.DataFrame(metrics, dict(METRICS_SCHEMA), orient="row"),
    )
    entry = LineageEntry(
        name="train/main", node="train", id="abc", upstream={}, options={}, requested={}, warnings=(NASTY,)
    )
    return make_card(
        Described(
            name="main",
            reference="train/abc",
            version="0.2.0",
            training=training,
            grid=grid,
            lineage=[entry],
            hashes={"train/abc": "f00d"},
            scores={},
            attacks={},
            certificates={},
            probes={},
        )
    )


def test_a_card_tells_the_scores_of_its_model_and_of_groups_that_are_no_handful(card: Card) -> None:
    text = to_markdown(card)
    assert "| AUROC (test, 20 stays, 4 deaths) | 0.810 | 0.700 to 0.900 |" in text
    assert "AUROC of Sex: women (test, 200 stays, 40 deaths)" in text
    assert "Sex: men" not in text
    assert len(card.usefulness) == 2  # and no score of the baseline
    assert "| test | 0.2500 | 0.5000 |" in text
    assert "f00d" in text
    assert "`icudl verify --rerun train/abc`" in text


def test_a_card_without_a_group_large_enough_says_so_and_shows_no_empty_table(card: Card) -> None:
    of = card.described
    training = dataclasses.replace(of.training, metrics=of.training.metrics.filter(subgroup="all"))
    chapter = next(
        each for each in make_card(dataclasses.replace(of, training=training)).chapters if each.title == "Subgroups"
    )
    assert chapter.blocks[0] == "Not told: no group has 10 deaths or more."


def test_a_card_says_that_its_intervals_resample_patients(card: Card) -> None:
    assert "bootstrap intervals over patients" in to_markdown(card)


def test_a_card_speaks_of_the_outcome_that_its_model_predicts(card: Card) -> None:
    outcome = Outcome(event="long_stay", phrase="ICU stay longer than 7 days")
    grid = dataclasses.replace(card.described.grid, outcome=outcome)
    told = make_card(dataclasses.replace(card.described, grid=grid))
    text, xml = to_markdown(told), to_xml(told)
    assert "gives the risk of ICU stay longer than 7 days" in text
    assert "ICU stay longer than 7 days" in xml
    assert re.search(r"\b(deaths?|died|mortality|survivors?)\b", f"{text}{xml}", re.IGNORECASE) is None
    assert "risk of death in hospital" in to_markdown(card)


def test_a_card_tells_how_its_model_was_made_robust(card: Card) -> None:
    robust = {"robust": RobustOptions(adversarial_share=0.5, value_dropout=0.1).to_dict()}
    lineage = [dataclasses.replace(entry, options=robust) for entry in card.described.lineage]
    told = to_markdown(make_card(dataclasses.replace(card.described, lineage=lineage)))
    words = "10.0 % of the values left out and 50.0 % of the loss on records changed on purpose."
    assert f"Robust training: {words}" in told
    assert "Robust training" not in to_markdown(card)


def test_a_card_tells_how_its_model_was_pretrained(card: Card) -> None:
    both = {"pretrain": PretrainOptions(epochs=7).to_dict(), "robust": RobustOptions(value_dropout=0.1).to_dict()}
    lineage = [dataclasses.replace(entry, options=both) for entry in card.described.lineage]
    told = to_markdown(make_card(dataclasses.replace(card.described, lineage=lineage)))
    words = "Pretrained without outcomes, to tell hidden charted values, in 7 passes over its training stays; robust"
    assert words in told
    assert "etrained without" not in to_markdown(card)


def test_a_card_tells_that_its_model_reads_in_parts(card: Card) -> None:
    training = card.described.training
    in_parts = {
        name: dataclasses.replace(each, model={**each.model, "parts": 3, "parts_limit": 0.1})
        for name, each in training.checkpoints.items()
    }
    of = dataclasses.replace(card.described, training=dataclasses.replace(training, checkpoints=in_parts))
    words = "whole and in 3 parts, and its logit lies within 0.1 of the middle one"
    assert words in to_markdown(make_card(of))
    assert words not in to_markdown(card)


def test_what_was_not_measured_is_a_limit(card: Card) -> None:
    assert any("`[probe]`" in limit for limit in card.limits)
    assert any("another hospital" in limit for limit in card.limits)
    assert any("next to no evidence" in limit for limit in card.limits)
    assert "Not measured: the store holds no attack" in to_markdown(card)


def test_what_only_a_person_can_say_is_marked_in_every_format(card: Card) -> None:
    marks = [str(block) for chapter in card.chapters for block in chapter.blocks if isinstance(block, ToFill)]
    assert len(marks) >= 8
    markdown, page = to_markdown(card), to_html(card)
    assert all(mark in markdown for mark in marks)
    assert page.count("<mark>") == len(marks)
    assert "[A person has to fill this in:" in to_xml(card)


def test_text_of_data_is_escaped(card: Card) -> None:
    page = to_html(card)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page

    class Closed(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    reader = Closed()
    reader.feed(page)
    assert reader.open == []


def test_the_applied_model_card_has_the_elements_of_its_schema_in_order(card: Card) -> None:
    root = ET.fromstring(to_xml(card))
    assert root.tag == f"{{{NAMESPACE}}}AppliedModelCard"

    def children(element: ET.Element) -> list[str]:
        return [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]

    assert children(root) == [
        *("BasicInfo", "ReleaseInfo", "ModelSummary", "UsesAndDirections", "Warnings", "TrustIngredients"),
        *("KeyMetrics", "Resources", "Bibliography"),
    ]
    assert children(root[0]) == ["ModelName", "ModelDeveloper", "DeveloperContact"]
    assert children(root[6]) == ["UsefulnessUsabilityEfficacy", "FairnessEquity", "SafetyReliability"]
    for metric in root[6]:
        assert children(metric) == [
            *("MetricGoal", "Results", "Interpretation", "TestType", "TestingDataDescription"),
            "ValidationProcessAndJustification",
        ]
        assert len(metric[1]) >= 1
        for result in metric[1]:
            assert children(result) == ["Label", "ValueJson"]
            assert all(np.isfinite(value) for value in json.loads(str(result[1].text)).values())
    assert json.loads(str(root[6][0][1][0][1].text)) == {"value": 0.81, "low": 0.7, "high": 0.9}
