"""Items of the synthetic hospital: responses to severity, impossible entries, and items that the study does not read.

Item ids, labels and units are those of MIMIC-III (D_ITEMS, D_LABITEMS); each variable's response to severity is ours.
"""

from __future__ import annotations

import dataclasses

SPECIMEN = 50800


@dataclasses.dataclass(frozen=True, kw_only=True)
class Response:
    """How a quantity follows severity: ``mean + slope * w * S + baseline of the stay + noise``, or exp of that.

    Attributes:
        name: Key of the quantity.
        mean: Value at severity 0.
        slope: Change per unit of severity.
        spread: Standard deviation of the baseline between stays.
        noise: Standard deviation of one measurement around its stay.
        organ: 0 circulation, 1 lungs, 2 kidneys, 3 blood and liver: which weight w of the stay applies.
        logarithmic: All of the above on the natural logarithm of the value.
        low: Values are clipped to this.
        high: Values are clipped to this.
        decimals: Digits charted behind the point.
        impossible: Texts that a wrong entry of this quantity reads.
    """

    name: str
    mean: float
    slope: float
    spread: float
    noise: float
    organ: int
    logarithmic: bool = False
    low: float
    high: float
    decimals: int
    impossible: tuple[str, ...]


def _vital(name: str, numbers: tuple[float, ...], organ: int, low: float, high: float, wrong: str) -> Response:
    mean, slope, spread, noise = numbers
    decimals = 1 if name == "tempc" else 0
    return Response(
        name=name,
        mean=mean,
        slope=slope,
        spread=spread,
        noise=noise,
        organ=organ,
        low=low,
        high=high,
        decimals=decimals,
        impossible=tuple(wrong.split()),
    )


HEART_RATE = _vital("heartrate", (84.0, 9.0, 11.0, 6.5), 0, 25, 210, "0 10000000")
SYSTOLIC = _vital("sysbp", (122.0, -10.0, 15.0, 10.0), 0, 45, 240, "0 -30 14276")
DIASTOLIC = _vital("diasbp", (61.0, -5.0, 8.5, 7.0), 0, 20, 140, "0 1172")
TEMPERATURE = _vital("tempc", (36.95, 0.15, 0.4, 0.4), 3, 31, 42, "0 986")
RESPIRATION = _vital("resprate", (18.5, 2.4, 3.0, 3.5), 1, 5, 60, "0 2222222")
SATURATION = _vital("spo2", (97.0, -1.0, 1.3, 1.6), 1, 55, 100, "0 9900")

VITALS = (HEART_RATE, SYSTOLIC, DIASTOLIC, TEMPERATURE, RESPIRATION, SATURATION)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lab:
    """One laboratory item of a draw.

    Attributes:
        item: ITEMID in LABEVENTS.
        response: How its value comes about.
        share: Share of the draws of its kind that ask for it.
        label: LABEL in D_LABITEMS.
        unit: VALUEUOM.
        normal: Reference interval; FLAG is "abnormal" outside it.
        loinc: LOINC_CODE in D_LABITEMS.
    """

    item: int
    response: Response
    share: float
    label: str
    unit: str
    normal: tuple[float, float]
    loinc: str


def _lab(
    item: int,
    label: str,
    unit: str,
    loinc: str,
    share: float,
    numbers: tuple[float, ...],
    shape: tuple[int, float, float, int],
    normal: tuple[float, float],
    wrong: str,
    *,
    logarithmic: bool = False,
) -> Lab:
    mean, slope, spread, noise = numbers
    organ, low, high, decimals = shape
    response = Response(
        name=label,
        mean=mean,
        slope=slope,
        spread=spread,
        noise=noise,
        organ=organ,
        logarithmic=logarithmic,
        low=low,
        high=high,
        decimals=decimals,
        impossible=tuple(wrong.split()),
    )
    return Lab(item=item, response=response, share=share, label=label, unit=unit, normal=normal, loinc=loinc)


