"""Options of a model from outside. The module imports no library, so that a configuration is read without it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from icudl.errors import ConfigError
from icudl.models.options import NAME_DOC, ChartedOptions
from icudl.options import option

FORMATS: Mapping[str, str] = {
    ".json": "XGBoost",
    ".ubj": "XGBoost",
    ".txt": "LightGBM",
    ".cbm": "CatBoost",
    ".skops": "scikit-learn",
    ".onnx": "ONNX",
    ".pt": "TorchScript",
    ".ts": "TorchScript",
    ".pt2": "torch.export",
}
"""Library of each file format, by the end of the file's name."""

READINGS: Mapping[str, int] = {"LightGBM": 2}
"""Raised when the reader of a library makes other scores of the same file than before; 1 where it never has."""

PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
INPUTS = ("flat", "grid", "summaries")
ELSEWHERE, TRAINING, LISTED = "elsewhere", "training_stays", "listed"
_BREAKING = ("XGBoost", "LightGBM", "CatBoost", "scikit-learn")
_SLOPED = ("TorchScript", "torch.export")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutsideOptions(ChartedOptions):
    """A model that was trained elsewhere: where it lies, what it reads, what it gives, whom it has met."""

    # Of the contract: a configuration refuses to search over a model that is not trained.
    SPACE: ClassVar[Mapping[str, Any]] = {"model.threshold": {"low": 0.05, "high": 0.95}}
    READS: ClassVar[Mapping[str, Sequence[str]]] = {
        **ChartedOptions.READS,
        "training": ("validation_fraction", "calibration", "threshold", "bootstrap_samples"),
    }

    name: str = option("outside", NAME_DOC)
    ensemble_size: int = option(1, "One: a model from outside is what it is.", low=1, high=1)
    file: str = option(
        "",
        "File of the model: XGBoost (.json, .ubj), LightGBM (.txt), CatBoost (.cbm), scikit-learn by skops (.skops), "
        "ONNX (.onnx), TorchScript (.pt, .ts), torch.export (.pt2). Its content is part of the result's id.",
        identity=False,
        path=True,
    )
    object: str = option(
        "", "Instead of a file: package.module:name, an object with predict_proba, a torch module, or a function."
    )
    trusted: tuple[str, ...] = option((), "Types in a .skops file that may be made, besides those that skops trusts.")
    input: str = option(
        "flat",
        "What the model reads: flat (one row of cells), grid (hours x variables), summaries (window summaries by "
        "name), or package.module:name, your function of (values, lengths, statics) in clinical units.",
    )
    order: str = option(
        "hours",
        "Order of a flat row: hours (all variables of hour 0, of hour 1, ...) or variables (all hours of a variable).",
        choices=("hours", "variables"),
    )
    variables: tuple[str, ...] = option((), "Variables in the model's order; empty: those of the data, in its order.")
    features: tuple[str, ...] = option(
        (),
        "With summaries: VARIABLE.SUMMARY or the name of a static descriptor, in the model's order; empty: all, in the "
        "project's order.",
    )
    missing: str = option(
        "nan",
        "Hours without a value: nan; forward (last value) or linear, with `fill` where nothing was charted; zero.",
        choices=("nan", "forward", "linear", "zero"),
    )
    masks: bool = option(False, "Append, for every cell, 1 where a value was charted and 0 elsewhere.")
    fill: Mapping[str, float] = option(
        {}, "Value of a variable that was never charted, by name, in the model's unit; else the median of the data."
    )
    units: Mapping[str, str] = option({}, "Units that the model expects where they are not those of the data, by name.")
    ranges: Mapping[str, tuple[float, float]] = option(
        {}, "Where most values lay that the model was trained on, by variable, in its unit: checked against the data."
    )
    output: str = option(
        "auto",
        "What the model gives: probability or logit; auto where the file says it (XGBoost, LightGBM, CatBoost, "
        "predict_proba).",
        choices=("auto", "probability", "logit"),
    )
    gradient: bool = option(
        True, "Offer attacks the gradient of a torch module on a flat row or a grid; false leaves them to scores alone."
    )
    threshold: float = option(
        0.0,
        "Decision threshold on the risk; 0 chooses it on validation stays, as training.threshold says.",
        low=0.0,
        high=1.0,
    )
    recalibrate: bool = option(False, "Calibrate on validation stays, as training.calibration says.")
    trained_on: str = option(
        "",
        "Whom the model has met: elsewhere (nobody of the main data), training_stays (all but the test stays of this "
        "study) or listed (the stays or patients in `trained_stays`). Has no default.",
        choices=("", ELSEWHERE, TRAINING, LISTED),
    )
    trained_stays: str = option(
        "",
        "With listed: CSV with a column stay_id or patient_id. Its content is part of the result's id.",
        identity=False,
        path=True,
    )

    @property
    def library(self) -> str:
        """Library of the file; "" for an object or an unknown format."""
        return FORMATS.get(Path(self.file).suffix.lower(), "")

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether the model may offer a gradient: a torch module on the cells of a row or a grid."""
        known = self.library in _SLOPED or bool(self.object)
        return self.gradient and known and self.input in {"flat", "grid"}

    @property
    def piecewise(self) -> bool:  # type: ignore[override]
        """Whether the model may say where its score jumps: trees of cells or summaries, gaps left as they are."""
        known = self.library in _BREAKING or bool(self.object)
        return known and self.input in {"flat", "summaries"} and self.missing in {"nan", "zero"}

    def fingerprint(self) -> str:
        """Return the SHA-256 over the files of the model: they decide what is scored, not their paths.

        Raises:
            ConfigError: A file cannot be read.
        """
        parts = [read_bytes(place) for place in (self.file, self.trained_stays) if place]
        parts += [source_of(self.object)] if self.object else []
        parts += [source_of(self.input)] if ":" in self.input else []
        parts += [str(READINGS[self.library]).encode()] if self.library in READINGS else []
        whole = hashlib.sha256()
        for part in parts:
            whole.update(hashlib.sha256(part).digest())
        return whole.hexdigest()


def undeclared(where: str, options: OutsideOptions) -> str:
    """Return what a model from outside still has to say about itself; "" if nothing.

    Args:
        where: Name of its table for messages (``"models.theirs"``).
        options: Its options.
    """
    if bool(options.file) == bool(options.object):
        both = "both" if options.file else "neither"
        return (
            f"[{where}] names {both} of file and object. Give one of them: file = a model in its library's own format, "
            "or object = 'package.module:name'."
        )
    suffix = Path(options.file).suffix.lower()
    if suffix in PICKLES:
        return (
            f"{where}.file = {options.file!r} is a pickle, which runs whatever code its author wrote when it is read. "
            f"It is not loaded. {how_to_save()}"
        )
    if options.file and not options.library:
        return (
            f"{where}.file = {options.file!r} ends in {suffix or 'nothing'!r}. Expected one of "
            f"{', '.join(FORMATS)}. {how_to_save()}"
        )
    return _unsaid(where, options)


def _unsaid(where: str, options: OutsideOptions) -> str:
    """Return what a model whose file is known does not say about its input and its past."""
    if options.input not in INPUTS and ":" not in options.input:
        return f"{where}.input = {options.input!r} is unknown. Expected flat, grid, summaries or package.module:name."
    if not options.trained_on:
        return (
            f"{where}.trained_on (of icudl audit: --trained-on) is not said, so every stay may be one that the model "
            "was trained on. Say elsewhere if it has met no patient of the data, training_stays if it was trained on "
            "all but the test stays of this study, or listed with trained_stays = a CSV of their stay_id or patient_id."
        )
    if (options.trained_on == LISTED) != bool(options.trained_stays):
        return f'{where}.trained_stays belongs to trained_on = "listed", and that needs it. Give both or neither.'
    if options.trained_on == TRAINING and (options.threshold == 0.0 or options.recalibrate):
        return (
            f'{where}.trained_on = "training_stays" leaves no stay to choose a threshold or a calibration on that the '
            f"model was not fitted on. Give {where}.threshold, and no recalibrate."
        )
    return ""


def how_to_save() -> str:
    """Return how to save a model so that it can be read without running code."""
    return (
        "Save the model in its library's own format: XGBoost model.save_model('model.json'), LightGBM "
        "booster.save_model('model.txt'), CatBoost model.save_model('model.cbm'), scikit-learn "
        "skops.io.dump(model, 'model.skops'), torch torch.jit.save(torch.jit.script(model), 'model.pt'), or ONNX. Or "
        "load it in a module of your own and give object = 'package.module:name'."
    )


def read_bytes(place: str) -> bytes:
    """Read a file that an option names.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise ConfigError(f"{place!r} cannot be read: {error}. Give the path of the file.") from error


def source_of(name: str) -> bytes:
    """Return the source of the module of ``package.module:name``, and the name.

    Raises:
        ConfigError: There is no such module.
    """
    from importlib.util import find_spec

    module = name.partition(":")[0]
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ConfigError(
            f"{name!r} names the module {module!r}, which cannot be found. Expected package.module:name of an "
            "installed package, of the folder that the command is started in, or of a folder in PYTHONPATH."
        )
    body = Path(spec.origin).read_bytes() if spec.origin and Path(spec.origin).is_file() else b""
    return name.encode() + b"\0" + body
