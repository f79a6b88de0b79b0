"""The pipeline: results that are sealed under their ids are reused, and the other stages run in order.

The id of every artifact of a run follows from the configuration and the fingerprints of the sources alone, so a plan is
made before anything is computed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from icudl.artifacts import GridDataset, TuningResult, Warned
from icudl.config.load import build
from icudl.config.schema import PLUGINS, Config
from icudl.errors import ConfigError, StageError, StoreError
from icudl.execution.base import Executor, make_executor
from icudl.execution.children import end_if_importing
from icudl.execution.context import Progress, RunContext, SilentProgress
from icudl.execution.device import resolve_device
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import single_thread
from icudl.files import remove_folder
from icudl.options import Fingerprinted, Options
from icudl.pipeline import estimates
from icudl.pipeline.forecast import Forecast, Work, expected_stays, forecast, learned_rates, slowness, work_of
from icudl.pipeline.graph import Key, Node, build_graph, find_nodes, leading_to
from icudl.pipeline.plan import Listener, Nobody, Step
from icudl.pipeline.provenance import Clock, differences, lineage_entry, software, summarise
from icudl.pipeline.stages import STAGES, Stage, StageInputs, options_of_tables
from icudl.pipeline.tuned import TABLE_OF, require_trials, with_choices, without_storage
from icudl.plugins import Citing, load_plugin, plugin_version
from icudl.preprocessing.outcome import require_told
from icudl.sources.base import DataSource, SourceFingerprint, VariableOptions, outcomes_told, prepared
from icudl.store import refusals
from icudl.store.base import Store, open_store
from icudl.store.manifest import FileEntry, Identity, Manifest, Upstream, content_hash, list_files

WARN_OF_DATA = frozenset({"extract", "score"})
"""Stages whose warnings are about the data. Warnings of other stages are about the machine at that moment."""


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
        self.graph = build_graph(config)
        self._sources: dict[str, DataSource] = {}
        self._fingerprints: dict[str, SourceFingerprint] = {}
        self._executor: Executor = SerialExecutor()
        self._warnings: dict[Key, tuple[str, ...]] = {}
        self._unlike: set[Key] = set()  # nodes whose time says nothing of another run of the same work

    def nodes(self, target: str = "report") -> list[Node]:
        """Return the nodes that lead to ``target``, in order.

        Args:
            target: A stage (``"train"``: that of every model), or the name of one node (``"train/lstm"``).

        Raises:
            ConfigError: The configuration has no such node.
        """
        require_trials(self.config)
        return leading_to(self.graph, find_nodes(self.graph, target))

    def source(self, data: str = "") -> DataSource:
        """Return the source of a data set, by default of the main one."""
        data = data or self.config.main
        if data not in self._sources:
            options = self.config.data[data].source
            plugin = load_plugin(PLUGINS["source"].group, options.name)
            source = cast("DataSource", plugin(options, self.config.run.seed))
            self._sources[data] = prepared(source, self.config.data[data].variables)
        return self._sources[data]

    def fingerprint(self, data: str = "") -> SourceFingerprint:
        """Return the fingerprint of a data set, by default of the main one; the source is asked once."""
        data = data or self.config.main
        if data not in self._fingerprints:
            self._fingerprints[data] = self.source(data).fingerprint(self.store.hashes())
        return self._fingerprints[data]

    def plan(self, target: str = "report") -> list[Step]:
        """Return a step for each node that leads to ``target``: the id of its result, and whether the store has it."""
        steps: dict[Key, Step] = {}
        for node in self.nodes(target):
            identity = self._identity(node, {key: step.id for key, step in steps.items()})
            done = self.store.has(node.key.stage, identity.id)
            reason = "" if done else self._reason(identity)
            steps[node.key] = Step(node=node, identity=identity, done=done, reason=reason)
        return list(steps.values())

    def identity_of(self, node: Node) -> Identity:
        """Return the identity of one node, planned or not; the store is read for hashes of source files only."""
        ids: dict[Key, str] = {}
        nodes = self.graph | {node.key: node}
        for each in leading_to(nodes, [node]):
            ids[each.key] = self._identity(each, ids).id
        return self._identity(node, ids)

    def _identity(self, node: Node, ids: Mapping[Key, str]) -> Identity:
        return Identity(
            node=node.key.stage,
            stage_version=node.stage.version,
            options=options_of_tables(node.tables),
            upstream=_upstream(node, ids),
            plugin=_plugin_of(node.stage, node.tables),
            seed=self.config.run.seed,
            fingerprint=self._digest(node),
        )

    def _digest(self, node: Node) -> str:
        """Return the digest of what a node reads beside its inputs: a source's data, the file of a model; or ""."""
        if node.key.stage == "extract":
            return self.fingerprint(node.key.data).digest
        return "".join(table.fingerprint() for table in node.tables.values() if isinstance(table, Fingerprinted))

    def _reason(self, identity: Identity) -> str:
        """Name what differs from the most similar artifact of the stage."""
        found = [differences(manifest.identity, identity) for manifest in self.store.manifests(identity.node)]
        fewest = min(map(len, found), default=0)
        return next(("; ".join(map(str, each)) for each in found if len(each) == fewest), "not computed yet")

    def run(self, target: str = "report") -> Any:
        """Compute ``target`` and everything that leads to it, and return its artifact.

        Args:
            target: A stage that has one node in the study, or the name of a node.

        Raises:
            ConfigError: The study has several nodes of this stage, so one of them has to be named.
            IcudlError: A stage failed. Finished artifacts stay, and the unfinished one resumes next time.
        """
        found = find_nodes(self.graph, target)
        if len(found) > 1:
            raise ConfigError(
                f"This study has several results of {target}: {', '.join(node.name for node in found)}. Name one of "
                f"them, or bring all of them up to date with Pipeline.update({target!r})."
            )
        manifest = self.update(target)[-1]
        return self.store.load(found[0].stage.artifact, manifest)

    def update(self, target: str = "report") -> list[Manifest]:
        """Compute ``target`` and everything that leads to it, and return the manifests in order."""
        end_if_importing()
        manifests: dict[Key, Manifest] = {}
        loaded: dict[Key, Any] = {}
        self._require_outcomes()
        steps = self.plan(target)
        with contextlib.ExitStack() as stack:
            if not all(step.done for step in steps):
                self.check()
                told = self.forecast(steps)
                execution = self.config.execution
                if self._chooses_workers:
                    execution = dataclasses.replace(execution, workers=told.workers)
                self._executor = stack.enter_context(make_executor(execution))
                self.listener.foreseen(told)
            for position, step in enumerate(steps):
                if step.node.key.stage == "preprocess":
                    self._warn(steps, step.node.key.data, manifests)
                if step.done:
                    self.listener.reused(step)
                    self.store.settle(step.node.key.stage, step.id)
                    manifests[step.node.key] = self._sealed(step)
                else:
                    manifests[step.node.key] = self._make(step, manifests, loaded)
                    if step.node.key == Key(stage="preprocess", data=self.config.main) and len(steps) > position + 1:
                        self.listener.foreseen(self.forecast(steps[position + 1 :], self._executor.workers))
                if step.node.key.stage in WARN_OF_DATA:
                    for text in manifests[step.node.key].warnings:
                        self.listener.warned(step, f"{step.name}: {text}")
                _forget(loaded, steps[position + 1 :])
        return list(manifests.values())

    @property
    def _chooses_workers(self) -> bool:
        """Whether the number of worker processes is left to the forecast."""
        return self.config.execution.executor == "processes" and not self.config.execution.workers

    def forecast(self, steps: Sequence[Step], workers: int | None = None) -> Forecast:
        """Return what the steps that are not done will take on this machine.

        Stays are counted where the store holds the grid of a data set, else guessed from what the source tells.

        Args:
            steps: The plan, or what is left of it.
            workers: Processes that work side by side; None takes those that a run would start.
        """
        pending = [step for step in steps if not step.done]
        counted = {name: self._counted(name) for name in self.config.data}
        stays = {
            name: known or expected_stays(self.source(name), self.config.data[name].source) or 0
            for name, known in counted.items()
        }
        works = {step.name: self._work(step.node, stays) for step in pending}
        stages = {step.node.key.stage for step in pending}
        cells = [
            stays[name] * entry.window.hours * len(entry.variables.chosen(self.source(name).available))
            for name, entry in self.config.data.items()
        ]
        return forecast(
            works,
            learned_rates(manifest for stage in sorted(stages) for manifest in self.store.manifests(stage)),
            slowness=slowness(),
            workers=workers or max(1, make_executor(self.config.execution).workers),
            may_work_alone=not workers and self._chooses_workers,
            cells=max(cells),
            stays=stays[self.config.main],
            is_counted=counted[self.config.main] is not None,
        )

    def _counted(self, data: str) -> int | None:
        """Return the stays of a data set whose grid the store holds, else None."""
        node = self.graph[Key(stage="preprocess", data=data)]
        identity = self.identity_of(node)
        if not self.store.has(node.key.stage, identity.id):
            return None
        return int(self.store.manifest(node.key.stage, identity.id).counts["stays"])

    def _work(self, node: Node, stays: Mapping[str, int]) -> Work:
        source = self.source(node.key.data) if node.key.stage == "extract" else None
        return work_of(node, self.config, stays, source)

    def _require_outcomes(self) -> None:
        """Check that every source tells the outcome that its data set asks for, before anything is read.

        Raises:
            ConfigError: One does not.
        """
        for name, entry in self.config.data.items():
            require_told(outcomes_told(self.source(name)), entry.outcome, entry.source.name)

    def _warn(self, steps: Sequence[Step], data: str, manifests: Mapping[Key, Manifest]) -> None:
        """Warn, before the work on a data set begins, of stages that will not fit in memory or on the disk."""
        entry = self.config.data[data]
        extracted = manifests[Key(stage="extract", data=data)]
        n_variables = len(entry.variables.chosen(self.source(data).available))
        cells = int(extracted.counts["stays"]) * entry.window.hours * n_variables
        pending = [step for step in steps if not step.done and step.node.key.data in {data, ""}]
        stages = tuple(dict.fromkeys(step.node.key.stage for step in pending))
        found = estimates.foreseen(stages, cells, self._executor.workers, self.store.root)
        for step in pending:
            texts = found[step.node.key.stage]
            self._warnings[step.node.key] = texts
            for text in texts:
                self.listener.warned(step, text)

    def _sealed(self, step: Step) -> Manifest:
        """Return the manifest of an artifact after checking that its inputs have not changed since."""
        manifest = self.store.manifest(step.node.key.stage, step.id)
        problems = self.store.check_inputs(manifest)
        if problems:
            raise StoreError(
                f"{step.name} ({step.reference}) was {'; '.join(problems)}: one of them was exchanged, or made again "
                f"by other software. `icudl verify --rerun` tells which. Delete "
                f"{self.store.location(step.node.key.stage, step.id)} to have it made again."
            )
        # The result may have been made under another name.
        return dataclasses.replace(manifest, name=step.name)

    def check(self) -> None:
        """Check before any work begins that the requested plug-ins, device and variables exist.

        Raises:
            IcudlError: A plug-in, the device or a variable does not exist.
        """
        check_plugins(self.config)
        self.store.require_writable()
        resolve_device(self.config.execution.device)

    def _make(self, step: Step, manifests: Mapping[Key, Manifest], loaded: dict[Key, Any]) -> Manifest:
        node, stage = step.node, step.node.stage
        with self.store.lock(stage.name, step.id, lambda: self.listener.waiting(step)):
            if self.store.has(stage.name, step.id):
                self.listener.reused(step)
                return self._sealed(step)
            self.listener.started(step)
            for key in node.upstream.values():
                if key not in loaded:
                    loaded[key] = self.store.load(STAGES[key.stage].artifact, manifests[key])
            upstream = {name: manifests[key] for name, key in node.upstream.items()}
            artifacts = {name: loaded[key] for name, key in node.upstream.items()}
            clock = Clock()
            scratch = self.store.scratch(stage.name, step.id)
            if any(scratch.iterdir()):  # goes on from there, and takes less than all of it
                self._unlike.add(node.key)
            context = dataclasses.replace(
                self._context(scratch, self.store.logs(stage.name, step.id)),
                studies=self.store.studies() if stage.artifact is TuningResult else None,
            )
            with single_thread(), refusals.translated(f"Work on {step.name}", self.store.root):
                source = self.source(node.key.data) if stage.name == "extract" else None
                inputs = self._inputs(node, step.identity.upstream, upstream, artifacts, source, context)
                artifact = stage.run(inputs)
            for text in _cautions(artifact):
                self.listener.warned(step, f"{step.name}: {text}")

            def describe(folder: Path) -> Manifest:
                files = list_files(folder)
                environment = clock.stop() | self._environment(context)
                if node.key in self.graph and node.key not in self._unlike:  # from which later forecasts learn
                    stays = {name: self._counted(name) or 0 for name in self.config.data}
                    environment |= {"work": self._work(node, stays).to_dict()}
                return self._describe(step, inputs.options, artifact, files, upstream, environment)

            # Later stages must get the same input whichever run made it, so they read what was sealed. The tables in
            # the scratch folder of this stage no longer exist.
            manifest = self.store.seal(stage.name, step.id, artifact, describe)
        self.listener.finished(step, manifest)
        return manifest

    def _inputs(
        self,
        node: Node,
        origins: Mapping[str, Upstream],
        upstream: Mapping[str, Manifest],
        artifacts: Mapping[str, Any],
        source: DataSource | None,
        context: RunContext,
    ) -> StageInputs:
        tunings = {name: artifacts[name] for name in TABLE_OF if name in node.upstream}
        if node.key.stage == "report":
            # A report shows searches but takes no options from them.
            tunings = {}
        return StageInputs(
            options=with_choices(node.tables, tunings),
            artifacts=artifacts,
            upstream=origins,
            source=source,
            lineage={name: lineage_entry(manifest, name) for name, manifest in upstream.items()},
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
        used: Mapping[str, Options],
        artifact: Any,
        files: tuple[FileEntry, ...],
        upstream: Mapping[str, Manifest],
        environment: Mapping[str, Any],
    ) -> Manifest:
        node = step.node
        is_extract = node.key.stage == "extract"
        return Manifest(
            identity=step.identity,
            id=step.id,
            name=node.name,
            content=content_hash(files),
            files=files,
            upstream_content={name: manifest.content for name, manifest in upstream.items()},
            options={name: table.to_dict() for name, table in node.tables.items()},
            used={name: table.to_dict() for name, table in used.items()},
            origins=self._origins(node),
            restricted=self.source(node.key.data).restricted
            if is_extract
            else any(item.restricted for item in upstream.values()),
            citations=self._citations(node),
            counts=summarise(artifact),
            warnings=artifact.warnings
            if isinstance(artifact, Warned)
            else (*_cautions(artifact), *self._warnings.get(node.key, ())),
            environment=environment,
            source=self.fingerprint(node.key.data).details if is_extract else {},
        )

    def _citations(self, node: Node) -> tuple[str, ...]:
        """Return the works to cite for the plug-in of a node."""
        if not node.stage.plugin:
            return ()
        if node.key.stage == "extract":
            return tuple(self.source(node.key.data).citations)
        name = _plugin_name(node.stage, node.tables)
        plugin = load_plugin(PLUGINS[node.stage.plugin].group, name)
        return tuple(plugin.citations) if isinstance(plugin, Citing) else ()

    def _origins(self, node: Node) -> dict[str, str]:
        """Return where the options of a node were set, by the dotted key that they have in the configuration."""
        owners = [
            owner
            for owner in (("data", node.key.data), ("models", node.key.model), ("attacks", node.key.attack))
            if owner[1]
        ]
        tables: set[tuple[str, ...]] = {(name,) for name in node.tables}
        tables |= {*owners, *((*owner, name) for owner in owners for name in node.tables)}
        return {key: origin for key, origin in self.config.origins.items() if tuple(key.split(".")[:-1]) in tables}

    def _environment(self, context: RunContext) -> dict[str, Any]:
        return software() | {
            "device": context.device,
            "executor": self.config.execution.executor,
            "workers": context.executor.workers,
        }

    def rerun(self, manifest: Manifest) -> list[str]:
        """Compute an artifact again from its manifest and stored inputs; return one line for each file that differs.

        Raises:
            StageError: The source's data are not those the artifact was made from.
            StoreError: An input is missing or corrupt.
        """
        # A manifest holds its inputs sorted by name.
        inputs = sorted(manifest.identity.upstream.items(), key=lambda item: item[1].position)
        upstream = {name: self.store.manifest(entry.node, entry.id) for name, entry in inputs}
        artifacts = {name: self.store.load(STAGES[item.node].artifact, item) for name, item in upstream.items()}
        node = Node(
            key=Key(stage=manifest.node),
            name=manifest.name,
            stage=STAGES[manifest.node],
            tables=without_storage(tables_of(manifest)),
            # The inputs are read already; the manifest tells their models, attacks and data sets.
            upstream={name: Key(stage=item.node) for name, item in upstream.items()},
        )
        source = self._source_of(manifest, node) if manifest.node == "extract" else None
        if source is None and self._digest(node) != manifest.identity.fingerprint:
            raise StageError(
                f"{manifest.reference} was made from another file of the model. Restore it, or run {manifest.node} "
                "again."
            )
        with self.store.lock(f"rerun-{manifest.node}", manifest.id):
            hashes = self._recompute(node, manifest, upstream, artifacts, source)
        then = {entry.name: entry.sha256 for entry in manifest.files}
        return [
            f"{name}: {'content differs' if name in hashes and name in then else 'in one of the two only'}"
            for name in sorted(hashes.keys() | then.keys())
            if hashes.get(name) != then.get(name)
        ]

    def _source_of(self, manifest: Manifest, node: Node) -> DataSource:
        """Return the source that an extract was made from.

        Raises:
            StageError: The source now has other data.
        """
        options = node.tables["source"]
        for entry in self.config.data.values():
            # A manifest masks passwords. The configuration may hold the same options with their passwords.
            if entry.source.to_dict() == options.to_dict():
                options = entry.source
        plugin = load_plugin(PLUGINS["source"].group, _plugin_name(node.stage, node.tables))
        source = cast("DataSource", plugin(options, manifest.identity.seed))
        source = prepared(source, cast("VariableOptions", node.tables["variables"]))
        digest = source.fingerprint(self.store.hashes()).digest
        if digest != manifest.identity.fingerprint:
            raise StageError(
                f"{manifest.reference} was made from other data: the source's fingerprint is now {digest[:12]} and "
                f"was {manifest.identity.fingerprint[:12]}. Restore the data, or run extract again."
            )
        return source

    def _recompute(
        self,
        node: Node,
        manifest: Manifest,
        upstream: Mapping[str, Manifest],
        artifacts: Mapping[str, Any],
        source: DataSource | None,
    ) -> dict[str, str]:
        """Return the hash of every file that the stage writes now, without using parts of an earlier attempt."""
        scratch = self.store.scratch(f"rerun-{manifest.node}", manifest.id)
        remove_folder(scratch)
        with refusals.translated(f"The second making of {manifest.reference}", self.store.root):
            (scratch / "work").mkdir(parents=True)
            (scratch / "artifact").mkdir()
            with make_executor(self.config.execution) as self._executor, single_thread():
                context = dataclasses.replace(self._context(scratch / "work", None), seed=manifest.identity.seed)
                origins = {name: manifest.identity.upstream[name] for name in upstream}
                inputs = self._inputs(node, origins, upstream, artifacts, source, context)
                node.stage.run(inputs).write(scratch / "artifact")
        hashes = {entry.name: entry.sha256 for entry in list_files(scratch / "artifact")}
        remove_folder(scratch)
        return hashes


