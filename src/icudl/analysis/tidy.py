"""Results as tidy tables: one row an observation, names as text, clinical values in their units.

Each function yields frames with the columns of its ``TidyTable``, block by block, so that a table may be larger than
memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from icudl.artifacts import AttackResult, Certificates, GridDataset, Probes
from icudl.artifacts.base import Schema
from icudl.artifacts.files.stored import ROW_GROUP
from icudl.variables import Variable

BLOCK = 2048
"""Stays whose measurements are read at a time."""

_OF_DATA = {"data": (pl.String, "name of the data set")}
_OF_MODEL = _OF_DATA | {"model": (pl.String, "name of the model in the study")}
_OF_ATTACK = _OF_MODEL | {"attack": (pl.String, "name of the attack in the study")}
_STAY = {"stay_id": (pl.Int64, "the stay")}
_CELL = {
    "hour": (pl.Int16, "0 is the first hour after ICU admission"),
    "variable": (pl.String, "name of the variable"),
    "variable_label": (pl.String, "its name for clinicians"),
    "unit": (pl.String, "unit of the clinical values"),
}
_PREDICTOR = {
    "predictor": (pl.String, "plug-in of the model, or the baseline"),
    "baseline": (pl.Boolean, "whether it is a baseline, fitted beside the model"),
    "split": (pl.String, "out-of-fold, test or external: stays that it was not fitted on"),
}


@dataclasses.dataclass(frozen=True)
class TidyTable:
    """What a tidy table holds.

    Attributes:
        name: Its name, and that of its file.
        text: What a row is.
        by_stay: Whether a row is about a single stay.
        columns: Type and meaning of each column.
    """

    name: str
    text: str
    by_stay: bool
    columns: Mapping[str, tuple[type[pl.DataType], str]]

    @property
    def schema(self) -> Schema:
        """The types alone."""
        return {name: dtype for name, (dtype, _) in self.columns.items()}


COHORT = TidyTable(
    "cohort",
    "a stay of the cohort",
    by_stay=True,
    columns=_OF_DATA
    | _STAY
    | {
        "patient_id": (pl.Int64, "whose stay it is; splits and intervals are by patient"),
        "split": (pl.String, "training, test or external"),
        "fold": (pl.Int8, "fold of the cross-validation; null outside it"),
        "label": (pl.Int8, "1 where the outcome came about"),
        "hours": (pl.Int16, "hours of the stay within the window"),
        "age_years": (pl.Float64, "at ICU admission"),
        "sex": (pl.String, "F or M"),
        "icu_type": (pl.String, "first care unit"),
        "height_cm": (pl.Float64, "height"),
        "weight_kg": (pl.Float64, "weight"),
        "stay_hours": (pl.Float64, "ICU admission to ICU discharge"),
    },
)
MEASUREMENTS = TidyTable(
    "measurements",
    "an hour of a stay in which a variable was charted",
    by_stay=True,
    columns=_OF_DATA
    | _STAY
    | _CELL
    | {
        "value": (pl.Float64, "mean of the values charted in that hour, in the unit"),
        "count": (pl.Int32, "how many values that mean is made of"),
    },
)
PREDICTIONS = TidyTable(
    "predictions",
    "what a model says of a stay that it was not fitted on",
    by_stay=True,
    columns=_OF_MODEL
    | _PREDICTOR
    | _STAY
    | {
        "member": (pl.String, "fitted model: fold-0, ..., final"),
        "label": (pl.Int8, "1 where the outcome came about"),
        "probability": (pl.Float64, "calibrated risk of the outcome"),
        "threshold": (pl.Float64, "from which on the member says the outcome comes about"),
    },
)
SCORES = TidyTable(
    "scores",
    "a score of a model on a group of stays",
    by_stay=False,
    columns=_OF_MODEL
    | _PREDICTOR
    | {
        "subgroup": (pl.String, "all, or a group such as sex=F"),
        "metric": (pl.String, "name of the score"),
        "value": (pl.Float64, "the score; null where it does not exist"),
        "low": (pl.Float64, "lower bound of its 95 % interval over resampled patients"),
        "high": (pl.Float64, "upper bound"),
        "stays": (pl.Int64, "stays behind it"),
        "deaths": (pl.Int64, "those of them with the outcome"),
    },
)
ATTACKS = TidyTable(
    "attacks",
    "a stay that an attack considered",
    by_stay=True,
    columns=_OF_ATTACK
    | {
        "method": (pl.String, "plug-in of the attack"),
        "threat_model": (pl.String, "what may change"),
    }
    | _STAY
    | {
        "label": (pl.Int8, "1 where the outcome came about"),
        "member": (pl.String, "fitted model that was attacked"),
        "split": (pl.String, "out-of-fold or test"),
        "status": (pl.String, "success, failed, misclassified, nothing_to_change or invalid_output"),
        "probability_before": (pl.Float64, "risk of the unchanged stay"),
        "probability_after": (pl.Float64, "risk of the best example; null where none was found"),
        "changed": (pl.Int32, "values that the best example changes"),
        "l1": (pl.Float64, "sum of its changes, as shares of the range between the winsor limits"),
        "l2": (pl.Float64, "root of the sum of their squares"),
        "linf": (pl.Float64, "largest of them"),
    },
)
CHANGES = TidyTable(
    "changes",
    "a value that an adversarial example changes",
    by_stay=True,
    columns=_OF_ATTACK
    | _STAY
    | {"example": (pl.String, "first (found first) or best (smallest change)")}
    | _CELL
    | {
        "before": (pl.Float64, "value that the model was given, in the unit"),
        "after": (pl.Float64, "value of the example, in the unit"),
        "change": (pl.Float64, "change as a share of the range between the winsor limits"),
        "charted": (pl.Boolean, "whether a value was charted there; it was filled in otherwise"),
    },
)
PROOFS = TidyTable(
    "proofs",
    "a stay of which it was to be proved that no single wrong value flips it",
    by_stay=True,
    columns=_OF_MODEL
    | _STAY
    | {
        "label": (pl.Int8, "1 where the outcome came about"),
        "member": (pl.String, "fitted model that was proved about"),
        "split": (pl.String, "out-of-fold or test"),
        "status": (pl.String, "proven, flips, undecided, misclassified, nothing_to_change or invalid_output"),
        "probability_before": (pl.Float64, "risk of the unchanged stay"),
        "values": (pl.Int32, "values that may be wrong"),
        "proven": (pl.Int32, "values that cannot flip the prediction"),
        "flippable": (pl.Int32, "values that can"),
        "undecided": (pl.Int32, "values of which neither is known"),
    },
)
FLIPPING = TidyTable(
    "flipping_entries",
    "an interval of entries that flip a prediction, one value wrong at a time",
    by_stay=True,
    columns=_OF_MODEL
    | _STAY
    | _CELL
    | {
        "entry_low": (pl.Float64, "smallest flipping entry, in the unit"),
        "entry_high": (pl.Float64, "largest"),
    },
)
RESPONSES = TidyTable(
    "responses",
    "the risk of a stay at a step of a derangement",
    by_stay=True,
    columns=_OF_MODEL
    | _STAY
    | {
        "derangement": (pl.String, "what was deranged"),
        "course": (pl.String, "held or worsening"),
        "level": (pl.Float64, "0 at the normal value, 1 at the deranged one"),
        "probability": (pl.Float64, "risk"),
    },
)
VERDICTS = TidyTable(
    "verdicts",
    "the chance that errors of entry reverse the verdict on a stay",
    by_stay=True,
    columns=_OF_MODEL
    | _STAY
    | {
        "level": (pl.String, "low, usual or high rate of errors"),
        "rate": (pl.Float64, "chance that an entry is wrong"),
        "expected_errors": (pl.Float64, "mean number of wrong values of the stay"),
        "one_reversed": (pl.Float64, "chance that exactly one value is wrong, and reverses the verdict"),
        "several": (pl.Float64, "chance that two or more values are wrong"),
        "draws": (pl.Int32, "records drawn with two or more wrong values"),
        "several_reversed": (pl.Int32, "of which the verdict is reversed"),
    },
)
TABLES = {
    table.name: table
    for table in (
        COHORT, MEASUREMENTS, PREDICTIONS, SCORES, ATTACKS, CHANGES, PROOFS, FLIPPING, RESPONSES, VERDICTS,
    )
}  # fmt: skip
"""Every tidy table by name."""

Frames = Iterator[pl.DataFrame]


def cohort(data: str, grid: GridDataset) -> Frames:
    """Yield the stays of a data set."""
    outside = grid.folds < 0
    split = np.where(grid.is_test, "test" if grid.n_folds else "external", "training")
    yield _shaped(
        COHORT,
        grid.stays.with_columns(
            data=pl.lit(data),
            split=pl.Series(split.tolist(), dtype=pl.String),
            fold=pl.Series(grid.folds).set(pl.Series(outside), None),
            label=pl.Series(grid.labels),
            hours=pl.Series(grid.lengths),
        ),
    )


def measurements(data: str, grid: GridDataset) -> Frames:
    """Yield the charted hours of a data set, in the order of its stays."""
    for start in range(0, len(grid.labels), BLOCK):
        values = np.asarray(grid.values[start : start + BLOCK])
        stay, hour, variable = np.nonzero(~np.isnan(values))
        frame = pl.DataFrame(
            {
                "stay_id": grid.stay_ids[start + stay],
                "hour": hour,
                "variable": variable,
                "value": values[stay, hour, variable],
                "count": grid.counts[start + stay, hour, variable],
            }
        )
        yield _shaped(MEASUREMENTS, _named(frame, grid.variables).with_columns(data=pl.lit(data)))


def predictions(data: str, model: str, own: Sequence[str], table: pl.DataFrame) -> Frames:
    """Yield predictions (``PREDICTIONS_SCHEMA``); ``own`` names the model itself, as opposed to its baselines."""
    yield _shaped(PREDICTIONS, _of_predictor(table, data, model, own))


def scores(data: str, model: str, own: Sequence[str], table: pl.DataFrame) -> Frames:
    """Yield scores (``METRICS_SCHEMA``); ``own`` as for ``predictions``."""
    yield _shaped(SCORES, _of_predictor(table, data, model, own))


def attacks(data: str, model: str, attack: str, result: AttackResult) -> Frames:
    """Yield the stays that an attack considered."""
    best = {f"best_{name}": name for name in ("l1", "l2", "linf")} | {"best_l0": "changed"}
    yield _shaped(
        ATTACKS,
        result.stays.rename({**best, "best_probability": "probability_after"}).with_columns(
            data=pl.lit(data),
            model=pl.lit(model),
            attack=pl.lit(attack),
            method=pl.lit(str(result.options.get("name", ""))),
            threat_model=pl.lit(result.threat_model),
        ),
    )


def changes(data: str, model: str, attack: str, result: AttackResult, grid: GridDataset) -> Frames:
    """Yield the values that the examples of an attack change."""
    order = np.argsort(grid.stay_ids, kind="stable")
    ordered = grid.stay_ids[order]
    total = int(result.ask("perturbations", lambda table: table.select(pl.len())).item())
    for start in range(0, total, ROW_GROUP):
        block = result.ask("perturbations", lambda table, start=start: table.slice(start, ROW_GROUP))  # type: ignore[misc]
        rows = order[np.searchsorted(ordered, block["stay_id"].to_numpy())]
        hour, variable = (block[name].to_numpy().astype(np.int64) for name in ("hour", "variable"))
        charted = ~np.isnan(grid.values[rows, hour, variable])
        named = _named(block.drop("before"), result.variables).rename(
            {"before_clinical": "before", "after_clinical": "after"}
        )
        yield _shaped(
            CHANGES,
            named.with_columns(
                data=pl.lit(data), model=pl.lit(model), attack=pl.lit(attack), charted=pl.Series(charted)
            ),
        )


def proofs(data: str, model: str, result: Certificates) -> Frames:
    """Yield the stays of which something was to be proved."""
    yield _shaped(PROOFS, result.stays.with_columns(data=pl.lit(data), model=pl.lit(model)))


def flipping_entries(data: str, model: str, result: Certificates) -> Frames:
    """Yield the intervals of entries that flip a prediction."""
    named = _named(result.flips, result.variables)
    yield _shaped(FLIPPING, named.with_columns(data=pl.lit(data), model=pl.lit(model)))


def responses(data: str, model: str, result: Probes) -> Frames:
    """Yield how the risk of stays follows derangements."""
    yield _shaped(RESPONSES, result.responses.with_columns(data=pl.lit(data), model=pl.lit(model)))


def verdicts(data: str, model: str, result: Probes) -> Frames:
    """Yield how errors of entry reverse verdicts."""
    yield _shaped(VERDICTS, result.verdicts.with_columns(data=pl.lit(data), model=pl.lit(model)))


def _of_predictor(table: pl.DataFrame, data: str, model: str, own: Sequence[str]) -> pl.DataFrame:
    return table.rename({"model": "predictor"}).with_columns(
        data=pl.lit(data), model=pl.lit(model), baseline=~pl.col("predictor").is_in(list(own))
    )


def _named(frame: pl.DataFrame, variables: Sequence[Variable]) -> pl.DataFrame:
    """Put names, labels and units in the place of the index of a variable."""
    index = pl.col("variable")

    def told(words: list[str]) -> pl.Expr:
        return index.replace_strict(list(range(len(words))), words, return_dtype=pl.String)

    return frame.with_columns(
        variable=told([each.name for each in variables]),
        variable_label=told([each.label for each in variables]),
        unit=told([each.unit for each in variables]),
    )


def _shaped(table: TidyTable, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())
