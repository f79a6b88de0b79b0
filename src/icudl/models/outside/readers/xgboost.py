"""XGBoost: boosters saved as JSON or UBJSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import Predictor, by_feature, last_single
from icudl.models.outside.readers.library import require


def read(data: bytes) -> Predictor:
    """Read a booster; its margin is taken where the objective is a logistic one.

    Raises:
        StageError: The bytes are no booster, or it has several classes.
        PluginError: XGBoost is not installed.
    """
    library = require("xgboost", "xgboost")
    if not (data.lstrip().startswith(b"{") and data.rstrip().endswith(b"}")):
        # The library would read beyond the end of a binary file that was cut.
        raise StageError(
            "The file is no XGBoost model, or was cut: it does not begin with { and end with }. Save it with "
            "model.save_model('model.json')."
        )
    booster = library.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(data))
        config = json.loads(booster.save_config())
    except Exception as error:
        raise StageError(
            f"The file is no XGBoost model: {str(error).splitlines()[0]} Save it with model.save_model('model.json')."
        ) from error
    objective = str(config["learner"]["objective"]["name"])
    if int(config["learner"]["learner_model_param"].get("num_class", 0)) > 1:
        raise StageError(f"The XGBoost model has several classes ({objective}). Expected two: binary:logistic.")
    logistic = objective in {"binary:logistic", "binary:logitraw", "reg:logistic"}
    rounds = _rounds(booster)

    def call(features: Any, lengths: Any) -> Any:
        del lengths
        # Not by name: a row is in the model's order because its table says so.
        rows = library.DMatrix(np.asarray(features, np.float32), feature_names=booster.feature_names, nthread=1)
        return booster.predict(rows, output_margin=logistic, iteration_range=rounds)

    return Predictor(
        name="The XGBoost model",
        call=call,
        gives="logit" if logistic else "",
        n_features=booster.num_features(),
        names=tuple(booster.feature_names or ()),
        slack=0.0,
        levels=_levels(booster),
    )


def _rounds(booster: Any) -> tuple[int, int]:
    """Return the rounds that the library's own classifier uses: up to the best one, where it stopped early."""
    best = booster.attr("best_iteration")
    return (0, int(best) + 1) if best is not None else (0, 0)


def _levels(booster: Any) -> dict[int, Any] | None:
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    model = learner["gradient_booster"]
    # The trees of "dart" lie one level deeper.
    trees = model.get("model", model.get("gbtree", {}).get("model", {})).get("trees")
    if trees is None or any(tree.get("categories") for tree in trees):
        return None
    features, thresholds = [], []
    for tree in trees:
        inner = np.asarray(tree["left_children"]) >= 0
        features.append(np.asarray(tree["split_indices"])[inner])
        thresholds.append(np.asarray(tree["split_conditions"], np.float32)[inner])
    if not features:
        return {}
    return by_feature(np.concatenate(features), last_single(np.concatenate(thresholds), below=True))
