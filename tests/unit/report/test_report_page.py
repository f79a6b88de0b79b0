"""The report as text: what it says, what it leaves out, and that nothing in data can become markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html as html_module
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.analysis.options import AnalysisOptions
from icudl.analysis.susceptibility import analyse_attack
from icudl.artifacts import Report
from icudl.artifacts.models.checkpoint import MET_BEFORE
from icudl.errors import StoreError
from icudl.execution.context import RunContext
from icudl.models.outside.options import OutsideOptions
from icudl.report.build import build_report, embed
from icudl.report.citations import ALWAYS, CITATIONS, cited
from icudl.report.elements import Table
from icudl.report.options import ReportOptions
from icudl.report.sections.model.quality import quality_section
from icudl.report.study import StudyResults
from icudl.report.wording import middle, middle_entry, number, percent
from icudl.stages.report import report
from report_study import MARKUP, fake_study, of_one_attack, with_attack, with_training


@pytest.fixture(scope="module")
def study() -> StudyResults:
    return fake_study(120)


def _data_of(page: str) -> str:
    return page.split('id="report-data">')[1].split("</script>", 1)[0]


@pytest.fixture(scope="module")
def html(study: StudyResults) -> str:
    return build_report(study, ReportOptions()).html


def test_the_same_inputs_give_the_same_bytes(study: StudyResults, html: str, context: RunContext) -> None:
    assert report(study, ReportOptions(), context).html == html


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    without_links = re.sub(r'<a href="https://[^"]*" rel="noreferrer">[^<]*</a>', "", html)
    assert re.findall(r"https?://(?!www\.w3\.org)", without_links) == []
    assert re.findall(r"<(?:link|img|iframe|object|embed)\b|\bsrc=|@import|url\((?!#)", without_links) == []


def test_the_policy_allows_these_scripts_and_this_style_only(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    allowed = policy.group(1).replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'")
    assert "unsafe" not in allowed
    for kind, pattern in (("style", r"<style>(.*?)</style>"), ("script", r"<script>(.*?)</script>")):
        for content in re.findall(pattern, html, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in allowed, kind
    assert re.findall(r"<[^>]+\son[a-z]+=", html.split("<script type=", maxsplit=1)[0]) == []


def test_markup_in_data_is_escaped() -> None:
    page = build_report(fake_study(60, markup=True), ReportOptions(title=f"Study {MARKUP}")).html
    assert MARKUP not in page
    assert "<img" not in page
    assert page.count("</script>") == 3


@given(
    st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)
)
def test_embedded_json_reads_back_and_cannot_end_its_element(value: object) -> None:
    text = embed(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_thin_evidence_is_said_plainly() -> None:
    study = fake_study(120)
    assert "These metrics are no evidence" in build_report(study, ReportOptions()).html


def test_single_stays_of_a_restricted_source_are_left_out() -> None:
    study = fake_study(60, restricted=True)
    hidden = build_report(study, ReportOptions()).html
    assert 'id="stay-explorer"' not in hidden
    numbers = study.main.grid.stay_ids.tolist()
    assert [stay for stay in numbers if str(stay) in hidden] == []
    shown = build_report(study, ReportOptions(show_restricted_rows=True)).html
    assert 'id="stay-explorer"' in shown


def test_the_explorer_holds_the_most_fragile_stays(study: StudyResults) -> None:
    page = build_report(study, ReportOptions(explorer_stays=7)).html
    data = json.loads(_data_of(page))
    expected = of_one_attack(study).susceptibility.tables["fragility"].sort("rank")["stay_id"].head(7).to_list()
    assert [stay["id"] for stay in data["explorers"][0]["pack"]["stays"]] == expected
    without = build_report(study, ReportOptions(explorer_stays=0)).html
    assert 'id="stay-explorer"' not in without


def test_the_answer_stands_beside_the_page_in_the_same_words(study: StudyResults, tmp_path: Path) -> None:
    report = build_report(study, ReportOptions())
    report.write(tmp_path)
    assert Report.read(tmp_path) == report
    assert report.answer is not None
    shown = " ".join(html_module.unescape(re.sub(r"<[^>]+>", "", report.html)).split())
    told = report.answer
    for words in (told.setting, told.headline, *told.lead, *told.cautions, *(each.value for each in told.numbers)):
        assert words in shown
    stays = study.main.grid.stay_ids.tolist()
    assert not [stay for stay in stays if str(stay) in (tmp_path / "answer.json").read_text("utf-8").split()]
    (tmp_path / "answer.json").write_text('{"headline": "?"}', "utf-8")
    with pytest.raises(StoreError, match=r"answer\.json is no answer"):
        Report.read(tmp_path)
    (tmp_path / "answer.json").unlink()
    assert Report.read(tmp_path) == dataclasses.replace(report, answer=None)


def test_the_summary_names_the_numbers_of_the_artifacts(study: StudyResults, html: str) -> None:
    total = (
        of_one_attack(study)
        .susceptibility.tables["summary"]
        .filter(condition="both", example="best")
        .row(0, named=True)
    )
    summary = html.split('id="summary"')[1].split("</section>", maxsplit=1)[0]
    assert f"{total['flipped']:,} of {total['attacked']:,} attacked stays" in summary
    assert "0.871" in summary
    judged = study.models[0].training.predictions.filter(model="lstm", split="out-of-fold")
    assert f"{judged.height:,} out-of-fold stays, {int(judged['label'].sum()):,} deaths" in summary


def test_a_study_without_any_flip_still_gives_a_page(study: StudyResults) -> None:
    attack = of_one_attack(study).result
    stays = attack.stays.with_columns(
        pl.when(pl.col("status") == "success").then(pl.lit("failed")).otherwise("status").alias("status"),
        *(
            pl.lit(None, dtype).alias(name)
            for name, dtype in attack.stays.schema.items()
            if name[:5] in {"first", "best_"}
        ),
    )
    attack = dataclasses.replace(attack, stays=stays, perturbations=attack.perturbations.clear())
    tables = analyse_attack(attack, AnalysisOptions(bootstrap_samples=10), lambda *_: None)  # type: ignore[arg-type, return-value]
    without = with_attack(study, result=attack, susceptibility=tables)
    without = dataclasses.replace(without, models=(dataclasses.replace(without.models[0], tuning=None),))
    page = build_report(without, ReportOptions()).html
    assert "No prediction was flipped" in page
    assert 'id="tuning"' not in page


def test_the_tables_of_single_attacks_are_told() -> None:
    study = fake_study(120, every_table=True)
    page = build_report(study, ReportOptions(explorer_stays=0)).html
    noise = of_one_attack(study).result.curves["noise"]
    flipped = percent(noise["flips"].sum() / noise["draws"].sum())
    assert f"{flipped} flipped the prediction" in page.replace("\u00a0", " ")
    assert "Two digits swapped" in page
    figures = {figure["id"]: figure for figure in json.loads(_data_of(page))["figures"]}
    within = figures["robustness"]["series"][0]
    condition = (
        of_one_attack(study).susceptibility.tables["fragility"].filter(condition="survival_to_death").select("stay_id")
    )
    counted = (
        of_one_attack(study)
        .result.curves["budgets"]
        .join(condition, on="stay_id")
        .group_by("budget")
        .agg(pl.col("flipped").mean())
    )
    assert within["y"] == pytest.approx(counted.sort("budget")["flipped"].to_list(), abs=1e-3)
    at_risk = of_one_attack(study).result.curves["sweep"].join(condition, on="stay_id")["at_risk"]
    drawn = figures["sweep-counts"]["series"][0]
    for least in range(int(at_risk.max()) + 1):
        read = np.interp(least, drawn["x"], drawn["y"])
        assert read == pytest.approx((at_risk >= least).mean(), abs=1e-3), f"read off the line at {least}"


def test_a_study_without_test_stays_reports_out_of_fold(study: StudyResults) -> None:
    training = study.models[0].training
    without = with_training(
        study,
        predictions=training.predictions.filter(split="out-of-fold"),
        metrics=training.metrics.filter(split="out-of-fold"),
    )
    page = build_report(without, ReportOptions()).html
    assert "out-of-fold stays" in page.split("</section>")[0]


@pytest.mark.slow
def test_a_page_grows_so_slowly_that_four_thousand_attacked_stays_fit_ten_megabytes() -> None:
    found = []
    for n_stays in (200, 600):
        study = fake_study(n_stays)
        page = build_report(study, ReportOptions(explorer_stays=4000)).html
        found.append((of_one_attack(study).susceptibility.tables["fragility"].height, len(page.encode())))
    (few, small), (many, large) = found
    assert many > 2 * few
    assert small + (large - small) / (many - few) * (4000 - few) < 10_000_000


@pytest.mark.exhaustive
def test_four_thousand_attacked_stays_stay_under_ten_megabytes() -> None:
    study = fake_study(5200)
    assert of_one_attack(study).susceptibility.tables["fragility"].height >= 4000
    page = build_report(study, ReportOptions(explorer_stays=4000)).html
    assert len(page.encode()) < 10_000_000


def test_every_work_is_cited_once_and_an_unknown_key_is_kept() -> None:
    works = cited(["sun2018", "mimic3", "sun2018", "somebody2031"])
    assert [work.text for work in works].count(CITATIONS["sun2018"].text) == 1
    assert "somebody2031" in [work.text for work in works]
    assert len(works) == len({"sun2018", "mimic3", "somebody2031", *ALWAYS})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (4.0, "4"),
        (1234567, "1,234,567"),
        (0.30000001, "0.300"),
        (31.25, "31.2"),
        (1234.5, "1,234"),
        (2e-6, "2.00e-06"),
    ],
)
def test_numbers_are_written_for_readers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_median_of_counts_is_whole_or_ends_in_a_half() -> None:
    assert [middle(value) for value in (4.0, 4.5, 1234.0, 90.5)] == ["4", "4.5", "1,234", "90.5"]
    assert [middle_entry(value).text for value in (None, float("nan"), 2.5)] == ["–", "–", "2.5"]


def test_shares_are_written_as_percentages() -> None:
    assert [percent(share) for share in (0.0, 0.1234, 1.0)] == ["0 %", "12.3 %", "100 %"]


@pytest.mark.parametrize(
    ("met", "words"),
    [
        (0, "it has met none of the {all} patients of main"),
        (30, "it has met 30 of the {all} patients of main. All stays of these patients are left out"),
    ],
)
def test_a_model_from_outside_says_whom_it_has_met(study: StudyResults, html: str, met: int, words: str) -> None:
    assert "fitted elsewhere" not in html
    patients = np.unique(study.main.grid.patient_ids)
    training = study.models[0].training
    checkpoints = {
        name: dataclasses.replace(
            checkpoint,
            model=OutsideOptions(file="theirs.json", trained_on="listed", threshold=0.25).to_dict(),
            threshold=0.25,
            weights={**checkpoint.weights, MET_BEFORE: np.append(patients[:met], patients.max() + 1)},
        )
        for name, checkpoint in training.checkpoints.items()
    }
    outside = with_training(study, checkpoints=checkpoints)
    section = quality_section(outside, outside.models[0])
    assert any(words.format(all=len(patients)) in sentence for sentence in section.lead)
    told = [block.text for block in section.blocks if isinstance(block, Table)]
    assert "accuracy hold at the decision threshold, 0.25, as given with the model." in told[0]
    assert "the decision threshold, which was chosen on validation stays" in html
