"""No stage computes with a damaged input: it names the input, seals nothing, and goes on once the input is mended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from study import SETTINGS, VERBS, contents, words

from icudl.config.load import load_config
from icudl.pipeline.graph import build_graph
from icudl.store.base import MANIFEST
from launcher import Launcher


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def edit_manifest(file: Path) -> None:
    manifest = file.parent / MANIFEST if (file.parent / MANIFEST).exists() else file.parents[1] / MANIFEST
    body = json.loads(manifest.read_text("utf-8"))
    body["counts"] = {}
    manifest.write_text(json.dumps(body), "utf-8")


DAMAGES: tuple[Callable[[Path], object], ...] = (
    flip,
    cut,
    Path.unlink,
    lambda file: file.with_name("stray").touch(),
    edit_manifest,
)


UPSTREAM = {
    node.key.stage: [key.stage for key in node.upstream.values()]
    for node in build_graph(load_config(None, SETTINGS)).values()
}
"""The stages that each stage of the study reads."""


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stage for stage in VERBS if UPSTREAM[stage]])
def test_a_stage_refuses_each_of_its_inputs_in_each_way_damaged(
    stage: str, reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """The damage goes around the files of the input, so that all are hit where an input has few of them."""
    store, turn = tmp_path / "runs", 0
    for node in UPSTREAM[stage]:
        for damage in DAMAGES:
            for name in set(VERBS) - {stage}:
                shutil.copytree(reference / name, store / name)
            store.chmod(0o700)
            artifact = next((store / node).iterdir())
            files = sorted(path for path in artifact.rglob("*") if path.is_file() and path.name != MANIFEST)
            damage(files[turn % len(files)])
            turn += 1
            ended = launcher.run(words(VERBS[stage], store))
            assert ended.code == 5, (damage, ended.stdout, ended.stderr)
            assert artifact.name in ended.stderr
            assert not list((store / stage).glob("[!.]*"))
            shutil.rmtree(store)
    for name in set(VERBS) - {stage}:
        shutil.copytree(reference / name, store / name)
    launcher.succeed(words(VERBS[stage], store))
    assert contents(store) == contents(reference)
