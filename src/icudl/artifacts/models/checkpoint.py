"""A fitted model with everything needed to score a stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from icudl.artifacts.base import Floats
from icudl.artifacts.files.codecs import (
    read_arrays,
    read_json,
    variables_from_json,
    variables_to_json,
    write_arrays,
    write_json,
)
from icudl.artifacts.models.member import Member
from icudl.variables import Variable


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureScaler:
    """Statistics of a member's training stays; ``preprocessing.scaling`` fits and applies them.

    A value x of variable j becomes unit coordinate u = (clip(x, lower_j, upper_j) - lower_j) / (upper_j - lower_j),
    and the model sees (lower_j + u (upper_j - lower_j) - offset_j) / scale_j.

    Attributes:
        lower: (F,) lower winsor limits, in clinical units.
        upper: (F,) upper winsor limits; always above ``lower``.
        median: (F,) values of variables that were never measured during a stay, in clinical units.
        offset: (F,) subtracted from a value before the model sees it, in clinical units.
        scale: (F,) that the difference is then divided by, in clinical units.
        static_median: (S,) values of unknown static descriptors.
        static_offset: (S,) subtracted from a static descriptor.
        static_scale: (S,) that the difference is then divided by.
        imputation: ``"linear"`` or ``"forward"``.
        fitted_on: Number of stays that the statistics come from.
    """

    lower: Floats
    upper: Floats
    median: Floats
    offset: Floats
    scale: Floats
    static_median: Floats
    static_offset: Floats
    static_scale: Floats
    imputation: str
    fitted_on: int

    ARRAYS: ClassVar[tuple[str, ...]] = (
        "lower",
        "upper",
        "median",
        "offset",
        "scale",
        "static_median",
        "static_offset",
        "static_scale",
    )


MET_BEFORE = "met_before"
"""Name under which the weights of a model from outside hold the patients whom it met before it came here."""


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A fitted model with everything needed to score a stay of a ``GridDataset``.

    Attributes:
        member: Which model of its training it is.
        model: Resolved ``[model]`` options.
        inputs: Resolved ``[inputs]`` options.
        variables: F variables that the model expects.
        static_names: S static descriptors that the model expects.
        n_hours: Length T of the window.
        scaler: Fitted on the member's training stays.
        threshold: Decision threshold on the probability of death, chosen on the member's validation stays.
        weights: Parameters by name.
        curve: (2, K) isotonic calibration: logit differences (death minus survival), rising, and the risks there
            (``training.scores.risk_curve``); None where the softmax of the logits is the risk.
        folds: Number of networks, each with a scale of its own (``models.rescaled``), whose mean the model is;
            0 for a model that was fitted as a whole.
    """

    member: Member
    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    variables: tuple[Variable, ...]
    static_names: tuple[str, ...]
    n_hours: int
    scaler: FeatureScaler
    threshold: float
    weights: Mapping[str, npt.NDArray[Any]]
    curve: npt.NDArray[np.float64] | None = None
    folds: int = 0

    @property
    def met_before(self) -> npt.NDArray[np.int64]:
        """Patients of the training's population whom a model from outside met before it came here, sorted."""
        return self.weights.get(MET_BEFORE, np.zeros(0, np.int64))

    def write(self, folder: Path) -> None:
        """Write weights and scaler as safetensors and the rest as JSON into ``folder``."""
        arrays = {f"weights.{key}": value for key, value in self.weights.items()}
        arrays |= {f"scaler.{key}": getattr(self.scaler, key) for key in FeatureScaler.ARRAYS}
        if self.curve is not None:
            arrays["curve"] = self.curve
        write_arrays(folder / f"{self.member}.safetensors", arrays)
        meta = {
            "member": str(self.member),
            "model": dict(self.model),
            "inputs": dict(self.inputs),
            "variables": variables_to_json(self.variables),
            "static_names": list(self.static_names),
            "n_hours": self.n_hours,
            "threshold": self.threshold,
            "folds": self.folds,
            "scaler": {"imputation": self.scaler.imputation, "fitted_on": self.scaler.fitted_on},
        }
        write_json(folder / f"{self.member}.json", meta)

    @classmethod
    def read_member(cls, folder: Path, member: str) -> Self:
        """Read the member whose text is ``member``.

        Raises:
            StoreError: A file of the member is missing or cannot be read.
        """
        meta = read_json(folder / f"{member}.json")
        arrays = read_arrays(folder / f"{member}.safetensors")
        statistics: dict[str, Any] = {key: arrays[f"scaler.{key}"] for key in FeatureScaler.ARRAYS} | meta["scaler"]
        weights = {key.removeprefix("weights."): value for key, value in arrays.items() if key.startswith("weights.")}
        return cls(
            member=Member.parse(meta["member"]),
            model=meta["model"],
            inputs=meta["inputs"],
            variables=variables_from_json(meta["variables"]),
            static_names=tuple(meta["static_names"]),
            n_hours=meta["n_hours"],
            scaler=FeatureScaler(**statistics),
            threshold=meta["threshold"],
            weights=weights,
            curve=arrays.get("curve"),
            folds=meta["folds"],
        )
