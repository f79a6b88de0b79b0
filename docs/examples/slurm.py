"""Run a study on a SLURM cluster through dask-jobqueue (docs/howto/cluster.md).

    python docs/examples/slurm.py --partition compute --workers 16 -- run --config study.toml --store /shared/runs

What stands behind `--` goes to `icudl`, with the address of the cluster added. `--show` prints the job that SLURM would
be given for one worker, and submits nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from icudl.execution.threads import ENVIRONMENT


def make_cluster(args: argparse.Namespace) -> Any:
    """Return the cluster of the arguments; no job is submitted before it is scaled."""
    from dask_jobqueue import SLURMCluster

    extra = [f"--gres=gpu:{args.gpus}"] if args.gpus else []
    return SLURMCluster(
        queue=args.partition,
        account=args.account,
        walltime=args.walltime,
        cores=1,
        processes=1,
        memory=args.memory,
        interface=args.interface,
        python=sys.executable,
        job_extra_directives=extra,
        job_script_prologue=[f"export {name}={value}" for name, value in ENVIRONMENT.items()],
        # A nanny would put allocator settings of its own in place of these; SLURM sees to dead jobs.
        nanny=False,
        worker_extra_args=["--resources", "GPU=1"] if args.gpus else [],
        scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    )


def main() -> int:
    """Start the workers, run `icudl` on them, end them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partition", required=True)
    parser.add_argument("--account")
    parser.add_argument("--workers", type=int, default=4, help="SLURM jobs, one worker and one core each")
    parser.add_argument("--memory", default="4 GiB", help="of one worker")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--interface", help="network interface that all nodes share, such as ib0")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of one worker: 0 or 1")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("command", nargs="*", help="words for icudl")
    args = parser.parse_args()
    with make_cluster(args) as cluster:
        if args.show:
            print(cluster.job_script())
            return 0
        from distributed import Client

        cluster.scale(args.workers)
        with Client(cluster) as client:
            client.wait_for_workers(1)  # however long the queue is
        settings = ["execution.executor=dask", f"execution.address={cluster.scheduler_address}"]
        words = [word for setting in settings for word in ("--set", setting)]
        icudl = Path(sys.executable).with_name("icudl")
        return subprocess.run([icudl, *args.command, *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
