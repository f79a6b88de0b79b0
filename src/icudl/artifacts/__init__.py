"""The vocabulary: every typed value that crosses a stage, and the files it is kept in.

N stays, T hours, F variables, S static descriptors. Tables are polars frames with a declared schema, arrays are NumPy;
files are Parquet, safetensors and JSON, so nothing here can execute code when it is read.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import safetensors.numpy

from icudl.artifacts.stored import Question, Table, TableFile, TableFiles, answer, map_arrays, readable, write_table
from icudl.errors import StageError, StoreError
from icudl.variables import Variable

Floats = npt.NDArray[np.float32]
Schema = Mapping[str, pl.DataType | type[pl.DataType]]

STAYS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "patient_id": pl.Int64,
    "admission_id": pl.Int64,
    "age_years": pl.Float32,  # at ICU admission; null where unknown; ages that the source hides are 91.4
    "sex": pl.String,  # "F", "M" or null
    "icu_type": pl.String,  # first care unit, or null
    "height_cm": pl.Float32,
    "weight_kg": pl.Float32,
    "source_set": pl.String,  # part of the source the stay came from ("a", "b"), or ""
    "stay_number": pl.Int32,  # 1 for the patient's first ICU stay
    "stay_hours": pl.Float64,  # ICU admission to ICU discharge
    "death_hours": pl.Float64,  # ICU admission to death in hospital; null for survivors
    "died": pl.Boolean,  # death in hospital during this admission
}
HOURS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "hour": pl.Int16,  # 0 is the first hour after ICU admission
    "variable": pl.UInt8,  # index into the variables of the same artifact
    "mean": pl.Float64,  # of the values charted in that hour, in the variable's unit
    "count": pl.UInt32,  # how many values that mean is made of
}
CLEANING_SCHEMA: Schema = {"variable": pl.String, "rule": pl.String, "rows": pl.Int64}
FLOW_SCHEMA: Schema = {
    "criterion": pl.String,
    "removed": pl.Int64,
    "stays": pl.Int64,  # left after the criterion
    "patients": pl.Int64,
    "deaths": pl.Int64,
}
PREDICTIONS_SCHEMA: Schema = {
    "model": pl.String,  # model plug-in or baseline
    "member": pl.String,  # which fitted model: "fold-0" ... "final"
    "split": pl.String,  # "out-of-fold" or "test": both are stays the member was not fitted on
    "fold": pl.Int16,  # fold of the stay; -1 for test stays
    "stay_id": pl.Int64,
    "label": pl.Int8,
    "probability": pl.Float64,
    "threshold": pl.Float64,  # chosen on validation stays of the member
}
METRICS_SCHEMA: Schema = {
    "model": pl.String,
    "split": pl.String,
    "subgroup": pl.String,  # "all", or "sex=F", "age_years=65-79", ...
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,  # bounds of the 95 % bootstrap interval over stays
    "high": pl.Float64,
    "stays": pl.Int64,
    "deaths": pl.Int64,
}
HISTORY_SCHEMA: Schema = {
    "member": pl.String,
    "epoch": pl.Int32,
    "train_loss": pl.Float64,
    "valid_loss": pl.Float64,
    "valid_auroc": pl.Float64,
    "valid_auprc": pl.Float64,
    "learning_rate": pl.Float64,
}
ATTACKED_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "label": pl.Int8,
    "member": pl.String,  # checkpoint that was attacked: one that was not fitted on the stay
    "split": pl.String,
    "length": pl.Int16,  # hours of the sequence
    "status": pl.String,  # an AttackStatus value
    "probability_before": pl.Float64,
    "first_iteration": pl.Int32,  # iteration of discovery; null where there is no example
    "best_iteration": pl.Int32,
    "first_probability": pl.Float64,  # re-computed by the runner
    "best_probability": pl.Float64,
    "first_l0": pl.Int32,
    "first_l1": pl.Float64,
    "first_l2": pl.Float64,
    "first_linf": pl.Float64,
    "best_l0": pl.Int32,
    "best_l1": pl.Float64,
    "best_l2": pl.Float64,
    "best_linf": pl.Float64,
}
PERTURBATIONS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "example": pl.String,  # "first" or "best"
    "hour": pl.Int16,
    "variable": pl.UInt8,
    "before": pl.Float32,  # unit coordinates: 0 and 1 are the winsor limits of the variable
    "change": pl.Float32,  # unit coordinates, never 0
    "before_clinical": pl.Float32,  # in the variable's unit
    "after_clinical": pl.Float32,
}
TRIALS_SCHEMA: Schema = {
    "trial": pl.Int32,
    "state": pl.String,
    "value": pl.Float64,
    "parameters": pl.String,  # JSON object keyed by dotted configuration paths
    "seconds": pl.Float64,
    "steps": pl.Int32,
}


def check_schema(name: str, frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return ``frame`` with exactly the declared columns, in order.

    Raises:
        StageError: A column is missing or of another type.
    """
    for column, dtype in schema.items():
        if column not in frame.columns:
            raise StageError(f"{name} lacks the column {column!r}. Expected {list(schema)}.")
        if frame.schema[column] != dtype:
            raise StageError(f"{name}.{column} is {frame.schema[column]}; expected {dtype}.")
    return frame.select(list(schema))


