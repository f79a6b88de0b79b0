"""Studies on the command line: extended, shared, killed, and any trial of them trained with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from command_line import SMALL, icudl

from icudl.cli import main

STUDY = (
    *SMALL,
    "tune_model.trials=2",
    "tune_model.folds=2",
    "tune_model.batch=2",
    "tune_model.startup_trials=2",
    'tune_model.space={"model.dropout" = {low = 0.0, high = 0.5}, "model.fc_size" = {choices = [4, 6, 8]}}',
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds a grid."""
    store = tmp_path_factory.mktemp("tuning") / "runs"
    assert main(["preprocess", "--store", str(store), *(word for setting in STUDY for word in ("--set", setting))]) == 0
    return store


def run(store: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command in this process; return exit code, output and errors."""
    more = [word for setting in STUDY for word in ("--set", setting)]
    code = main([*words, "--store", str(store), "--workers", "1", *more])
    captured = capsys.readouterr()
    return code, captured.out.strip(), captured.err


def trials_of(store: Path, reference: str) -> pl.DataFrame:
    return pl.read_parquet(store / reference / "trials.parquet")


@pytest.mark.slow
def test_a_study_is_extended_and_any_trial_is_trained_with(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, short, _ = run(store, capsys, "tune", "model")
    kept = {path: path.stat().st_mtime_ns for path in store.glob(".studies/*/trial-*.json")}
    assert len(kept) == 2
    code, longer, said = run(store, capsys, "tune", "model", "--trials", "+1")
    assert code == 0, said
    assert "change it to 3" in said
    assert trials_of(store, longer).head(2).equals(trials_of(store, short))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(store.glob(".studies/*/trial-*.json"))) == 3
    assert run(store, capsys, "tune", "model", "--trials", "3")[1] == longer

    listed = json.loads(run(store, capsys, "trials", longer, "--json")[1])
    assert sorted(row["trial"] for row in listed) == [0, 1, 2]
    best = json.loads((store / longer / "tuning.json").read_text())["best_trial"]
    other = next(row for row in reversed(listed) if row["trial"] != best)
    setting = json.loads(other["parameters"])
    _, by_default, _ = run(store, capsys, "train", "--trials", "3")
    _, asked, _ = run(store, capsys, "train", "--trials", "3", "--trial", str(other["trial"]))
    assert asked != by_default
    checkpoint = json.loads((store / asked / "checkpoints" / "final.json").read_text())
    assert checkpoint["model"]["dropout"] == setting["model.dropout"]
    assert checkpoint["model"]["fc_size"] == setting["model.fc_size"]
    manifest = json.loads((store / asked / "manifest.json").read_text())
    assert manifest["options"]["tuned"] == {"trial": other["trial"]}
    assert manifest["identity"]["upstream"]["tune-model"]["id"] == longer.partition("/")[2]
    assert run(store, capsys, "verify", asked, "--rerun")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--trial", "9"), "the study has 2 trials, numbered from 0"),
        (("train", "--trials", "0", "--trial", "0"), "tune_model.trials is 0"),
        (("train", "--trial", "-2"), "tuned.trial = -2 is out of range"),
        (("tune", "model", "--trials", "some"), "--trials 'some' cannot be read. Expected a number"),
        (("tune", "model", "--trials", "-4"), "--trials '-4' cannot be read"),
        (("tune", "model", "--storage", "postgresql://me:hush@db/icudl"), "~/.pgpass or PGPASSWORD"),
        (("tune", "model", "--set", "tune_model.storage=postgresql://me:hush@db/icudl"), "~/.pgpass or PGPASSWORD"),
        (("tune", "attack", "--storage", "postgresql://me:hush@db/icudl"), "~/.pgpass or PGPASSWORD"),
        (
            ("tune", "model", "--trials", "7", "--storage", "postgresql://nobody@127.0.0.1:1/icudl"),
            "cannot be reached",
        ),
    ],
)
def test_mistakes_are_told(
    store: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    code, _, said = run(store, capsys, *words)
    assert code == (6 if "cannot be reached" in message else 2), said
    assert message in " ".join(said.split())
    assert "hush" not in said


COMMAND = [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())"]
SHARED = (*STUDY, "tune_model.trials=6", "tune_model.batch=6", "training.max_epochs=40", "training.patience=40")


def begin(store: Path, database: str) -> subprocess.Popen[str]:
    more = [word for setting in SHARED for word in ("--set", setting)]
    words = ["tune", "model", "--store", str(store), "--workers", "1", "--storage", database, *more]
    environment = os.environ | {"COLUMNS": "140"}
    return subprocess.Popen(
        [*COMMAND, *words], env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_machine_of_a_shared_study_is_replaced(store: Path, tmp_path: Path, database: str) -> None:
    """Two stores stand for two machines; one process dies by SIGKILL inside a trial and the other one takes over."""
    import psycopg

    stores = [tmp_path / name for name in ("first", "second", "alone")]
    for each in stores:
        shutil.copytree(store, each, ignore=shutil.ignore_patterns(".studies", "tune-model", "train"))
    victim, survivor = begin(stores[0], database), begin(stores[1], database)
    with psycopg.connect(database, autocommit=True) as connection:

        def claimed_by(process: subprocess.Popen[str]) -> list[int]:
            names = connection.execute(
                "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'icudl %%/%% '||%s||'@%%'",
                (str(process.pid),),
            ).fetchall()
            return [int(name.split("/")[1].split()[0]) for (name,) in names]

        deadline = time.monotonic() + 120
        claimed: list[int] = []
        # Both are at work, and the victim has been inside its trial for a while.
        while not (claimed and claimed_by(survivor) and claimed_by(victim) == claimed):
            assert time.monotonic() < deadline
            claimed = claimed_by(victim)
            time.sleep(0.3)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.communicate()
        output, errors = survivor.communicate(timeout=300)
        assert survivor.returncode == 0, errors
        rows = connection.execute("SELECT study, number FROM icudl_trials ORDER BY number").fetchall()
    study = max({study for study, _ in rows}, key=[study for study, _ in rows].count)
    assert [number for key, number in rows if key == study] == list(range(6))
    # A machine that joins late finds everything done, and one on its own would have found the same.
    late = begin(stores[0], database)
    assert late.communicate(timeout=120)[0].strip() == output.strip()
    icudl("tune", "model", "--store", stores[2], "--workers", "1", settings=SHARED)
    first, second, alone = (trials_of(each, output.strip()) for each in stores)
    assert first.equals(second)
    assert alone.equals(second)
    assert claimed[0] in second["trial"].to_list()
