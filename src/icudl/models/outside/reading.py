"""From the options of a model from outside, and the bytes that are kept of it, to a ``Predictor``."""

from __future__ import annotations

from icudl.errors import StageError
from icudl.models.outside.options import OutsideOptions, how_to_save, undeclared
from icudl.models.outside.predictor import Predictor
from icudl.models.outside.readers import catboost, lightgbm, objects, onnx, sklearn, torch, xgboost


def read_predictor(options: OutsideOptions, data: bytes) -> Predictor:
    """Load a model.

    Args:
        options: Name the format, or the object.
        data: Content of the file; empty for an object.

    Raises:
        StageError: The file is empty, its content is not of this format, or the object is no model.
        PluginError: The library of the format is not installed.
    """
    if options.object:
        return objects.read(options.object)
    if not data:
        raise StageError(f"The file of the model is empty. {how_to_save()}")
    readers = {
        "XGBoost": xgboost.read,
        "LightGBM": lightgbm.read,
        "CatBoost": catboost.read,
        "ONNX": onnx.read,
        "TorchScript": torch.read_script,
        "torch.export": torch.read_export,
    }
    if options.library == "scikit-learn":
        return sklearn.read(data, options.trusted)
    if options.library not in readers:
        raise StageError(undeclared("models.outside", options))
    return readers[options.library](data)
