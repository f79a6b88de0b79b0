"""Opening a study: its key, the place of its trials, and the folder of unfinished ones."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from icudl.artifacts import Checkpoint, GridDataset
from icudl.errors import ConfigError
from icudl.execution.context import RunContext
from icudl.options import Options
from icudl.search.options import AttackTuningOptions, ModelTuningOptions
from icudl.search.postgres_trials import open_trials
from icudl.search.study import study_key
from icudl.search.trials import FolderTrials, Trials


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that trials can be added to.

    Attributes:
        key: Key of the study; two studies share a key only if they differ in nothing but their length.
        store: Keeps the outcomes.
        scratch: Folder of unfinished trials; it lies beside the outcomes if these are in a folder.
    """

    key: str
    store: Trials
    scratch: Path


def open_study(
    tables: Mapping[str, Options],
    tuning: ModelTuningOptions | AttackTuningOptions,
    data: str,
    context: RunContext,
) -> OpenStudy:
    """Open the study of a search, to begin or to continue it.

    Args:
        tables: The options by table; the search varies some of them.
        tuning: How to search.
        data: Hash of the data and models that trials are scored on (``data_key``).
        context: Seed and folders.

    Raises:
        ConfigError: The number of trials is 0.
        StageError: The database of the trials cannot be reached, or refuses the request.
    """
    if tuning.trials == 0:
        raise ConfigError(f"{tuning.table}.trials is 0, so the search has no trial. Set it to the number of trials.")
    settings = {name: table.to_dict(identity_only=True) for name, table in tables.items()}
    search = {key: value for key, value in tuning.to_dict(identity_only=True).items() if key != "trials"}
    key = study_key(settings, search, data, context.seed)
    store = open_trials(tuning.storage, context.studies or context.scratch, key)
    scratch = store.folder if isinstance(store, FolderTrials) else context.scratch / key
    scratch.mkdir(parents=True, exist_ok=True)
    return OpenStudy(key=key, store=store, scratch=scratch)


def data_key(grid: GridDataset, checkpoints: Mapping[str, Checkpoint] | None = None) -> str:
    """Return a hash of the stays that trials are scored on, and of the weights of attacked models."""
    digest = hashlib.sha256()
    for array in (grid.values, grid.lengths, grid.labels, grid.statics, grid.is_test, grid.folds, grid.stay_ids):
        digest.update(array.tobytes())
    for _, checkpoint in sorted((checkpoints or {}).items()):
        for name in sorted(checkpoint.weights):
            digest.update(checkpoint.weights[name].tobytes())
    return digest.hexdigest()
