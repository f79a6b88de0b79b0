"""The values that pass between stages, one type in each file, and the files that keep them.

N stays, T hours, F variables, S static descriptors. Tables are polars frames with a declared schema, arrays are NumPy;
files are Parquet, safetensors and JSON, so nothing here can execute code when it is read.
"""

from __future__ import annotations

from icudl.artifacts.attacks.certificates import Certificates, CertificateStatus, PieceVerdict
from icudl.artifacts.attacks.examples import ATTACKED_SCHEMA, PERTURBATIONS_SCHEMA, AttackResult, AttackStatus
from icudl.artifacts.attacks.susceptibility import SusceptibilityResult
from icudl.artifacts.base import Artifact, Floats, Schema, Warned, check_schema
from icudl.artifacts.data.grid import FLOW_SCHEMA, GridDataset
from icudl.artifacts.data.outcome import HOSPITAL_DEATH, Outcome
from icudl.artifacts.data.source_tables import (
    CLEANING_SCHEMA,
    HOURS_SCHEMA,
    OUTCOMES_SCHEMA,
    STAYS_SCHEMA,
    SourceTables,
    no_outcomes,
)
from icudl.artifacts.files.codecs import read_json, write_json
from icudl.artifacts.lineage import LineageEntry
from icudl.artifacts.models.checkpoint import MET_BEFORE, Checkpoint, FeatureScaler
from icudl.artifacts.models.member import FINAL, Member
from icudl.artifacts.models.objective import Direction, Objective
from icudl.artifacts.models.probes import Probes
from icudl.artifacts.models.scores import METRICS_SCHEMA, PREDICTIONS_SCHEMA, Scores
from icudl.artifacts.models.training import HISTORY_SCHEMA, TrainingResult, network_histories
from icudl.artifacts.models.tuning import TRIALS_SCHEMA, TrialState, TuningResult
from icudl.artifacts.report import Report, ReportAnswer, ToldNumber

__all__ = [
    "ATTACKED_SCHEMA",
    "CLEANING_SCHEMA",
    "FINAL",
    "FLOW_SCHEMA",
    "HISTORY_SCHEMA",
    "HOSPITAL_DEATH",
    "HOURS_SCHEMA",
    "METRICS_SCHEMA",
    "MET_BEFORE",
    "OUTCOMES_SCHEMA",
    "PERTURBATIONS_SCHEMA",
    "PREDICTIONS_SCHEMA",
    "STAYS_SCHEMA",
    "TRIALS_SCHEMA",
    "Artifact",
    "AttackResult",
    "AttackStatus",
    "CertificateStatus",
    "Certificates",
    "Checkpoint",
    "Direction",
    "FeatureScaler",
    "Floats",
    "GridDataset",
    "LineageEntry",
    "Member",
    "Objective",
    "Outcome",
    "PieceVerdict",
    "Probes",
    "Report",
    "ReportAnswer",
    "Schema",
    "Scores",
    "SourceTables",
    "SusceptibilityResult",
    "ToldNumber",
    "TrainingResult",
    "TrialState",
    "TuningResult",
    "Warned",
    "check_schema",
    "network_histories",
    "no_outcomes",
    "read_json",
    "write_json",
]
