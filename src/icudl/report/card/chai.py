"""A model card as an Applied Model Card of the Coalition for Health AI (coalition-for-health-ai/mc-schema, v0.2).

Elements stand in the order of the schema. Those that a program cannot know hold the text that asks a person for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from icudl.report.card.contents import Card, Measured, ToFill

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"


def to_xml(card: Card) -> str:
    """Write a card as XML."""
    ET.register_namespace("", NAMESPACE)
    of = card.described
    checkpoint = next(iter(of.training.checkpoints.values()))
    chapters = {chapter.title: chapter for chapter in card.chapters}
    data = " ".join(block for block in chapters["Data"].blocks if isinstance(block, str))
    model = " ".join(block for block in chapters["Model"].blocks if isinstance(block, str))
    limits = "\n".join(f"* {text}" for text in card.limits)
    variables = ", ".join(each.label for each in checkpoint.variables)
    root = ET.Element(_name("AppliedModelCard"))
    _fill(
        root,
        "BasicInfo",
        ModelName=of.name,
        ModelDeveloper=ToFill("developer"),
        DeveloperContact=ToFill("contact"),
    )
    _fill(
        root,
        "ReleaseInfo",
        ReleaseStage=ToFill("stage of release"),
        ReleaseDate=ToFill("date of release"),
        ReleaseVersion=of.reference,
        GlobalAvailability=ToFill("where it is available"),
    )
    summary = _fill(root, "ModelSummary", Summary=model)
    keywords = ET.SubElement(summary, _name("Keywords"))
    for word in ("intensive care", of.grid.outcome.phrase, of.training.model):
        ET.SubElement(keywords, _name("Keyword")).text = word
    _fill(
        root,
        "UsesAndDirections",
        IntendedUseAndWorkflow=ToFill("what the prediction is for, and at which step of care it is read"),
        PrimaryIntendedUsers=ToFill("who reads it"),
        HowToUse=ToFill("what readers are to do"),
        TargetedPatientPopulation=data,
        CautionedOutOfScopeSettings="The care of a patient: the model is no medical device.",
    )
    _fill(
        root,
        "Warnings",
        KnownRisksAndLimitations=limits,
        KnownBiasesOrEthicalConsiderations=ToFill("biases and ethical considerations"),
        ClinicalRiskLevel=ToFill("level of clinical risk"),
    )
    trust = ET.SubElement(root, _name("TrustIngredients"))
    _fill(
        trust,
        "AISystemFacts",
        OutcomesAndOutputs=f"Risk of the outcome between 0 and 1: {of.grid.outcome.phrase}.",
        ModelType=of.training.model,
        InputDataSource=of.grid.population or "unknown",
        OutputAndInputDataTypes=f"Hourly means over {checkpoint.n_hours} hours of: {variables}.",
        DevelopmentDataCharacterization=data,
        BiasMitigationApproaches=ToFill("what was done about bias"),
        OngoingMaintenance=ToFill("maintenance and monitoring"),
    )
    _fill(
        trust,
        "TransparencyInformation",
        FundingSource=ToFill("funding"),
        StakeholdersConsulted=ToFill("stakeholders consulted"),
    )
    metrics = ET.SubElement(root, _name("KeyMetrics"))
    _metrics(
        metrics,
        "UsefulnessUsabilityEfficacy",
        card.usefulness,
        data,
        "Each stay is scored by a member that was not fitted on it.",
    )
    _metrics(
        metrics,
        "FairnessEquity",
        card.fairness,
        data,
        "The same predictions, within groups of sex, age and kind of unit.",
    )
    _metrics(
        metrics,
        "SafetyReliability",
        card.safety,
        data,
        "Records of held-out stays are changed on purpose: adversarially, by errors of entry, by derangements.",
    )
    _fill(
        root,
        "Resources",
        PeerReviewedPublications=ToFill("publications about this model"),
        PatientConsentOrDisclosure=ToFill("consent of or disclosure to patients"),
    )
    ET.SubElement(root, _name("Bibliography")).text = ""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _name(tag: str) -> str:
    return f"{{{NAMESPACE}}}{tag}"


def _fill(parent: ET.Element, tag: str, **fields: str | ToFill) -> ET.Element:
    element = ET.SubElement(parent, _name(tag))
    for name, text in fields.items():
        ET.SubElement(element, _name(name)).text = str(text)
    return element


def _metrics(parent: ET.Element, tag: str, measured: Sequence[Measured], data: str, how: str) -> None:
    element = _fill(parent, tag, MetricGoal=ToFill("which values are wanted"))
    results = ET.SubElement(element, _name("Results"))
    for each in measured or (Measured("not measured", float("nan")),):
        result = ET.SubElement(results, _name("MetricResult"))
        ET.SubElement(result, _name("Label")).text = each.label
        known = {name: value for name, value in vars(each).items() if isinstance(value, float) and math.isfinite(value)}
        ET.SubElement(result, _name("ValueJson")).text = json.dumps(known, sort_keys=True)
    for name, text in (
        ("Interpretation", ToFill("what the values mean for the intended use")),
        ("TestType", "Retrospective, held-out patients of the same data set, and external data sets where named."),
        ("TestingDataDescription", data),
        ("ValidationProcessAndJustification", how),
    ):
        ET.SubElement(element, _name(name)).text = str(text)
