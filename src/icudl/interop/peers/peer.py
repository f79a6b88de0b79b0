"""Attacks of other libraries in this project's runner: the model that they see, and the use of their examples.

A library attacks a model of (n, T, F) inputs whose larger logit is the class. Here the logits of a stay are its margin
and 0, so that class 0 is the present decision and class 1 the flipped one. Locked cells have no effect and no gradient;
cells beyond a bound count as if they lay on it.

The numbers of a row do not tell its stay. A call with one row for each stay is taken to hold all stays in order. A
library that calls with fewer or more rows, or fails on a batch, gets the stays one at a time instead. Stays on which it
then fails count as not flipped (Foolbox's L0FMNAttack fails on a stay that nothing can flip). If it fails on all stays,
its error is raised.
"""

from __future__ import annotations

import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from icudl.attacks import distances
from icudl.attacks.base import Perturbation, TargetModel, allowed_change, differentiable
from icudl.attacks.record import ExampleRecord
from icudl.attacks.refinement import prune, refine, shrink
from icudl.errors import AttackError, ConfigError, IcudlError, PluginError, suggestion
from icudl.interop.peers.options import PeerOptions

NOTHING = 1e-7
"""Changes below this are rounding of the library's arithmetic, not changes."""


class UnknownRowsError(Exception):
    """A library called the model with other rows than all the stays in order."""


class PeerFailureError(AttackError):
    """A library's attack raised an error of its own."""


class MarginModel(nn.Module):
    """A target as a two-class model of (n, T, F) cells: logits (margin, 0).

    Attributes:
        record: First example of each stay among the cells that the library asked about, by the number of its call.
        calls: Calls so far.
    """

    def __init__(self, target: TargetModel) -> None:
        super().__init__()
        self.target = target
        self.down, self.up = allowed_change(target)
        self.record = ExampleRecord(target.values)
        self.calls = 0

    def forward(self, cells: Tensor) -> Tensor:
        """Return (n, 2) logits.

        Raises:
            UnknownRowsError: n is not the number of stays, and the model is bound to more than one stay.
        """
        margin: Tensor = _Margin.apply(cells, self)  # type: ignore[no-untyped-call]
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)

    def change_of(self, cells: Tensor) -> Tensor:
        """Return the (n, T, F) change of ``cells`` from the unchanged stays, inside bounds and mask."""
        change = cells.detach().to(self.target.values) - self._rows(len(cells)).values
        change = torch.where(change.abs() < NOTHING, torch.zeros_like(change), change)
        return torch.minimum(torch.maximum(change, self.down), self.up)

    def evaluate(self, cells: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor]:
        """Return the (n,) margins and, where asked for, their (n, T, F) gradient (else an empty tensor)."""
        target, change = self._rows(len(cells)), self.change_of(cells)
        moved = target.values + change
        if with_gradient:
            margin, gradient = differentiable(target, "The library's attack").margin_and_gradient(moved)
            room = cells.detach().to(target.values) - target.values
            gradient = torch.where((self.down <= room) & (room <= self.up) & (self.down < self.up), gradient, 0.0)
        else:
            margin, gradient = target.margin(moved), moved.new_empty(0)
        self.calls += 1
        if len(cells) == len(self.down):
            rows = torch.arange(len(cells), device=change.device)
            self.record.update(rows, change, margin < 0, distances.l1(change), self.calls)
        return margin, torch.nan_to_num(gradient)

    def _rows(self, n_rows: int) -> TargetModel:
        n_stays = len(self.target.values)
        if n_rows == n_stays:
            return self.target
        if n_stays > 1:
            raise UnknownRowsError(f"{n_rows} rows for {n_stays} stays")
        return self.target.select(torch.zeros(n_rows, dtype=torch.int64, device=self.target.values.device))


