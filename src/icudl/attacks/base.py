"""The seam of attacks: the smallest change of a record that flips a prediction.

B stays, T hours, F variables. Every attack works in *unit coordinates*: 0 and 1 are a variable's winsor limits. The
margin of a stay is the lead of its present class in logits, plus the confidence that the target was bound with. A
negative margin means that the prediction has flipped with that confidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from icudl.attacks.options import AttackOptions
from icudl.attacks.target.threat import Entries
from icudl.errors import AttackError, ConfigError, PluginError
from icudl.plugins import load_plugin, options_of

ENTRY_POINT_GROUP = "icudl.attacks"


class TargetModel(Protocol):
    """A model frozen for attack and bound to a batch of stays: all that an attack by scores alone needs.

    The margin of stay b is the logit of its present class minus the other one's, shifted by the logit of the decision
    threshold, plus the confidence that the target was bound with. It is positive on the unchanged stay, and negative
    where the other class wins by more than the confidence. It depends on stay b alone.

    Attributes:
        values: (B, T, F) cells of the unchanged stays.
        lower: (B, T, F) smallest value each cell may take; never above ``values``.
        upper: (B, T, F) largest value each cell may take; never below ``values``.
        attackable: (B, T, F) bool, cells that may change; False on padding.
        entries: What was charted; None where the cells are not charted values.
    """

    @property
    def values(self) -> Tensor:
        """(B, T, F) cells of the unchanged stays."""

    @property
    def lower(self) -> Tensor:
        """(B, T, F) smallest values."""

    @property
    def upper(self) -> Tensor:
        """(B, T, F) largest values."""

    @property
    def attackable(self) -> Tensor:
        """(B, T, F) bool."""

    @property
    def entries(self) -> Entries | None:
        """What was charted; None where the cells are not charted values."""

    def margin(self, values: Tensor) -> Tensor:
        """Return the (B,) margins at ``values`` (B, T, F)."""

    def select(self, indices: Tensor) -> Self:
        """Return the target bound to the stays at ``indices`` (K,) only; indices may repeat."""


@runtime_checkable
class DifferentiableTarget(TargetModel, Protocol):
    """A target whose model offers a gradient."""

    def margin_and_gradient(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B,) margins and their (B, T, F) gradient with respect to ``values``."""


def differentiable(target: TargetModel, attack: str) -> DifferentiableTarget:
    """Return the target itself, for an attack that needs a gradient.

    Raises:
        AttackError: The target offers none.
    """
    if isinstance(target, DifferentiableTarget):
        return target
    raise AttackError(
        f"{attack} needs a gradient, and this model offers no gradient. Use an attack that needs scores alone, such as "
        "sweep, entry_errors or greedy."
    )


