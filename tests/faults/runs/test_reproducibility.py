"""The same bytes with any number of threads and computed again; on another processor, the same within bounds."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
from study import PARALLEL, SERIAL, VERBS, contents, words

from icudl.artifacts import write_json
from icudl.store.base import MANIFEST
from icudl.store.manifest import content_hash, digest, list_files
from launcher import Launcher

pytestmark = pytest.mark.slow

THREADS = {
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "POLARS_MAX_THREADS": "3",
}

OLD_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
}
"""No instructions beyond SSE in torch and in the libraries under it and NumPy: sums are taken in another order."""

LARGER = (
    *SERIAL,
    "tune_model.trials=0",
    "tune_attack.trials=0",
    "source.patients=400",
    "model.hidden_size=32",
    "training.learning_rate=0.01",
    "attack.max_stays=40",
    "attack.batch_size=32",
    "attack.lambda_1=0.005",
)
"""Large enough for libraries to divide work among threads and to use wide instructions."""


def run(store: Path, settings: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Run the study in a process of this environment and return the contents of its store."""
    command = [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, *words(("run",), store, settings)], env=os.environ | environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return contents(store)


def table(store: Path, node: str, name: str) -> pl.DataFrame:
    return pl.read_parquet(next((store / node).glob(f"*/{name}.parquet")))


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The larger study, computed with one thread."""
    store = tmp_path_factory.mktemp("larger") / "runs"
    run(store, LARGER, dict.fromkeys(THREADS, "1"))
    assert table(store, "attack", "perturbations").height > 20
    return store


def test_several_threads_give_the_bytes_of_one(larger: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "runs", LARGER, THREADS) == contents(larger)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions to do without are those of x86")
def test_another_processor_gives_the_same_within_bounds(larger: Path, tmp_path: Path) -> None:
    """What is read and binned has the same bytes; what is trained differs in the last bits of its sums."""
    store = tmp_path / "runs"
    then, now = contents(larger), run(store, LARGER, OLD_PROCESSOR)
    assert then.keys() == now.keys()
    different = {name for name in then if then[name] != now[name]}
    assert {name.split("/")[0] for name in different} <= {"train", "attack", "analyse", "report"}
    for node, name, columns in (
        ("train", "predictions", ("probability", "threshold")),
        ("train", "metrics", ("value", "low", "high")),
        ("attack", "stays", ("probability_before", "best_probability", "best_linf")),
    ):
        one, other = table(larger, node, name), table(store, node, name)
        for column in columns:
            assert (one[column] - other[column]).abs().max() < 1e-3, (name, column)  # type: ignore[operator]
    assert table(larger, "attack", "stays")["status"].equals(table(store, "attack", "stays")["status"])


@pytest.mark.parametrize("settings", [SERIAL, PARALLEL], ids=["serial", "processes"])
def test_a_whole_lineage_with_both_searches_computes_to_the_same_bytes_again(
    settings: tuple[str, ...], reference: Path, launcher: Launcher
) -> None:
    report = next((reference / "report").iterdir()).name
    command = words(("verify", f"report/{report}", "--lineage", "--rerun"), reference, settings)
    lines = launcher.succeed(command).stdout.splitlines()
    assert sorted(line.partition("/")[0] for line in lines) == sorted(VERBS)
    assert all(line.endswith(" recomputed, identical") for line in lines)
    assert launcher.succeed(words(("clean",), reference)).stdout.strip() == ""


def test_a_lineage_that_cannot_have_been_computed_so_is_found(
    reference: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Files that were changed together with every hash, as only their recomputation can tell."""

    store = tmp_path / "runs"
    shutil.copytree(reference, store)
    folder = next((store / "tune-model").iterdir())
    tuning = json.loads((folder / "tuning.json").read_text("utf-8"))
    write_json(folder / "tuning.json", tuning | {"best_value": tuning["best_value"] + 0.01})
    body = json.loads((folder / MANIFEST).read_text("utf-8"))
    files = list_files(folder)
    body |= {"files": [vars(entry) for entry in files], "content": content_hash(files)}
    del body["sha256"]
    write_json(folder / MANIFEST, body | {"sha256": digest(body)})
    reference_of = f"tune-model/{folder.name}"
    launcher.succeed(words(("verify", reference_of), store))
    ended = launcher.run(words(("verify", reference_of, "--rerun"), store))
    assert ended.code == 6
    assert f"{reference_of}: tuning.json: content differs (recomputed)" in ended.stderr
