"""A hospital that does not exist, written as MIMIC-III tables, so that it passes through the reader of the real one.

It serves development and tests: every step of the pipeline meets the structure and the flaws of real tables, and the
truth is known. It gives no clinical findings: nothing about it was fitted to patients.

**Severity.** Every ICU stay has a severity S that no table shows. At hour t after ICU admission::

    S(t) = m + d (1 - exp(-t / 24)) + z(t) + 1.2 exp(-(t_death - t) / 8)

m is the level: frailty of the patient (standard deviation 0.7, plus 0.3 for 16 years above 64) and the admission
(0.8). d ~ Normal(-0.15, 0.9) is the drift: patients get better or worse. z is a first-order autoregressive process
(standard deviation 0.3, correlation exp(-1/10) from hour to hour). The last term, the terminal decline, exists only
for those who die.

**Death.** In hour t in the ICU the hazard of death is::

    h(t) = (1 - exp(-t / 96)) exp(-9.6 + 3.1 S(t))

where S excludes the terminal decline. On the ward afterwards it is a quarter of exp(-9.6 + 3.1 (S - 0.5)), with S at
ICU discharge. A patient who dies has no later stay. So the course decides, not only the level: a patient who arrives
well and deteriorates is in greater danger at hour 48 than one who arrives ill and recovers. Values charted after hour
48 tell more of the outcome than a model of the first 48 hours may know.

**Measurements.** A value is mean + slope * w * S(t) + baseline + noise, or the exponential of it (``items``);
the baseline is the stay's own, and so is the weight w of each of four organ groups (gamma, mean 1). Vital signs are
charted about hourly, labs are drawn at rates that grow with exp(S), so a missing value carries information.

**Flaws.** CareVue and MetaVision item ids, Celsius and Fahrenheit (and Fahrenheit filed under the Celsius item), cuff
and arterial pressures, entries flagged as errors (MetaVision only), repeated and contradicting rows, impossible values,
texts instead of numbers, empty values, rows without ICUSTAY_ID or HADM_ID, two specimens at one time, outpatient labs,
stays without any charted row, stays less than a day apart, children and newborns, ages hidden behind 300 years.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import ClassVar

from icudl.artifacts import SourceTables
from icudl.errors import ConfigError, suggestion
from icudl.execution.base import Executor
from icudl.execution.context import Progress, RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.files import remove_folder
from icudl.sources.base import SourceBase, SourceFingerprint, SourceOptions, WindowOptions
from icudl.sources.mimic.stays import TOLD
from icudl.sources.mimic3.options import Mimic3Options
from icudl.sources.rules import mimic3_rules
from icudl.sources.synthetic.course import GENERATOR_VERSION
from icudl.sources.synthetic.files import FORMATS, MIMIC3, PATIENT_TABLES, Hospital, write_tables
from icudl.sources.synthetic.items import CHART_ITEMS, LABS
from icudl.sources.synthetic.layouts import LAYOUTS
from icudl.sources.synthetic.options import SyntheticOptions
from icudl.variables import Variable

DEFAULT_NOISE_ROWS = 0.05
"""Rows of items that the study does not read, for each row of CHARTEVENTS that it reads."""

MIMIC_NOISE_ROWS = 13.8
"""The same as in MIMIC-III, which has 330 million rows of CHARTEVENTS for 46,520 patients."""


def write_hospital(
    folder: Path,
    patients: int,
    seed: int,
    *,
    layout: str = "mimic3",
    file_format: str = "",
    noise_rows: float = DEFAULT_NOISE_ROWS,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a hospital into a folder.

    In MIMIC-III's layout these are PATIENTS, ADMISSIONS, ICUSTAYS, CHARTEVENTS, LABEVENTS, D_ITEMS and D_LABITEMS; the
    same patients can be written in other layouts (``synthetic.layouts``).

    The same arguments give the same bytes, with any number of workers. Memory does not grow with the hospital. After a
    kill, the same call continues the work. A file ``synthetic.json`` describes the hospital.

    Args:
        folder: Created if missing; must be empty or hold the same hospital, finished or not.
        patients: Size of the hospital.
        seed: Root of all its random streams.
        layout: ``"mimic3"``, ``"mimic4"``, ``"eicu"``, ``"meds"``, ``"clif"``, ``"yaib"`` or ``"table"``.
        file_format: ``"csv.gz"``, ``"csv"`` or ``"parquet"``; "" for the layout's usual one.
        noise_rows: Rows of unread items for each row that is read; ``MIMIC_NOISE_ROWS`` for a realistic table.
        executor: Makes blocks of patients of a large hospital side by side; serial by default.
        progress: Shows patients done.

    Raises:
        ConfigError: The layout is unknown or lacks the format, a number is out of range, or the folder holds
            something else.
    """
    if layout != MIMIC3 and layout not in LAYOUTS:
        known = (MIMIC3, *LAYOUTS)
        raise ConfigError(f"layout {layout!r} is unknown.{suggestion(layout, known)} Known: {', '.join(known)}.")
    formats = FORMATS if layout == MIMIC3 else LAYOUTS[layout].formats
    file_format = file_format or formats[0]
    if file_format not in formats:
        raise ConfigError(
            f"format {file_format!r} is unknown for the layout {layout}. Expected one of {', '.join(formats)}."
        )
    if patients < 1 or noise_rows < 0:
        raise ConfigError(
            f"patients = {patients} and noise_rows = {noise_rows:g}: expected at least 1 patient and no negative share."
        )
    hospital = Hospital(Path(folder), patients, seed, noise_rows, file_format, layout)
    write_tables(hospital, executor or SerialExecutor(), progress or SilentProgress())


