"""What can one wrong value do to a network that reads records in parts, and what does the proof take?

    OMP_NUM_THREADS=1 python benchmarks/proofs/certify_parts.py --path FOLDER --store runs

Trains the rows of certify_parts.toml on set A of PhysioNet 2012 (FOLDER holds its files), proves stays of set B with
each, and sweeps the ranges of the same stays. A second run reads all that from the store.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from icudl import Pipeline, load_config
from icudl.analysis import wilson
from icudl.artifacts import AttackResult, AttackStatus, Certificates, CertificateStatus

STUDY = Path(__file__).with_suffix(".toml")
HEAD = (
    "| model | stays | proven | flipped by one value | of these, by the sweep | undecided | values | outvoted | "
    "that flip | boxes a value | CPU s a stay |"
)


def share(hits: int, n: int) -> str:
    at, low, high = wilson(hits, n)
    return f"{hits} ({100 * at:.0f} %; {100 * low:.0f} to {100 * high:.0f} %)"


def row(name: str, proofs: Certificates, swept: AttackResult, seconds: float, *, in_parts: bool) -> str:
    """One line of the table; a stay is counted where the model gets it right."""
    stays = proofs.stays.filter(pl.col("values") > 0)
    counts = {status: stays.filter(status=status.value).height for status in CertificateStatus}
    found = swept.stays.filter(status=AttackStatus.SUCCESS.value)["stay_id"].to_list()
    flips = stays.filter(status=CertificateStatus.FLIPS.value)
    if not set(found) <= set(flips["stay_id"]):
        raise SystemExit(f"{name}: the sweep flips a stay that the proof does not.")
    values = proofs.values
    outvoted = values.filter((pl.col("verdict") == CertificateStatus.PROVEN.value) & (pl.col("boxes") == 0)).height
    flipping = values.filter(verdict=CertificateStatus.FLIPS.value).height
    voted = f"{100 * outvoted / values.height:.1f} %" if in_parts else "-"
    n = stays.height
    return (
        f"| `{name}` | {n} | {share(counts[CertificateStatus.PROVEN], n)} | {share(flips.height, n)} | "
        f"{len(found)} of {flips.height} | {share(counts[CertificateStatus.UNDECIDED], n)} | {values.height:,} | "
        f"{voted} | {flipping} ({100 * flipping / values.height:.2f} %) | "
        f"{values['boxes'].sum() / values.height:.3f} | {seconds / n:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="Folder of PhysioNet 2012.")
    parser.add_argument("--store", default="runs")
    args = parser.parse_args()
    pipeline = Pipeline(load_config(STUDY, [f"source.path={args.path}", "execution.executor=serial"]), args.store)
    made = {manifest.name: manifest for stage in ("attack", "certify") for manifest in pipeline.update(stage)}
    print(HEAD)
    print("| --- |" + " ---: |" * (HEAD.count("|") - 2))
    for name, model in pipeline.config.models.items():
        manifest = made[f"certify/{name}"]
        proofs = pipeline.store.load(Certificates, manifest)
        swept = pipeline.store.load(AttackResult, made[f"attack/{name}/one_value"])
        seconds = manifest.environment["processor_seconds"]
        print(row(name, proofs, swept, seconds, in_parts=model.model.in_parts))


if __name__ == "__main__":
    main()
