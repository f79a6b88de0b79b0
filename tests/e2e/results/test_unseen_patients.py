"""Two trainings on two splits of one hospital: nobody whom a model has met is ever scored by it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest
from command_line import SMALL
from psycopg import sql
from sklearn.metrics import roc_auc_score

from icudl.artifacts import GridDataset, TrainingResult
from icudl.cli import main
from icudl.training.external import align_grid
from icudl.training.scores.scoring import risks

HOSPITAL = (*SMALL, "source.patients=256", "source.seed=5", "execution.workers=1", "split.test_fraction=0.4")
OTHER = (*HOSPITAL, "run.seed=7", "cohort.min_age_years=30", "variables.use=['heartrate', 'sodium', 'gcs']")


class Hospital:
    """A store, and one training on each of two splits of the same patients."""

    def __init__(
        self,
        store: Path,
        capture: pytest.CaptureFixture[str],
        first: tuple[str, ...] = HOSPITAL,
        second: tuple[str, ...] = OTHER,
    ) -> None:
        self.store, self._capture = store, capture
        self.first, self.second = self._trained(first), self._trained(second)

    def _trained(self, settings: tuple[str, ...]) -> tuple[str, str]:
        words = [word for setting in settings for word in ("--set", setting)]
        references = []
        for stage in ("train", "preprocess"):
            code, out, err = self.call(stage, *words)
            assert code == 0, err
            references.append(out.strip())
        return references[0], references[1]

    def call(self, *words: str) -> tuple[int, str, str]:
        """Run one command; return exit code, output, remarks."""
        self._capture.readouterr()
        code = main([*words, "--store", str(self.store)])
        told = self._capture.readouterr()
        return code, told.out, told.err

    def told(self, *words: str) -> Any:
        """Return what a command says as JSON."""
        code, out, err = self.call(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    def grid(self, reference: str) -> GridDataset:
        """Return a data set."""
        return GridDataset.read(self.store / reference)

    def met(self, reference: str, fold: int | None = None) -> set[int]:
        """Return the patients who were in the folds that a member learnt from, straight from the arrays."""
        grid = self.grid(reference)
        return set(grid.patient_ids[(grid.folds >= 0) & (grid.folds != (-2 if fold is None else fold))].tolist())

    def patients(self, reference: str, stays: pl.Series) -> list[int]:
        """Return whose stays these are."""
        return self.grid(reference).stays.filter(pl.col("stay_id").is_in(stays.implode()))["patient_id"].to_list()

    def risks(self, train: str, data: str, member: str = "final") -> pl.DataFrame:
        """Return what ``icudl predict`` writes, and check that it counts what it leaves out."""
        out = self.store.parent / "risks.parquet"
        told = self.told("predict", train, data, "--member", member, "--out", str(out))
        frame = pl.read_parquet(out)
        assert told["stays"] == len(frame)
        assert told["left_out"] == len(self.grid(data).labels) - len(frame)
        return frame


@pytest.fixture
def schema(database: str) -> Iterator[str]:
    name = f"unseen {uuid.uuid4().hex[:8]}"
    yield name
    with psycopg.connect(database) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def hospital(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hospital:
    return Hospital(tmp_path / "runs", capsys)


@pytest.mark.slow  # three trainings; tests/unit/training/test_external_data.py asks the same of made-up stays
def test_no_met_patient_is_scored_whatever_the_split(hospital: Hospital) -> None:
    (train, home), (_, other) = hospital.first, hospital.second
    assert hospital.grid(home).population == hospital.grid(other).population
    theirs = hospital.grid(other)

    _members_score_only_who_is_new(hospital, train, home, other)
    _folds_score_their_own(hospital, train, home, other)

    # By hand: stays of the other split whose patients the final model has not met, scored one by one.
    met = hospital.met(home)
    rows = np.flatnonzero([patient not in met for patient in theirs.patient_ids.tolist()])
    assert 0 < len(rows) < len(theirs.labels)
    checkpoint = TrainingResult.read(hospital.store / train).checkpoints["final"]
    by_hand = roc_auc_score(theirs.labels[rows], risks(checkpoint, align_grid(theirs, checkpoint), rows, "cpu"))
    told = hospital.told("evaluate", train, other)
    auroc = next(row for row in told["scores"] if (row["metric"], row["subgroup"]) == ("auroc", "all"))
    assert auroc["value"] == pytest.approx(by_hand, abs=1e-12)
    assert (auroc["stays"], told["left_out"]) == (len(rows), len(theirs.labels) - len(rows))
    remarks = hospital.call("evaluate", train, other)[2]
    assert f"{len(theirs.labels) - len(rows):,} are left out: it has met their patients" in remarks
    assert "The data lack" in remarks

    _only_who_is_new_to_both_is_compared(hospital)
    _what_cannot_be_told_is_refused(hospital)


@pytest.mark.slow  # the rule is that of the test above; here both routes of one database meet
def test_files_and_server_are_one_hospital(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: str
) -> None:
    folder = str(tmp_path / "tables")
    assert main(["synth", folder, "--patients", "256"]) == 0
    assert main(["db", "load", folder, database, "--schema", schema]) == 0
    both = [setting for setting in HOSPITAL if not setting.startswith("source.")]
    files = (*both, "source.name=mimic3", f"source.path={folder}")
    server = (*both, "source.name=mimic3_postgres", f"source.url={database}", f"source.schema={schema}")
    other = [setting for setting in OTHER if setting not in HOSPITAL]
    hospital = Hospital(tmp_path / "runs", capsys, files, (*server, *other))
    (train, home), (_, elsewhere) = hospital.first, hospital.second
    _members_score_only_who_is_new(hospital, train, home, elsewhere)
    _folds_score_their_own(hospital, train, home, elsewhere)
    _only_who_is_new_to_both_is_compared(hospital)


def _members_score_only_who_is_new(hospital: Hospital, train: str, home: str, other: str) -> None:
    for member, fold in (("final", None), ("fold-0", 0)):
        for data in (home, other):
            scored = hospital.patients(data, hospital.risks(train, data, member)["stay_id"])
            everyone = hospital.grid(data).patient_ids.tolist()
            met = hospital.met(home, fold)
            assert sorted(scored) == sorted(patient for patient in everyone if patient not in met)


def _folds_score_their_own(hospital: Hospital, train: str, home: str, other: str) -> None:
    ours = hospital.grid(home)
    fold_of = dict(zip(ours.patient_ids.tolist(), ours.folds.tolist(), strict=True))
    patient_of = dict(hospital.grid(other).stays.select("stay_id", "patient_id").iter_rows())
    pooled = hospital.risks(train, other, "folds")
    assert len(pooled) > 0
    for stay, member in pooled.select("stay_id", "member").iter_rows():
        assert member == f"fold-{fold_of[patient_of[stay]]}"
    in_a_fold = [patient for patient in patient_of.values() if fold_of.get(patient, -1) >= 0]
    assert len(pooled) == len(in_a_fold)


def _only_who_is_new_to_both_is_compared(hospital: Hospital) -> None:
    (train, home), (second, other) = hospital.first, hospital.second
    told = hospital.told("evaluate", train, home, "--against", second, "--against-data", other)
    new = [set(hospital.grid(data).patient_ids.tolist()) - hospital.met(data) for data in (home, other)]
    stays = hospital.grid(home).stays.filter(pl.col("patient_id").is_in(list(new[0] & new[1])))
    stays = stays.join(hospital.grid(other).stays, on="stay_id", how="semi")
    assert {row["stays"] for row in told["differences"]} == {len(stays)}
    assert told["differences_left_out"] == len(hospital.grid(home).labels) - len(stays)
    assert told["against_left_out"] > 0


def _what_cannot_be_told_is_refused(hospital: Hospital) -> None:
    (train, home), (_, other) = hospital.first, hospital.second
    # The training's own data are gone: nothing tells whom it has met.
    (hospital.store / home).rename(hospital.store.parent / "elsewhere")
    code, out, err = hospital.call("evaluate", train, other)
    assert (code, out) == (5, "")
    assert f"{train} was fitted on {home}, which is not in" in err
    (hospital.store.parent / "elsewhere").rename(hospital.store / home)

    # Nobody is left: a training of the same patients without test stays.
    words = [word for setting in (*HOSPITAL, "split.test_fraction=0.0") for word in ("--set", setting)]
    everyone = hospital.call("train", *words)[1].strip()
    code, _, err = hospital.call("evaluate", everyone, home)
    assert code == 6
    assert "has met the patients of all stays" in err
