"""Leaderboard: model families x trainings, by accuracy and by how little reverses their verdicts.

    python studies/leaderboard/leaderboard.py --path DIR --out leaderboard [--add mine.toml] [--seeds 2018 2019]

Set A of PhysioNet 2012 trains, set B is scored, attacked and probed. Every part of every row is kept in the output
folder: a study that was stopped goes on where it was, and a table of more models or seeds computes what is new. The
page (``leaderboard.md``) is made of all that is there; ``--collect`` writes it and computes nothing else.
"""

# ruff: noqa: E402 - the allocator must be set before torch is imported

from __future__ import annotations

from icudl.execution.threads import tune_process

tune_process()

import argparse
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numbers_of_rows import numbers_of
from page import page
from rows import Board

import icudl
from icudl.config.document import to_toml
from icudl.config.load import MODEL_PATHS
from icudl.execution.context import SilentProgress
from icudl.execution.pool.executor import ProcessExecutor
from icudl.execution.serial import SerialExecutor
from icudl.execution.threads import single_thread

HERE = Path(__file__).parent
COMMAND = "python studies/leaderboard/leaderboard.py --path DIR --out leaderboard"


def settings_of(file: Path) -> list[str]:
    """Return the models of a file as settings; a relative path of a model starts at the file.

    Raises:
        SystemExit: The file cannot be read, or holds other tables.
    """
    try:
        tables = tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} cannot be read: {error}. Expected TOML with tables [models.NAME].") from error
    if set(tables) != {"models"}:
        raise SystemExit(f"{file} holds {', '.join(tables) or 'nothing'}. Expected tables [models.NAME] and no others.")
    found = []

    def add(where: str, values: dict[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and key in ("inputs", "training", "robust"):
                add(f"{where}.{key}", value)
            else:
                placed = str((file.parent / value).resolve()) if key in MODEL_PATHS else value
                found.append(f"{where}.{key}={to_toml(placed)}")

    for name, values in tables["models"].items():
        add(f"models.{name}", values)
    return found


def main() -> None:
    """Make every part that is asked for, and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="folder of the challenge's sets")
    parser.add_argument("--out", type=Path, default=Path("leaderboard"))
    parser.add_argument("--add", type=Path, action="append", default=[], help="file with further tables [models.NAME]")
    parser.add_argument("--models", nargs="+", default=[], help="rows to make; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[2018, 2019])
    parser.add_argument("--against", default="summary", help="row that the others are compared with")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--collect", action="store_true", help="compute nothing, write the page of what is there")
    parser.add_argument("--page", type=Path, help="where the page goes instead of OUT/leaderboard.md")
    args = parser.parse_args()
    settings = [f"source.path={to_toml(str(Path(args.path).resolve()))}"]
    settings += [setting for file in args.add for setting in settings_of(file)]
    try:
        config = icudl.load_config(HERE / "leaderboard.toml", settings=settings)
        grid = icudl.Pipeline(config, args.out / "store").run("preprocess")
    except icudl.IcudlError as error:
        raise SystemExit(str(error)) from error
    unknown = [name for name in args.models if name not in config.models]
    if unknown:
        raise SystemExit(f"There is no row {', '.join(unknown)}. Rows: {', '.join(config.models)}.")
    executor = SerialExecutor() if args.workers == 1 else ProcessExecutor(args.workers)
    board = Board(config=config, grid=grid, out=args.out, executor=executor, progress=SilentProgress())
    place = args.page or args.out / "leaderboard.md"
    with single_thread():
        if not args.collect:
            for said in board.parts(args.models or list(config.models), args.seeds):
                print(said, flush=True)
        place.write_text(page_of(board, args.seeds, args.against), "utf-8")
    print(place)


def page_of(board: Board, seeds: list[int], against: str) -> str:
    """Return the page of all that is there."""
    numbers, used = {}, {}
    for name in board.config.models:
        found = {seed: row for seed in seeds if (row := board.row(name, seed)) is not None}
        if found:
            numbers[name], used[name] = numbers_of(board.grid, list(found.values())), list(found)
    attack = board.config.attacks["one_value"].attack
    facts = {
        "command": f"{COMMAND} --seeds {' '.join(map(str, seeds))}",
        "fitted": int((~board.grid.is_test).sum()),
        "scored": int(np.sum(board.grid.is_test)),
        "drawn": attack.max_stays,
        "points": attack.to_dict()["sweep_points"],
        "rate": board.probe_options.error_rate,
        "against": against,
    }
    return page(board.config, numbers, used, facts)


if __name__ == "__main__":
    main()
