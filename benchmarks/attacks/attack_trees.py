"""Beside ART's attacks that need no gradient, on the same trees and stays: success, changed charted values, queries.

    OMP_NUM_THREADS=1 python benchmarks/attacks/attack_trees.py --grid FOLDER [--stays 30] [--max-iter 50]

``--grid`` is the folder of a result of ``icudl preprocess`` with test stays. XGBoost and a decision tree of
scikit-learn are fitted on its other stays by their own libraries, each window one flat row, and are attacked on test
stays that they get right. Every attack moves the charted values of a stay, and each as far as one wrong entry can;
ART's black-box attacks are given these values alone, between 0 and 1. A stay counts as flipped where the model itself
says so of a record that the threat model allows. A query is one record scored. ART's attack on decision trees reads the
tree and moves features of its row, whether anything was charted there or not.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
import torch
import xgboost
from sklearn.tree import DecisionTreeClassifier

from icudl.artifacts import GridDataset
from icudl.attacks.base import Perturbation, make_attack
from icudl.attacks.options import ExactValueOptions, GreedyOptions
from icudl.attacks.refinement import prune, refine, shrink
from icudl.attacks.target.charted import ChartedTarget, bind_charted
from icudl.attacks.target.threat import Entries, charted_cells
from icudl.execution.threads import tune_process
from icudl.models.charted.base import ClinicalStays
from icudl.models.outside.model import OutsideModel
from icudl.models.outside.options import OutsideOptions
from icudl.preprocessing.scaling import InputOptions, fit_scaler_on

XGBOOST_MODEL, TREE_MODEL = "XGBoost, 150 trees", "one decision tree"
TREE = "sklearn.tree._tree.Tree"
"""A type that a .skops file of a decision tree holds."""

SAME = 1e-6
"""Shares of a value's range below which a value counts as unchanged: ART computes in single precision."""


@dataclasses.dataclass(eq=False)
class Case:
    """A model bound to one stay, and how many records it has scored.

    Attributes:
        model: The model from outside.
        target: The stay.
        estimator: The library's own object.
        queries: Records scored so far.
    """

    model: OutsideModel
    target: ChartedTarget
    estimator: Any
    queries: int = 0

    def __post_init__(self) -> None:
        inner = self.model.predictor.call

        def counted(features: Any, lengths: Any) -> Any:
            self.queries += len(features)
            return inner(features, lengths)

        # The cached property of the model, which every scorer of it reads.
        vars(self.model)["predictor"] = dataclasses.replace(self.model.predictor, call=counted)

    @property
    def free(self) -> torch.Tensor:
        """(T F,) bool, cells that may change."""
        return self.target.attackable[0].flatten()

    def shares(self) -> np.ndarray:
        """Return the (K,) places of the free cells in their ranges, from 0 to 1."""
        low, high = (end[0].flatten()[self.free] for end in (self.target.lower, self.target.upper))
        return ((self.target.values[0].flatten()[self.free] - low) / (high - low)).numpy()

    def values_at(self, shares: np.ndarray) -> torch.Tensor:
        """Return (n, T, F) cells for (n, K) places; a place that has hardly moved is the unchanged value."""
        low, high = (end[0].flatten()[self.free] for end in (self.target.lower, self.target.upper))
        given = torch.from_numpy(np.asarray(shares, np.float64)).clamp(0.0, 1.0)
        moved = low + given * (high - low)
        now = self.target.values[0].flatten()
        still = (given - torch.from_numpy(self.shares())).abs() <= SAME
        cells = now.repeat(len(given), 1)
        cells[:, self.free] = torch.where(still, now[self.free], moved)
        return cells.view(len(given), *self.target.values.shape[1:])

    def classes(self, shares: np.ndarray) -> np.ndarray:
        """Return (n, 2) one-hot decisions, the answer to a query of ART: the present class is the first."""
        several = self.target.select(torch.zeros(len(shares), dtype=torch.int64))
        flipped = (several.margin(self.values_at(shares)) < 0).numpy().astype(int)
        return np.eye(2, dtype=np.float32)[flipped]

    def probabilities(self, shares: np.ndarray) -> np.ndarray:
        """Return (n, 2) probabilities, the answer to a query of ZOO."""
        several = self.target.select(torch.zeros(len(shares), dtype=torch.int64))
        stays = 1.0 / (1.0 + np.exp(-several.margin(self.values_at(shares)).numpy()))
        return np.stack([stays, 1.0 - stays], axis=1).astype(np.float32)


Found = tuple[bool, int]
"""Whether the stay was flipped, and by how many changed charted values."""


def ours(options: Any) -> Callable[[Case], Found]:
    def attack(case: Case) -> Found:
        found = make_attack(options)(case.target, [1])
        return bool(found.found[0]), int((found.best[0] != 0).sum())

    return attack


