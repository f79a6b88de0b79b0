"""One hospital, many layouts, one tensor: the same patients in each layout give the same grid, to the last bit.

Where a format cannot hold something, the difference is named here and tested.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from icudl.artifacts import GridDataset, SourceTables
from icudl.cli import main
from icudl.errors import ConfigError
from icudl.execution.context import RunContext, SilentProgress
from icudl.execution.serial import SerialExecutor
from icudl.plugins import load_plugin, options_of
from icudl.preprocessing import CohortOptions, SplitOptions
from icudl.preprocessing.outcome import OutcomeOptions
from icudl.sources import WindowOptions
from icudl.sources.locating import Survey
from icudl.sources.synthetic.layouts import LAYOUTS
from icudl.sources.synthetic.layouts.own_tables import CONFIGURATION
from icudl.sources.synthetic.source import write_hospital
from icudl.stages.preprocess import preprocess
from icudl.variables import STUDY_VARIABLES

pytestmark = pytest.mark.slow

PATIENTS, SEED = 60, 7
NAMES = [variable.name for variable in STUDY_VARIABLES]
BOTH_POTASSIUMS = {"potassium": [50822, 50971]}


def _context(scratch: Path) -> RunContext:
    scratch.mkdir(parents=True, exist_ok=True)
    return RunContext(executor=SerialExecutor(), device="cpu", progress=SilentProgress(), scratch=scratch, seed=SEED)


def options_for(layout: str, folder: Path) -> dict[str, Any]:
    given: dict[str, Any] = {"path": str(folder)}
    if layout == "eicu":
        given["vitals"] = ("nursecharting", "vitalperiodic")
    if layout == "yaib":
        given["database"] = "mimic3"
    if layout == "table":
        given["names"] = tomllib.loads((folder / CONFIGURATION).read_text("utf-8"))["source"]["names"]
    return given


def extracted(layout: str, folder: Path, scratch: Path, hours: int = 48, **more: Any) -> SourceTables:
    options = options_of("icudl.sources", layout)(**options_for(layout, folder), **more)
    source = load_plugin("icudl.sources", layout)(options, SEED)
    tables: SourceTables = source.extract(STUDY_VARIABLES, WindowOptions(hours=hours), _context(scratch))
    return tables


class Hospitals:
    """The hospital in each layout, written and read when it is first asked for."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._tables: dict[str, SourceTables] = {}
        self._grids: dict[str, GridDataset] = {}

    def folder(self, layout: str) -> Path:
        folder = self.place / layout
        if not folder.is_dir():
            write_hospital(folder, patients=PATIENTS, seed=SEED, layout=layout)
        return folder

    def tables(self, layout: str) -> SourceTables:
        if layout not in self._tables:
            self._tables[layout] = extracted(layout, self.folder(layout), self.place / f"{layout}-scratch")
        return self._tables[layout]

    def grid(self, layout: str) -> GridDataset:
        if layout not in self._grids:
            self._grids[layout] = grid_of(self.tables(layout), self.place / f"{layout}-grid")
        return self._grids[layout]


def grid_of(tables: SourceTables, scratch: Path, event: str = "hospital_death") -> GridDataset:
    outcome = OutcomeOptions(event=event)
    return preprocess(tables, CohortOptions(), SplitOptions(folds=2), _context(scratch), outcome=outcome)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Hospitals:
    return Hospitals(tmp_path_factory.mktemp("layouts"))


def order(grid: GridDataset) -> np.ndarray:
    """Position of each stay by patient and time: the ids of stays are the layout's own."""
    frame = grid.stays.with_row_index("at").sort("patient_id", "stay_number")
    return frame["at"].to_numpy()


def same(one: GridDataset, other: GridDataset, names: list[str]) -> None:
    """Require equal arrays, to the last bit, of some variables, and equal stays and outcomes."""
    first, second = order(one), order(other)
    columns = [NAMES.index(name) for name in names]
    assert len(first) == len(second) > 10
    for array in ("values", "counts"):
        left, right = getattr(one, array)[first][:, :, columns], getattr(other, array)[second][:, :, columns]
        assert left.tobytes() == right.tobytes(), array
    assert (one.lengths[first] == other.lengths[second]).all()
    assert (one.labels[first] == other.labels[second]).all()
    assert one.stays["sex"].gather(first).equals(other.stays["sex"].gather(second), null_equal=True)


def test_mimic4_holds_everything_but_fractions_of_years(hospitals: Hospitals) -> None:
    one, other = hospitals.grid("mimic3"), hospitals.grid("mimic4")
    same(one, other, NAMES)
    assert one.stays.drop("age_years").equals(other.stays.drop("age_years"), null_equal=True)
    assert (one.is_test == other.is_test).all()
    assert (one.folds == other.folds).all()
    ages = pl.DataFrame({"one": one.stays["age_years"], "other": other.stays["age_years"]})
    first = ages.filter(one.stays["stay_number"] == 1)
    assert (first["one"].floor() == first["other"].floor()).all()


