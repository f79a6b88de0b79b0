"""Which nodes a configuration has: each stage for each data set, model and attack that it concerns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from icudl.config.schema import MAIN, Certify, Config, Probe
from icudl.errors import ConfigError, suggestion
from icudl.options import Options
from icudl.pipeline.stages import FITTED_ON, STAGES, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """What a node is about.

    Attributes:
        stage: Name of its stage.
        model: Name of its model in the configuration, or "".
        attack: Name of its attack, or "".
        data: Name of its data set; "" for a report, which covers all of them.
    """

    stage: str
    model: str = ""
    attack: str = ""
    data: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A stage applied to one data set, model and attack.

    Attributes:
        key: What it is about.
        name: Its name for people: the stage, then model and attack unless they are called ``main``, and the data set
            unless it is the main one (``train/lstm``, ``attack/lstm/one_value/elsewhere``).
        stage: Its stage.
        tables: Its own options by table.
        upstream: The nodes it reads, by the name that the stage has for each.
    """

    key: Key
    name: str
    stage: Stage
    tables: Mapping[str, Options]
    upstream: Mapping[str, Key]


def name_of(key: Key, main: str) -> str:
    """Return the name of a node for people; ``main`` is the main data set, which the name leaves out."""
    data = "" if key.data == main else key.data
    return "/".join([key.stage, *(part for part in (key.model, key.attack, data) if part not in {"", MAIN})])


def build_graph(config: Config) -> dict[Key, Node]:
    """Return all nodes of a configuration, in an order in which they can be run.

    A search is a node if its table asks for trials. Every model is trained on the main data set and scored on each
    external one. Every attack runs on each model and data set that it concerns, and so do proofs and probes,
    where the configuration asks for them.
    """
    graph = _Graph(config)
    graph.add_data()
    graph.add_models()
    graph.add_attacks()
    graph.add_certificates()
    graph.add_probes()
    graph.add_report()
    return graph.nodes


class _Graph:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.nodes: dict[Key, Node] = {}
        self.external = [name for name, entry in config.data.items() if entry.role.role == "external"]

    def _add(self, key: Key, tables: Iterable[Options], upstream: Mapping[str, Key]) -> Key:
        self.nodes[key] = Node(
            key=key,
            name=name_of(key, self.config.main),
            stage=STAGES[key.stage],
            tables={table.table: table for table in tables},
            upstream=dict(upstream),
        )
        return key

    def add_data(self) -> None:
        for name, entry in self.config.data.items():
            extract = self._add(Key(stage="extract", data=name), (entry.source, entry.variables, entry.window), {})
            # An external data set is not divided, so the options of the split do not concern it.
            tables = (entry.role, entry.cohort, entry.outcome, *(() if name in self.external else (entry.split,)))
            self._add(Key(stage="preprocess", data=name), tables, {"extract": extract})

    def add_models(self) -> None:
        grid = Key(stage="preprocess", data=self.config.main)
        for name, entry in self.config.models.items():
            # Named only where they do something, so that they change no id of the usual training.
            robust = (entry.robust,) if entry.robust.active and entry.model.learns_in_epochs else ()
            pretrain = (entry.pretrain,) if entry.pretrain.active and entry.model.pretrainable else ()
            tables: tuple[Options, ...] = (entry.inputs, entry.model, entry.training, *robust, *pretrain)
            upstream = {"preprocess": grid}
            if entry.tune_model.trials > 0:
                search = Key(stage="tune-model", model=name, data=self.config.main)
                upstream["tune-model"] = self._add(search, (*tables, entry.tune_model), upstream)
            train = self._add(Key(stage="train", model=name, data=self.config.main), (*tables, entry.tuned), upstream)
            for data in self.external:
                inputs = {"preprocess": Key(stage="preprocess", data=data), FITTED_ON: grid, "train": train}
                self._add(Key(stage="score", model=name, data=data), (entry.training,), inputs)

    def add_attacks(self) -> None:
        main = self.config.main
        for name, entry in self.config.attacks.items():
            for model in self.config.models:
                if not entry.concerns(model, self.config.models):
                    continue
                upstream = {
                    "preprocess": Key(stage="preprocess", data=main),
                    "train": Key(stage="train", model=model, data=main),
                }
                searched: dict[str, Key] = {}
                if entry.tune_attack.trials > 0:
                    search = Key(stage="tune-attack", model=model, attack=name, data=main)
                    searched = {"tune-attack": self._add(search, (entry.attack, entry.tune_attack), upstream)}
                for data in self.config.data:
                    if entry.concerns(data, self.config.data):
                        self._add_attack(model, name, data, upstream | searched)

    def _add_attack(self, model: str, attack: str, data: str, upstream: Mapping[str, Key]) -> None:
        grid = Key(stage="preprocess", data=data)
        inputs = dict(upstream)
        if data in self.external:
            inputs = inputs | {"preprocess": grid, FITTED_ON: upstream["preprocess"]}
        options = self.config.attacks[attack].attack
        found = self._add(Key(stage="attack", model=model, attack=attack, data=data), (options,), inputs)
        self._add(
            Key(stage="analyse", model=model, attack=attack, data=data),
            (self.config.analysis,),
            {"preprocess": grid, "train": upstream["train"], "attack": found},
        )

    def add_certificates(self) -> None:
        if self.config.certify is not None:
            self._add_asked("certify", self.config.certify)

    def add_probes(self) -> None:
        if self.config.probe is not None:
            self._add_asked("probe", self.config.probe)

    def _add_asked(self, stage: str, asked: Certify | Probe) -> None:
        """Add a stage that only some studies ask for, on each model and data set that it concerns."""
        main = self.config.main
        for model in self.config.models:
            for data in self.config.data:
                if not (asked.concerns(model, self.config.models) and asked.concerns(data, self.config.data)):
                    continue
                inputs = {
                    "preprocess": Key(stage="preprocess", data=data),
                    "train": Key(stage="train", model=model, data=main),
                }
                if data in self.external:
                    inputs[FITTED_ON] = Key(stage="preprocess", data=main)
                self._add(Key(stage=stage, model=model, data=data), (asked.options,), inputs)

    def add_report(self) -> None:
        # In the order of the stages, so that the report reads the same whatever was added to the table first.
        order = list(STAGES)
        keys = sorted(self.nodes, key=lambda key: order.index(key.stage))
        self.nodes = {key: self.nodes[key] for key in keys}
        self._add(Key(stage="report"), (self.config.report,), {self.nodes[key].name: key for key in keys})


