"""Risk models: what everything after training asks of a model, and plug-ins that read charted values directly."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from icudl.artifacts import Floats
from icudl.errors import StageError
from icudl.models.options import ModelOptions
from icudl.variables import Variable

Arrays = Mapping[str, npt.NDArray[Any]]
Float64s = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class ClinicalStays:
    """Stays as they were charted.

    Attributes:
        values: (N, T, F) float32 in clinical units, NaN where nothing was charted.
        lengths: (N,) hours of each stay; cells at or beyond are ignored.
        statics: (N, S) float32 descriptors that the model names, NaN where unknown.
        variables: F variables; empty where the reader of the stays need not know them.
        static_names: Names of the S descriptors; likewise.
    """

    values: Floats
    lengths: npt.NDArray[np.integer]
    statics: Floats
    variables: tuple[Variable, ...] = ()
    static_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: npt.NDArray[np.integer] | slice) -> ClinicalStays:
        """Return the stays at ``rows``."""
        own = (self.values[rows], self.lengths[rows], self.statics[rows])
        return ClinicalStays(*own, self.variables, self.static_names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables."""
        return tuple(variable.name for variable in self.variables)

    def named(self) -> ClinicalStays:
        """Return the stays with names for the variables and descriptors that have none (``variable_0``, ...)."""
        variables = self.variables or tuple(
            Variable(name=name, label=name, unit="", low=-np.inf, high=np.inf, group="other")
            for name in (f"variable_{number}" for number in range(self.values.shape[2]))
        )
        statics = self.static_names or tuple(f"static_{number}" for number in range(self.statics.shape[1]))
        return dataclasses.replace(self, variables=variables, static_names=statics)


@runtime_checkable
class RiskModel(Protocol):
    """Any model of a risk: clinical values with gaps in, the logit of the event out.

    A stay's logit depends on that stay alone, to the last bit, and the same stay always has the same logit. A model
    that cannot promise the last bit says by how much it may miss (``Rounded``).
    """

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event."""


@runtime_checkable
class Rounded(Protocol):
    """A risk model whose logits depend a little on the stays beside them.

    Attributes:
        slack: By how many logits, at most.
    """

    slack: float


@runtime_checkable
class Sloped(RiskModel, Protocol):
    """A risk model that says how its logit follows each charted value."""

    def logits_and_slopes(self, stays: ClinicalStays) -> tuple[Float64s, Float64s]:
        """Return the (N,) logits and their (N, T, F) derivatives by the charted values; 0 where nothing was charted.

        Raises:
            StageError: The model has no derivative after all.
        """


class ChartedModel(abc.ABC):
    """A risk model that is fitted in one call on charted values; the other kind of plug-in of ``icudl.models``.

    Beside ``RiskModel`` it promises (``icudl.testing.CHARTED_MODEL_CHECKS`` check it):

    * its arrays hold all of it: ``Model(options, arrays)`` is the same model, and nothing is pickled;
    * the same stays, options and seed give the same arrays;
    * a variable that was never charted is no error, in fitting or in scoring.

    Attributes:
        Options: Class of the model's options, in which ``imputed`` is False; ``differentiable`` is True only where
            ``offered`` may be ``Sloped``.
        citations: Keys of the works to cite (``icudl.report.citations``), or the works themselves.
        options: How the model is made.
        arrays: What is kept of it.
    """

    Options: ClassVar[type[ModelOptions]]
    citations: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: ModelOptions, arrays: Arrays) -> None:
        self.options = options
        self.arrays = dict(arrays)

    @classmethod
    @abc.abstractmethod
    def fit(
        cls, options: ModelOptions, stays: ClinicalStays, labels: npt.NDArray[np.integer], seeds: Sequence[int]
    ) -> Self:
        """Fit a model.

        Args:
            options: An instance of ``Options``.
            stays: Training stays.
            labels: (N,) 1 for the event; both classes occur.
            seeds: One seed for each of the ``options.ensemble_size`` parts.
        """

    @abc.abstractmethod
    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event; see ``RiskModel``."""

    @abc.abstractmethod
    def absorbed(self, scale: float, shift: float) -> Self:
        """Return the model whose logits are ``scale`` times these plus ``shift``: it is calibrated then."""

    def offered(self) -> RiskModel:
        """Return the model as attacks see it, where what it offers them depends on its arrays; else the model."""
        return self


class MeanModel:
    """The mean of the logits of several models, such as those of all folds.

    Attributes:
        models: The models.
    """

    def __init__(self, models: Sequence[ChartedModel]) -> None:
        self.models = tuple(models)

    def logits(self, stays: ClinicalStays) -> Float64s:
        """Return the (N,) logits of the event."""
        total = np.zeros(len(stays))
        for model in self.models:
            total += model.logits(stays)
        return total / len(self.models)


def require_both_classes(labels: npt.NDArray[np.integer], name: str) -> None:
    """Make sure that there is something to tell apart.

    Raises:
        StageError: All labels are the same.
    """
    if len(np.unique(labels)) < 2:
        raise StageError(
            f"{name}: the {len(labels)} training stays have one outcome only, so nothing can be learnt. Use more "
            "stays, or fewer folds."
        )
