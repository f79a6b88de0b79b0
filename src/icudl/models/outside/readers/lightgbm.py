"""LightGBM: boosters saved as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import Predictor, by_feature
from icudl.models.outside.readers.library import require


def read(data: bytes) -> Predictor:
    """Read a booster; its raw score is taken where the objective is the logistic one.

    Raises:
        StageError: The bytes are no booster, or it has several classes.
        PluginError: LightGBM is not installed.
    """
    library = require("lightgbm", "lightgbm")
    try:
        text = data.decode()
        booster = library.Booster(model_str=text)
    except Exception as error:
        raise StageError(
            f"The file is no LightGBM model: {error} Save it with booster.save_model('model.txt')."
        ) from error
    if booster.num_model_per_iteration() > 1:
        raise StageError("The LightGBM model has several classes. Expected two: objective = binary.")
    objective = next((line for line in text.splitlines() if line.startswith("objective=")), "objective=")
    words = objective.removeprefix("objective=").split()
    # A steeper or flatter sigmoid makes the raw score something other than the logit.
    logistic = words[:1] == ["binary"] and "sigmoid:1" in words

    def call(features: Any, lengths: Any) -> Any:
        del lengths
        return booster.predict(features, raw_score=logistic, num_threads=1)

    return Predictor(
        name="The LightGBM model",
        call=call,
        gives="logit" if logistic else "probability" if words[:1] == ["binary"] else "",
        n_features=booster.num_feature(),
        slack=0.0,
        levels=_levels(booster.dump_model()),
    )


def _levels(dump: dict[str, Any]) -> dict[int, Any] | None:
    found: list[tuple[int, float]] = []
    open_nodes = [tree["tree_structure"] for tree in dump["tree_info"]]
    while open_nodes:
        node = open_nodes.pop()
        if "leaf_coeff" in node:
            return None
        if "split_feature" not in node:
            continue
        if node["decision_type"] != "<=":
            return None
        # A missing value may stand for 0, and 0 for a missing value.
        found += [(node["split_feature"], float(node["threshold"])), (node["split_feature"], 0.0)]
        open_nodes += [node["left_child"], node["right_child"]]
    if not found:
        return {}
    features, thresholds = zip(*found, strict=True)
    return by_feature(np.array(features), np.array(thresholds))