def test_meds_loses_what_32_bits_had_made_of_a_tenth(hospitals: Hospitals) -> None:
    one, other = hospitals.grid("mimic4"), hospitals.grid("meds")
    same(one, other, [name for name in NAMES if name != "tempc"])
    assert one.stays.equals(other.stays, null_equal=True)
    assert other.population == "mimic-iv"
    # CareVue kept 37.2 as 37.2000007629 in 64 bits; of the 32 bits of MEDS the reader makes 37.2.
    temperature = NAMES.index("tempc")
    left, right = one.values[:, :, temperature], other.values[:, :, temperature]
    assert (one.counts[:, :, temperature] == other.counts[:, :, temperature]).all()
    assert np.nanmax(np.abs(left - right)) < 1e-5


@pytest.mark.parametrize("layout", ["eicu", "clif"])
def test_eicu_and_clif_have_one_potassium(layout: str, hospitals: Hospitals, tmp_path: Path) -> None:
    one, other = hospitals.grid("mimic3"), hospitals.grid(layout)
    same(one, other, [name for name in NAMES if name != "potassium"])
    both = extracted("mimic3", hospitals.folder("mimic3"), tmp_path / "both", items=BOTH_POTASSIUMS)
    same(grid_of(both, tmp_path / "grid"), other, NAMES)


def test_eicu_counts_minutes_and_has_no_time_of_death_in_the_unit(hospitals: Hospitals) -> None:
    key = ["patient_id", "stay_number"]
    one = hospitals.tables("mimic3").stays.sort(key)
    other = hospitals.tables("eicu").stays.sort(key)
    longer = other["stay_hours"] - one["stay_hours"]
    assert longer.is_between(0, 1 / 60, closed="left").all()
    pairs = pl.DataFrame({"one": one["death_hours"], "end": other["stay_hours"], "other": other["death_hours"]})
    died = pairs.drop_nulls()
    assert len(died) == one["died"].sum()
    in_unit = died.filter(pl.col("one") <= pl.col("end"))
    assert len(in_unit) > 0
    assert (in_unit["other"] == in_unit["end"]).all()
    on_ward = died.filter(pl.col("one") > pl.col("end"))
    assert (on_ward["one"] - on_ward["other"]).is_between(0, 1 / 60, closed="left").all()


def test_clif_has_the_times_of_mimic(hospitals: Hospitals) -> None:
    key = ["patient_id", "stay_number"]
    columns = ["admission_id", "stay_hours", "death_hours", "died"]
    one, other = (hospitals.tables(layout).stays.sort(key) for layout in ("mimic3", "clif"))
    assert one.select(columns).equals(other.select(columns), null_equal=True)


def test_a_table_of_ones_own_repairs_nothing(hospitals: Hospitals) -> None:
    one, other = hospitals.grid("mimic3"), hospitals.grid("table")
    repaired = hospitals.tables("mimic3").cleaning.filter((pl.col("rule") == "repaired unit") & (pl.col("rows") > 0))
    lost = set(repaired["variable"])
    assert lost == {"tempc", "ph"}
    same(one, other, [name for name in NAMES if name not in lost])
    first, second = order(one), order(other)
    for name in sorted(lost):
        # Numbers in another unit than they were filed in are implausible there, so hours lose values and never gain.
        left = one.counts[first][:, :, NAMES.index(name)].astype(int)
        right = other.counts[second][:, :, NAMES.index(name)].astype(int)
        assert (right <= left).all()
        dropped = dict(
            hospitals.tables("table")
            .cleaning.filter((pl.col("variable") == name) & (pl.col("rule") == "dropped: implausible value"))
            .select("variable", "rows")
            .rows()
        )
        assert dropped[name] >= (left - right).sum() > 0


def test_yaib_has_a_day_of_medians_and_no_patients(hospitals: Hospitals, tmp_path: Path) -> None:
    both = extracted("mimic3", hospitals.folder("mimic3"), tmp_path / "mimic3", hours=24, items=BOTH_POTASSIUMS)
    tables = extracted("yaib", hospitals.folder("yaib"), tmp_path / "yaib", hours=24)
    one = grid_of(both, tmp_path / "one", "icu_death")
    other = grid_of(tables, tmp_path / "other", "icu_death")
    # Left out are stays that end, and patients who die, before hour 30.
    times = one.stays["death_hours"].fill_null(np.inf).to_numpy()
    kept = np.flatnonzero((one.stays["stay_hours"] >= 30).to_numpy() & (times > 30))
    assert len(one.stays) > len(kept) > 40
    assert one.stays["stay_id"].gather(kept).equals(other.stays["stay_id"])
    assert (one.labels[kept] == other.labels).all()
    assert other.labels.sum() > 0
    assert other.stays["patient_id"].equals(other.stays["stay_id"]), "each stay counts as a patient"
    for name in ("sex", "age_years"):
        assert one.stays[name].gather(kept).equals(other.stays[name]), name
    # Hour 0 holds the hour before admission as well: it may have more, and never less.
    repaired = [NAMES.index(name) for name in ("tempc", "ph")]
    exact = [column for column in range(len(NAMES)) if column not in repaired]
    counts, charted = one.counts[kept], other.counts > 0
    assert ((counts > 0) <= charted)[:, 0][:, exact].all()
    # From then on the same hours have a value. The value is the median, so that of one or two entries is their mean.
    later = np.ix_(range(len(kept)), range(1, 24), exact)
    assert ((counts > 0) == charted)[later].all()
    few = counts[later] < 3
    left, right = one.values[kept][later], other.values[later]
    assert left[few].tobytes() == right[few].tobytes()
    assert (left[~few] != right[~few]).any()
    # Numbers in another unit than they were filed in are implausible to ricu: no hour gains by them.
    assert ((counts > 0) >= charted)[:, 1:][:, :, repaired].all()