GAS_LABS: tuple[Lab, ...] = (
    _lab(50820, "pH", "units", "11558-4", 0.99, (7.385, -0.03, 0.035, 0.03), (1, 6.7, 7.8, 2), (7.35, 7.45), "735 0"),
    _lab(50818, "pCO2", "mm Hg", "11557-6", 0.99, (40.0, 1.0, 7.5, 4.5), (1, 12, 140, 0), (35, 45), "0 888"),
    _lab(
        50813,
        "Lactate",
        "mmol/L",
        "32693-4",
        0.55,
        (0.55, 0.38, 0.3, 0.25),
        (0, 0.3, 30, 1),
        (0.5, 2.0),
        "0 165",
        logarithmic=True,
    ),
    _lab(
        50808,
        "Free Calcium",
        "mmol/L",
        "1994-3",
        0.6,
        (1.14, -0.025, 0.06, 0.05),
        (3, 0.5, 2, 2),
        (1.12, 1.32),
        "0 112",
    ),
    _lab(
        50822,
        "Potassium, Whole Blood",
        "mEq/L",
        "6298-4",
        0.55,
        (4.15, 0.13, 0.4, 0.35),
        (2, 2, 9, 1),
        (3.3, 5.1),
        "0 41",
    ),
)
CHEMISTRY_LABS: tuple[Lab, ...] = (
    _lab(
        51006,
        "Urea Nitrogen",
        "mg/dL",
        "3094-0",
        0.99,
        (3.0, 0.28, 0.5, 0.1),
        (2, 2, 250, 0),
        (6, 20),
        "0 1000",
        logarithmic=True,
    ),
    _lab(
        50912,
        "Creatinine",
        "mg/dL",
        "2160-0",
        0.99,
        (0.05, 0.25, 0.45, 0.1),
        (2, 0.2, 25, 1),
        (0.4, 1.2),
        "0 808",
        logarithmic=True,
    ),
    _lab(50983, "Sodium", "mEq/L", "2951-2", 0.99, (138.8, 0.2, 3.6, 1.6), (2, 108, 175, 0), (133, 145), "0 14"),
    _lab(50882, "Bicarbonate", "mEq/L", "1963-8", 0.99, (24.5, -1.6, 2.6, 1.5), (2, 5, 48, 0), (22, 32), "0 240"),
    _lab(
        50931,
        "Glucose",
        "mg/dL",
        "2345-7",
        0.99,
        (4.85, 0.05, 0.22, 0.22),
        (3, 25, 900, 0),
        (70, 105),
        "0 9999",
        logarithmic=True,
    ),
    _lab(50960, "Magnesium", "mg/dL", "2601-3", 0.9, (2.0, 0.03, 0.22, 0.16), (2, 0.8, 6, 1), (1.6, 2.6), "0 205"),
    _lab(50862, "Albumin", "g/dL", "1751-7", 0.2, (3.2, -0.25, 0.45, 0.2), (3, 0.9, 5.5, 1), (3.5, 5.2), "0 33"),
    _lab(50971, "Potassium", "mEq/L", "2823-3", 0.99, (4.1, 0.1, 0.4, 0.3), (2, 2, 9, 1), (3.3, 5.1), "0 41"),
    _lab(50893, "Calcium, Total", "mg/dL", "2000-8", 0.85, (8.5, -0.12, 0.6, 0.3), (3, 4, 14, 1), (8.4, 10.3), "0 85"),
)
COUNT_LABS: tuple[Lab, ...] = (
    _lab(
        51265,
        "Platelet Count",
        "K/uL",
        "777-3",
        0.97,
        (5.25, -0.13, 0.45, 0.08),
        (3, 5, 1500, 0),
        (150, 440),
        "0 21400",
        logarithmic=True,
    ),
    _lab(51222, "Hemoglobin", "g/dL", "718-7", 0.97, (10.4, -0.1, 1.5, 0.5), (3, 4, 18, 1), (12, 16), "0 104"),
)
LABS: tuple[Lab, ...] = GAS_LABS + CHEMISTRY_LABS + COUNT_LABS


@dataclasses.dataclass(frozen=True)
class ChartItem:
    """A row of D_ITEMS."""

    item: int
    label: str
    metavision: bool
    unit: str
    category: str = "Routine Vital Signs"


CHART_ITEMS: tuple[ChartItem, ...] = (
    ChartItem(211, "Heart Rate", False, "BPM"),
    ChartItem(220045, "Heart Rate", True, "bpm"),
    ChartItem(51, "Arterial BP [Systolic]", False, "mmHg"),
    ChartItem(442, "Manual BP [Systolic]", False, "mmHg"),
    ChartItem(455, "NBP [Systolic]", False, "mmHg"),
    ChartItem(6701, "Arterial BP #2 [Systolic]", False, "mmHg"),
    ChartItem(220179, "Non Invasive Blood Pressure systolic", True, "mmHg"),
    ChartItem(220050, "Arterial Blood Pressure systolic", True, "mmHg"),
    ChartItem(8368, "Arterial BP [Diastolic]", False, "mmHg"),
    ChartItem(8440, "Manual BP [Diastolic]", False, "mmHg"),
    ChartItem(8441, "NBP [Diastolic]", False, "mmHg"),
    ChartItem(8555, "Arterial BP #2 [Diastolic]", False, "mmHg"),
    ChartItem(220180, "Non Invasive Blood Pressure diastolic", True, "mmHg"),
    ChartItem(220051, "Arterial Blood Pressure diastolic", True, "mmHg"),
    ChartItem(676, "Temperature C", False, "Deg. C"),
    ChartItem(677, "Temperature C (calc)", False, "Deg. C"),
    ChartItem(678, "Temperature F", False, "Deg. F"),
    ChartItem(679, "Temperature F (calc)", False, "Deg. F"),
    ChartItem(223761, "Temperature Fahrenheit", True, "?F"),
    ChartItem(223762, "Temperature Celsius", True, "?C"),
    ChartItem(615, "Resp Rate (Total)", False, "BPM"),
    ChartItem(618, "Respiratory Rate", False, "BPM"),
    ChartItem(220210, "Respiratory Rate", True, "insp/min"),
    ChartItem(224690, "Respiratory Rate (Total)", True, "insp/min"),
    ChartItem(646, "SpO2", False, "%"),
    ChartItem(220277, "O2 saturation pulseoxymetry", True, "%"),
)


