"""What two results differ in, and what a reader is shown of one after a search."""

from __future__ import annotations

import dataclasses

from icudl.pipeline.provenance import Difference, Kind, differences, lineage_entry
from icudl.store.manifest import Identity, Manifest, Upstream, content_hash

BEFORE = Identity(
    node="train",
    stage_version=1,
    options={"model": {"name": "lstm", "hidden_size": 64}, "training": {"max_epochs": 3}},
    upstream={"preprocess": Upstream(node="preprocess", id="0" * 12)},
    plugin="lstm (icu-deep-learning 1)",
    seed=1,
)


def test_equal_results_differ_in_nothing() -> None:
    assert differences(BEFORE, BEFORE) == []


def test_each_kind_of_difference_is_found() -> None:
    after = Identity(
        node="train",
        stage_version=2,
        options={"model": {"name": "lstm", "hidden_size": 32}, "training": {"patience": 3}},
        upstream={"preprocess": Upstream(node="preprocess", id="1" * 12)},
        plugin="lstm (icu-deep-learning 2)",
        seed=2,
        fingerprint="x",
    )
    assert differences(BEFORE, after) == [
        Difference(kind=Kind.OPTION, what="model.hidden_size", before=64, after=32),
        Difference(kind=Kind.OPTION, what="training.max_epochs", before=3, after=None),
        Difference(kind=Kind.OPTION, what="training.patience", before=None, after=3),
        Difference(
            kind=Kind.INPUT, what="preprocess", before="preprocess/000000000000", after="preprocess/111111111111"
        ),
        Difference(kind=Kind.SEED, before=1, after=2),
        Difference(kind=Kind.PLUGIN, before="lstm (icu-deep-learning 1)", after="lstm (icu-deep-learning 2)"),
        Difference(kind=Kind.VERSION, before=1, after=2),
        Difference(kind=Kind.DATA, before="", after="x"),
    ]


def test_a_difference_says_itself_in_a_few_words() -> None:
    assert str(Difference(kind=Kind.OPTION, what="model.hidden_size", before=64, after=32)) == (
        "model.hidden_size: 64 -> 32"
    )
    assert str(Difference(kind=Kind.INPUT, what="preprocess", before="a", after="b")) == "preprocess is new"
    assert str(Difference(kind=Kind.SEED, before=1, after=2)) == "seed: 1 -> 2"


def test_the_lineage_shows_what_was_used_beside_what_was_asked_for() -> None:
    used = {"model": {"name": "lstm", "hidden_size": 128}, "source": {"name": "mimic3", "path": "/secret/place"}}
    manifest = Manifest(
        identity=BEFORE,
        id=BEFORE.id,
        name="train/lstm",
        content=content_hash(()),
        files=(),
        upstream_content={},
        options=BEFORE.options,
        used=used,
        origins={},
        restricted=False,
        citations=(),
        counts={},
        warnings=(),
        environment={},
    )
    entry = lineage_entry(manifest)
    assert (entry.options["model"]["hidden_size"], entry.requested["model"]["hidden_size"]) == (128, 64)
    assert "path" not in entry.options["source"], "a place cannot change a result"
    assert entry.name == "train/lstm"
    assert lineage_entry(dataclasses.replace(manifest), "train/again").name == "train/again"