def test_meds_is_in_the_official_layout(hospitals: Hospitals) -> None:
    folder = hospitals.folder("meds")
    events = pl.read_parquet(folder / "data" / "train" / "0.parquet")
    assert events.schema["time"] == pl.Datetime("us")
    assert events.schema["numeric_value"] == pl.Float32
    assert events["subject_id"].rle().len() == events["subject_id"].n_unique(), "a subject's events are contiguous"
    ordered = events.select((pl.col("time").diff().over("subject_id").dt.total_microseconds() >= 0).all()).item()
    assert ordered
    codes = pl.read_parquet(folder / "metadata" / "codes.parquet")
    assert set(codes["code"]) == set(events["code"])
    assert codes.schema["parent_codes"] == pl.List(pl.String)


def test_servers_give_the_grids_of_the_files_and_of_each_other(
    hospitals: Hospitals, own_database: str, tmp_path: Path
) -> None:
    """Load by ``icudl db load``, find by what ``icudl locate`` asks, and read."""
    grids = {}
    for layout in ("mimic3", "mimic4", "eicu"):
        assert main(["db", "load", str(hospitals.folder(layout)), own_database, "--database", layout, "--quiet"]) == 0
        plugin = load_plugin("icudl.sources", f"{layout}_postgres")
        found = plugin.locate_address(own_database, Survey())
        assert found is not None
        more = {"vitals": ("nursecharting", "vitalperiodic")} if layout == "eicu" else {}
        options = options_of("icudl.sources", f"{layout}_postgres")(**found.settings, **more)
        read = plugin(options, SEED).extract(STUDY_VARIABLES, WindowOptions(), _context(tmp_path / layout))
        assert read.cleaning.equals(hospitals.tables(layout).cleaning)
        grids[layout] = one = grid_of(read, tmp_path / f"{layout}-grid")
        other = hospitals.grid(layout)
        for array in ("values", "counts", "lengths", "labels", "statics", "folds", "is_test"):
            assert getattr(one, array).tobytes() == getattr(other, array).tobytes(), (layout, array)
        assert one.stays.equals(other.stays, null_equal=True)
        assert one.flow.equals(other.flow)
    same(grids["mimic3"], grids["mimic4"], NAMES)
    same(grids["mimic4"], grids["eicu"], [name for name in NAMES if name != "potassium"])


@pytest.mark.parametrize("layout", ["mimic4", "eicu", "meds", "clif", "yaib"])
def test_what_was_written_is_located(layout: str, hospitals: Hospitals) -> None:
    source = load_plugin("icudl.sources", layout)
    found = source.locate(hospitals.folder(layout), Survey())
    assert found is not None
    assert found.is_readable
    assert found.source == layout


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_finished_hospital_is_left_alone(layout: str, tmp_path: Path) -> None:
    write_hospital(tmp_path / "a", patients=140, seed=1, layout=layout, noise_rows=0)
    written = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*.*")}
    write_hospital(tmp_path / "a", patients=140, seed=1, layout=layout, noise_rows=0)
    assert written == {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*.*")}
    assert not (tmp_path / "a" / ".parts").exists()
    with pytest.raises(ConfigError, match="holds another synthetic hospital"):
        write_hospital(tmp_path / "a", patients=140, seed=1, noise_rows=0, file_format="csv")


def test_unknown_layouts_and_formats(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"layout 'mimic' is unknown\. Did you mean 'mimic[34]'"):
        write_hospital(tmp_path / "a", patients=1, seed=1, layout="mimic")
    with pytest.raises(ConfigError, match=r"'csv' is unknown for the layout meds. Expected one of parquet"):
        write_hospital(tmp_path / "a", patients=1, seed=1, layout="meds", file_format="csv")
    with pytest.raises(ConfigError, match=r"'xlsx' is unknown for the layout mimic3"):
        write_hospital(tmp_path / "a", patients=1, seed=1, file_format="xlsx")