def find_nodes(nodes: Mapping[Key, Node], target: str) -> list[Node]:
    """Return the nodes of a stage (``"train"``), a node (``"train/lstm"``), or those whose names begin so.

    ``"attack/lstm"`` means every attack on the model ``lstm``.

    Raises:
        ConfigError: The configuration has no such node.
    """
    named = [node for node in nodes.values() if node.name == target]
    if named and target not in STAGES:
        return named
    if target in STAGES:
        found = [node for node in nodes.values() if node.key.stage == target]
        if found:
            return found
        raise ConfigError(f"This study has no {target}: {_why_not(target)}.")
    beginning = [node for node in nodes.values() if node.name.startswith(f"{target}/")]
    if beginning:
        return beginning
    known = dict.fromkeys([*STAGES, *(node.name for node in nodes.values())])
    raise ConfigError(f"Unknown stage {target!r}.{suggestion(target, known)} This study has: {', '.join(known)}.")


def _why_not(stage: str) -> str:
    if stage.startswith("tune-"):
        table = stage.replace("-", "_")
        return f"{table}.trials is 0, so it has no search. Set {table}.trials to the number of trials"
    if stage == "score":
        return 'no data set has role = "external"'
    if stage == "probe":
        return "its configuration has no table [probe]. Add the table, or --set probe.split=both"
    if stage == "certify":
        return "its configuration has no table [certify]. Add the table, or --set certify.split=test"
    return "no attack concerns any of its models and data sets"


def leading_to(nodes: Mapping[Key, Node], targets: Iterable[Node]) -> list[Node]:
    """Return the nodes that lead to ``targets``, themselves included, in the order of the graph."""
    wanted: set[Key] = set()

    def want(key: Key) -> None:
        if key not in wanted:
            wanted.add(key)
            for upstream in nodes[key].upstream.values():
                want(upstream)

    for node in targets:
        want(node.key)
    return [node for node in nodes.values() if node.key in wanted]
