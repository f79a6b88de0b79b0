"""``icudl.audit``: an audit of arrays. They become tables of a folder, and the tables the data of an ordinary study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from icudl.artifacts import AttackResult, TrainingResult
from icudl.config.load import build, load_config
from icudl.errors import ConfigError
from icudl.models.outside.options import OutsideOptions, how_to_save
from icudl.models.outside.predictor import require_classes
from icudl.pipeline.audit.study import AUDITED, audit_study
from icudl.pipeline.run import Pipeline
from icudl.store.manifest import digest
from icudl.variables import select


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes:
        report: The page.
        training: Predictions and scores with intervals, of the whole and of subgroups.
        attacks: Result of each attack by its name: one_value, fewest, entry_error, random.
        pipeline: The study, for more of it.
    """

    report: Path
    training: TrainingResult
    attacks: dict[str, AttackResult]
    pipeline: Pipeline

    @property
    def scores(self) -> pl.DataFrame:
        """Scores of the model with intervals (``METRICS_SCHEMA``)."""
        return self.training.metrics


def audit(
    model: str | Path | Any,
    values: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    *,
    variables: Sequence[str],
    trained_on: str,
    lengths: npt.NDArray[np.integer] | None = None,
    patients: npt.NDArray[np.integer] | None = None,
    ages: npt.NDArray[np.floating] | None = None,
    store: str | Path = "runs",
    max_stays: int = 200,
    beside: Sequence[str] = (),
    settings: Sequence[str] = (),
    **declared: Any,
) -> Audit:
    """Audit a model that was trained elsewhere: scores, calibration, subgroups, attacks, one report.

    The arrays are written into the store's folder ``audited`` as the tables of a hospital of its own, and read back by
    the rules of every source: implausible values are dropped, and the report counts them. What is made from them is
    marked restricted unless ``settings`` has ``"source.open_data=true"``.

    Args:
        model: Path of a file in its library's own format, ``"package.module:name"``, or a fitted XGBoost, LightGBM,
            CatBoost or scikit-learn classifier, which is saved in its own format.
        values: (N, T, F) hourly means in the catalogue's units, NaN where nothing was charted.
        labels: (N,) 1 for death.
        variables: F names of the catalogue (``icudl.variables.CATALOGUE``).
        trained_on: ``"elsewhere"`` if the model has met none of these patients, or ``"listed"`` with ``trained_stays``;
            stay n has the ``stay_id`` n + 1.
        lengths: (N,) hours of each stay; T by default.
        patients: (N,) patient of each stay; each stay is a patient by default.
        ages: (N,) years, for subgroups and as the descriptor ``age_years``.
        store: Folder of results.
        max_stays: Most stays that each attack is run on; 0 takes all.
        beside: Names of model plug-ins to train and attack beside it, such as ``"boosted_trees"``.
        settings: ``"table.key=value"`` for the study, such as ``"training.bootstrap_samples=200"``.
        **declared: Keys of ``OutsideOptions``: input, order, missing, units, output, threshold, ...

    Raises:
        ConfigError: An argument does not fit the others, or the model is of no known kind.
        IcudlError: A stage cannot work with the model or the data.
    """
    select(variables)
    values = np.asarray(values, np.float32)
    if values.ndim != 3 or values.shape[2] != len(variables) or len(labels) != len(values):
        raise ConfigError(
            f"values have the shape {values.shape}, with {len(labels)} labels and {len(variables)} variables. Expected "
            "(N, T, F), N labels and F names."
        )
    for name, column in (("labels", labels), ("lengths", lengths), ("patients", patients), ("ages", ages)):
        if column is not None and np.shape(column) != values.shape[:1]:
            raise ConfigError(
                f"{name} have the shape {np.shape(column)}. Expected one for each of {len(values):,} stays."
            )
    strange = [each for each in np.unique(np.asarray(labels)) if each not in (0, 1)]
    if strange:
        raise ConfigError(f"labels hold {strange[0]!s}. Expected 1 for death and 0 for survival.")
    if not isinstance(model, str | Path):
        require_classes(f"The model ({type(model).__name__})", model)
    root = Path(store).resolve() / "audited"
    tables = _tables(values, labels, variables, lengths, patients, ages)
    folder = root / digest({name: str(frame.hash_rows(seed=1).sum()) for name, frame in tables.items()})[:12]
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    given = declared | {"name": "outside", "trained_on": trained_on} | _place_of(model, folder)
    options = build("model", "model", given, {})
    if not isinstance(options, OutsideOptions):
        raise ConfigError(f"The model is {type(options).__name__}. Expected one from outside.")
    defaults = ("execution.executor=serial",)  # a script that is not guarded cannot start processes
    said = [*_data_settings(folder, values.shape[1], variables), *settings]
    base = load_config(None, said, defaults=defaults, completed=False)
    pipeline = Pipeline(audit_study(base, options, beside=beside, max_stays=max_stays), store)
    page = pipeline.update()[-1]
    return Audit(
        report=Path(pipeline.store.fetch(page)) / "index.html",
        training=pipeline.run(f"train/{AUDITED}"),
        attacks={name: pipeline.run(f"attack/{AUDITED}/{name}") for name in pipeline.config.attacks},
        pipeline=pipeline,
    )


