"""LightGBM: boosters saved as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import Predictor, by_feature
from icudl.models.outside.readers.library import require

ENDS = {"tree": "end of trees", "parameters:": "end of parameters"}
"""Last line of each part. The library does not look for them, and ends the process where a part is cut."""


def read(data: bytes) -> Predictor:
    """Read a booster; its raw score is taken where the objective is the logistic one.

    Raises:
        StageError: The bytes are no booster, or it has several classes.
        PluginError: LightGBM is not installed.
    """
    library = require("lightgbm", "lightgbm")
    text = data.decode(errors="replace")
    lines = text.splitlines()
    missing = [end for begin, end in ENDS.items() if begin in lines and end not in lines]
    if "tree" not in lines or missing:
        raise StageError(
            f"The file is no LightGBM model, or was cut: it has no line {(missing or ['tree'])[0]!r}. Save it with "
            "booster.save_model('model.txt')."
        )
    try:
        booster = library.Booster(model_str=text)
    except Exception as error:
        raise StageError(
            f"The file is no LightGBM model: {error} Save it with booster.save_model('model.txt')."
        ) from error
    if booster.num_model_per_iteration() > 1:
        raise StageError("The LightGBM model has several classes. Expected two: objective = binary.")
    objective = next((line for line in lines if line.startswith("objective=")), "objective=")
    words = objective.removeprefix("objective=").split()
    # A steeper or flatter sigmoid makes the raw score something other than the logit; that of a random forest is the
    # sum of the trees, of whose mean the probability is made.
    chance = words[:1] in (["binary"], ["cross_entropy"])
    steady = "sigmoid:1" in words or words[:1] == ["cross_entropy"]
    logistic = chance and steady and "average_output" not in lines

    def call(features: Any, lengths: Any) -> Any:
        del lengths
        return booster.predict(features, raw_score=logistic, num_threads=1)

    return Predictor(
        name="The LightGBM model",
        call=call,
        gives="logit" if logistic else "probability" if chance else "",
        n_features=booster.num_feature(),
        names=tuple(booster.feature_name()),
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