@dataclasses.dataclass(frozen=True)
class NoiseItem:
    """An item that the study does not read, and what its entries look like: numbers in a range, or texts."""

    item: int
    label: str
    unit: str
    metavision: bool
    low: float = 0.0
    high: float = 0.0
    texts: tuple[str, ...] = ()


def _texts(item: int, label: str, metavision: bool, texts: str) -> NoiseItem:
    return NoiseItem(item, label, "", metavision, texts=tuple(texts.split("|")))


NOISE_ITEMS: tuple[NoiseItem, ...] = (
    NoiseItem(52, "Arterial BP Mean", "mmHg", False, 40, 120),
    NoiseItem(456, "NBP Mean", "mmHg", False, 40, 120),
    NoiseItem(113, "CVP", "mmHg", False, 0, 25),
    NoiseItem(190, "FiO2 Set", "torr", False, 0.21, 1),
    NoiseItem(198, "GCS Total", "points", False, 3, 15),
    NoiseItem(682, "Tidal Volume (Obser)", "ml/B", False, 250, 800),
    NoiseItem(807, "Fingerstick Glucose", "", False, 60, 300),
    _texts(212, "Heart Rhythm", False, "Normal Sinus|Sinus Tachy|Atrial Fib|Sinus Brady|Paced"),
    _texts(128, "Code Status", False, "Full Code|Do Not Resuscita|Comfort Measures"),
    _texts(161, "Ectopy Type", False, "None|PVC's|PAC's"),
    _texts(425, "LLL Lung Sounds", False, "Clear|Diminished|Coarse, bilateral|Crackles"),
    _texts(80, "Bowel Sounds", False, "Present|Hypoactive|Absent"),
    NoiseItem(220052, "Arterial Blood Pressure mean", "mmHg", True, 40, 120),
    NoiseItem(220181, "Non Invasive Blood Pressure mean", "mmHg", True, 40, 120),
    NoiseItem(220074, "Central Venous Pressure", "mmHg", True, 0, 25),
    NoiseItem(223835, "Inspired O2 Fraction", "", True, 21, 100),
    NoiseItem(224695, "Peak Insp. Pressure", "cmH2O", True, 10, 45),
    NoiseItem(224685, "Tidal Volume (observed)", "mL", True, 250, 800),
    NoiseItem(225664, "Glucose finger stick", "", True, 60, 300),
    _texts(220048, "Heart Rhythm", True, "SR (Sinus Rhythm)|ST (Sinus Tachycardia) |AF (Atrial Fibrillation)|SB"),
    _texts(224650, "Ectopy Type 1", True, "None|PVCs|PACs"),
    _texts(223986, "RUL Lung Sounds", True, "Clear|Diminished|Crackles|Exp Wheeze"),
    _texts(224084, "Activity", True, "Bedrest|Chair|Turned, supine"),
    _texts(223898, "Orientation", True, "Oriented x 3|Oriented x 2|Disoriented"),
)
NOISE_LABS: tuple[NoiseItem, ...] = (
    NoiseItem(51221, "Hematocrit", "%", True, 20, 50),
    NoiseItem(51301, "White Blood Cells", "K/uL", True, 2, 30),
    NoiseItem(50902, "Chloride", "mEq/L", True, 90, 120),
    NoiseItem(50868, "Anion Gap", "mEq/L", True, 6, 25),
    NoiseItem(50970, "Phosphate", "mg/dL", True, 1, 8),
    NoiseItem(51237, "INR(PT)", "", True, 0.9, 4),
    NoiseItem(51275, "PTT", "sec", True, 20, 90),
    NoiseItem(50824, "Sodium, Whole Blood", "mEq/L", True, 125, 150),
    NoiseItem(50809, "Glucose", "mg/dL", True, 60, 300),
    NoiseItem(50821, "pO2", "mm Hg", True, 40, 300),
    _texts(51508, "Urine Color", True, "Yellow|Straw|Amber|Red, turbid"),
    _texts(51506, "Urine Appearance", True, "Clear|Hazy|Cloudy"),
)

UNREADABLE = ("ERROR", "NOTDONE", "HEMOLYZED", "Unable to obtain", ">assay", "see comment, repeated")
SPECIMEN_KINDS = ("ART", "VEN", "CENTRAL VENOUS")