def of_shares(case: Case, shares: np.ndarray, *, refined: bool) -> Found:
    values = case.values_at(shares.reshape(1, -1))
    flipped = bool(case.target.margin(values)[0] < 0)
    change = values - case.target.values
    if refined and flipped:
        once = torch.ones(1, dtype=torch.int64)
        smaller = refine(case.target, Perturbation(change, change, once, once), (prune, shrink))
        change = smaller.best
    return flipped, int((change != 0).sum())


class HopSkipJump:
    """ART's HopSkipJump; a stay is searched once, and its example can be taken as found or pruned by this project."""

    def __init__(self, max_iter: int) -> None:
        self.max_iter = max_iter
        self.known: dict[bytes, tuple[np.ndarray, int]] = {}

    def _search(self, case: Case) -> np.ndarray:
        from art.attacks.evasion import HopSkipJump as Theirs
        from art.estimators.classification import BlackBoxClassifier

        now = case.shares()[None].astype(np.float32)
        if now.tobytes() not in self.known:
            classifier = BlackBoxClassifier(case.classes, now.shape[1:], 2, clip_values=(0.0, 1.0))
            np.random.seed(1)  # noqa: NPY002 - ART draws from the global state
            found = Theirs(classifier, max_iter=self.max_iter, verbose=False).generate(now)[0]
            self.known[now.tobytes()] = found, case.queries
        shares, case.queries = self.known[now.tobytes()]
        return shares

    def as_found(self, case: Case) -> Found:
        """Search a stay and take the example as it is."""
        return of_shares(case, self._search(case), refined=False)

    def pruned(self, case: Case) -> Found:
        """Search a stay, and take back what is not needed."""
        return of_shares(case, self._search(case), refined=True)


def zoo(case: Case) -> Found:
    from art.attacks.evasion import ZooAttack
    from art.estimators.classification import BlackBoxClassifier

    now = case.shares()[None].astype(np.float32)
    classifier = BlackBoxClassifier(case.probabilities, now.shape[1:], 2, clip_values=(0.0, 1.0))
    np.random.seed(1)  # noqa: NPY002 - ART draws from the global state
    made = ZooAttack(
        classifier, learning_rate=0.1, max_iter=20, binary_search_steps=10, use_resize=False, use_importance=False,
        nb_parallel=min(8, now.shape[1]), variable_h=0.2, verbose=False,
    )  # fmt: skip
    return of_shares(case, made.generate(now)[0], refined=False)


def decision_tree(*, charted_only: bool) -> Callable[[Case], Found]:
    def attack(case: Case) -> Found:
        from art.attacks.evasion import DecisionTreeAttack
        from art.estimators.classification.scikitlearn import ScikitlearnDecisionTreeClassifier

        now = np.nan_to_num(case.target.charted()[0].reshape(1, -1), nan=0.0)
        made = DecisionTreeAttack(ScikitlearnDecisionTreeClassifier(case.estimator), verbose=False)
        changed = made.generate(now.astype(np.float64))
        flipped = bool(case.estimator.predict(changed)[0] != case.estimator.predict(now)[0])
        moved = changed[0] != now[0]
        if charted_only and flipped:
            low, high = (case.target.clinical(end)[0].flatten() for end in (case.target.lower, case.target.upper))
            free = case.free.numpy()
            flipped = bool((free & (changed[0] >= low) & (changed[0] <= high))[moved].all())
        return flipped, int(moved.sum())

    return attack


def attacks_on(model: str, max_iter: int) -> dict[str, Callable[[Case], Found]]:
    jumping = HopSkipJump(max_iter)
    attacks: dict[str, Callable[[Case], Found]] = {
        "icudl exact_value": ours(ExactValueOptions(threat_model="measured")),
        "icudl greedy": ours(GreedyOptions(threat_model="measured")),
        "ART HopSkipJump": jumping.as_found,
        "ART HopSkipJump, then pruned by icudl": jumping.pruned,
        "ART ZOO": zoo,
    }
    if model == TREE_MODEL:
        attacks["ART DecisionTreeAttack"] = decision_tree(charted_only=True)
        attacks["ART DecisionTreeAttack, any feature"] = decision_tree(charted_only=False)
    return attacks


def measure(name: str, attack: Callable[[Case], Found], cases: Callable[[], list[Case]]) -> dict[str, Any]:
    flipped, changed, queries = [], [], []
    start = time.process_time()
    for case in cases():
        case.queries = 0
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            success, count = attack(case)
        flipped.append(success)
        queries.append(case.queries)
        if success:
            changed.append(count)
    return {
        "attack": name,
        "stays": len(flipped),
        "flipped": int(sum(flipped)),
        "changed median": float(np.median(changed)) if changed else None,
        "changed mean": round(float(np.mean(changed)), 2) if changed else None,
        "queries median": float(np.median(queries)),
        "queries 90 %": float(np.percentile(queries, 90)),
        "CPU s a stay": round((time.process_time() - start) / len(flipped), 3),
    }


