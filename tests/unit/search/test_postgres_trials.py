"""Trials in a database: claims, what ends them, and what is told where it is out of reach."""

from __future__ import annotations

import dataclasses
import os
import time
import uuid

import psycopg
import pytest

from icudl.artifacts import TrialState
from icudl.errors import StageError
from icudl.search import postgres_trials
from icudl.search.postgres_trials import CONNECTION, SERVER_SETTINGS, PostgresTrials, open_trials
from icudl.search.trials import FolderTrials, Outcome

NOWHERE = "postgresql://me:hush-hush@127.0.0.1:1/none"
OUTCOME = Outcome(number=3, parameters={"a.b": 0.1}, state=TrialState.PRUNED, value=0.5, intermediate={2: 0.25})


@pytest.fixture
def trials(database, tmp_path) -> PostgresTrials:
    opened = open_trials(database, tmp_path, uuid.uuid4().hex[:12])
    assert isinstance(opened, PostgresTrials)
    return opened


def test_a_database_keeps_outcomes_and_lets_one_run_a_trial(trials):
    theirs = dataclasses.replace(trials, study="theirs")
    assert trials.read(3) is None
    with trials.claim(3) as first, trials.claim(3) as second, theirs.claim(3) as other:
        assert (first, second, other) == (True, False, True)
    with trials.claim(3) as again:
        assert again
    assert trials.keep(OUTCOME) == OUTCOME
    assert trials.keep(Outcome(number=3, parameters={}, state=TrialState.FAILED, value=None)) == OUTCOME
    assert trials.read(3) == OUTCOME
    assert theirs.read(3) is None


def test_a_claim_ends_when_its_session_does_and_a_second_result_does_not_count(trials, database):
    """What the server does where it finds the other machine silent: it ends the session."""
    with trials.claim(5) as first:
        assert first
        with psycopg.connect(database, autocommit=True) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s"
            mine = connection.execute(query, (f"icudl {trials.study}/5 {os.getpid()}@%",)).fetchall()
            assert len(mine) == 1
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", mine[0])
        with trials.claim(5) as retried:
            assert retried
            theirs = trials.keep(dataclasses.replace(OUTCOME, number=5, state=TrialState.COMPLETE, value=0.75))
        assert trials.keep(dataclasses.replace(OUTCOME, number=5)) == theirs


def with_parameter(trials, parameter):
    """The same trials, their URL with one more parameter."""
    return dataclasses.replace(trials, url=f"{trials.url}{'&' if '?' in trials.url else '?'}{parameter}")


def test_a_claim_asks_the_server_to_look_after_silent_machines(trials, monkeypatch):
    connect, opened = psycopg.connect, []
    monkeypatch.setattr(psycopg, "connect", lambda *args, **named: opened.append(connect(*args, **named)) or opened[-1])
    with trials.claim(7):
        given = opened[-1].info.get_parameters()
        assert {key: given[key] for key in CONNECTION} == dict(CONNECTION)
        # Over a socket file the server shows 0: there is no network to watch.
        local = opened[-1].info.host.startswith("/")
        for setting, value in SERVER_SETTINGS.items():
            assert opened[-1].execute(f"SHOW {setting}").fetchone() == ("0" if local else value,)
    with with_parameter(trials, "connect_timeout=3").claim(7):
        assert opened[-1].info.get_parameters()["connect_timeout"] == "3"


def test_a_database_that_restarts_costs_no_trial(trials, monkeypatch):
    connect, calls = psycopg.connect, []

    def fail_twice(*args, **named):
        calls.append(args)
        if len(calls) <= 2:
            raise psycopg.OperationalError("the database system is starting up")
        return connect(*args, **named)

    monkeypatch.setattr(psycopg, "connect", fail_twice)
    monkeypatch.setattr(postgres_trials, "FIRST_PAUSE_SECONDS", 0.01)
    assert trials.keep(OUTCOME) == OUTCOME
    assert len(calls) == 3


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(postgres_trials, "FIRST_PAUSE_SECONDS", 0.05)
    started = time.monotonic()
    with pytest.raises(StageError, match="cannot be reached"):
        PostgresTrials(NOWHERE, "mine", patience_seconds=0.3).read(0)
    assert 0.3 <= time.monotonic() - started < 5


@pytest.mark.parametrize("url", [NOWHERE, "postgresql://me:hush-hush@[half-an-address/none"])
def test_a_database_that_is_not_there_is_told_without_the_password(url, tmp_path):
    with pytest.raises(StageError, match="cannot be reached") as caught:
        open_trials(url, tmp_path, "mine")
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(PostgresTrials(url, "mine"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_table_that_cannot_be_made_or_found_is_told_in_the_words_of_the_server(trials):
    elsewhere = with_parameter(trials, "options=-csearch_path%3Dnowhere")
    with pytest.raises(StageError, match="refuses: no schema has been selected to create in"):
        elsewhere.prepare()
    with pytest.raises(StageError, match='refuses: relation "icudl_trials" does not exist'):
        elsewhere.read(0)


def test_anything_else_is_a_folder(tmp_path):
    assert open_trials("", tmp_path, "s") == FolderTrials(tmp_path / "s")
    assert open_trials(str(tmp_path / "mine"), tmp_path, "s") == FolderTrials(tmp_path / "mine" / "s")
