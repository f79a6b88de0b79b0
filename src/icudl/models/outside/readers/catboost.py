"""CatBoost: models saved in its own format (cbm)."""

from __future__ import annotations

from typing import Any

from icudl.errors import StageError
from icudl.models.outside.predictor import Predictor
from icudl.models.outside.readers.library import as_file, require


def read(data: bytes) -> Predictor:
    """Read a model; its raw value is the logit where its loss is the logistic one.

    Raises:
        StageError: The bytes are no model, or it has several classes.
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

    def call(features: Any, lengths: Any) -> Any:
        del lengths
        return model.predict(features, prediction_type="RawFormulaVal", thread_count=1)

    return Predictor(
        name="The CatBoost model",
        call=call,
        gives="logit" if loss in {"Logloss", "CrossEntropy"} else "",
        n_features=len(model.feature_names_),
        slack=0.0,
    )
