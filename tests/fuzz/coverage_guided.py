"""Fuzzing guided by coverage: libFuzzer by way of atheris, one target a process.

    python tests/fuzz/coverage_guided.py TARGET [--inputs 100000] [--seed 1] [--corpus FOLDER]

Prints lines of JSON, the last one the whole: inputs run, how many were read and how many refused. Runs with different
seeds draw different inputs: a count can be reached in parts, side by side. A finding ends the process with its
traceback and leaves the bytes that caused it in a file ``finding-TARGET-...``; ``--replay FILE`` runs them again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import atheris

with atheris.instrument_imports(
    include=["icudl.config", "icudl.options", "icudl.sources", "icudl.store", "icudl.artifacts"]
):
    from catalogue import TARGETS


PROGRESS = 1000
"""Inputs between two lines."""

PATIENCE = 1800
"""Seconds after which one input counts as a hang."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz one target, guided by coverage.")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder of inputs to start from and to add to")
    parser.add_argument("--replay", type=Path, help="file with the bytes of one input")
    words = parser.parse_args()
    target = TARGETS[words.target]
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    scratch = Path(tempfile.mkdtemp(prefix="icudl-fuzz-", dir=fast))
    if words.replay:
        print("read" if target.accepts(words.replay.read_bytes(), scratch) else "refused")
        return
    corpus = words.corpus or scratch / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    work = scratch / "work"
    work.mkdir()
    counts = {"read": 0, "refused": 0}

    def one(data: bytes) -> None:
        counts["read" if target.accepts(data, work) else "refused"] += 1
        done = sum(counts.values())
        if done % PROGRESS == 0 or done >= words.inputs:
            print(json.dumps({"target": target.name, "inputs": done, **counts}), flush=True)
        if done >= words.inputs:
            shutil.rmtree(scratch, ignore_errors=True)
            os._exit(0)

    prefix = f"-artifact_prefix={Path.cwd() / f'finding-{target.name}-'}"
    options = [
        sys.argv[0],
        f"-seed={words.seed}",
        "-max_len=160",
        "-verbosity=0",
        "-rss_limit_mb=4096",
        # By the clock on the wall: a process that has to wait for a processor is no hanging reader.
        f"-timeout={PATIENCE}",
        f"-report_slow_units={PATIENCE}",
        prefix,
        str(corpus),
    ]
    atheris.Setup(options, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
