"""Section of the page: the words and symbols used on it."""

from __future__ import annotations

from icudl.report.elements import Section, Terms
from icudl.report.study import StudyResults

ATTACKS = Terms(
    "attack-terms",
    "Words about attacks",
    (
        ("Flipped", "The model says the opposite after the change: the risk lies on the other side of the threshold."),
        ("Charted value", "A number that somebody entered in this hour. Only such a number can be entered wrongly."),
        (
            "Filled-in record",
            "What the model is given: charted values, and filled-in values in the cells that were never charted.",
        ),
        ("First and best example", "The first change met that flips the prediction, and the smallest found."),
        ("Plausible range", "Values beyond it are thrown away when the data are read, so nobody can enter them."),
        (
            "Limits of the training stays",
            "Values beyond them are cut off before the model sees them. Sizes of changes are shares of this range.",
        ),
        ("Proven", "No number in the place of one value flips the prediction, whatever it is."),
    ),
)

MODELS = Terms(
    "quality-terms",
    "Words about predictions",
    (
        ("AUROC", "The chance that a patient who died was given a higher risk than one who survived: 0.5 is a coin."),
        ("AUPRC", "Precision averaged over all recalls. A model that knows nothing reaches the mortality."),
        ("Precision", "Of the patients predicted to die, the share who died."),
        ("Recall", "Of the patients who died, the share predicted to die (sensitivity)."),
        ("Brier score", "Mean squared distance of the risk from what happened; 0 is perfect."),
        ("Calibration error", "Mean distance between predicted risk and observed mortality over groups of like risk."),
        ("95 % interval", "From resampling the patients: how far chance alone may have moved the number."),
        ("Held-out test", "Stays that took no part in anything that was fitted."),
        ("Out-of-fold", "Each training stay judged by the model that was fitted without its fold."),
        ("External", "Stays of a data set that nothing was fitted on, judged by the final model."),
    ),
)

MEASURES = Terms(
    "susceptibility-terms",
    "Measures and their symbols",
    (
        (
            "Share of stays changed (GPP)",
            "Global perturbation probability: share of flipped stays with a change at this hour and variable.",
        ),
        ("Largest change (GMP)", "Global maximum perturbation: the largest change seen there."),
        (
            "Mean change over all stays (GAP)",
            "Global average perturbation: mean change there over all flipped stays, unchanged ones as 0.",
        ),
        ("Mean size of the changes (GANZP)", "Mean size of the changes there, where there was one."),
        ("Susceptibility (S)", "GMP x GPP: high where changes are both frequent and large."),
        ("Sensitivity", "GPP / GANZP: high where small changes already flip the outcome."),
        (
            "Importance",
            "Mean size of integrated gradients: how much a value moves the unchanged prediction, in logits.",
        ),
    ),
)


def glossary_section(study: StudyResults) -> Section:
    """Explain the words of the page; those about attacks only where there are any."""
    blocks = (MODELS, ATTACKS, MEASURES) if study.attacks else (MODELS,)
    return Section("glossary", "Glossary", "Glossary", (), blocks)