def _tables(
    values: npt.NDArray[np.float32],
    labels: npt.NDArray[np.integer],
    variables: Sequence[str],
    lengths: npt.NDArray[np.integer] | None,
    patients: npt.NDArray[np.integer] | None,
    ages: npt.NDArray[np.floating] | None,
) -> dict[str, pl.DataFrame]:
    n_stays, n_hours, _ = values.shape
    hours = np.full(n_stays, n_hours) if lengths is None else np.asarray(lengths)
    numbers = np.arange(1, n_stays + 1)
    stays = {
        "stay_id": numbers,
        "patient_id": numbers if patients is None else np.asarray(patients),
        "stay_hours": hours.astype(np.float64),
        "died": np.asarray(labels).astype(np.int64),
    }
    if ages is not None:
        stays["age"] = np.asarray(ages, np.float64)
    inside = np.arange(n_hours) < hours[:, None]
    stay, hour, place = (~np.isnan(values) & inside[:, :, None]).nonzero()
    units = np.array([variable.unit for variable in select(variables)])
    measurements = {
        "stay_id": numbers[stay],
        "time": hour + 0.5,
        "name": np.array(list(variables))[place],
        "value": values[stay, hour, place].astype(np.float64),
        "unit": units[place],
    }
    return {"stays": pl.DataFrame(stays), "measurements": pl.DataFrame(measurements)}


def _data_settings(folder: Path, n_hours: int, variables: Sequence[str]) -> list[str]:
    named = ", ".join(f'"{name}"' for name in variables)
    return [
        "source.name=table",
        f"source.path={folder}",
        "source.population=arrays given to icudl.audit",
        "source.time_unit=hours",
        f"variables.use=[{named}]",
        f"window.hours={n_hours}",
        "cohort.min_age_years=0",
        "cohort.min_stay_hours=0",
        "cohort.alive_at_window_end=false",
    ]


def _place_of(model: Any, folder: Path) -> dict[str, Any]:
    """Return the file or object of a model; a fitted one is saved in the format of its library."""
    if isinstance(model, Path) or (isinstance(model, str) and ":" not in model):
        return {"file": str(Path(model).resolve())}
    if isinstance(model, str):
        return {"object": model}
    library = type(model).__module__.partition(".")[0]
    place = folder / {"xgboost": "model.ubj", "lightgbm": "model.txt", "catboost": "model.cbm"}.get(
        library, "model.skops"
    )
    if library in {"xgboost", "catboost"}:
        model.save_model(str(place))
    elif library == "lightgbm":
        getattr(model, "booster_", model).save_model(str(place))
    elif library == "sklearn":
        from icudl.models.outside.readers.library import require

        skops = require("skops.io", "skops")
        place.write_bytes(skops.dumps(model))
        # What the caller holds in memory is no stranger's file.
        return {"file": str(place), "trusted": tuple(skops.get_untrusted_types(file=place))}
    else:
        raise ConfigError(f"The model is {type(model).__module__}.{type(model).__qualname__}. {how_to_save()}")
    return {"file": str(place)}