class _Margin(torch.autograd.Function):
    """Margins through the target's own, fast gradient."""

    @staticmethod
    def forward(ctx: Any, cells: Tensor, model: MarginModel) -> Tensor:
        margin, gradient = model.evaluate(cells, with_gradient=ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        return margin.to(cells.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[0][:, None, None] * gradient.to(upstream[0].dtype), None


class Library(Protocol):
    """A library: its attacks, and how they are run."""

    name: str

    def attacks(self) -> Mapping[str, Callable[..., Any]]:
        """Return its attacks by the name of their class."""

    def run(self, attack: Callable[..., Any], model: MarginModel, cells: Tensor) -> Tensor:
        """Make the attack and return the (n, T, F) examples it gives for ``cells``, flipped or not."""


class PeerAttack:
    """The attack ``options.peer`` of a library, made with ``options.peer_arguments``.

    The library returns one example for each stay, which counts as the best. The first example is the first flip among
    the cells that it scored, counted in calls of the model. Its random numbers come from the seed of the first stay of
    a batch, and it may treat the stays of a batch jointly. So its examples, unlike those of this project's attacks,
    can depend on the other stays of the batch.

    Whether a gradient is needed depends on the peer. A peer that asks a model without a gradient for one fails with an
    error that says so.
    """

    needs_gradient: ClassVar[bool] = False

    def __init__(self, options: PeerOptions, library: Library) -> None:
        self.options, self.library = options, library
        known = library.attacks()
        if options.peer not in known:
            given = (
                f"attack.peer = {options.peer!r} is not an attack" if options.peer else "attack.peer names no attack"
            )
            raise ConfigError(
                f"{given} of {library.name}.{suggestion(options.peer, known)} Known: {', '.join(sorted(known))}."
            )
        self.attack = known[options.peer]

    def __call__(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:
        """See ``attacks.base.Attack``."""
        try:
            found = self._run(target, seeds[0])
        except (UnknownRowsError, PeerFailureError):
            found = self._one_at_a_time(target, seeds)
        return refine(target, found, (prune, shrink)) if self.options.refine else found

    def _one_at_a_time(self, target: TargetModel, seeds: Sequence[int]) -> Perturbation:
        parts: list[Perturbation] = []
        failures: list[PeerFailureError] = []
        for stay, seed in enumerate(seeds):
            alone = target.select(torch.tensor([stay], device=target.values.device))
            try:
                parts.append(self._run(alone, seed))
            except PeerFailureError as error:
                failures.append(error)
                parts.append(Perturbation.nothing(alone.values))
        if len(failures) == len(seeds):
            raise failures[0]
        return Perturbation(
            first=torch.cat([part.first for part in parts]),
            best=torch.cat([part.best for part in parts]),
            first_iteration=torch.cat([part.first_iteration for part in parts]),
            best_iteration=torch.cat([part.best_iteration for part in parts]),
        )

    def _run(self, target: TargetModel, seed: int) -> Perturbation:
        model = MarginModel(target)
        with _isolated(seed):
            try:
                given = self.library.run(self.attack, model, target.values.clone())
            except (IcudlError, UnknownRowsError):
                raise
            except ModuleNotFoundError as error:
                raise PluginError(
                    f"{self.library.name}'s {self.options.peer} needs {error.name!r}, which is not installed. "
                    f"Install it with: pip install {error.name}."
                ) from error
            except Exception as error:
                raise PeerFailureError(
                    f"{self.library.name}'s {self.options.peer} failed: {type(error).__name__}: {error}. It may "
                    "not be made for (B, T, F) inputs of two classes, or need other attack.peer_arguments."
                ) from error
        change = model.change_of(given)
        margin = target.margin(target.values + change)
        seen = model.record.result()
        flips = margin < 0
        return _put_together(seen, change, flips, model.calls + 1)


def _put_together(seen: Perturbation, change: Tensor, flips: Tensor, calls: int) -> Perturbation:
    """Take the library's example as the best, and the first flip among its calls as the first."""
    last = torch.full_like(seen.first_iteration, calls)
    only_given = flips & ~seen.found
    return Perturbation(
        first=torch.where(only_given[:, None, None], change, seen.first),
        best=torch.where(flips[:, None, None], change, seen.best),
        first_iteration=torch.where(only_given, last, seen.first_iteration),
        best_iteration=torch.where(flips, last, seen.best_iteration),
    )


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Seed the global random states for a library and silence its warnings; restore both afterwards."""
    drawn, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(drawn)
            np.random.set_state(numbers)  # noqa: NPY002


def attack_classes(module: object, base: type) -> dict[str, Callable[..., Any]]:
    """Return the classes of a library's module that derive from ``base`` and can be made, by name."""
    return {
        name: each
        for name, each in vars(module).items()
        if inspect.isclass(each) and issubclass(each, base) and not inspect.isabstract(each)
    }


def make(attack: Callable[..., Any], library: str, arguments: Mapping[str, Any]) -> Any:
    """Call the constructor of a library's attack.

    Raises:
        ConfigError: The attack does not take these arguments.
    """
    try:
        return attack(**arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"{library}'s attack cannot be made with attack.peer_arguments = {dict(arguments)!r}: {error}. "
            "See the library's own documentation."
        ) from error
