"""ONNX graphs, run by onnxruntime."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import Predictor, cause_of
from icudl.models.outside.readers.library import require

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def read(data: bytes) -> Predictor:
    """Read a graph of one input, or of inputs and lengths.

    Of the outputs, the one called probabilities or scores counts, as converters of classifiers name it; else the only
    one.

    Raises:
        StageError: The bytes are no graph, it holds an operator that onnxruntime lacks, or it has other inputs.
        PluginError: onnxruntime is not installed.
    """
    library = require("onnxruntime", "onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = library.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # The place in onnxruntime's own source says nothing to a user.
        text = cause_of(re.sub(r"/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])", "", str(error), flags=re.DOTALL))
        if "xternal data" in text:
            raise StageError(
                "The ONNX file keeps its weights in another file beside it, and a model is one file. Export it with "
                "torch.onnx.export(..., external_data=False), or put both together: "
                "onnx.save_model(onnx.load('model.onnx'), 'whole.onnx', save_as_external_data=False)."
            ) from error
        raise StageError(
            f"onnxruntime {library.__version__} cannot run the ONNX file: {text} If it names an operator, the file "
            "needs a custom one or a newer onnxruntime: export it with standard operators (opset_version)."
        ) from error
    inputs = session.get_inputs()
    if not 1 <= len(inputs) <= 2 or inputs[0].type not in _TYPES:
        raise StageError(
            f"The ONNX file has the inputs {[(each.name, each.type) for each in inputs]}. Expected one of floats, and "
            "at most the lengths beside it. A converter of tables may have made one input a column: convert it with "
            "one array for all columns."
        )
    name, gives = _output(session)

    def call(features: Any, lengths: Any) -> Any:
        feed = {inputs[0].name: np.ascontiguousarray(features, _TYPES[inputs[0].type])}
        if len(inputs) == 2:
            feed[inputs[1].name] = np.asarray(lengths, np.int64)
        (found,) = session.run([name], feed)
        if isinstance(found, list):  # one dictionary of classes a row
            return np.array([[row[label] for label in sorted(row)] for row in found])
        return found

    first, width = inputs[0].shape[0], inputs[0].shape[-1] if len(inputs[0].shape) == 2 else None
    return Predictor(
        name="The ONNX model",
        call=call,
        gives=gives,
        n_features=width if isinstance(width, int) else None,
        # An export without dynamic axes holds the number of stays of its example.
        at_once=first if isinstance(first, int) else None,
    )


def _output(session: Any) -> tuple[str, str]:
    names = [each.name for each in session.get_outputs()]
    likely = [name for name in names if "prob" in name.casefold()]
    if likely:
        return likely[0], "probability"
    if len(names) == 1:
        return names[0], ""
    logits = [name for name in names if "logit" in name.casefold()]
    if logits:
        return logits[0], "logit"
    raise StageError(
        f"The ONNX file has the outputs {', '.join(names)}, and none is called probabilities or logits. Export it with "
        "one output."
    )
