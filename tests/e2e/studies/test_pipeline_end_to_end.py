from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import PARALLEL, SMALL, icudl

from icudl.pipeline.stages import STAGES

COMPUTED = [name for name in STAGES if not name.startswith("tune") and name not in {"score", "certify", "probe"}]


def contents(store: Path) -> dict[str, str]:
    """Hash of every file of every sealed artifact, manifests (with their times) left out."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.glob("[!.]*/*/**/*"))
        if path.is_file() and path.name != "manifest.json" and not path.is_relative_to(store / "logs")
    }


def test_every_stage_is_sealed_and_the_report_is_there(small_study: Path) -> None:
    for node in COMPUTED:
        assert len(list((small_study / node).iterdir())) == 1
    page = next((small_study / "report").glob("*/index.html")).read_text("utf-8")
    assert "</html>" in page
    assert not list(small_study.glob(".scratch/*"))


def test_a_second_run_does_nothing_and_says_so(small_study: Path) -> None:
    before = contents(small_study)
    done = icudl("run", "--store", small_study, settings=SMALL)
    assert "nothing to do" in done.stderr
    assert ">" not in done.stderr.replace("->", "")
    assert done.stdout.strip().startswith("report/")
    assert contents(small_study) == before
    told = json.loads(next((small_study / "report").glob("*/answer.json")).read_text("utf-8"))
    said = " ".join(done.stderr.split())
    for sentence in (told["setting"], told["headline"], *told["lead"], *told["cautions"]):
        assert said.index(sentence) < said.index("Scores on")


def test_one_option_of_the_attack_re_runs_what_depends_on_it(small_study: Path) -> None:
    done = icudl("run", "--store", small_study, "--dry-run", "--json", settings=(*SMALL, "attack.kappa=0.25"))
    steps = json.loads(done.stdout)
    assert [step["reference"].split("/")[0] for step in steps if not step["done"]] == ["attack", "analyse", "report"]
    assert "attack.kappa: 0.0 -> 0.25" in next(step["reason"] for step in steps if "attack/" in step["reference"])


def test_where_and_how_it_runs_is_not_part_of_any_id(small_study: Path) -> None:
    done = icudl(
        "run", "--store", small_study, "--dry-run", "--json", "--workers", "1", "--device", "cpu",
        settings=(*SMALL, "execution.executor=processes"),
    )  # fmt: skip
    assert all(step["done"] for step in json.loads(done.stdout))


def test_status_show_diff_and_verify(small_study: Path, tmp_path: Path) -> None:
    status = json.loads(icudl("status", "--store", small_study, "--json", settings=SMALL).stdout)
    references = [step["reference"] for step in status["steps"]]
    assert all(step["done"] for step in status["steps"])
    manifest = json.loads(icudl("show", references[-1], "--store", small_study, "--json").stdout)
    assert manifest["identity"]["node"] == "report"
    lineage = json.loads(icudl("show", "report", "--lineage", "--store", small_study, "--json").stdout)
    assert {item["reference"] for item in lineage} == set(references)
    printed = icudl("show", "report", "--lineage", "--store", small_study).stdout
    assert all(" ".join(step["reference"].split("/")) in " ".join(printed.split()) for step in status["steps"])
    assert len(icudl("verify", "--store", small_study).stdout.splitlines()) == len(references)
    store = tmp_path / "copy"
    shutil.copytree(small_study, store)
    icudl("analyse", "--store", store, settings=(*SMALL, "analysis.min_changed=2"))
    two = sorted(path.name for path in (store / "analyse").iterdir())
    difference = icudl("diff", f"analyse/{two[0]}", f"analyse/{two[1]}", "--store", store).stdout
    assert "analysis.min_changed" in difference


def test_verify_finds_a_flipped_byte_and_stages_refuse_it(small_study: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy"
    shutil.copytree(small_study, store)
    victim = next((store / "preprocess").glob("*/grid.safetensors"))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    done = icudl("verify", "--store", store, check=False)
    assert done.returncode == 5
    assert "grid.safetensors" in done.stderr
    done = icudl("train", "--store", store, check=False, settings=(*SMALL, "training.max_epochs=1"))
    assert done.returncode == 5
    assert "corrupt" in done.stderr


def test_an_attack_recomputes_to_the_same_bytes(small_study: Path) -> None:
    (attack,) = (small_study / "attack").iterdir()
    done = icudl("verify", f"attack/{attack.name}", "--rerun", "--store", small_study, settings=SMALL)
    assert "recomputed, identical" in done.stdout


@pytest.mark.slow  # a whole study once more
def test_every_stage_recomputes_to_the_same_bytes(small_study: Path) -> None:
    report = next((small_study / "report").iterdir()).name
    done = icudl("verify", f"report/{report}", "--lineage", "--rerun", "--store", small_study, settings=SMALL)
    assert done.stdout.count("recomputed, identical") == len(COMPUTED)


@pytest.mark.exhaustive  # tests/faults/runs/test_clusters.py compares a study with searches
def test_serial_and_parallel_give_the_same_bytes(small_study: Path, tmp_path: Path) -> None:
    store = tmp_path / "parallel"
    icudl("run", "--store", store, settings=PARALLEL)
    assert contents(store) == contents(small_study)


@pytest.mark.slow
def test_tables_joined_from_blocks_are_the_same_even_after_a_kill_between_them(
    small_study: Path, tmp_path: Path
) -> None:
    store = tmp_path / "blocks"
    shutil.copytree(small_study, store)
    for node in ("attack", "analyse", "report"):
        shutil.rmtree(store / node)
    blocks = (
        "import sys; from icudl.attacks.run import assembly; from icudl.cli import main; assembly.BLOCK_STAYS = 5; "
    )
    kill = "import os; assembly.join_tables = lambda parts, path: os.kill(os.getpid(), 9); "
    settings = [word for setting in SMALL for word in ("--set", setting)]
    words = ["run", "--store", str(store), *settings]
    killed = subprocess.run(
        [sys.executable, "-c", f"{blocks}{kill}sys.exit(main())", *words], capture_output=True, timeout=600, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (tables,) = store.glob(".scratch/**/tables")
    assert len(list(tables.glob("stays-*.parquet"))) == 3
    subprocess.run(
        [sys.executable, "-c", f"{blocks}sys.exit(main())", *words], capture_output=True, timeout=600, check=True
    )
    assert contents(store) == contents(small_study)
    assert not list(store.glob(".scratch/*"))


@pytest.mark.exhaustive  # tests/faults/runs/test_kills.py kills a smaller study more often
@pytest.mark.parametrize("stage", ["train", "attack"])
def test_a_killed_stage_resumes_to_the_same_ids_and_bytes(small_study: Path, tmp_path: Path, stage: str) -> None:
    store = tmp_path / "killed"
    words = [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())"]
    settings = [word for setting in PARALLEL for word in ("--set", setting)]
    command = [*words, "run", "--store", str(store), *settings]
    killed = 0
    for delay in (0.0, 0.5, 1.0):
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while process.poll() is None and not list(store.glob(f".scratch/{stage}-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(delay)
        if process.poll() is None:
            killed += 1
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert killed, "the stage was never caught at work"
    icudl("run", "--store", store, settings=SMALL)
    assert contents(store) == contents(small_study)
    assert not list(store.glob(".scratch/*"))


@pytest.mark.slow  # three interpreters that import torch
def test_ctrl_c_ends_with_130_and_the_work_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    words = [sys.executable, "-c", "import sys; from icudl.cli import main; sys.exit(main())"]
    command = [*words, "run", "--to", "train", "--store", str(store)]
    command += [word for setting in PARALLEL for word in ("--set", setting)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    while not list(store.glob(".scratch/train-*")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "goes on from there" in errors
    icudl("run", "--to", "train", "--store", store, settings=SMALL)
