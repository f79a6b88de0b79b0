"""What must be said about a study before anyone relies on its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from icudl.analysis.numbers.comparison import ModelLine, telling_models
from icudl.report.elements import Note
from icudl.report.names import SPLIT_NAMES
from icudl.report.study import StudyResults
from icudl.report.wording import listed

ENOUGH_DEATHS = 100
"""Fewer deaths than this in the stays judged, and the scores are no evidence (Vergouwe et al. 2005, J Clin Epidemiol
58, 475-483, and Collins et al. 2016, Stat Med 35, 214-226: at least 100 events to validate a prediction model)."""

MEANING = (
    "An adversarial example shows what the model depends on, not what happens to patients. A wrong entry that flips a "
    "prediction is a weakness of the model; it says nothing about treatment."
)

SYNTHETIC = Note(
    "Patients of this study are synthetic. The page shows how the method works, and nothing about real patients."
)

CREDENTIALED = Note("The data behind this page are credentialed: share it only as their licence allows.")


def notes(study: StudyResults, models: Sequence[ModelLine]) -> tuple[Note, ...]:
    """Return the warnings of a study, the gravest first.

    Args:
        study: The study.
        models: Lines of the comparison of models.
    """
    thin = _thin(study, models)
    found = []
    if thin:
        reason = "the patients are synthetic, and too few" if is_synthetic(study) else "too few"
        of = "These metrics" if study.main.name in thin else f"The metrics of {listed(sorted(thin))}"
        died = listed([text for texts in thin.values() for text in texts])
        text = f"{of} are no evidence: {reason} died ({died}; evidence takes {ENOUGH_DEATHS})."
        if study.main.name in thin:
            text += " Read this page as a demonstration of the method."
        found.append(Note(text, "warning"))
    elif is_synthetic(study):
        found.append(SYNTHETIC)
    if study.restricted:
        found.append(CREDENTIALED)
    return tuple(found)


def is_synthetic(study: StudyResults) -> bool:
    """Whether any patients of the study are made up."""
    return any(entry.plugin.split(" ")[0] == "synthetic" for entry in study.lineage)


def _thin(study: StudyResults, models: Sequence[ModelLine]) -> dict[str, list[str]]:
    """Return, for each data set with too few deaths, which of its stays have how many."""
    told = {line.split for line in telling_models(models, study.main.name)}
    thin: dict[tuple[str, str], int] = {}
    for line in models:
        if not line.baseline and line.deaths < ENOUGH_DEATHS and (line.split != "out-of-fold" or line.split in told):
            thin.setdefault((line.data, line.split), line.deaths)
    one = len(study.data) == 1
    texts: dict[str, list[str]] = {}
    for (data, split), deaths in thin.items():
        texts.setdefault(data, []).append(f"{deaths:,} of the {_stays(data, split, alone=one)}")
    return texts


def _stays(data: str, split: str, *, alone: bool) -> str:
    if split == "external":
        return f"stays of {data}"
    return SPLIT_NAMES[split] if alone else f"{SPLIT_NAMES[split]} of {data}"
