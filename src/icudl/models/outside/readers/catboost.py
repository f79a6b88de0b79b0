"""CatBoost: models saved in its own format (cbm)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import Float64s, Predictor, by_feature, last_single, require_classes
from icudl.models.outside.readers.library import as_file, require


def read(data: bytes) -> Predictor:
    """Read a model; its raw value is the logit where its loss is the logistic one.

    Raises:
        StageError: The bytes are no model, it has several classes, or none of its two is known to be death.
        PluginError: CatBoost is not installed.
    """
    library = require("catboost", "catboost")
    model = library.CatBoost()
    try:
        with as_file(data, ".cbm") as path:
            model.load_model(path)
    except Exception as error:
        raise StageError(
            f"The file is no CatBoost model: {error} Save it with model.save_model('model.cbm')."
        ) from error
    loss = str(model.get_all_params().get("loss_function", ""))
    if loss.startswith("MultiClass"):
        raise StageError("The CatBoost model has several classes (MultiClass). Expected two: Logloss.")
    require_classes("The CatBoost model", model)

    def call(features: Any, lengths: Any) -> Any:
        del lengths
        return model.predict(features, prediction_type="RawFormulaVal", thread_count=1)

    return Predictor(
        name="The CatBoost model",
        call=call,
        gives="logit" if loss in {"Logloss", "CrossEntropy"} else "",
        n_features=len(model.feature_names_),
        names=tuple(model.feature_names_),
        slack=0.0,
        levels=_levels(model),
    )


def _levels(model: Any) -> dict[int, Float64s] | None:
    """Return where the score may jump: a value goes to the right where, in single precision, it lies above a border."""
    with as_file(b"", ".json") as path:
        model.save_model(path, format="json")
        saved = json.loads(Path(path).read_text())
    places = [each["flat_feature_index"] for each in saved["features_info"].get("float_features", [])]
    # Oblivious trees list their splits, one a level; trees of other shapes hold them in nested nodes.
    open_nodes = [split for tree in saved.get("oblivious_trees", []) for split in tree["splits"] or []]
    open_nodes += saved.get("trees", [])
    found: list[tuple[int, float]] = []
    while open_nodes:
        node = open_nodes.pop()
        split = node.get("split", node if "split_type" in node else None)
        if split is None:
            continue
        if split["split_type"] != "FloatFeature":
            return None
        # A border at the end of all numbers parts those from the missing ones.
        if abs(split["border"]) < float(np.finfo(np.float32).max):
            found.append((places[split["float_feature_index"]], split["border"]))
        open_nodes += [node[side] for side in ("left", "right") if side in node]
    if not found:
        return {}
    features, borders = zip(*found, strict=True)
    return by_feature(np.array(features), last_single(np.array(borders), below=False))
