"""How fast is a synthetic hospital written, and does its memory grow with it?

Each row of the table is one hospital with as many unread rows as MIMIC-III, written by a process of its own.

    python benchmarks/data/synthetic_speed.py --patients 1000 10000 --workers 1 2 --formats csv.gz parquet
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SEED = 1


def write(folder: Path, patients: int, file_format: str, workers: int) -> dict[str, Any]:
    """Write one hospital; return rows, bytes, seconds and the peak memory of the largest process."""
    import resource

    import polars as pl

    from icudl.execution.pool.executor import ProcessExecutor
    from icudl.sources.synthetic.source import MIMIC_NOISE_ROWS, write_hospital

    start = time.perf_counter()
    write_hospital(
        folder,
        patients,
        SEED,
        file_format=file_format,
        noise_rows=MIMIC_NOISE_ROWS,
        executor=ProcessExecutor(workers),
    )
    wall = time.perf_counter() - start
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    scan = pl.scan_parquet if file_format == "parquet" else pl.scan_csv
    events = [folder / f"{name}.{file_format}" for name in ("CHARTEVENTS", "LABEVENTS")]
    rows = [scan(path).select(pl.len()).collect(engine="streaming").item() for path in events]
    return {
        "patients": patients,
        "format": file_format,
        "workers": workers,
        "chartevents": rows[0],
        "labevents": rows[1],
        "megabytes": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
        "wall_s": wall,
        "cpu_s": sum(use.ru_utime + use.ru_stime for use in usage),
        "rows_per_s": sum(rows) / wall,
        "peak_megabytes": max(use.ru_maxrss for use in usage) / 1e3,
    }


def measure(patients: int, file_format: str, workers: int, work: Path) -> dict[str, Any]:
    """Run ``write`` in a fresh process, into a folder that is removed."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        command = [sys.executable, __file__, "--one", folder, str(patients), file_format, str(workers)]
        return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--formats", nargs="+", default=["csv.gz"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--work", type=Path, help="folder for the hospitals; a temporary one by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, patients, file_format, workers = arguments.one
        print(json.dumps(write(Path(folder), int(patients), file_format, int(workers))))
        return
    results = []
    for patients in arguments.patients:
        for file_format in arguments.formats:
            for workers in arguments.workers:
                row = measure(patients, file_format, workers, arguments.work)
                if not results:
                    print("|", " | ".join(row), "|\n|", " | ".join("---" for _ in row), "|")
                cells = (f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row.values())
                print("|", " | ".join(cells), "|", flush=True)
                results.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
