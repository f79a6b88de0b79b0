"""The study that an audit is: which attack answers for one value, which models stand beside, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import outside_cases as cases
from icudl.config.load import load_config
from icudl.errors import ConfigError
from icudl.models.outside.options import OutsideOptions
from icudl.pipeline.audit import AUDITED, audit_study
from icudl.pipeline.graph import build_graph

GRID = cases.clinical_grid()


def declared(file: Path, **more: object) -> OutsideOptions:
    return OutsideOptions(**{"file": str(file), "trained_on": "elsewhere", **more})


def test_one_value_is_decided_exactly_where_all_models_say_where_they_jump(tmp_path: Path) -> None:
    file, _ = cases.xgboost_file(tmp_path, cases.stays_of(GRID), GRID.labels)
    base = load_config(None)
    exact = ({}, ("boosted_trees", "logistic_regression")), ({"input": "summaries"}, ())
    swept = ({"missing": "forward"}, ()), ({}, ("gru",))
    for name, cases_of in (("exact_value", exact), ("sweep", swept)):
        for more, beside in cases_of:
            study = audit_study(base, declared(file, **more), beside=beside, max_stays=50)
            assert study.attacks["one_value"].attack.name == name
            assert list(study.models) == [AUDITED, *beside]
            assert {each.attack.max_stays for each in study.attacks.values()} == {50}
            assert {each.attack.threat_model for each in study.attacks.values()} == {"measured"}
            assert len([key for key in build_graph(study) if key.stage == "attack"]) == 4 * (1 + len(beside))


@pytest.mark.slow
def test_a_model_without_levels_is_swept(tmp_path: Path) -> None:
    file, _ = cases.skops_file(tmp_path, cases.stays_of(GRID), GRID.labels)
    study = audit_study(load_config(None), declared(file, missing="zero"))
    assert study.attacks["one_value"].attack.name == "sweep"
    assert study.report.title == "Audit of model.skops"


def test_what_nobody_else_can_know_has_to_be_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trained_on .* is not said"):
        audit_study(load_config(None), declared(tmp_path / "m.json", trained_on=""))
    with pytest.raises(ConfigError, match="is a pickle"):
        audit_study(load_config(None), declared(tmp_path / "m.pkl"))


def test_the_other_tables_are_those_of_the_study_whose_data_are_read(tmp_path: Path) -> None:
    file, _ = cases.xgboost_file(tmp_path, cases.stays_of(GRID), GRID.labels)
    base = load_config(None, ["split.folds=3", "training.bootstrap_samples=77", "report.title=Ours"])
    study = audit_study(base, declared(file))
    assert study.split.folds == 3
    assert study.models[AUDITED].training.bootstrap_samples == 77
    assert study.report.title == "Ours"