class SyntheticSource(SourceBase):
    """The synthetic hospital as a data source: written into the scratch folder and read like MIMIC-III.

    Attributes:
        restricted: False: the patients are simulated.
        population: Contains the hospital's seed, which decides who its patients are, and not their number: a smaller
            hospital of the same seed has patients of the larger one, under the same ids.
        available: Names of the variables whose course is simulated.
    """

    Options: ClassVar[type[SourceOptions]] = SyntheticOptions

    restricted = False
    outcomes = TOLD

    def __init__(self, options: SyntheticOptions, seed: int) -> None:
        """Take the size of the hospital from the options, and its seed unless it is -1; else it is ``seed``."""
        self._patients = options.patients
        self._seed = seed if options.seed == -1 else options.seed
        self.population = f"synthetic hospital {self._seed}"
        super().__init__(options, seed)
        charted = {entry.item for entry in CHART_ITEMS} | {lab.item for lab in LABS}
        self.available = frozenset(rule.variable for rule in mimic3_rules().rules if charted & set(rule.items))

    def fingerprint(self, memory: Path) -> SourceFingerprint:  # noqa: ARG002 - nothing here is worth remembering
        """Identify the hospital by its arguments and by the rules of its reader."""
        details = {
            "generator": "synthetic hospital",
            "generator_version": GENERATOR_VERSION,
            "patients": self._patients,
            "seed": self._seed,
            "rules": mimic3_rules().digest,
        }
        digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode()).hexdigest()
        return SourceFingerprint(digest=digest, details=details)

    def extract(self, variables: tuple[Variable, ...], window: WindowOptions, context: RunContext) -> SourceTables:
        """Write the hospital, read it through the reader of MIMIC-III files, and remove it again.

        Raises:
            SourceError: The hospital does not write the table of a requested variable.
        """
        from icudl.sources.mimic.folder import require_event_tables
        from icudl.sources.mimic3.files import Mimic3Files

        written = [table.lower() for table in PATIENT_TABLES]
        require_event_tables(mimic3_rules(), variables, written, "the synthetic hospital", Mimic3Files.layout)
        folder = context.scratch / "hospital"
        if not folder.is_dir():
            partial = context.scratch / ".hospital.partial"
            write_hospital(partial, self._patients, self._seed, executor=context.executor, progress=context.progress)
            partial.rename(folder)
        tables = Mimic3Files(Mimic3Options(path=str(folder)), self._seed).extract(variables, window, context)
        remove_folder(folder)
        return dataclasses.replace(tables, population=self.population)

    def reach(self) -> str:
        """Describe the hospital; it has no data to look for."""
        return f"{self._patients:,} patients of the {self.population}"
