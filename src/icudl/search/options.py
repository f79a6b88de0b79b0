"""Options of the searches."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from icudl.errors import ConfigError
from icudl.options import Options, masked, option, scheme_of
from icudl.training.scores.metrics import METRICS

SPACE_DOC = (
    "Options that vary, by dotted path: { low, high }, with log = true or step if needed, or { choices = [...] }."
)
STORAGE_DOC = (
    "A folder or a PostgreSQL URL that keeps the trials, to extend a study later or to share it among "
    "processes and machines; empty keeps them in the store."
)


_POSTGRES = re.compile(r"\s*postgres(?:ql)?(?:\+\w+)?://(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_PAIRS = re.compile(r"\s*(?:host|hostaddr|port|dbname|user|password|passfile|service|sslmode)\s*=")
_NO_SCHEME = re.compile(r"[^/\s:@]+:[^/\s]*@")


def database_url(storage: str, key: str = "storage") -> str | None:
    """Return what PostgreSQL's driver takes for a place of trials that is a database; None for a folder.

    ``postgres://``, capitals and the driver that SQLAlchemy names (``postgresql+psycopg2://``) are understood, and so
    are the ``key=value`` pairs of libpq.

    Args:
        storage: As a user writes it.
        key: What the place is called in messages.

    Raises:
        ConfigError: It is the address of something else, which must not become the name of a folder.
    """
    postgres = _POSTGRES.match(storage)
    if postgres:
        return "postgresql://" + postgres["rest"].rstrip()
    if _PAIRS.match(storage):
        return storage.strip()
    if scheme_of(storage) or _NO_SCHEME.match(storage):
        shown = _NO_SCHEME.sub("***@", storage) if not scheme_of(storage) else masked(storage)
        raise ConfigError(
            f"{key} = {shown!r} is an address that cannot keep trials. Expected a folder, or "
            "postgresql://USER@HOST:PORT/DATABASE."
        )
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelTuningOptions(Options):
    """Search over model, training and input options; scored on patient-grouped folds, never on test stays."""

    table: ClassVar[str] = "tune_model"

    trials: int = option(0, "Number of trials; 0 trains with the configured options.", low=0, high=100_000)
    folds: int = option(5, "How many of the folds score a trial.", low=1, high=100)
    objective: str = option(
        "auroc",
        "Score on the left-out folds that is optimised (brier, log_loss and ece downwards).",
        choices=METRICS,
    )
    sampler: str = option("tpe", "Optuna sampler.", choices=("tpe", "random"))
    pruner: str = option("median", "Optuna pruner, asked after every epoch.", choices=("median", "none"))
    startup_trials: int = option(10, "Trials drawn at random before the sampler learns.", low=0, high=100_000)
    batch: int = option(
        4,
        "Trials drawn at once; they run side by side. The study is the same with any number of workers.",
        low=1,
        high=10_000,
    )
    space: Mapping[str, Any] = option({}, f"{SPACE_DOC} Empty: the model's own space.")
    storage: str = option("", STORAGE_DOC, identity=False, secret=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        database_url(self.storage, f"{self.table}.storage")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunedOptions(Options):
    """Which trial of the search over the model is used."""

    table: ClassVar[str] = "tuned"

    trial: int = option(-1, "Trial whose setting the model is trained with; -1 takes the best.", low=-1, high=99_999)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackTuningOptions(Options):
    """Search over attack options on a sample of stays that are not test stays."""

    table: ClassVar[str] = "tune_attack"

    trials: int = option(0, "Number of trials; 0 attacks with the configured options.", low=0, high=100_000)
    stays: int = option(256, "Stays in the sample.", low=2, high=1_000_000)
    objective: str = option(
        "sparse_small_max",
        "Score of an example, summed over stays (the original's four), or smallest_l0: flip all stays, then change the "
        "fewest cells.",
        choices=("sparsity", "max_num_nonzero_perts", "sparse_small", "sparse_small_max", "smallest_l0"),
    )
    n_critical: int = option(
        5, "Most changed cells that max_num_nonzero_perts counts as a success.", low=1, high=1_000_000
    )
    sampler: str = option("tpe", "Optuna sampler.", choices=("tpe", "random"))
    startup_trials: int = option(10, "Trials drawn at random before the sampler learns.", low=0, high=100_000)
    space: Mapping[str, Any] = option({}, f"{SPACE_DOC} Empty: the attack's own space.")
    storage: str = option("", STORAGE_DOC, identity=False, secret=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        database_url(self.storage, f"{self.table}.storage")
