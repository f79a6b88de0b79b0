"""The works a study rests on: key to formatted citation and link."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Citation:
    """One work.

    Attributes:
        text: Authors, title, place and year.
        link: Permanent address (a DOI where there is one), or "".
    """

    text: str
    link: str = ""


CITATIONS: dict[str, Citation] = {
    "mimic3": Citation(
        "Johnson AEW, Pollard TJ, Shen L, Lehman LH, Feng M, Ghassemi M, Moody B, Szolovits P, Celi LA, Mark RG. "
        "MIMIC-III, a freely accessible critical care database. Scientific Data 3, 160035 (2016).",
        "https://doi.org/10.1038/sdata.2016.35",
    ),
    "mimic3-demo": Citation(
        "Johnson A, Pollard T, Mark R. MIMIC-III Clinical Database Demo (version 1.4). PhysioNet (2019).",
        "https://doi.org/10.13026/C2HM2Q",
    ),
    "mimic4": Citation(
        "Johnson AEW, Bulgarelli L, Shen L, Gayles A, Shammout A, Horng S, Pollard TJ, Hao S, Moody B, Gow B, Lehman "
        "LH, Celi LA, Mark RG. MIMIC-IV, a freely accessible electronic health record dataset. Scientific Data 10, 1 "
        "(2023).",
        "https://doi.org/10.1038/s41597-022-01899-x",
    ),
    "physionet": Citation(
        "Goldberger AL, Amaral LAN, Glass L, Hausdorff JM, Ivanov PC, Mark RG, Mietus JE, Moody GB, Peng CK, "
        "Stanley HE. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23), e215-e220 (2000).",
        "https://doi.org/10.1161/01.CIR.101.23.e215",
    ),
    "physionet2012": Citation(
        "Silva I, Moody G, Scott DJ, Celi LA, Mark RG. Predicting in-hospital mortality of ICU patients: the "
        "PhysioNet/Computing in Cardiology Challenge 2012. Computing in Cardiology 39, 245-248 (2012).",
    ),
    "physionet2019": Citation(
        "Reyna MA, Josef CS, Jeter R, Shashikumar SP, Westover MB, Nemati S, Clifford GD, Sharma A. Early prediction "
        "of sepsis from clinical data: the PhysioNet/Computing in Cardiology Challenge 2019. Critical Care Medicine "
        "48(2), 210-217 (2020).",
        "https://doi.org/10.1097/CCM.0000000000004145",
    ),
    "eicu": Citation(
        "Pollard TJ, Johnson AEW, Raffa JD, Celi LA, Mark RG, Badawi O. The eICU Collaborative Research Database, a "
        "freely available multi-center database for critical care research. Scientific Data 5, 180178 (2018).",
        "https://doi.org/10.1038/sdata.2018.178",
    ),
    "meds": Citation(
        "Arnrich B, Choi E, Fries JA, McDermott MBA, Oh J, Pollard T, Shah N, Steinberg E, Wornow M, van de Water R. "
        "Medical Event Data Standard (MEDS): facilitating machine learning for health. ICLR Workshop on Learning from "
        "Time Series for Health (2024).",
    ),
    "clif": Citation(
        "Rojas JC, Lyons PG, Chhikara K, et al. A common longitudinal intensive care unit data format (CLIF) for "
        "critical illness research. Intensive Care Medicine (2025).",
    ),
    "yaib": Citation(
        "van de Water R, Schmidt H, Elbers P, Thoral P, Arnrich B, Rockenschaub P. Yet Another ICU Benchmark: a "
        "flexible multi-center framework for clinical ML. ICLR 2024.",
        "https://arxiv.org/abs/2306.05109",
    ),
    "ricu": Citation(
        "Bennett N, Plečko D, Ukor IF, Meinshausen N, Bühlmann P. ricu: R's interface to intensive care data. "
        "GigaScience 12, giad041 (2023).",
        "https://doi.org/10.1093/gigascience/giad041",
    ),
    "sun2018": Citation(
        "Sun M, Tang F, Yi J, Wang F, Zhou J. Identify susceptible locations in medical records via adversarial "
        "attacks on deep predictive models. KDD 2018, 793-801.",
        "https://doi.org/10.1145/3219819.3219909",
    ),
    "tang2018": Citation(
        "Tang F, Xiao C, Wang F, Zhou J. Predictive modeling in urgent care: a comparative study of machine learning "
        "approaches. JAMIA Open 1(1), 87-98 (2018).",
        "https://doi.org/10.1093/jamiaopen/ooy011",
    ),
    "original": Citation(
        "lstm_adversarial_attack (“ICU Deep Learning”): the study re-implemented here, which applied the method "
        "of Sun et al. to a bidirectional LSTM on MIMIC-III.",
    ),
    "beck2009": Citation(
        "Beck A, Teboulle M. A fast iterative shrinkage-thresholding algorithm for linear inverse problems. SIAM "
        "Journal on Imaging Sciences 2(1), 183-202 (2009).",
        "https://doi.org/10.1137/080716542",
    ),
    "carlini2017": Citation(
        "Carlini N, Wagner D. Towards evaluating the robustness of neural networks. IEEE Symposium on Security and "
        "Privacy (2017).",
        "https://doi.org/10.1109/SP.2017.49",
    ),
    "lstm": Citation(
        "Hochreiter S, Schmidhuber J. Long short-term memory. Neural Computation 9(8), 1735-1780 (1997).",
        "https://doi.org/10.1162/neco.1997.9.8.1735",
    ),
    "gru": Citation(
        "Cho K, van Merriënboer B, Gulcehre C, Bahdanau D, Bougares F, Schwenk H, Bengio Y. Learning phrase "
        "representations using RNN encoder-decoder for statistical machine translation. EMNLP 2014, 1724-1734.",
        "https://doi.org/10.3115/v1/D14-1179",
    ),
    "integrated-gradients": Citation(
        "Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017, PMLR 70, 3319-3328.",
        "https://proceedings.mlr.press/v70/sundararajan17a.html",
    ),
    "torch": Citation(
        "Paszke A, Gross S, Massa F, et al. PyTorch: an imperative style, high-performance deep learning library. "
        "Advances in Neural Information Processing Systems 32 (2019).",
        "https://doi.org/10.48550/arXiv.1912.01703",
    ),
    "scikit-learn": Citation(
        "Pedregosa F, Varoquaux G, Gramfort A, et al. Scikit-learn: machine learning in Python. Journal of Machine "
        "Learning Research 12, 2825-2830 (2011).",
        "https://jmlr.org/papers/v12/pedregosa11a.html",
    ),
    "optuna": Citation(
        "Akiba T, Sano S, Yanase T, Ohta T, Koyama M. Optuna: a next-generation hyperparameter optimization framework. "
        "KDD 2019, 2623-2631.",
        "https://doi.org/10.1145/3292500.3330701",
    ),
    "polars": Citation("The Polars developers. Polars: dataframes for the new era.", "https://pola.rs"),
    "viridis": Citation(
        "Nuñez JR, Anderton CR, Renslow RS. Optimizing colormaps with consideration for color vision deficiency to "
        "enable accurate interpretation of scientific data. PLoS ONE 13(7), e0199239 (2018).",
        "https://doi.org/10.1371/journal.pone.0199239",
    ),
}
"""Works by key; a source, model or attack names the keys that concern it."""

ALWAYS = ("original", "sun2018", "tang2018", "torch", "scikit-learn")
"""Works that every report rests on."""


def citation(key: str) -> Citation:
    """Return the work behind a key; a key that is not known here stands for itself, so that nothing goes uncited."""
    return CITATIONS.get(key, Citation(key))


def cited(keys: Iterable[str]) -> list[Citation]:
    """Return the works behind these keys and those that every report rests on, each once."""
    return [citation(key) for key in dict.fromkeys([*keys, *ALWAYS])]
