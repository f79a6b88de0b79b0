"""Strategies that draw one artifact of each type, and what tells two artifacts apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from icudl.artifacts import (
    ATTACKED_SCHEMA,
    CLEANING_SCHEMA,
    FLOW_SCHEMA,
    HISTORY_SCHEMA,
    HOURS_SCHEMA,
    METRICS_SCHEMA,
    PERTURBATIONS_SCHEMA,
    PREDICTIONS_SCHEMA,
    STAYS_SCHEMA,
    TRIALS_SCHEMA,
    AttackResult,
    Certificates,
    Checkpoint,
    Direction,
    FeatureScaler,
    GridDataset,
    Member,
    Objective,
    Probes,
    Report,
    Schema,
    Scores,
    SourceTables,
    SusceptibilityResult,
    TrainingResult,
    TuningResult,
)
from icudl.artifacts.attacks.certificates import (
    CERTIFIED_SCHEMA,
    FLIPS_SCHEMA,
    NEARBY_SCHEMA,
    PIECES_SCHEMA,
    VALUES_SCHEMA,
)
from icudl.artifacts.models.probes import PROBED_SCHEMA, RESPONSES_SCHEMA, SLIPS_SCHEMA, VERDICTS_SCHEMA
from icudl.variables import Variable

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | TEXTS
OPTIONS = st.dictionaries(TEXTS, VALUES | st.lists(VALUES, max_size=3), max_size=4)
FILE_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=8)
MEMBERS = st.builds(Member, st.none() | st.integers(0, 120))


SEEDS = st.integers(0, 2**32 - 1)


def frames(schema: Schema, *, nulls: bool = True) -> st.SearchStrategy[pl.DataFrame]:
    """Tables of a schema, filled with the values at which its types are most often got wrong."""
    return st.builds(partial(_frame, schema, nulls), st.integers(0, 6), SEEDS)


def _frame(schema: Schema, nulls: bool, height: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    columns = []
    for name, dtype in schema.items():
        edges = [*_edges(dtype), *([None] if nulls else [])]
        columns.append(pl.Series(name, [edges[place] for place in rng.integers(0, len(edges), height)], dtype))
    return pl.DataFrame(columns)


def _edges(dtype: Any) -> list[Any]:
    if dtype == pl.String:
        return ["", "a", " ", "NaN", "null", "é", "\0", "\r\n", "\U0001f3e5" * 40]
    if dtype == pl.Boolean:
        return [True, False]
    if dtype in (pl.Float32, pl.Float64):
        return [0.0, -0.0, 1.5, -1e30, 1e-40, math.inf, -math.inf, math.nan]
    bounds = np.iinfo(str(dtype).lower())
    return [int(bounds.min), int(bounds.max), 0, 1, 7]


def numbers(dtype: type[np.generic], shape: tuple[int, ...]) -> st.SearchStrategy[npt.NDArray[Any]]:
    """Arrays of any bits, NaN and infinities among them."""

    def drawn(seed: int) -> npt.NDArray[Any]:
        if dtype is np.bool_:
            return np.random.default_rng(seed).random(shape) < 0.5
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return np.frombuffer(np.random.default_rng(seed).bytes(size), dtype).reshape(shape)

    return st.builds(drawn, SEEDS)


@st.composite
def variables(draw: st.DrawFn, count: int) -> tuple[Variable, ...]:
    """That many variables."""
    texts = st.fixed_dictionaries(dict.fromkeys(("name", "label", "unit", "group"), TEXTS))
    bounds = st.fixed_dictionaries({"low": NUMBERS, "high": NUMBERS})
    return tuple(Variable(**draw(texts), **draw(bounds)) for _ in range(count))


@st.composite
def source_tables(draw: st.DrawFn) -> SourceTables:
    """Tables of a source; what they are sorted by has no nulls."""
    return SourceTables(
        stays=draw(frames(STAYS_SCHEMA)),
        hours=draw(frames(HOURS_SCHEMA, nulls=False)),
        cleaning=draw(frames(CLEANING_SCHEMA)),
        variables=draw(variables(draw(st.integers(0, 3)))),
        window_hours=draw(st.integers(1, 200)),
        population=draw(TEXTS),
    )


@st.composite
def grids(draw: st.DrawFn) -> GridDataset:
    """A data set of any shape, empty ones included."""
    n, hours, of_variables, of_statics = (draw(st.integers(0, 4)) for _ in range(4))
    return GridDataset(
        values=draw(numbers(np.float32, (n, hours, of_variables))),
        counts=draw(numbers(np.uint16, (n, hours, of_variables))),
        lengths=draw(numbers(np.int16, (n,))),
        labels=draw(numbers(np.int8, (n,))),
        statics=draw(numbers(np.float32, (n, of_statics))),
        static_names=tuple(draw(st.lists(TEXTS, min_size=of_statics, max_size=of_statics))),
        stays=draw(frames(STAYS_SCHEMA)),
        is_test=draw(numbers(np.bool_, (n,))),
        folds=draw(numbers(np.int8, (n,))),
        flow=draw(frames(FLOW_SCHEMA)),
        variables=draw(variables(of_variables)),
        population=draw(TEXTS),
    )


@st.composite
def checkpoints(draw: st.DrawFn, members: st.SearchStrategy[Member] = MEMBERS) -> Checkpoint:
    """A checkpoint with any statistics and weights."""
    of_variables, of_statics = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    statistics = {
        name: draw(numbers(np.float32, (of_statics if name.startswith("static") else of_variables,)))
        for name in FeatureScaler.ARRAYS
    }
    curve = st.integers(1, 4).flatmap(lambda width: numbers(np.float64, (2, width)))
    shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
    weights = shapes.flatmap(lambda shape: numbers(np.float32, shape))
    return Checkpoint(
        member=draw(members),
        model=draw(OPTIONS),
        inputs=draw(OPTIONS),
        variables=draw(variables(of_variables)),
        static_names=tuple(draw(st.lists(TEXTS, min_size=of_statics, max_size=of_statics))),
        n_hours=draw(st.integers(1, 200)),
        scaler=FeatureScaler(
            **statistics,
            imputation=draw(st.sampled_from(["linear", "forward"])),
            fitted_on=draw(st.integers(0, 10**6)),
        ),
        threshold=draw(st.floats(0, 1)),
        weights=draw(st.dictionaries(FILE_NAMES, weights, max_size=3)),
        curve=draw(st.none() | curve),
        folds=draw(st.integers(0, 20)),
    )


@st.composite
def trainings(draw: st.DrawFn) -> TrainingResult:
    """Members, and tables with any values."""
    members = draw(st.lists(MEMBERS, max_size=2, unique=True))
    return TrainingResult(
        checkpoints={str(member): draw(checkpoints(st.just(member))) for member in members},
        history=draw(frames(HISTORY_SCHEMA)),
        predictions=draw(frames(PREDICTIONS_SCHEMA)),
        metrics=draw(frames(METRICS_SCHEMA)),
    )


@st.composite
def attacks(draw: st.DrawFn) -> AttackResult:
    """Tables with any values, and further tables of any name."""
    return AttackResult(
        stays=draw(frames(ATTACKED_SCHEMA)),
        perturbations=draw(frames(PERTURBATIONS_SCHEMA)),
        curves=draw(st.dictionaries(FILE_NAMES, frames(FLOW_SCHEMA), max_size=2)),
        variables=draw(variables(draw(st.integers(0, 3)))),
        n_hours=draw(st.integers(1, 200)),
        threat_model=draw(TEXTS),
        options=draw(OPTIONS),
    )


@st.composite
def certificates(draw: st.DrawFn) -> Certificates:
    """Proofs whose tables have the declared columns."""
    return Certificates(
        stays=draw(frames(CERTIFIED_SCHEMA)),
        values=draw(frames(VALUES_SCHEMA)),
        pieces=draw(frames(PIECES_SCHEMA)),
        flips=draw(frames(FLIPS_SCHEMA)),
        nearby=draw(frames(NEARBY_SCHEMA)),
        variables=draw(variables(draw(st.integers(0, 3)))),
        n_hours=draw(st.integers(1, 200)),
        threat_model=draw(TEXTS),
        options=draw(OPTIONS),
    )


@st.composite
def probes(draw: st.DrawFn) -> Probes:
    """Probes whose tables have the declared columns."""
    return Probes(
        stays=draw(frames(PROBED_SCHEMA)),
        responses=draw(frames(RESPONSES_SCHEMA)),
        verdicts=draw(frames(VERDICTS_SCHEMA)),
        slips=draw(frames(SLIPS_SCHEMA)),
        variables=draw(variables(draw(st.integers(0, 3)))),
        options=draw(OPTIONS),
    )


ARTIFACTS: Mapping[str, st.SearchStrategy[Any]] = {
    "Probes": probes(),
    "Certificates": certificates(),
    "SourceTables": source_tables(),
    "GridDataset": grids(),
    "TrainingResult": trainings(),
    "Scores": st.builds(
        Scores,
        predictions=frames(PREDICTIONS_SCHEMA),
        metrics=frames(METRICS_SCHEMA),
        left_out=st.integers(0, 10**6),
        missing=st.lists(TEXTS, max_size=3).map(tuple),
        unused=st.lists(TEXTS, max_size=3).map(tuple),
    ),
    "AttackResult": attacks(),
    "SusceptibilityResult": st.builds(
        SusceptibilityResult, st.dictionaries(FILE_NAMES, frames(CLEANING_SCHEMA), max_size=3)
    ),
    "TuningResult": st.builds(
        TuningResult,
        trials=frames(TRIALS_SCHEMA),
        best=OPTIONS,
        best_trial=st.integers(0, 10**6),
        best_value=NUMBERS,
        objective=st.builds(Objective, TEXTS, st.sampled_from(Direction)),
    ),
    "Report": st.builds(Report, st.text(st.characters(codec="utf-8")), st.dictionaries(FILE_NAMES, st.binary())),
}


def assert_same(one: Any, other: Any) -> None:
    """Compare field by field; NaN equals NaN, and types count."""
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        _assert_same_values(getattr(one, field.name), getattr(other, field.name))


def _assert_same_values(one: Any, other: Any) -> None:
    if isinstance(one, pl.DataFrame):
        assert_frame_equal(one, other, check_exact=True)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)
    elif isinstance(one, Mapping):
        assert set(one) == set(other)
        for key, value in one.items():
            _assert_same_values(value, other[key])
    elif isinstance(one, Checkpoint | FeatureScaler):
        assert_same(one, other)
    else:
        assert one == other


def written(write: Callable[[Path], None], folder: Path) -> dict[str, bytes]:
    """Return what ``write`` puts into a new folder, by relative name."""
    folder.mkdir(parents=True)
    write(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
