"""scikit-learn: estimators saved by skops, which makes only the types that are trusted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from icudl.errors import StageError
from icudl.models.outside.predictor import ROUNDING, Float64s, Predictor, by_feature, last_single, require_classes
from icudl.models.outside.readers.library import require
from icudl.models.outside.readers.objects import names_of, probabilities


def read(data: bytes, trusted: Sequence[str]) -> Predictor:
    """Read an estimator.

    Args:
        data: Bytes of the file.
        trusted: Types that may be made besides those that skops trusts.

    Raises:
        StageError: The bytes are no estimator, it has types that are not trusted, no predict_proba, or
            classes of which none is known to be death.
        PluginError: skops is not installed.
    """
    library = require("skops.io", "skops")
    try:
        unknown = sorted(set(library.get_untrusted_types(data=data)) - set(trusted))
    except Exception as error:
        raise StageError(
            f"The file is no skops file: {error} Save it with skops.io.dump(model, 'model.skops')."
        ) from error
    if unknown:
        raise StageError(
            f"The skops file holds types that skops does not trust: {', '.join(unknown)}. If you know where the file "
            f"comes from, name them: trusted = {json.dumps(unknown)} (of icudl audit: --declare "
            f"'trusted={json.dumps(unknown)}')."
        )
    try:
        with warnings.catch_warnings():
            # Of another version of scikit-learn, which the checks of its scores would show.
            warnings.simplefilter("ignore")
            estimator = library.loads(data, trusted=list(trusted))
    except Exception as error:
        raise StageError(f"The skops file cannot be read: {type(error).__name__}: {error} Save it again.") from error
    if not hasattr(estimator, "predict_proba"):
        raise StageError(
            f"The skops file holds {type(estimator).__name__}, which has no predict_proba. Expected a classifier."
        )
    name = f"The model ({type(estimator).__name__})"
    require_classes(name, estimator)
    levels = levels_of(estimator)
    return Predictor(
        name=name,
        call=partial(probabilities, estimator),
        gives="probability",
        n_features=getattr(estimator, "n_features_in_", None),
        names=names_of(estimator),
        slack=ROUNDING if levels is None else 0.0,
        levels=levels,
    )


def levels_of(estimator: Any) -> dict[int, Float64s] | None:
    """Return where the score of trees may jump; None for any other estimator."""
    from sklearn import ensemble, tree

    if isinstance(estimator, ensemble.HistGradientBoostingClassifier):
        nodes = np.concatenate([each.nodes for rounds in estimator._predictors for each in rounds])  # noqa: SLF001
        inner = nodes[~nodes["is_leaf"].astype(bool)]
        if inner["is_categorical"].any():
            return None
        return by_feature(inner["feature_idx"], inner["num_threshold"].astype(np.float64))
    if isinstance(estimator, tree.DecisionTreeClassifier):
        trees = [estimator]
    elif isinstance(estimator, ensemble.RandomForestClassifier | ensemble.ExtraTreesClassifier):
        trees = list(estimator.estimators_)
    elif isinstance(estimator, ensemble.GradientBoostingClassifier):
        trees = list(estimator.estimators_.ravel())
    else:
        return None
    features = np.concatenate([each.tree_.feature for each in trees])
    thresholds = np.concatenate([each.tree_.threshold for each in trees])
    inner = features >= 0
    return by_feature(features[inner], last_single(thresholds[inner], below=False))