def _upstream(node: Node, ids: Mapping[Key, str]) -> dict[str, Upstream]:
    """Return the inputs of a node; only those of a report carry names and positions."""
    if node.key.stage != "report":
        return {name: Upstream(node=key.stage, id=ids[key]) for name, key in node.upstream.items()}
    return {
        name: Upstream(
            node=key.stage, id=ids[key], model=key.model, attack=key.attack, data=key.data, position=position
        )
        for position, (name, key) in enumerate(node.upstream.items())
    }


def check_plugins(config: Config) -> None:
    """Import every plug-in of a configuration, and look up the variables that it asks for.

    Raises:
        IcudlError: A plug-in or a variable does not exist.
    """
    for family, table in (("data", "source"), ("models", "model"), ("attacks", "attack")):
        for entry in getattr(config, family).values():
            load_plugin(PLUGINS[table].group, getattr(entry, table).name)
    make_executor(config.execution)
    for entry in config.data.values():
        entry.variables.chosen()


def _cautions(artifact: Any) -> tuple[str, ...]:
    """Return what a cohort says about its own inputs; the report says it as well."""
    return artifact.cautions if isinstance(artifact, GridDataset) else ()


def _plugin_name(stage: Stage, tables: Mapping[str, Options]) -> str:
    return str(getattr(tables[stage.plugin], PLUGINS[stage.plugin].key))


def _plugin_of(stage: Stage, tables: Mapping[str, Options]) -> str:
    """Return name and version of the plug-in that a node uses, or ""."""
    if not stage.plugin:
        return ""
    name = _plugin_name(stage, tables)
    return f"{name} ({plugin_version(PLUGINS[stage.plugin].group, name) or 'unknown version'})"


def _forget(loaded: dict[Key, Any], ahead: Sequence[Step]) -> None:
    """Drop artifacts that no later step reads."""
    needed = {key for step in ahead if not step.done for key in step.node.upstream.values()}
    for key in loaded.keys() - needed:
        del loaded[key]


def tables_of(manifest: Manifest) -> dict[str, Options]:
    """Return the option tables that were requested for an artifact.

    Raises:
        StageError: The manifest holds options that this version does not know.
    """
    tables: dict[str, Options] = {}
    for table, values in manifest.options.items():
        try:
            tables[table] = build(table, table, values, {})
        except ConfigError as error:
            raise StageError(
                f"{manifest.reference} was made with options that this version does not know: {error} "
                f"Use icudl {manifest.environment['versions']['icudl']}."
            ) from error
    return tables
