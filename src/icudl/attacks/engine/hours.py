"""Engine for one recurrent layer all of whose hours are read (read-outs ``mean`` and ``attention``).

Networks of one shape, as the members of an ensemble, are read side by side: one batched product an hour serves all.

Inputs enter the cell through their product with the input weights (the *drive* of an hour). The drive of known stays
is remembered, and to a variant's only the products of its changed features are added. Up to the first changed hour a
forward direction has the states that it had on the known stay; so has a backward direction down to the last changed
hour. What the read-out makes of these states is remembered, too. All of this is exact. tanh(x) in the attention is
computed as 2 sigmoid(2 x) - 1, whose constants are part of the weights or cancel in the softmax.

T hours, N stays or variants of B known stays, M networks, C features, H units, D directions, A = D H columns of the
attention. Steps are in the order in which a direction reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from icudl.attacks.engine.directional import DirectionalEngine
from icudl.attacks.engine.known import Known, Memory
from icudl.attacks.engine.reading import Schedule, parts_of, without_padding
from icudl.attacks.engine.recurrence import Kept, RecurrentDirection, direction_of
from icudl.models.base import within_length
from icudl.models.recurrent.classifier import RecurrentClassifier

READOUTS = ("mean", "attention")
"""Read-outs of this engine."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class WayMemory:
    """What one direction reached on B known stays.

    Attributes:
        drive: (T, M, B, 4 H) inputs of the gates by step, without the part of the state.
        states: (M, T + 1, B, H) before each step and after the last one.
        cells: (M, T + 1, B, H or 0).
        look: (M, T, B, A) the part of the states in the attention, by step; None without attention.
    """

    drive: Tensor
    states: Tensor
    cells: Tensor
    look: Tensor | None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class HoursMemory(Memory):
    """B known stays.

    Attributes:
        ways: What each direction reached.
    """

    ways: tuple[WayMemory, ...]

    @property
    def n_ways(self) -> int:
        """See ``Memory``."""
        return len(self.ways)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Course:
    """One direction's reading of N stays, in the order of its schedule.

    Attributes:
        schedule: Order and steps.
        states: (M, T + 1, N, H) before each step and after the last one.
        cells: (M, T + 1, N, H or 0).
        look: (M, T, N, A), or None.
        kept: What the gradient needs of each step that was read, or nothing.
    """

    schedule: Schedule
    states: Tensor
    cells: Tensor
    look: Tensor | None
    kept: list[Kept]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What a direction has to read.

    Attributes:
        drive: (T, M, B, 4 H) of known stays.
        stays: (N,) positions of these stays in ``drive``.
        begins: (N,) first step of each stay that is read.
        memory: What is known of steps before; None if a stay begins with nothing.
        changes: (P, K) changes of features; P pairs of a stay and a step, by rising step.
        changed_stays: (P,) the stay of each pair.
        n_changed: For each step its number of pairs.
    """

    drive: Tensor
    stays: Tensor
    begins: Tensor
    memory: WayMemory | None
    changes: Tensor
    changed_stays: Tensor
    n_changed: list[int]


class Way:
    """One direction of M networks.

    Args:
        models: The networks, of one shape.
        look: (M, H, A) weights of the attention for this direction's states; None without attention.
        backward: The direction that reads from the last hour to the first.
    """

    def __init__(self, models: Sequence[RecurrentClassifier], look: Tensor | None, *, backward: bool) -> None:
        directions = [direction_of(model.rnn, 0, backward=backward) for model in models]
        self.cell: RecurrentDirection = directions[0]
        self.is_backward, self.look = backward, look
        self.size = size = self.cell.size
        weights = torch.stack([each.product.matrix for each in directions])
        back = torch.stack([each.product_back.matrix for each in directions])
        self.by_state = weights[:, :size].contiguous()
        self.by_input = weights[:, size:-1].transpose(0, 1).flatten(1)
        self.bias = weights[:, -1].flatten()
        self.back_state = back[:, :, :size].contiguous()
        self.back_input = back[:, :, size:-1]
        self.look_back = None if look is None else look.transpose(1, 2).contiguous()

    def in_steps(self, by_hours: Tensor, dim: int) -> Tensor:
        """Return an array in the order of the steps, given that in the order of the hours; its own inverse."""
        return by_hours.flip(dim) if self.is_backward else by_hours

    def drive_of(self, features: Tensor) -> Tensor:
        """Return the (T, M, N, 4 H) drive of (N, T, C) features."""
        n_stays, n_hours, n_features = features.shape
        drive = torch.addmm(self.bias, self.in_steps(features, 1).reshape(-1, n_features), self.by_input)
        return drive.view(n_stays, n_hours, len(self.by_state), -1).permute(1, 2, 0, 3).contiguous()

    def read(self, task: Task, *, keeps: bool) -> Course:
        """Read stays to their ends; with ``keeps`` the gradient can be computed afterwards."""
        drive, memory, cell = task.drive, task.memory, self.cell
        n_steps, n_networks, n_stays = len(drive), len(self.by_state), len(task.stays)
        schedule = Schedule.of(task.begins, n_steps)
        stays = schedule.apply(task.stays)
        states = drive.new_empty(n_networks, n_steps + 1, n_stays, self.size)
        cells = drive.new_empty(n_networks, n_steps + 1, n_stays, cell.n_cells)
        look = None if self.look is None else drive.new_empty(n_networks, n_steps, n_stays, self.look.shape[2])
        places, additions = self._additions(task, schedule)
        kept: list[Kept] = []
        states_at, cells_at, drive_at = states.unbind(1), cells.unbind(1), drive.unbind(0)
        look_at: Sequence[Tensor | None] = [None] * n_steps if look is None else look.unbind(1)
        nothing: Sequence[Tensor | None] = [None] * (n_steps + 1)
        known_states = nothing if memory is None else memory.states.unbind(1)
        known_cells = nothing if memory is None else memory.cells.unbind(1)
        known_look = nothing if memory is None or memory.look is None else memory.look.unbind(1)
        n_read, pair = 0, 0
        for step, n in enumerate(schedule.n_reading):
            if n_read < n_stays:
                # What a stay that is not read has, up to the state before its first step, is known.
                _recall(states_at[step], known_states[step], stays, n_read, n_stays)
                _recall(cells_at[step], known_cells[step], stays, n_read, n)
                _recall(look_at[step], known_look[step], stays, n, n_stays)
            n_read = n
            if not n:
                continue
            blocks = drive_at[step].index_select(1, _first(stays, n, 0))
            n_pairs = task.n_changed[step]
            if n_pairs:
                blocks.index_add_(1, places[pair : pair + n_pairs], additions[:, pair : pair + n_pairs])
                pair += n_pairs
            before = _first(states_at[step], n), _first(cells_at[step], n)
            after = _first(states_at[step + 1], n)
            blocks.baddbmm_(before[0], self.by_state)
            further = cell.step(blocks, *before, after, _first(cells_at[step + 1], n))
            if keeps:
                kept.append((*before, *further))
            own_look = look_at[step]
            if self.look is not None and own_look is not None:
                torch.bmm(after, self.look, out=_first(own_look, n))
        _recall(states_at[n_steps], known_states[n_steps], stays, n_read, n_stays)
        return Course(schedule=schedule, states=states, cells=cells, look=look, kept=kept)

    def _additions(self, task: Task, schedule: Schedule) -> tuple[Tensor, Tensor]:
        """Return the places of changed stays in the schedule (P,), and what is added to their drives (M, P, 4 H)."""
        places = task.changed_stays
        if schedule.order is not None:
            places = schedule.order.argsort()[places]
        additions = task.changes @ self.by_input[: task.changes.shape[1]]
        return places, additions.view(len(places), len(self.by_state), 4 * self.size).transpose(0, 1)

    def back(self, course: Course, upstream: Tensor, n_moving: int) -> Tensor:
        """Return the (N, T, K) gradient of the first K features, by hours; zero where nothing was read.

        Args:
            course: Read with ``keeps``.
            upstream: (M, T, N, H) gradient by the state after each step, in the order of the schedule.
            n_moving: K.
        """
        n_networks, n_steps, n_stays, size = upstream.shape
        by_blocks = upstream.new_zeros(n_networks, n_steps, n_stays, 4 * size)
        by_state = upstream.new_zeros(n_networks, n_stays, size)
        by_cell = torch.zeros_like(by_state)
        for step, kept in zip(reversed(range(n_steps)), reversed(course.kept), strict=False):
            n = course.schedule.n_reading[step]
            by_state, by_cell = by_state[:, :n], by_cell[:, :n]
            by_state = by_state.add_(upstream[:, step, :n])
            blocks = by_blocks[:, step, :n]
            self.cell.step_back(kept, by_state, by_cell, parts_of(blocks, size))
            by_state = self.cell.carry(kept, by_state, torch.bmm(blocks, self.back_state))
        by_inputs = upstream.new_zeros(n_steps * n_stays, n_moving)
        for blocks, weights in zip(by_blocks.unbind(0), self.back_input.unbind(0), strict=True):
            by_inputs.addmm_(blocks.view(-1, 4 * size), weights[:, :n_moving])
        gradient = course.schedule.undo(by_inputs.view(n_steps, n_stays, n_moving), 1)
        return self.in_steps(gradient, 0).transpose(0, 1)


def _first(array: Tensor, n: int, dim: int = 1) -> Tensor:
    """Return the first stays, or the array itself if it has no others: a view costs as much as a small operation."""
    return array if array.shape[dim] == n else array.narrow(dim, 0, n)


def _recall(target: Tensor | None, known: Tensor | None, stays: Tensor, begin: int, end: int) -> None:
    """Fill stays ``begin`` to ``end`` of (M, N, X) with what is known (M, B, X) of them; with zeros if nothing is."""
    if target is None or begin == end:
        return
    unread = target[:, begin:end]
    if known is None:
        unread.zero_()
    else:
        unread.copy_(known.index_select(1, stays[begin:end]))


class HoursEngine(DirectionalEngine):
    """The mean of M networks with one recurrent layer; see the module and ``engine.protocol.Engine``.

    Args:
        models: Networks of one shape, read-out ``mean`` or ``attention``. The engine uses their weights unchanged.
    """

    def __init__(self, models: Sequence[RecurrentClassifier]) -> None:
        options = models[0].options
        self.heads = [model.head.eval() for model in models]
        backwards = (False, True) if options.bidirectional else (False,)
        looks: Sequence[Tensor | None] = [None] * len(backwards)
        attentions = [model.attention for model in models if model.attention is not None]
        if attentions:
            weights = torch.stack([2.0 * each.project.weight.detach().t() for each in attentions])
            looks = [part.contiguous() for part in weights.chunk(len(backwards), dim=1)]
            self.look_bias = torch.stack([2.0 * each.project.bias.detach() for each in attentions])[:, None, None]
            self.look_out = torch.stack([2.0 * each.score.weight.detach().squeeze(0) for each in attentions])
        self.ways = [Way(models, look, backward=way) for way, look in zip(backwards, looks, strict=True)]

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> HoursMemory:
        """See ``engine.protocol.Engine``."""
        features = without_padding(features, lengths)
        with torch.no_grad():
            tasks = self._tasks(features, lengths, None, None)
            courses = [way.read(task, keeps=False) for way, task in zip(self.ways, tasks, strict=True)]
            ways = []
            for task, course in zip(tasks, courses, strict=True):
                undo, look = course.schedule.undo, course.look
                states, cells = undo(course.states, 2), undo(course.cells, 2)
                known = None if look is None else undo(look, 2)
                ways.append(WayMemory(drive=task.drive, states=states, cells=cells, look=known))
        n_moving = features.shape[2] if n_moving is None else n_moving
        moving, fixed = features[..., :n_moving].clone(), features[..., n_moving:].clone()
        return HoursMemory(moving=moving, fixed=fixed, ways=tuple(ways))

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> None:
        """Return None; see ``engine.protocol.Engine``."""

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """See ``engine.protocol.Engine``."""
        features = without_padding(features, lengths)
        with torch.no_grad():
            tasks = self._tasks(features, lengths, known, None)
            courses = [way.read(task, keeps=False) for way, task in zip(self.ways, tasks, strict=True)]
            weights, _ = self._weigh(courses, lengths)
            return self._score(self._read_out(courses, weights))

    def _pass(
        self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the differences, and the (N, T, K) gradient through each direction: all of it without a reach."""
        features = without_padding(features, lengths)
        with torch.no_grad():
            if reach is None:
                reach = lengths[:, None].expand(-1, len(self.ways))
            tasks = self._tasks(features, lengths, known, reach)
            courses = [way.read(task, keeps=True) for way, task in zip(self.ways, tasks, strict=True)]
            weights, looked = self._weigh(courses, lengths)
            read = self._read_out(courses, weights)
        with torch.enable_grad():
            leaf = read.requires_grad_()
            difference = self._score(leaf)
            (by_read,) = torch.autograd.grad(difference.sum(), leaf)
        with torch.no_grad():
            gradients = self._back(courses, weights, looked, by_read, features.shape[2])
        return difference.detach(), gradients

    def _tasks(self, features: Tensor, lengths: Tensor, known: Known | None, reach: Tensor | None) -> list[Task]:
        """Return what each direction has to read: from the first change on, or from where ``reach`` (N, D) begins."""
        n_stays, n_hours, _ = features.shape
        memory = None if known is None else known.memory
        if known is None or not isinstance(memory, HoursMemory):
            every, nothing = torch.arange(n_stays, device=features.device), features.new_zeros(0, features.shape[2])
            first_steps = [n_hours - lengths if way.is_backward else torch.zeros_like(lengths) for way in self.ways]
            return [
                Task(
                    drive=way.drive_of(features),
                    stays=every,
                    begins=begin,
                    memory=None,
                    changes=nothing,
                    changed_stays=every[:0],
                    n_changed=[0] * n_hours,
                )
                for way, begin in zip(self.ways, first_steps, strict=True)
            ]
        changes = features - memory.moving[known.stays]
        differs = (changes != 0).any(dim=2)
        tasks = []
        for number, (way, own) in enumerate(zip(self.ways, memory.ways, strict=True)):
            step, stay = way.in_steps(differs.t(), 0).nonzero(as_tuple=True)
            hour = n_hours - 1 - step if way.is_backward else step
            differs_at = way.in_steps(differs, 1)
            begins = torch.where(differs_at.any(dim=1), differs_at.int().argmax(dim=1), n_hours)
            if reach is not None:
                ends = torch.full_like(lengths, n_hours) if way.is_backward else lengths
                begins = torch.minimum(begins, (ends - reach[:, number]).clamp(min=0))
            tasks.append(
                Task(
                    drive=own.drive,
                    stays=known.stays,
                    begins=begins,
                    memory=own,
                    changes=changes[stay, hour],
                    changed_stays=stay,
                    n_changed=torch.bincount(step, minlength=n_hours).tolist(),
                )
            )
        return tasks

    def _weigh(self, courses: Sequence[Course], lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the (M, T, N) weights of the hours, and the squashed (M, T, N, A) looks that they come from."""
        n_networks, n_more, n_stays, _ = courses[0].states.shape
        inside = within_length(lengths, n_more - 1).t()
        looks = [self._by_hours(way, course, course.look) for way, course in zip(self.ways, courses, strict=True)]
        first = looks[0]
        if first is None:
            return (inside.to(courses[0].states) / lengths).expand(n_networks, -1, -1), None
        looked = first + self.look_bias
        for further in looks[1:]:
            assert further is not None  # noqa: S101 - all directions have looks, or none
            looked += further
        looked.sigmoid_()
        scores = torch.bmm(looked.flatten(1, 2), self.look_out[:, :, None]).view(n_networks, -1, n_stays)
        return torch.softmax(scores.masked_fill(~inside, -torch.inf), dim=1), looked

    @staticmethod
    def _by_hours(way: Way, course: Course, array: Tensor | None) -> Tensor | None:
        """Return an (M, T, N, ...) array by hours and in the order of the stays."""
        return None if array is None else way.in_steps(course.schedule.undo(array, 2), 1)

    def _read_out(self, courses: Sequence[Course], weights: Tensor) -> Tensor:
        """Return the (M, N, D H) weighted sums of the states."""
        reads = []
        for way, course in zip(self.ways, courses, strict=True):
            own = way.in_steps(course.schedule.apply(weights, 2), 1)
            reads.append(course.schedule.undo((course.states[:, 1:] * own[..., None]).sum(dim=1), 1))
        return torch.cat(reads, dim=2)

    def _score(self, read: Tensor) -> Tensor:
        """Return the (N,) differences, averaged over the networks, of (M, N, D H) read-outs."""
        logits = torch.stack([head(own) for head, own in zip(self.heads, read.unbind(0), strict=True)]).mean(dim=0)
        return logits[:, 1] - logits[:, 0]

    def _back(
        self, courses: Sequence[Course], weights: Tensor, looked: Tensor | None, by_read: Tensor, n_moving: int
    ) -> list[Tensor]:
        """Return the (N, T, K) gradient through each direction, given that of the (M, N, D H) read-out."""
        halves = by_read.chunk(len(courses), dim=2)
        by_look = None
        if looked is not None:
            by_weight = torch.zeros_like(weights)
            for way, course, half in zip(self.ways, courses, halves, strict=True):
                own = (course.states[:, 1:] * course.schedule.apply(half, 1)[:, None]).sum(dim=3)
                by_weight += way.in_steps(course.schedule.undo(own, 2), 1)
            by_score = weights * (by_weight - (weights * by_weight).sum(dim=1, keepdim=True))
            by_look = by_score[..., None] * self.look_out[:, None, None] * looked * (1.0 - looked)
        gradients = []
        for way, course, half in zip(self.ways, courses, halves, strict=True):
            own = way.in_steps(course.schedule.apply(weights, 2), 1)
            upstream = own[..., None] * course.schedule.apply(half, 1)[:, None]
            if by_look is not None and way.look_back is not None:
                by_own = way.in_steps(course.schedule.apply(by_look, 2), 1)
                by_states = torch.baddbmm(upstream.flatten(1, 2), by_own.flatten(1, 2), way.look_back)
                upstream = by_states.view_as(upstream)
            gradients.append(way.back(course, upstream, n_moving))
        return gradients
