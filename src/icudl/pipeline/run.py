"""The stage graph: what depends on what, what is up to date, and how an artifact comes to be.

The id of every artifact of a run follows from the configuration and the source's fingerprint alone, so a plan is made
before anything is computed: what is sealed under its id is reused, the rest is run in order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from icudl.artifacts import TuningResult
from icudl.config.load import convert
from icudl.config.schema import TABLES, Config
from icudl.errors import ConfigError, StageError, StoreError, suggestion
from icudl.execution.base import Executor, make_executor
from icudl.execution.context import Progress, RunContext, SilentProgress
from icudl.execution.device import resolve_device
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import single_thread
from icudl.files import remove_folder
from icudl.pipeline import estimates
from icudl.pipeline.graph import NODES, Node, StageInputs
from icudl.pipeline.plan import Listener, Nobody, Step
from icudl.pipeline.provenance import Clock, differing, lineage_entry, software, summarise
from icudl.pipeline.tuned import TABLES_OF, require_trial, with_choices, without_storage
from icudl.plugins import load_plugin, plugin_version
from icudl.sources.base import DataSource, SourceFingerprint
from icudl.store import refusals
from icudl.store.manifest import FileEntry, Identity, Manifest, content_hash, list_files
from icudl.store.opening import open_store
from icudl.store.store import Store


class Pipeline:
    """A configuration and a store.

    Example:
        >>> import icudl
        >>> pipeline = icudl.Pipeline(icudl.load_config(), "runs")
        >>> training = pipeline.run("train")  # doctest: +SKIP
    """

    def __init__(
        self,
        config: Config,
        store: Store | Path | str = "runs",
        *,
        progress: Progress | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.config = config
        self.store = store if isinstance(store, Store) else open_store(store)
        self.progress: Progress = progress or SilentProgress()
        self.listener: Listener = listener or Nobody()
        self._source: DataSource | None = None
        self._fingerprint: SourceFingerprint | None = None
        self._executor: Executor = SerialExecutor()
        self._warnings: dict[str, tuple[str, ...]] = {}

    def nodes(self, target: str = "report") -> list[Node]:
        """Return the nodes that lead to ``target``, in order; tuning only where it is switched on or asked for.

        Raises:
            ConfigError: There is no such node.
        """
        if target not in NODES:
            raise ConfigError(f"Unknown stage {target!r}.{suggestion(target, NODES)} Stages: {', '.join(NODES)}.")
        active = {
            "tune-model": self.config.tune_model.trials > 0,
            "tune-attack": self.config.tune_attack.trials > 0,
        }
        if not active.get(target, True):
            table = TABLES_OF[target]
            raise ConfigError(f"{table}.trials is 0: nothing to tune. Set {table}.trials to the number of trials.")
        require_trial(self.config)
        wanted: set[str] = set()

        def want(name: str) -> None:
            if active.get(name, True) and name not in wanted:
                wanted.add(name)
                for upstream in NODES[name].upstream:
                    want(upstream)

        want(target)
        return [
            dataclasses.replace(node, upstream=tuple(name for name in node.upstream if name in wanted))
            for node in NODES.values()
            if node.name in wanted
        ]

    def source(self) -> DataSource:
        """Return the data source of the configuration."""
        if self._source is None:
            options = self.config.source
            self._source = cast("DataSource", load_plugin("icudl.sources", options.name)(options, self.config.run.seed))
        return self._source

    def fingerprint(self) -> SourceFingerprint:
        """Return the identity of the source's data, asked for once."""
        if self._fingerprint is None:
            self._fingerprint = self.source().fingerprint(self.store.memory())
        return self._fingerprint

    def plan(self, target: str = "report") -> list[Step]:
        """Tell for each node that leads to ``target`` under which id its result stands, and whether it is there."""
        steps: dict[str, Step] = {}
        for node in self.nodes(target):
            identity = self._identity(node, {name: steps[name].id for name in node.upstream})
            done = self.store.has(node.name, identity.id)
            steps[node.name] = Step(node, identity, done, "" if done else self._reason(identity))
        return list(steps.values())

    def _identity(self, node: Node, upstream: Mapping[str, str]) -> Identity:
        tables = {table: getattr(self.config, table).to_dict(identity_only=True) for table in node.tables}
        return Identity(
            node=node.name,
            stage_version=node.stage_version,
            options=tables,
            upstream=upstream,
            plugin=self._plugin(node),
            seed=self.config.run.seed,
            fingerprint=self.fingerprint().digest if node.name == "extract" else "",
        )

    def _plugin(self, node: Node) -> str:
        if node.plugin is None:
            return ""
        group, table = node.plugin
        name = str(getattr(self.config, table).name)
        return f"{name} ({plugin_version(group, name) or 'unknown version'})"

    def _reason(self, identity: Identity) -> str:
        """Name what differs from the most similar artifact of the node."""
        differences = [differing(manifest.identity, identity) for manifest in self.store.manifests(identity.node)]
        fewest = min(map(len, differences), default=0)
        return next(("; ".join(lines) for lines in differences if len(lines) == fewest), "not computed yet")

    def run(self, target: str = "report") -> Any:
        """Bring everything up to ``target`` up to date and return its artifact.

        Raises:
            IcudlError: Whatever went wrong; finished artifacts stay, the unfinished one resumes next time.
        """
        manifest = self.update(target)[-1]
        return self.store.load(NODES[target].artifact, manifest)

    def update(self, target: str = "report") -> list[Manifest]:
        """Bring everything up to ``target`` up to date and return the manifests, in order."""
        manifests: dict[str, Manifest] = {}
        loaded: dict[str, Any] = {}
        steps = self.plan(target)
        with contextlib.ExitStack() as stack:
            if not all(step.done for step in steps):
                self.check()
                self._executor = stack.enter_context(make_executor(self.config.execution))
            for step in steps:
                if step.node.name == "preprocess":
                    self._warn(steps, manifests["extract"])
                if step.done:
                    self.listener.reused(step)
                    self.store.settle(step.node.name, step.id)
                    manifests[step.node.name] = self._sealed(step)
                else:
                    manifests[step.node.name] = self._make(step, manifests, loaded)
        return list(manifests.values())

    def _warn(self, steps: Sequence[Step], extracted: Manifest) -> None:
        """Tell, before the work after extract begins, what of it will not fit in memory or on the disk."""
        n_variables = len(self.config.variables.chosen(self.source().available))
        cells = int(extracted.counts["stays"]) * self.config.window.hours * n_variables
        pending = {step.node.name: step for step in steps if not step.done}
        self._warnings = estimates.foreseen(tuple(pending), cells, self._executor.workers, self.store.root)
        for name, text in ((name, text) for name, texts in self._warnings.items() for text in texts):
            self.listener.warned(pending[name], text)

    def _sealed(self, step: Step) -> Manifest:
        """Return the manifest of an artifact, unless its inputs have become others since."""
        manifest = self.store.manifest(step.node.name, step.id)
        problems = self.store.check_inputs(manifest)
        if problems:
            raise StoreError(
                f"{step.reference} was {'; '.join(problems)}: one of them was exchanged, or made again by other "
                f"software. `icudl verify --rerun` tells which. Delete {self.store.location(step.node.name, step.id)} "
                "to have it made again."
            )
        return manifest

    def check(self) -> None:
        """Find out before any work is done whether the plug-ins, the device and the variables asked for exist.

        Raises:
            IcudlError: One of them does not.
        """
        for group, table in (("models", "model"), ("attacks", "attack")):
            load_plugin(f"icudl.{group}", getattr(self.config, table).name)
        make_executor(self.config.execution)
        self.store.require_writable()
        resolve_device(self.config.execution.device)
        self.config.variables.chosen()

    def _make(self, step: Step, manifests: Mapping[str, Manifest], loaded: dict[str, Any]) -> Manifest:
        node = step.node
        with self.store.lock(node.name, step.id, lambda: self.listener.waiting(step)):
            if self.store.has(node.name, step.id):
                self.listener.reused(step)
                return self._sealed(step)
            self.listener.started(step)
            for name in node.upstream:
                if name not in loaded:
                    loaded[name] = self.store.load(NODES[name].artifact, manifests[name])
            upstream = {name: manifests[name] for name in node.upstream}
            clock = Clock()
            context = dataclasses.replace(
                self._context(self.store.scratch(node.name, step.id), self.store.logs(node.name, step.id)),
                studies=self.store.studies() if node.artifact is TuningResult else None,
            )
            with single_thread(), refusals.translated(f"Work on {step.reference}", self.store.root):
                artifact = node.run(self._inputs(node, upstream, loaded, context))

            def describe(folder: Path) -> Manifest:
                files = list_files(folder)
                return self._describe(step, artifact, files, upstream, clock.stop() | self._environment(context))

            # What is made from it must not depend on who made it: the stages after it read what was sealed, as any
            # later run will. What it kept in the scratch folder is gone.
            manifest = self.store.seal(node.name, step.id, artifact, describe)
        self.listener.finished(step, manifest)
        return manifest

    def _inputs(
        self, node: Node, upstream: Mapping[str, Manifest], artifacts: Mapping[str, Any], context: RunContext
    ) -> StageInputs:
        tunings = {name: artifacts[name] for name in TABLES_OF if name in node.upstream}
        return StageInputs(
            config=with_choices(self.config, tunings),
            artifacts={name: artifacts[name] for name in node.upstream},
            source=self.source() if node.name == "extract" else None,
            lineage=[lineage_entry(manifest) for manifest in upstream.values()],
            context=context,
        )

    def _context(self, scratch: Path, logs: Path | None) -> RunContext:
        return RunContext(
            executor=self._executor,
            device=resolve_device(self.config.execution.device),
            progress=self.progress,
            scratch=scratch,
            seed=self.config.run.seed,
            logs=logs,
        )

    def _describe(
        self,
        step: Step,
        artifact: Any,
        files: tuple[FileEntry, ...],
        upstream: Mapping[str, Manifest],
        environment: Mapping[str, Any],
    ) -> Manifest:
        node = step.node
        tables = {table: getattr(self.config, table).to_dict() for table in node.tables}
        is_extract = node.name == "extract"
        plugin: object = self.source() if is_extract else None
        if node.plugin is not None and not is_extract:
            plugin = load_plugin(node.plugin[0], getattr(self.config, node.plugin[1]).name)
        return Manifest(
            identity=step.identity,
            id=step.id,
            content=content_hash(files),
            files=files,
            upstream_content={name: manifest.content for name, manifest in upstream.items()},
            options=tables,
            origins={
                key: origin for key, origin in self.config.origins.items() if key.partition(".")[0] in node.tables
            },
            restricted=self.source().restricted if is_extract else any(item.restricted for item in upstream.values()),
            citations=tuple(getattr(plugin, "citations", ())),
            counts=summarise(artifact),
            warnings=self._warnings.get(node.name, ()),
            environment=environment,
            source=self.fingerprint().details if is_extract else {},
        )

    def _environment(self, context: RunContext) -> dict[str, Any]:
        return software() | {
            "device": context.device,
            "executor": self.config.execution.executor,
            "workers": context.executor.workers,
        }

    def rerun(self, manifest: Manifest) -> list[str]:
        """Compute an artifact again from its manifest and stored inputs; return one line per differing file.

        Raises:
            StageError: The source's data are not those the artifact was made from.
            StoreError: An input is missing or corrupt.
        """
        inputs = tuple(name for name in NODES if name in manifest.identity.upstream)
        node = dataclasses.replace(NODES[manifest.node], upstream=inputs)
        config = without_storage(config_of(manifest, self.config))
        pipeline = Pipeline(config, self.store, progress=self.progress, listener=self.listener)
        if node.name == "extract" and pipeline.fingerprint().digest != manifest.identity.fingerprint:
            raise StageError(
                f"{manifest.reference} was made from other data: the source's fingerprint is now "
                f"{pipeline.fingerprint().digest[:12]}, then {manifest.identity.fingerprint[:12]}. "
                "Restore the data, or run extract anew."
            )
        upstream = {name: self.store.manifest(name, manifest.identity.upstream[name]) for name in inputs}
        artifacts = {name: self.store.load(NODES[name].artifact, item) for name, item in upstream.items()}
        with self.store.lock(f"rerun-{node.name}", manifest.id):
            again = pipeline._recompute(node, manifest, upstream, artifacts)
        then = {entry.name: entry.sha256 for entry in manifest.files}
        return [
            f"{name}: {'content differs' if name in again and name in then else 'in one of the two only'}"
            for name in sorted(again.keys() | then.keys())
            if again.get(name) != then.get(name)
        ]

    def _recompute(
        self, node: Node, manifest: Manifest, upstream: Mapping[str, Manifest], artifacts: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return the hash of every file that the stage gives now; nothing of an earlier attempt is used."""
        scratch = self.store.scratch(f"rerun-{node.name}", manifest.id)
        remove_folder(scratch)
        with refusals.translated(f"The second making of {manifest.reference}", self.store.root):
            (scratch / "work").mkdir(parents=True)
            (scratch / "artifact").mkdir()
            with make_executor(self.config.execution) as self._executor, single_thread():
                context = self._context(scratch / "work", None)
                node.run(self._inputs(node, upstream, artifacts, context)).write(scratch / "artifact")
        hashes = {entry.name: entry.sha256 for entry in list_files(scratch / "artifact")}
        remove_folder(scratch)
        return hashes


def config_of(manifest: Manifest, config: Config) -> Config:
    """Return the configuration an artifact was made with; how to execute is taken from ``config``."""
    tables: dict[str, Any] = {"run": dataclasses.replace(config.run, seed=manifest.identity.seed)}
    for table, values in manifest.options.items():
        hints = typing.get_type_hints(TABLES[table])
        known = {field.name for field in dataclasses.fields(TABLES[table])}
        if set(values) - known:
            raise StageError(
                f"{manifest.reference} was made with options that this version does not know: "
                f"{', '.join(sorted(set(values) - known))}. Use icudl {manifest.environment['versions']['icudl']}."
            )
        tables[table] = TABLES[table](
            **{key: convert(f"{table}.{key}", value, hints[key]) for key, value in values.items()}
        )
    return Config(**tables, execution=config.execution)