@runtime_checkable
class PiecewiseTarget(TargetModel, Protocol):
    """A target that says where the margin of a stay jumps or turns while one of its cells moves."""

    def pieces(self, row: int, cell: int) -> tuple[Tensor, bool]:
        """Return the break points of a cell, and whether the margin is constant between them.

        Args:
            row: The stay.
            cell: Position in the flattened (T, F) stay; attackable.

        Returns:
            (n,) rising values of the cell, its bounds among them, between which the margin is monotone.
        """

    def single_margins(self, row: int, cell: int | Tensor, values: Tensor) -> Tensor:
        """Return the (n,) margins of a stay in which one cell takes each of ``values`` (n,).

        Args:
            row: The stay.
            cell: The cell that takes all of them, or (n,) the cell that takes each.
            values: Its values.
        """

    def representable(self, cell: int, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the values next below, nearest to and next above ``values`` (n,) that a data set can hold."""


@runtime_checkable
class FocusedTarget(DifferentiableTarget, Protocol):
    """A target that computes only a part of the gradient where that is enough; its margins stay exact.

    Attacks use it through ``survey`` and ``on_changed_cells`` below, which return any other target unchanged.
    """

    def survey(self, values: Tensor, faint: float) -> tuple[Tensor, Tensor, Self]:
        """Return margins and full gradient at ``values``, and a target that leaves out faint slopes."""

    def on_changed_cells(self) -> Self:
        """Return a target whose gradients are exact where ``values`` differs from the unchanged stays."""


def survey(target: DifferentiableTarget, values: Tensor, faint: float) -> tuple[Tensor, Tensor, DifferentiableTarget]:
    """Return margins and full gradient at ``values``, and a target for the next gradients of a search near there.

    Args:
        target: B stays.
        values: (B, T, F).
        faint: Share of a stay's steepest slope below which the target returned may leave slopes out.
    """
    if isinstance(target, FocusedTarget):
        return target.survey(values, faint)
    return *target.margin_and_gradient(values), target


def on_changed_cells(target: DifferentiableTarget) -> DifferentiableTarget:
    """Return a target whose gradients are exact on changed cells and may be wrong elsewhere."""
    return target.on_changed_cells() if isinstance(target, FocusedTarget) else target


@runtime_checkable
class AnchoredTarget(TargetModel, Protocol):
    """A target that scores records faster that lie near others which it has scored."""

    def anchored(self, values: Tensor) -> tuple[Tensor, Self] | None:
        """Return the (B,) margins at ``values`` (B, T, F), and this target for margins near there.

        None if that would save no time.
        """


def anchored(target: TargetModel, values: Tensor) -> tuple[Tensor, TargetModel] | None:
    """Return the margins at ``values``, and a target that scores faster near there; None if there is none.

    Gradients come from the target itself: what ``survey`` leaves out depends on the unchanged stays.
    """
    return target.anchored(values) if isinstance(target, AnchoredTarget) else None


@runtime_checkable
class MovedTarget(TargetModel, Protocol):
    """A target that scores candidates with few moved cells without making all of their cells."""

    def margin_of_moves(self, rows: Tensor, cells: Tensor, change: Tensor) -> Tensor:
        """Return the (n,) margins of candidates; see ``refinement.margins_of_moves``."""


@dataclasses.dataclass(frozen=True, eq=False)
class Perturbation:
    """The examples that an attack found for a batch of stays.

    Attributes:
        first: (B, T, F) change of the first example found; zero where none was found.
        best: (B, T, F) change of the best example by the attack's own measure; zero where none was found.
        first_iteration: (B,) int64 iteration of discovery, counted from 1; -1 where no example was found.
        best_iteration: (B,) int64 iteration of the best example, likewise.
        tables: Further findings by name of table and column: one-dimensional tensors of equal length.
            The column ``stay`` holds the position of each row's stay in the batch.
    """

    first: Tensor
    best: Tensor
    first_iteration: Tensor
    best_iteration: Tensor
    tables: Mapping[str, Mapping[str, Tensor]] = dataclasses.field(default_factory=dict)

    @property
    def found(self) -> Tensor:
        """(B,) bool, stays with an example."""
        return self.first_iteration >= 0

    def to(self, device: torch.device) -> Perturbation:
        """Return the examples on a device, without tables."""
        first, best = self.first.to(device), self.best.to(device)
        return Perturbation(first, best, self.first_iteration.to(device), self.best_iteration.to(device))

    @classmethod
    def nothing(cls, values: Tensor) -> Self:
        """Return the outcome of an attack that found no example for ``values`` (B, T, F)."""
        none = torch.full((len(values),), -1, dtype=torch.int64, device=values.device)
        return cls(torch.zeros_like(values), torch.zeros_like(values), none, none.clone())


def allowed_change(target: TargetModel) -> tuple[Tensor, Tensor]:
    """Return the (B, T, F) most negative and most positive change of each cell; both zero in locked cells.

    With a change between the two, the value stays between the target's bounds even after rounding.

    Raises:
        AttackError: An unchanged cell that may change lies outside its bounds.
    """
    values, lower, upper = target.values, target.lower, target.upper
    outside = target.attackable & ~((values >= lower) & (values <= upper))
    if bool(outside.any()):
        stay, hour, variable = (int(index) for index in outside.nonzero()[0])
        raise AttackError(
            f"Stay {stay} of a batch has {float(values[stay, hour, variable])!r} at hour {hour}, variable {variable}: "
            f"expected a value from {float(lower[stay, hour, variable])!r} to {float(upper[stay, hour, variable])!r}. "
            "Clip the inputs to the bounds before the attack."
        )
    down, up = lower - values, upper - values
    zero = torch.zeros_like(values)
    down = torch.where(values + down < lower, torch.nextafter(down, zero), down)
    up = torch.where(values + up > upper, torch.nextafter(up, zero), up)
    return torch.where(target.attackable, down, zero), torch.where(target.attackable, up, zero)


@runtime_checkable
class Attack(Protocol):
    """Looks for the smallest change of each stay that flips its prediction.

    Contract: changes stay inside the bounds, on attackable cells, and are zero elsewhere; the target and the global
    random state are left unchanged; the example of a stay depends neither on its batch mates nor on their order.

    Attributes:
        needs_gradient: Whether the attack needs a ``DifferentiableTarget``; equal to ``Options.needs_gradient``.
    """

    needs_gradient: ClassVar[bool]

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:
        """Attack every stay of ``target``.

        Args:
            target: B stays.
            seeds: One seed for each stay: an attack that draws random numbers draws those of a stay from its seed.
        """


class AttackPlugin(Protocol):
    """An entry of the group ``icudl.attacks``: a class that is made from the options it names.

    Attributes:
        Options: Class that validates the table ``[attack]``.
        needs_gradient: See ``Attack``.
    """

    Options: ClassVar[type[AttackOptions]]
    needs_gradient: ClassVar[bool]

    def __call__(self, options: AttackOptions) -> Attack:
        """Make the attack."""


def make_attack(options: AttackOptions) -> Attack:
    """Make the attack that ``options.name`` names.

    Raises:
        PluginError: No plug-in has this name, or it cannot be loaded.
        ConfigError: The options are not an instance of the class that the attack names.
    """
    plugin: AttackPlugin = load_plugin(ENTRY_POINT_GROUP, options.name)
    own = options_of(ENTRY_POINT_GROUP, options.name)
    if not isinstance(options, own):
        raise ConfigError(
            f"The attack {options.name!r} was given {type(options).__name__}, which may lack options that it reads. "
            f"Expected {own.__module__}.{own.__name__}."
        )
    return plugin(options)


def default_options(name: str) -> AttackOptions:
    """Return the default options of an attack.

    Raises:
        PluginError: No plug-in has this name, it cannot be imported, or its options are not options of an attack.
    """
    own = options_of(ENTRY_POINT_GROUP, name)
    if not issubclass(own, AttackOptions):
        raise PluginError(
            f"The attack {name!r} names {own.__name__} as its options. Expected a class derived from "
            "icudl.attacks.options.AttackOptions."
        )
    return own(name=name)