def _in_order(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return ``frame`` sorted by columns without nulls; one that is sorted already is returned without a copy."""
    ordered = pl.lit(value=True)
    for column in reversed(columns):
        now, before = pl.col(column), pl.col(column).shift(1)
        ordered = (now > before) | ((now == before) & ordered)
    is_sorted = frame.lazy().select(ordered.slice(1).all()).collect().item()
    return frame if is_sorted else frame.sort(columns)


class Artifact(Protocol):
    """A value that crosses a stage and can be kept in a folder."""

    def write(self, folder: Path) -> None:
        """Write the value's files into an empty folder; the same value gives the same bytes."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""


def write_json(path: Path, value: Any) -> None:
    """Write canonical, readable JSON: sorted keys, no NaN."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StoreError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path} cannot be read as JSON ({error}). Delete the artifact and run its stage again."
        ) from error


def _write_frame(path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(path, compression="zstd", statistics=False)


def _read_frame(path: Path, schema: Schema | None = None) -> pl.DataFrame:
    frame = TableFile(path).read()
    return frame if schema is None else check_schema(path.name, frame, schema)


def _table_file(path: Path, schema: Schema | None = None) -> TableFile:
    with readable(path):
        found = pl.read_parquet_schema(path)
    if schema is not None:
        check_schema(path.name, pl.DataFrame(schema=found), schema)
    return TableFile(path)


def _write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    safetensors.numpy.save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, path)


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise StoreError(
            f"{path} cannot be read as safetensors ({error}). Delete the artifact and run its stage again."
        ) from error


def _map_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map the arrays with a number for each hour and variable; those with one a stay are read."""
    try:
        arrays = map_arrays(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read as safetensors ({error}). Delete the artifact and run its stage again."
        ) from error
    return {name: array if array.ndim > 2 else array.copy() for name, array in arrays.items()}


def _variables_to_json(variables: tuple[Variable, ...]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(variable) for variable in variables]


def _variables_from_json(items: list[dict[str, Any]]) -> tuple[Variable, ...]:
    return tuple(Variable(**item) for item in items)


@dataclasses.dataclass(frozen=True, eq=False)
class SourceTables:
    """What a source gives: stays, and the hourly means of their measurements inside the window.

    Attributes:
        stays: One row per ICU stay (``STAYS_SCHEMA``), sorted by stay_id.
        hours: One row per stay, hour and variable in which something was charted (``HOURS_SCHEMA``), sorted by
            stay_id, hour, variable.
        cleaning: Rows touched by each rule (``CLEANING_SCHEMA``), sorted by variable, rule.
        variables: F variables, in the order of ``hours.variable``.
        window_hours: Length T of the window.
    """

    stays: pl.DataFrame
    hours: pl.DataFrame
    cleaning: pl.DataFrame
    variables: tuple[Variable, ...]
    window_hours: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "stays", check_schema("stays", self.stays, STAYS_SCHEMA).sort("stay_id"))
        object.__setattr__(
            self, "hours", _in_order(check_schema("hours", self.hours, HOURS_SCHEMA), "stay_id", "hour", "variable")
        )
        object.__setattr__(
            self,
            "cleaning",
            check_schema("cleaning", self.cleaning, CLEANING_SCHEMA).sort("variable", "rule"),
        )

    def write(self, folder: Path) -> None:
        """Write ``stays``, ``hours`` and ``cleaning`` as Parquet and the rest as JSON."""
        _write_frame(folder / "stays.parquet", self.stays)
        _write_frame(folder / "hours.parquet", self.hours)
        _write_frame(folder / "cleaning.parquet", self.cleaning)
        meta = {"variables": _variables_to_json(self.variables), "window_hours": self.window_hours}
        write_json(folder / "tables.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "tables.json")
        return cls(
            stays=_read_frame(folder / "stays.parquet"),
            hours=_read_frame(folder / "hours.parquet"),
            cleaning=_read_frame(folder / "cleaning.parquet"),
            variables=_variables_from_json(meta["variables"]),
            window_hours=meta["window_hours"],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class GridDataset:
    """Clean hourly tensors of the cohort, in clinical units: never imputed, never scaled.

    ``values`` and ``counts`` of a data set that was read are mapped from its file and cannot be written to.

    Attributes:
        values: (N, T, F) float32 hourly means, NaN where nothing was charted.
        counts: (N, T, F) uint16 number of values behind each mean, 0 where nothing was charted.
        lengths: (N,) int16 hours of each stay inside the window; cells at or beyond it are NaN.
        labels: (N,) int8, 1 for death in hospital.
        statics: (N, S) float32 static descriptors, NaN where unknown.
        static_names: Names of the S descriptors.
        stays: The cohort's rows of ``SourceTables.stays``, in the order of the arrays.
        is_test: (N,) bool, held out from everything that is fitted.
        folds: (N,) int8 fold of cross-validation, -1 for test stays.
        flow: Attrition table (``FLOW_SCHEMA``).
        variables: F variables.
    """

    values: Floats
    counts: npt.NDArray[np.uint16]
    lengths: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int8]
    statics: Floats
    static_names: tuple[str, ...]
    stays: pl.DataFrame
    is_test: npt.NDArray[np.bool_]
    folds: npt.NDArray[np.int8]
    flow: pl.DataFrame
    variables: tuple[Variable, ...]

    @property
    def stay_ids(self) -> npt.NDArray[np.int64]:
        """(N,) stay identifiers."""
        return self.stays["stay_id"].to_numpy()

    @property
    def patient_ids(self) -> npt.NDArray[np.int64]:
        """(N,) patient identifiers."""
        return self.stays["patient_id"].to_numpy()

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1

    def write(self, folder: Path) -> None:
        """Write arrays as safetensors, tables as Parquet, names as JSON."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "values": self.values,
            "counts": self.counts,
            "lengths": self.lengths,
            "labels": self.labels,
            "statics": self.statics,
            "is_test": self.is_test,
            "folds": self.folds,
        }
        _write_arrays(folder / "grid.safetensors", arrays)
        _write_frame(folder / "stays.parquet", self.stays)
        _write_frame(folder / "flow.parquet", self.flow)
        meta = {"variables": _variables_to_json(self.variables), "static_names": list(self.static_names)}
        write_json(folder / "grid.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "grid.json")
        return cls(
            **_map_arrays(folder / "grid.safetensors"),
            stays=_read_frame(folder / "stays.parquet", STAYS_SCHEMA),
            flow=_read_frame(folder / "flow.parquet", FLOW_SCHEMA),
            variables=_variables_from_json(meta["variables"]),
            static_names=tuple(meta["static_names"]),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureScaler:
    """Statistics of training stays; ``preprocessing.scaling`` fits and applies them.

    A value x of variable j becomes unit coordinate u = (clip(x, lower_j, upper_j) - lower_j) / (upper_j - lower_j),
    and the model sees (lower_j + u (upper_j - lower_j) - offset_j) / scale_j.

    Attributes:
        lower: (F,) lower winsor limits, in clinical units.
        upper: (F,) upper winsor limits; always above ``lower``.
        median: (F,) filling of a variable that a stay never had measured.
        offset: (F,) subtracted before the model.
        scale: (F,) divided by before the model.
        static_median: (S,) filling of unknown static descriptors.
        static_offset: (S,).
        static_scale: (S,).
        imputation: ``"linear"`` or ``"forward"``.
        fitted_on: Number of stays the statistics come from.
    """

    lower: Floats
    upper: Floats
    median: Floats
    offset: Floats
    scale: Floats
    static_median: Floats
    static_offset: Floats
    static_scale: Floats
    imputation: str
    fitted_on: int

    ARRAYS: ClassVar[tuple[str, ...]] = (
        "lower",
        "upper",
        "median",
        "offset",
        "scale",
        "static_median",
        "static_offset",
        "static_scale",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A fitted model with everything needed to score a stay of a ``GridDataset``.

    Attributes:
        member: ``"fold-0"`` ... or ``"final"``.
        model: Resolved ``[model]`` options.
        inputs: Resolved ``[inputs]`` options.
        variables: F variables the model expects.
        static_names: S static descriptors the model expects.
        n_hours: T.
        scaler: Fitted on the member's training stays.
        threshold: Decision threshold on the probability of death, chosen on the member's validation stays.
        weights: Parameters by name.
        curve: (2, K) isotonic calibration: logit differences (death minus survival), rising, and the risks there
            (``training.scores.risk_curve``); None where the softmax of the logits is the risk.
        folds: Networks of this architecture that the model is the mean of, each with a scale of its own
            (``models.rescaled``); 0 for a model that was fitted as a whole.
    """

    member: str
    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    variables: tuple[Variable, ...]
    static_names: tuple[str, ...]
    n_hours: int
    scaler: FeatureScaler
    threshold: float
    weights: Mapping[str, npt.NDArray[Any]]
    curve: npt.NDArray[np.float64] | None = None
    folds: int = 0

    def write(self, folder: Path) -> None:
        """Write weights and scaler as safetensors and the rest as JSON into ``folder``."""
        arrays = {f"weights.{key}": value for key, value in self.weights.items()}
        arrays |= {f"scaler.{key}": getattr(self.scaler, key) for key in FeatureScaler.ARRAYS}
        if self.curve is not None:
            arrays["curve"] = self.curve
        _write_arrays(folder / f"{self.member}.safetensors", arrays)
        meta = {
            "member": self.member,
            "model": dict(self.model),
            "inputs": dict(self.inputs),
            "variables": _variables_to_json(self.variables),
            "static_names": list(self.static_names),
            "n_hours": self.n_hours,
            "threshold": self.threshold,
            "folds": self.folds,
            "scaler": {"imputation": self.scaler.imputation, "fitted_on": self.scaler.fitted_on},
        }
        write_json(folder / f"{self.member}.json", meta)

    @classmethod
    def read_member(cls, folder: Path, member: str) -> Self:
        """Read the member of this name."""
        meta = read_json(folder / f"{member}.json")
        arrays = _read_arrays(folder / f"{member}.safetensors")
        statistics: dict[str, Any] = {key: arrays[f"scaler.{key}"] for key in FeatureScaler.ARRAYS} | meta["scaler"]
        weights = {key.removeprefix("weights."): value for key, value in arrays.items() if key.startswith("weights.")}
        return cls(
            member=meta["member"],
            model=meta["model"],
            inputs=meta["inputs"],
            variables=_variables_from_json(meta["variables"]),
            static_names=tuple(meta["static_names"]),
            n_hours=meta["n_hours"],
            scaler=FeatureScaler(**statistics),
            threshold=meta["threshold"],
            weights=weights,
            curve=arrays.get("curve"),
            # Checkpoints made before a final member could be the models of all folds do not name it.
            folds=meta.get("folds", 0),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """Fitted members, and what they score on stays they were not fitted on.

    Attributes:
        checkpoints: By member: one per fold, and ``"final"`` fitted on all stays that are not test stays.
        history: Losses and validation scores by member and epoch (``HISTORY_SCHEMA``).
        predictions: Out-of-fold and test predictions of the model and of the baselines (``PREDICTIONS_SCHEMA``).
        metrics: With bootstrap intervals (``METRICS_SCHEMA``).
    """

    checkpoints: Mapping[str, Checkpoint]
    history: pl.DataFrame
    predictions: pl.DataFrame
    metrics: pl.DataFrame

    def write(self, folder: Path) -> None:
        """Write one pair of files per checkpoint, and Parquet tables."""
        (folder / "checkpoints").mkdir()
        for checkpoint in self.checkpoints.values():
            checkpoint.write(folder / "checkpoints")
        write_json(folder / "members.json", list(self.checkpoints))
        _write_frame(folder / "history.parquet", check_schema("history", self.history, HISTORY_SCHEMA))
        _write_frame(folder / "predictions.parquet", check_schema("predictions", self.predictions, PREDICTIONS_SCHEMA))
        _write_frame(folder / "metrics.parquet", check_schema("metrics", self.metrics, METRICS_SCHEMA))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        members = read_json(folder / "members.json")
        return cls(
            checkpoints={member: Checkpoint.read_member(folder / "checkpoints", member) for member in members},
            history=_read_frame(folder / "history.parquet", HISTORY_SCHEMA),
            predictions=_read_frame(folder / "predictions.parquet", PREDICTIONS_SCHEMA),
            metrics=_read_frame(folder / "metrics.parquet", METRICS_SCHEMA),
        )


class AttackStatus(enum.StrEnum):
    """What became of one stay."""

    SUCCESS = "success"
    FAILED = "failed"  # attacked, never flipped
    MISCLASSIFIED = "misclassified"  # not attacked: the model is wrong already
    NOTHING_TO_CHANGE = "nothing_to_change"  # no cell of the stay may be attacked
    INVALID_OUTPUT = "invalid_output"  # the model gave NaN for the unchanged stay


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AttackResult:
    """The adversarial examples found, re-verified by an independent forward pass.

    The tables of an attack on many stays lie in files, and are read when they are asked for.

    Attributes:
        stays: One row per stay considered (``ATTACKED_SCHEMA``).
        perturbations: One row per changed cell of each example (``PERTURBATIONS_SCHEMA``).
        curves: Further tables by name (budget curves, sweep, entry errors, noise); empty for most attacks.
        variables: F variables.
        n_hours: T.
        threat_model: Its name.
        options: Resolved ``[attack]`` options.
    """

    stays: Table = Table()  # noqa: RUF009 - a descriptor
    perturbations: Table = Table()  # noqa: RUF009
    curves: Mapping[str, pl.DataFrame]
    variables: tuple[Variable, ...]
    n_hours: int
    threat_model: str
    options: Mapping[str, Any]

    def ask(self, name: str, question: Question) -> pl.DataFrame:
        """Put a question to ``"stays"`` or ``"perturbations"`` without reading all of it.

        Raises:
            StoreError: The table is in a file that cannot be read.
        """
        return answer(vars(self)[name], question)

    def write(self, folder: Path) -> None:
        """Write tables as Parquet and the rest as JSON."""
        for name, schema in (("stays", ATTACKED_SCHEMA), ("perturbations", PERTURBATIONS_SCHEMA)):
            table = vars(self)[name]
            if isinstance(table, pl.DataFrame):
                table = check_schema(name, table, schema)
            write_table(folder / f"{name}.parquet", table)
        curves = self.curves.files if isinstance(self.curves, TableFiles) else self.curves
        for name, curve in curves.items():
            write_table(folder / f"curve-{name}.parquet", curve)
        meta = {
            "variables": _variables_to_json(self.variables),
            "n_hours": self.n_hours,
            "threat_model": self.threat_model,
            "options": dict(self.options),
            "curves": sorted(self.curves),
        }
        write_json(folder / "attack.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote; the tables when they are asked for."""
        meta = read_json(folder / "attack.json")
        return cls(
            stays=_table_file(folder / "stays.parquet", ATTACKED_SCHEMA),
            perturbations=_table_file(folder / "perturbations.parquet", PERTURBATIONS_SCHEMA),
            curves=TableFiles({name: _table_file(folder / f"curve-{name}.parquet") for name in meta["curves"]}),
            variables=_variables_from_json(meta["variables"]),
            n_hours=meta["n_hours"],
            threat_model=meta["threat_model"],
            options=meta["options"],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SusceptibilityResult:
    """Where predictions hang: measures over the adversarial examples.

    Attributes:
        tables: By name, each a polars frame with one row per observation; the names and columns are documented in
            ``icudl.analysis.susceptibility``.
    """

    tables: Mapping[str, pl.DataFrame]

    def write(self, folder: Path) -> None:
        """Write one Parquet file a table."""
        for name, table in self.tables.items():
            _write_frame(folder / f"{name}.parquet", table)
        write_json(folder / "tables.json", sorted(self.tables))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        names = read_json(folder / "tables.json")
        return cls(tables={name: _read_frame(folder / f"{name}.parquet") for name in names})


@dataclasses.dataclass(frozen=True, eq=False)
class TuningResult:
    """All trials of a search and the setting it chose.

    Attributes:
        trials: ``TRIALS_SCHEMA``.
        best: Chosen values keyed by dotted configuration path.
        best_trial: Number of the chosen trial.
        best_value: Its score.
        objective: What was optimised, and in which direction (``"maximize auroc"``).
    """

    trials: pl.DataFrame
    best: Mapping[str, Any]
    best_trial: int
    best_value: float
    objective: str

    def write(self, folder: Path) -> None:
        """Write the trials as Parquet and the choice as JSON."""
        _write_frame(folder / "trials.parquet", check_schema("trials", self.trials, TRIALS_SCHEMA))
        meta = {
            "best": dict(self.best),
            "best_trial": self.best_trial,
            "best_value": self.best_value,
            "objective": self.objective,
        }
        write_json(folder / "tuning.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        meta = read_json(folder / "tuning.json")
        return cls(trials=_read_frame(folder / "trials.parquet", TRIALS_SCHEMA), **meta)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineageEntry:
    """What the report tells of one artifact's origin; nothing in it depends on the clock or the machine.

    Attributes:
        node: ``"extract"``, ``"train"``, ...
        id: Content identity of the artifact.
        upstream: Ids of its inputs by node.
        options: Resolved option tables of the stage.
        plugin: Name of the source, model or attack used, or "".
        citations: Keys of the works to cite.
        restricted: True where anything upstream is credentialed.
        warnings: What the stage found worth saying.
    """

    node: str
    id: str
    upstream: Mapping[str, str]
    options: Mapping[str, Any]
    plugin: str = ""
    citations: tuple[str, ...] = ()
    restricted: bool = False
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """The rendered page.

    Attributes:
        html: The whole of ``index.html``, self-contained.
        files: Further files by relative name (figures).
    """

    html: str
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``index.html`` and the files beside it."""
        (folder / "index.html").write_text(self.html, "utf-8")
        for name, content in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``write`` wrote."""
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in {"index.html", "manifest.json"}
        }
        return cls(html=(folder / "index.html").read_text("utf-8"), files=files)