def fitted(name: str, grid: GridDataset, folder: Path) -> tuple[OutsideModel, Any]:
    """Fit a model on all stays but the test stays; all deaths together weigh as much as all survivors."""
    rows = np.flatnonzero(~grid.is_test)
    inside = np.arange(grid.values.shape[1]) < grid.lengths[:, None]
    hours = np.where(inside[:, :, None], grid.values, np.nan).reshape(len(grid.labels), -1)[rows]
    labels, file = grid.labels[rows], folder / "model"
    if name == TREE_MODEL:
        estimator = DecisionTreeClassifier(max_depth=6, min_samples_leaf=20, class_weight="balanced", random_state=1)
        skops.io.dump(estimator.fit(np.nan_to_num(hours, nan=0.0), labels), file.with_suffix(".skops"))
        options = OutsideOptions(
            file=str(file.with_suffix(".skops")), missing="zero", trained_on="elsewhere", trusted=(TREE,)
        )
    else:
        weight = float((labels == 0).sum() / (labels == 1).sum())
        estimator = xgboost.XGBClassifier(
            n_estimators=150, max_depth=3, learning_rate=0.1, subsample=0.7, scale_pos_weight=weight, n_jobs=1,
            random_state=1,
        )  # fmt: skip
        estimator.fit(hours, labels).save_model(file.with_suffix(".json"))
        options = OutsideOptions(file=str(file.with_suffix(".json")), trained_on="elsewhere")
    return OutsideModel.fit(options, stays_of(grid, rows[:512]), labels, [1]), estimator


def stays_of(grid: GridDataset, rows: np.ndarray) -> ClinicalStays:
    inside = np.arange(grid.values.shape[1]) < grid.lengths[rows, None]
    values = np.where(inside[:, :, None], grid.values[rows], np.float32(np.nan))
    return ClinicalStays(values, grid.lengths[rows], np.zeros((len(rows), 0), np.float32), grid.variables)


def right(grid: GridDataset, model: OutsideModel, n_stays: int) -> np.ndarray:
    """Draw test stays that a model gets right, deaths and survivors in proportion."""
    rows = np.random.default_rng(1).permutation(np.flatnonzero(grid.is_test))
    rows = rows[(model.logits(stays_of(grid, rows)) >= 0) == (grid.labels[rows] == 1)]
    deaths, survivors = rows[grid.labels[rows] == 1], rows[grid.labels[rows] == 0]
    n_deaths = round(n_stays * len(deaths) / len(rows))
    return np.concatenate([deaths[:n_deaths], survivors[: n_stays - n_deaths]])


def cases_of(grid: GridDataset, model: OutsideModel, estimator: Any, rows: np.ndarray) -> list[Case]:
    scaler = fit_scaler_on(grid, ~grid.is_test, InputOptions())
    found = []
    for row in rows:
        again = type(model)(model.options, model.arrays)
        stays = stays_of(grid, np.array([row]))
        means, counts = stays.values.astype(np.float64), grid.counts[[row]].astype(np.int64)
        entries = Entries(means, counts, scaler, grid.variables, clipped=False)
        target = bind_charted(again.offered(), stays, charted_cells(entries), entries, 0.0)
        found.append(Case(again, target, estimator))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--grid", type=Path, required=True)
    parser.add_argument("--stays", type=int, default=30)
    parser.add_argument("--max-iter", type=int, default=50, help="iterations of HopSkipJump; 50 is ART's default")
    parser.add_argument("--model", default="", help="models whose name contains this")
    parser.add_argument("--only", nargs="+", default=[""], help="attacks whose name contains one of these")
    arguments = parser.parse_args()
    tune_process()
    grid = GridDataset.read(arguments.grid)
    for name in (name for name in (XGBOOST_MODEL, TREE_MODEL) if arguments.model in name):
        with tempfile.TemporaryDirectory() as scratch:
            model, estimator = fitted(name, grid, Path(scratch))
        rows = right(grid, model, arguments.stays)
        for title, attack in attacks_on(name, arguments.max_iter).items():
            if any(part in title for part in arguments.only):
                found = measure(title, attack, lambda: cases_of(grid, model, estimator, rows))  # noqa: B023
                print(json.dumps({"model": name, "deaths": int(grid.labels[rows].sum())} | found), flush=True)


if __name__ == "__main__":
    main()
