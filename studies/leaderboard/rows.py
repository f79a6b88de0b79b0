"""Parts of the leaderboard, kept on disk: each model is fitted on set A, and scored, attacked and probed on set B."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from icudl.artifacts import FINAL, AttackResult, Checkpoint, GridDataset, Probes
from icudl.attacks.run.runner import run_attack
from icudl.config.schema import Config
from icudl.execution.base import Executor
from icudl.execution.context import Progress, RunContext
from icudl.files import write_folder_atomically
from icudl.options import Fingerprinted
from icudl.probes.options import ProbeOptions
from icudl.probes.run import run_probes
from icudl.training.finished import Finished
from icudl.training.judged import choose_stays
from icudl.training.members import MemberJob, Plan, finished_member, run_member
from icudl.training.outside import as_given, met_before

DRAWN = 2018
"""Seed that draws the attacked and probed stays: every row of the table looks at the same ones."""
JOB = MemberJob(fold=-1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """What is known of one model and seed.

    Attributes:
        finished: Risks of set B, and the threshold.
        attacks: Finished attacks by name.
        probes: Derangements and errors of entry; None where they are not finished.
    """

    finished: Finished
    attacks: Mapping[str, AttackResult]
    probes: Probes | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """What all rows share.

    Attributes:
        config: The study.
        grid: Sets A and B.
        out: Folder of the rows.
        executor: Works through the stays.
        progress: Sink of progress.
    """

    config: Config
    grid: GridDataset
    out: Path
    executor: Executor
    progress: Progress

    @property
    def probe_options(self) -> ProbeOptions:
        """What is probed."""
        if self.config.probe is None:
            raise SystemExit("The study has no table [probe]. Add it.")
        return self.config.probe.options

    def parts(self, names: list[str], seeds: list[int]) -> Iterator[str]:
        """Make what is missing, kind by kind, and say what each step was about."""
        every = [(name, seed) for seed in seeds for name in names]
        for name, seed in every:
            plan = self._plan(name, seed)
            plan.scratch.mkdir(parents=True, exist_ok=True)
            run_member(plan, JOB, lambda _units: None)
            yield f"{name} (seed {seed}): fitted"
        for attack in self.config.attacks:
            for name, seed in every:
                self._attack(name, seed, attack)
                yield f"{name} (seed {seed}): {attack}"
        for name, seed in every:
            self._probe(name, seed)
            yield f"{name} (seed {seed}): probed"

    def row(self, name: str, seed: int) -> Row | None:
        """Return what is there of a row, or None where not even the model is fitted."""
        finished = finished_member(self._plan(name, seed), JOB)
        if finished is None:
            return None
        folder = self._folder(name, seed)
        attacks = {
            key: AttackResult.read(where)
            for key, each in self.config.attacks.items()
            if (where := folder / f"{key}-{_digest(each.attack.to_dict(identity_only=True))}").is_dir()
        }
        where = folder / f"probe-{_digest(self.probe_options.to_dict(identity_only=True))}"
        return Row(finished=finished, attacks=attacks, probes=Probes.read(where) if where.is_dir() else None)

    def _attack(self, name: str, seed: int, attack: str) -> None:
        options = self.config.attacks[attack].attack
        where = self._folder(name, seed) / f"{attack}-{_digest(options.to_dict(identity_only=True))}"
        if not where.is_dir():
            checkpoint, context = self._checkpoint(name, seed), self._context(where)
            rows = choose_stays(self.grid, options, context, checkpoint.met_before)
            found = run_attack({str(FINAL): checkpoint}, self.grid, rows, options, context)
            write_folder_atomically(where, found.write)

    def _probe(self, name: str, seed: int) -> None:
        options = self.probe_options
        where = self._folder(name, seed) / f"probe-{_digest(options.to_dict(identity_only=True))}"
        if not where.is_dir():
            checkpoint, context = self._checkpoint(name, seed), self._context(where)
            rows = choose_stays(self.grid, options, context, checkpoint.met_before)
            probed = run_probes({str(FINAL): checkpoint}, self.grid, rows, options, context)
            write_folder_atomically(where, probed.write)

    def _checkpoint(self, name: str, seed: int) -> Checkpoint:
        finished = finished_member(self._plan(name, seed), JOB)
        if finished is None or finished.checkpoint is None:
            raise SystemExit(f"{name} is not fitted. Fit it first.")
        return finished.checkpoint

    def _plan(self, name: str, seed: int) -> Plan:
        entry = self.config.models[name]
        return Plan(
            grid=self.grid,
            inputs=entry.inputs,
            model=entry.model,
            training=as_given(entry.model, entry.training),
            seed=seed,
            device="cpu",
            scratch=self._folder(name, seed) / "model",
            met_before=met_before(self.grid, entry.model),
            robust=entry.robust,
        )

    def _context(self, folder: Path) -> RunContext:
        scratch = folder.with_name(f"{folder.name}.part")
        scratch.mkdir(parents=True, exist_ok=True)
        return RunContext(executor=self.executor, device="cpu", progress=self.progress, scratch=scratch, seed=DRAWN)

    def _folder(self, name: str, seed: int) -> Path:
        """Return the folder of a model, which other options or other data do not share."""
        entry = self.config.models[name]
        tables: dict[str, Any] = {
            table: getattr(entry, table).to_dict(identity_only=True)
            for table in ("inputs", "model", "training", "robust")
        }
        tables["stays"] = hashlib.sha256(self.grid.stay_ids.tobytes()).hexdigest()
        if isinstance(entry.model, Fingerprinted):
            tables["files"] = entry.model.fingerprint()
        return self.out / "models" / f"{name}-{seed}-{_digest(tables)}"


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
