"""Objects of a user's own package: classifiers with predict_proba, torch modules, functions."""

from __future__ import annotations

import inspect
import warnings
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import ROUNDING, Float64s, Predictor, one_column, require_classes


def find(name: str) -> Any:
    """Return the object called ``package.module:name``.

    Raises:
        StageError: It cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise StageError(f"{name!r} names no object. Expected package.module:name.")
    try:
        found: Any = import_module(module)
    except Exception as error:
        raise StageError(
            f"The module of {name!r} cannot be imported: {type(error).__name__}: {error} It has to be installed, or "
            "lie in the folder that the command is started in or in one of PYTHONPATH."
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise StageError(f"{module!r} has no {attribute!r}. Check the name behind the colon of {name!r}.")
        found = getattr(found, part)
    return found


def read(name: str) -> Predictor:
    """Make a predictor of an object.

    Raises:
        StageError: It cannot be imported, is no model, or has classes of which none is known to be death.
    """
    from torch import nn

    found = find(name)
    if inspect.isclass(found):
        raise StageError(f"{name!r} is a class. Give an instance of it, ready to predict.")
    if isinstance(found, nn.Module):
        return of_module(f"The module {name}", found.eval())
    if hasattr(found, "predict_proba"):
        from icudl.models.outside.readers.sklearn import levels_of

        require_classes(f"The model {name}", found)
        levels = levels_of(found)
        return Predictor(
            name=f"The model {name}",
            call=partial(probabilities, found),
            gives="probability",
            n_features=getattr(found, "n_features_in_", None),
            names=names_of(found),
            slack=ROUNDING if levels is None else 0.0,
            levels=levels,
        )
    if callable(found):
        takes = _takes_lengths(found)
        return Predictor(
            name=f"The function {name}",
            call=found if takes else lambda features, _: found(features),
        )
    raise StageError(
        f"{name!r} is {type(found).__name__}. Expected an object with predict_proba, a torch module, or a function of "
        "the features."
    )


def probabilities(estimator: Any, features: Any, lengths: Any) -> Any:  # noqa: ARG001 - a classifier reads no lengths
    """Return the columns of predict_proba; an estimator that was fitted on a data frame gets one if pandas is there."""
    names = names_of(estimator)
    if features.ndim == 2 and len(names) == features.shape[1] and find_spec("pandas") is not None:
        pandas: Any = import_module("pandas")
        # Some steps of a pipeline choose columns by name. Which feature has which name is for the table to say.
        return estimator.predict_proba(pandas.DataFrame(features, columns=list(names)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*feature names.*")
        return estimator.predict_proba(features)


def names_of(estimator: Any) -> tuple[str, ...]:
    """Return the names of the columns of the data frame that an estimator was fitted on; () if it was none."""
    return tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))


def of_module(name: str, module: Any) -> Predictor:
    """Make a predictor of a torch module in eval mode: in its own precision, with lengths if it takes them.

    Args:
        name: What it is, for messages.
        module: Anything that torch calls with features: a module, a TorchScript archive, an exported program.
    """
    import torch

    first = next((each for each in module.parameters() if each.is_floating_point()), torch.zeros(()))
    takes = _takes_lengths(module.forward)

    def given(inputs: Any, lengths: Any) -> Any:
        found = module(inputs, torch.from_numpy(lengths)) if takes else module(inputs)
        if not isinstance(found, torch.Tensor):
            raise StageError(f"{name} gives {type(found).__name__}. Expected one tensor, with one number a stay.")
        return found

    def call(features: Any, lengths: Any) -> Any:
        with torch.no_grad():
            return given(torch.from_numpy(np.ascontiguousarray(features)).to(first), lengths).double().cpu()

    def sloped(features: Any, lengths: Any, output: str) -> tuple[Float64s, Float64s]:
        inputs = torch.from_numpy(np.ascontiguousarray(features)).to(first).requires_grad_()
        try:
            with torch.enable_grad():
                raw = given(inputs, lengths)
                raw = one_column(raw, output) if raw.shape == (len(features), 2) else raw.reshape(len(features))
                (slopes,) = torch.autograd.grad(raw.sum(), inputs)
        except RuntimeError as error:
            raise StageError(
                f"{name} offers no gradient: {str(error).splitlines()[0]} Expected a module made of differentiable "
                "operations. Use greedy, sweep, entry_errors or noise, which need scores alone."
            ) from error
        return raw.detach().double().cpu().numpy(), slopes.double().cpu().numpy()

    return Predictor(name=name, call=call, sloped=sloped)


def _takes_lengths(function: Any) -> bool:
    """Tell whether a function asks for a second argument that has no default."""
    try:
        asked = [
            each
            for each in inspect.signature(function).parameters.values()
            if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD} and each.default is each.empty
        ]
    except (TypeError, ValueError):
        schema = getattr(function, "schema", None)
        return schema is not None and len(schema.arguments) > 2
    return len(asked) > 1
