"""Whether the parts of an artifact fit each other, whoever wrote its files.

Hashes show that files are those that were sealed. They cannot show that a plug-in sealed sound files. This check
refuses artifacts whose arrays do not belong together, before a stage computes with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from icudl.artifacts import (
    AttackResult,
    Certificates,
    CertificateStatus,
    Checkpoint,
    FeatureScaler,
    GridDataset,
    PieceVerdict,
    Probes,
    SourceTables,
    TrainingResult,
)
from icudl.variables import Variable

Fault = tuple[bool, str]


def faults(artifact: object) -> list[str]:
    """Return what is wrong with an artifact, one line per fault; no line for artifacts of other kinds.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: A part has a type that the check cannot read.
    """
    return [text for is_sound, text in _expectations(artifact) if not is_sound]


def _expectations(artifact: object) -> Iterator[Fault]:
    match artifact:
        case SourceTables():
            yield from _tables(artifact)
        case GridDataset():
            yield from _grid(artifact)
        case TrainingResult():
            for member, checkpoint in artifact.checkpoints.items():
                yield str(checkpoint.member) == member, f"the files of {member!r} hold {str(checkpoint.member)!r}"
                yield from _checkpoint(checkpoint)
        case AttackResult():
            yield from _attack(artifact)
        case Certificates():
            yield from _certificates(artifact)
        case Probes():
            yield from _probes(artifact)


def _variables(variables: tuple[Variable, ...]) -> Iterator[Fault]:
    for variable in variables:
        texts = (variable.name, variable.label, variable.unit, variable.group)
        yield all(isinstance(text, str) for text in texts), f"variable {variable.name!r} has no proper names"
        yield _is_number(variable.low) and _is_number(variable.high), f"variable {variable.name!r} has no range"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _tables(tables: SourceTables) -> Iterator[Fault]:
    yield from _variables(tables.variables)
    yield isinstance(tables.population, str), f"the population is {tables.population!r}, not a name"
    yield type(tables.window_hours) is int and tables.window_hours > 0, f"the window has {tables.window_hours!r} hours"
    yield tables.stays["stay_id"].null_count() == 0, "a stay has no id"
    yield tables.stays["stay_id"].is_unique().all(), "a stay is there twice"
    nulls = sum(tables.hours[column].null_count() for column in ("stay_id", "hour", "variable"))
    yield nulls == 0, "an hourly value has no stay, hour or variable"
    if nulls == 0 and tables.hours.height:
        yield _most(tables.hours["variable"]) < len(tables.variables), "an hourly value is of an unknown variable"
        yield tables.hours["hour"].is_between(0, tables.window_hours - 1).all(), "an hour lies outside the window"


def _most(column: Any) -> int:
    return int(column.max())


def _grid(grid: GridDataset) -> Iterator[Fault]:
    yield from _variables(grid.variables)
    yield isinstance(grid.population, str), f"the population is {grid.population!r}, not a name"
    yield grid.values.ndim == 3, f"values have {grid.values.ndim} axes"
    n, hours, _ = grid.values.shape
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "values": (np.float32, (n, hours, len(grid.variables))),
        "counts": (np.uint16, (n, hours, len(grid.variables))),
        "lengths": (np.int16, (n,)),
        "labels": (np.int8, (n,)),
        "statics": (np.float32, (n, len(grid.static_names))),
        "is_test": (np.bool_, (n,)),
        "folds": (np.int8, (n,)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(grid, name)
        yield array.dtype == dtype and array.shape == shape, f"{name} are {array.dtype} {array.shape}, not {shape}"
    yield grid.stays.height == n, f"there are {grid.stays.height} rows of stays for {n} stays"
    yield grid.stays.select("stay_id", "patient_id").null_count().sum_horizontal().item() == 0, "a stay has no id"
    yield grid.stays["stay_id"].is_unique().all(), "a stay is there twice"
    yield bool(np.isin(grid.labels, (0, 1)).all()), "a label is neither 0 nor 1"
    yield bool(((grid.lengths >= 0) & (grid.lengths <= hours)).all()), "a stay is longer than the window"


def _checkpoint(checkpoint: Checkpoint) -> Iterator[Fault]:
    yield from _variables(checkpoint.variables)
    scaler = checkpoint.scaler
    for name in FeatureScaler.ARRAYS:
        array = getattr(scaler, name)
        size = len(checkpoint.static_names if name.startswith("static") else checkpoint.variables)
        yield array.dtype == np.float32 and array.shape == (size,), f"{name} is {array.dtype} {array.shape}, not {size}"
        yield bool(np.isfinite(array).all()), f"{name} is not finite"
    yield isinstance(checkpoint.model, dict) and isinstance(checkpoint.inputs, dict), "the options are no tables"
    yield type(checkpoint.n_hours) is int and checkpoint.n_hours > 0, f"the window has {checkpoint.n_hours!r} hours"
    yield _is_number(checkpoint.threshold), f"the decision threshold is {checkpoint.threshold!r}"
    if _is_number(checkpoint.threshold):
        yield 0 <= checkpoint.threshold <= 1, f"the decision threshold is {checkpoint.threshold!r}"


def _attack(attack: AttackResult) -> Iterator[Fault]:
    yield from _variables(attack.variables)
    # Asked for in one pass, and not the table: there may be more of it than fits in memory.
    nulls = pl.sum_horizontal(pl.col("stay_id", "hour", "variable").null_count())
    asked = [nulls.alias("nulls"), pl.col("variable").max(), pl.col("hour").min().alias("first"), pl.col("hour").max()]
    cells = attack.ask("perturbations", lambda table: table.select(asked)).row(0, named=True)
    yield cells["nulls"] == 0, "a changed cell has no stay, hour or variable"
    if cells["variable"] is not None:
        yield cells["variable"] < len(attack.variables), "a changed cell is of an unknown variable"
    if cells["hour"] is not None:
        yield cells["first"] >= 0 and cells["hour"] < attack.n_hours, "a changed cell lies outside the window"


def _certificates(proofs: Certificates) -> Iterator[Fault]:
    yield from _variables(proofs.variables)
    key = ("stay_id", "hour", "variable")
    values, pieces = proofs.values, proofs.pieces.sort(*key, "low")
    yield values.select(key).is_duplicated().sum() == 0, "a value is there twice"
    for name, table in (("value", values), ("piece", pieces), ("interval", proofs.flips)):
        yield table.select(key).null_count().sum_horizontal().sum() == 0, f"a {name} has no stay, hour or variable"
        if table.height:
            yield _most(table["variable"]) < len(proofs.variables), f"a {name} is of an unknown variable"
            yield table["hour"].is_between(0, proofs.n_hours - 1).all(), f"the hour of a {name} lies outside the window"
    near = proofs.nearby
    yield near.select("stay_id", "most", "within").is_duplicated().sum() == 0, "a threat of a stay is there twice"
    shown = pl.col("proven") & ~(pl.col("bound") > 0).fill_null(value=False)
    yield near.filter(shown).height == 0, "the bound of a stay does not prove what is said of small errors"
    holds, flips, is_open = (
        pl.col("verdict") == state.value for state in (PieceVerdict.HOLDS, PieceVerdict.FLIPS, PieceVerdict.OPEN)
    )
    unproved = (holds & ~(pl.col("bound") > 0).fill_null(value=False)) | (
        flips & ~(pl.col("bound") < 0).fill_null(value=False)
    )
    yield pieces.filter(unproved).height == 0, "the bound of a piece does not prove its verdict"
    joined = (pl.col("low") == pl.col("high").shift(1)).over(key)
    yield (
        pieces.filter((~joined).fill_null(value=False) | (pl.col("low") > pl.col("high"))).height == 0,
        ("the pieces of a value do not join"),
    )
    found = pieces.group_by(key).agg(
        pl.col("low").min(), pl.col("high").max(), holds.all().alias("proven"), is_open.any().alias("open")
    )
    both = values.join(found, on=key, how="full")
    apart = (pl.col("low") != pl.col("lower")) | (pl.col("high") != pl.col("upper"))
    yield both.filter(apart.fill_null(value=True)).height == 0, "pieces and values do not cover the same ranges"
    proven = pl.col("verdict") == CertificateStatus.PROVEN.value
    yield (
        both.filter((proven != pl.col("proven")).fill_null(value=False)).height == 0,
        ("a value is called proven against its pieces"),
    )
    witnessed = pl.col("verdict") == CertificateStatus.FLIPS.value
    yield values.filter(witnessed == pl.col("witness").is_null()).height == 0, "a flip has no witness"


def _probes(probes: Probes) -> Iterator[Fault]:
    yield from _variables(probes.variables)
    known = probes.stays["stay_id"]
    yield known.null_count() == 0 and known.is_unique().all(), "a stay has no id or is there twice"
    for name, table in (("risk", probes.responses), ("verdict", probes.verdicts), ("kind", probes.slips)):
        yield table["stay_id"].is_in(known.implode()).all(), f"a {name} is of an unknown stay"
    chances = probes.verdicts.select("one", "one_reversed", "several")
    yield (
        bool(chances.select(pl.all_horizontal(pl.all().is_between(0, 1 + 1e-9)).all()).item()),
        "a chance of errors does not lie between 0 and 1",
    )
    yield (
        probes.verdicts.filter(pl.col("several_reversed") > pl.col("draws")).height == 0,
        "more verdicts are reversed than were drawn",
    )
