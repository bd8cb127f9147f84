"""The one rule of what must agree: that it is one, that all who need it follow it, and what it says of each fact."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.evaluation import agreement, leakage_premium
from bcdl.machine import hardware, provenance
from bcdl.records import comparability, experiment, store
from bcdl.records.comparability import FACTS, Evidence, Fact, Purpose, differences, key
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.runner.run import Run
from bcdl.settings.cell import Cell
from bcdl.statistics import comparison
from tests import pages
from tests.factory import EXPERIMENT, job, record, with_rates
from tests.in_process import completed
from tests.predictions import predicted, split

ROOT = Path(__file__).resolve().parents[2]
BCDL = ROOT / "bcdl"
# They hold a data set that was just loaded against the record of one: two records are compared by none of them.
OF_LOADED_DATA = ("gallery.py", "images.py", "inputs.py")
# Words by which records name facts that decide what may be compared.
KEYS = {
    *("cpu", "cpu_cores", "cpu_cores_allowed", "gpus", "driver", "python", "versions", "commit", "dirty", "code"),
    *("checksum", "images_checksum", "sha256", "initial_weights"),
    *("identity", "hardware", "digest", "cpu_quota_cores", "variables", "threads", "code_changed"),
}


def changed(made: Record, part: str, **values: Any) -> Record:
    """The record with some values of one of its parts changed."""
    return dataclasses.replace(made, **{part: {**getattr(made, part), **values}})


def altitude(made: Record, number: int) -> Record:
    return changed(made, "environment", altitude=number)


@pytest.fixture
def another_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more row, that must agree for all purposes: what a later version does to have a fact count everywhere."""
    row = Fact("altitude", lambda evidence: evidence.environment.get("altitude"), tuple(Purpose))
    monkeypatch.setattr(comparability, "FACTS", (*FACTS, row))


def test_each_fact_has_a_name_of_its_own_and_each_setting_is_one() -> None:
    names = [fact.name for fact in FACTS]
    assert len(set(names)) == len(names)
    assert {field.name for field in dataclasses.fields(Cell)} < set(names)


@pytest.mark.usefixtures("another_fact")
def test_a_row_more_counts_in_tables() -> None:
    records = [("m", altitude(record(seed=seed), number)) for seed, number in ((0, 1), (1, 1), (0, 2))]
    groups = group_records(records)
    assert sorted(len(group.records) for group in groups) == [1, 2]
    assert sorted(group.title.rpartition(", ")[2] for group in groups) == ["altitude 1", "altitude 2"]
    assert len({group.slug for group in groups}) == 2
    # The files of the older group keep the name that they had before there was another.
    (alone,) = group_records(records[:2])
    assert alone.slug in {group.slug for group in groups}
    assert "altitude" not in alone.title


@pytest.mark.usefixtures("another_fact")
def test_a_row_more_counts_in_compare() -> None:
    a, b = (comparison.samples(altitude(record(), number)) for number in (1, 2))
    with pytest.raises(UsageError, match="A and B share no cell: altitude is 1 in A and 2 in B"):
        comparison.compare(a, b)


@pytest.mark.usefixtures("another_fact")
def test_a_row_more_counts_in_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {**hardware.describe("cpu"), "altitude": 2}
    monkeypatch.setattr(hardware, "describe", lambda device: here)
    made = changed(record(), "environment", **here, code=provenance.digest("torch"))
    store.append(tmp_path, hardware.machine_name("cpu"), made)
    again = Run([job()], tmp_path, resume=True)
    assert "resumed: 1 of 1 cells have their record already" in again.check()
    assert again.estimates().seconds(job().cell) == 60
    here = {**here, "altitude": 1}
    otherwise = Run([job()], tmp_path, resume=True)
    assert "1 of 1 cells run again: their records differ from what is asked now in altitude" in otherwise.check()
    assert otherwise.left == [job()]
    assert otherwise.estimates().seconds(job().cell) is None


@pytest.mark.usefixtures("another_fact")
@pytest.mark.parametrize(("across", "values"), [("backend", ("jax", "torch")), ("seed", (0, 1))])
def test_a_row_more_counts_in_agreement(across: str, values: tuple[Any, Any]) -> None:
    test = split([0.1, 0.9] * 10, [0, 1] * 10)
    models = [altitude(predicted(test, **{across: value}), place) for place, value in enumerate(values)]
    pairs, refused = agreement.pairs(Group("m", "c", tuple(models)))
    assert pairs == []
    assert [pair.reason for pair in refused] == ["not the same altitude"]


@pytest.mark.usefixtures("another_fact")
def test_a_row_more_counts_in_the_leakage_premium() -> None:
    test = split([0.1, 0.9] * 10, [0, 1] * 10)
    ways = [
        changed(predicted(test, split_by=way, folds=2), "dataset", images_checksum="c") for way in ("group", "image")
    ]
    assert len(leakage_premium.pairs(group_records([("m", altitude(made, 1)) for made in ways]))) == 1
    otherwise = [("m", altitude(made, number)) for number, made in enumerate(ways)]
    assert leakage_premium.pairs(group_records(otherwise)) == []


def environments_compared(source: str) -> list[str]:
    """The comparisons in the source that read, on either side, what decides whether two records may be compared."""
    compared = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    return [ast.unparse(node) for node in compared if any(map(_reads_a_fact, ast.walk(node)))]


def _reads_a_fact(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ("environment", "checksum", "images_checksum")
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value in KEYS
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
    return called and isinstance(node.args[0], ast.Constant) and node.args[0].value in KEYS


def test_nobody_else_decides_by_the_facts_of_records() -> None:
    files = [file for file in BCDL.rglob("*.py") if file.name not in (*OF_LOADED_DATA, "comparability.py")]
    assert len(files) > 100
    by_file = {file.name: environments_compared(file.read_text(encoding="utf-8")) for file in files}
    assert {name: compared for name, compared in by_file.items() if compared} == {}


@pytest.mark.parametrize(
    "source",
    [
        "a.environment['cpu'] == b.environment['cpu']",
        "x = [f for f in found if f.dataset.get('checksum') != checksum]",
        "if {r.environment.get('python') for r in a} != {'3.11'}: pass",
    ],
)
def test_the_contract_sees_what_the_seven_places_did(source: str) -> None:
    assert environments_compared(source)


PURPOSES = st.sampled_from(list(Purpose))
VALUES = st.sampled_from([None, 1, "x", ["a"], {"numpy": "1", "bcdl": "2"}])
IDENTITIES = st.sampled_from([{}, {"hardware": "0"}, {"hardware": "1", "vendor": "x"}])
ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("cpu", "cpu_cores_allowed", "cpu_quota_cores", "python", "code"), VALUES),
        "identity": IDENTITIES,
        "variables": st.dictionaries(st.sampled_from(["OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL"]), st.just("1")),
        "code_changed": st.booleans(),
    },
)
CELLS = st.builds(
    dict, model=st.sampled_from(["cnn", "mobilenet"]), seed=st.integers(0, 1), folds=st.sampled_from([0, 2])
)


@settings(deadline=None)  # the first draws the data set of its records
@given(PURPOSES, st.tuples(ENVIRONMENTS, ENVIRONMENTS), st.tuples(CELLS, CELLS))
def test_two_cells_have_the_same_key_if_nothing_differs_and_only_then(
    purpose: Purpose, environments: tuple[dict[str, Any], ...], cells: tuple[dict[str, Any], ...]
) -> None:
    made = [record(**cell) for cell in cells]
    sides = [Evidence.of(changed(each, "environment", **more)) for each, more in zip(made, environments, strict=True)]
    differing = differences(*sides, purpose)
    unknown = {difference.fact for difference in differing if difference.a is difference.b is None}
    same = key(sides[0], purpose) == key(sides[1], purpose)
    assert same == (not {difference.fact for difference in differing} - unknown)
    assert [(d.fact, d.b, d.a) for d in differing] == list(map(tuple, differences(*reversed(sides), purpose)))


@pytest.mark.parametrize(
    ("part", "values", "apart"),
    [
        ("environment", {"cpu_cores_allowed": 1}, "TABLE PREMIUM RATES RESUME DURATION EXPERIMENTS"),
        ("environment", {"cpu_quota_cores": 1.5}, "TABLE PREMIUM RATES RESUME DURATION EXPERIMENTS"),
        (
            "environment",
            {"identity": {"hardware": "0"}},
            "TABLE PREMIUM RATES RESUME DURATION PARITY EXPERIMENTS",
        ),
        ("environment", {"identity": {"digest": "0", "unknown": ["l2_kib"]}}, ""),
        (
            "environment",
            {"variables": {"OMP_NUM_THREADS": "1"}},
            "TABLE VARIANTS PREMIUM RATES RESUME DURATION PARITY EXPERIMENTS",
        ),
        ("environment", {"variables": {}}, "TABLE VARIANTS PREMIUM RATES RESUME DURATION PARITY EXPERIMENTS"),
        ("environment", {"threads": {"intra_op": 1}}, "RATES"),
        ("environment", {"code_changed": True}, "RATES RESUME RESUME_ON_NODES COMPILED MACHINES"),
        ("environment", {"clock_mhz": 2000.0, "hypervisor": True, "gpu_uuids": ["0"]}, ""),
        ("environment", {"cpu": "another"}, "RATES RESUME DURATION"),
        ("environment", {"driver": "1.2"}, "RATES RESUME"),
        ("environment", {"gpu": {"cuda_driver": "13.0"}}, "RATES RESUME"),
        ("environment", {"gpu": {"power_limit_w": 350.0}}, "RATES RESUME DURATION"),
        ("environment", {"gpu": {"ecc": False}}, "RATES RESUME DURATION"),
        ("environment", {"gpu": {"memory_mib": 81559, "present": 2}, "gpu_processes": 1}, ""),
        ("environment", {"versions": {"keras": "3.15.1", "nvidia-cudnn-cu13": "9.1", "triton": "3"}}, ""),
        ("environment", {"python": "3.12.1"}, "RATES RESUME RESUME_ON_NODES MACHINES"),
        ("environment", {"code": "0" * 16}, "RATES RESUME RESUME_ON_NODES COMPILED MACHINES"),
        ("environment", {"commit": "0" * 40}, "RATES"),
        ("environment", {"dirty": True}, "RATES"),
        ("environment", {"versions": {"keras": "4"}}, "RATES RESUME RESUME_ON_NODES SEEDS MACHINES PARITY"),
        ("environment", {"versions": {"keras": "3.15.1", "bcdl": "9"}}, ""),
        ("dataset", {"checksum": "0"}, "TABLE VARIANTS PREMIUM RATES RESUME RESUME_ON_NODES BACKENDS SEEDS MACHINES"),
        ("weights", {"sha256": "0"}, "RATES RESUME RESUME_ON_NODES BACKENDS SEEDS MACHINES"),
        ("model", {"initial_weights": "others"}, "BACKENDS MACHINES"),
    ],
)
def test_each_fact_sets_records_apart_for_its_purposes_alone(part: str, values: dict[str, Any], apart: str) -> None:
    made = changed(record(), "model", initial_weights="w")
    sides = Evidence.of(made), Evidence.of(changed(made, part, **values))
    assert [purpose.name for purpose in Purpose if differences(*sides, purpose)] == [
        purpose.name for purpose in Purpose if purpose.name in apart.split()
    ]


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ({"cpu_cores_allowed": 1, "cpu_quota_cores": 1.5, "cpu_cores": 1, "cpu": "another"}, ""),
        ({"identity": {"hardware": "0"}, "gpus": ["another"], "driver": "1.2"}, ""),
        ({"gpu": {"cuda_driver": "13.0", "power_limit_w": 350.0, "ecc": False}}, ""),
        ({"variables": {"OMP_NUM_THREADS": "1"}}, "TABLE VARIANTS PREMIUM RESUME"),
        ({"python": "3.12.1"}, "RESUME"),
    ],
)
def test_where_a_cell_of_accuracy_alone_was_trained_sets_no_diagnoses_apart(values: dict[str, Any], apart: str) -> None:
    """Before, five folds that two machines had trained were two tables, of some folds each."""
    made = record(timing=False)
    sides = Evidence.of(made, "m"), Evidence.of(changed(made, "environment", **values), "another")
    of_quality = (Purpose.TABLE, Purpose.VARIANTS, Purpose.PREMIUM, Purpose.RESUME)
    assert " ".join(purpose.name for purpose in of_quality if differences(*sides, purpose)) == apart


@pytest.mark.parametrize(
    "package",
    ["nvidia-cudnn-cu12", "nvidia-cublas", "nvidia-nccl-cu13", "jax-cuda13-plugin", "jax-cuda12-pjrt", "triton"],
)
def test_libraries_for_gpus_count_on_a_gpu_alone(package: str) -> None:
    for device, count in (("gpu", 1), ("cpu", 0)):
        made = record(device=device)
        versions = {**made.environment["versions"], package: "9.1"}
        sides = Evidence.of(made), Evidence.of(changed(made, "environment", versions=versions))
        assert [d.fact for d in differences(*sides, Purpose.RATES)] == ["versions"] * count


def test_diagnoses_across_backends_must_be_known_to_start_alike() -> None:
    unknown = Evidence.of(record())
    assert [difference.fact for difference in differences(unknown, unknown, Purpose.BACKENDS)] == ["initial weights"]


def test_a_setting_at_its_old_value_leaves_older_keys_as_they_were() -> None:
    adam = Evidence.of(record())
    sgd = dataclasses.replace(adam, settings={**adam.settings, "optimizer": "sgd"})
    assert "optimizer" not in dict(key(adam, Purpose.TABLE))
    assert dict(key(sgd, Purpose.TABLE))["optimizer"] == "sgd"
    assert differences(adam, sgd, Purpose.TABLE) == [("optimizer", "adam", "sgd")]


def side(results: Path, name: str, change: Callable[[Record], Record]) -> Path:
    """A record file of ten rounds of a side of a run in turn."""
    for number in range(10):
        made = change(record(run=f"r-{name}"))
        made = with_rates(made, step=100.0 + number)
        store.append(results, "m", dataclasses.replace(made, block=f"r/{number}", side=name))
    return results / "records" / "m" / f"r-{name}.jsonl"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpu_cores_allowed": 1}, "A and B share no cell: cores allowed is 2 in A and 1 in B"),
        ({"python": "3.12.1", "commit": "0" * 40}, "A and B differ in python and commit: measure them with only one"),
    ],
)
def test_the_command_refuses_files_that_differ_in_what_resume_knew_all_along(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Before, `--resume` knew the Python, and nobody the cores that were allowed: such sides were compared."""
    here = {"cpu_cores_allowed": 2, "python": "3.11.7"}
    a = side(tmp_path, "a", lambda made: changed(made, "environment", **here))
    b = side(tmp_path, "b", lambda made: changed(made, "environment", **{**here, **values}))
    done = completed("compare", a, b)
    assert (done.returncode, done.stderr[:7]) == (2, "error: ")
    assert message in done.stderr


def test_the_command_takes_uncommitted_changes_for_the_axis_commit(tmp_path: Path) -> None:
    a = side(tmp_path, "a", lambda made: made)
    b = side(tmp_path, "b", lambda made: changed(made, "environment", dirty=True, code="0" * 16))
    assert completed("compare", a, b, "--across", "commit").returncode == 0
    done = completed("compare", a, b, "--across", "precision")
    assert (done.returncode, "A and B share no cell: commit is " in done.stderr) == (2, True)


PLACES = [
    ({"cpu_cores_allowed": 2}, {"cpu_cores_allowed": 1}, "cores allowed", "cores"),
    ({"cpu_quota_cores": 0.5}, {"cpu_quota_cores": 1.5}, "CPU quota", "cores"),
    ({}, {"identity": {"hardware": "1a2b3c4d", "vendor": "AuthenticAMD"}}, "identity", "identity"),
    ({"identity": {"hardware": "00000000"}}, {"identity": {"hardware": "1a2b3c4d"}}, "identity", "identity"),
    ({"variables": {}}, {"variables": {"OMP_NUM_THREADS": "1"}}, "variables", "variables"),
]


@pytest.mark.parametrize(("one", "other", "fact", "axis"), PLACES)
def test_the_report_puts_what_ran_elsewhere_in_another_table(
    one: dict[str, Any], other: dict[str, Any], fact: str, axis: str, tmp_path: Path
) -> None:
    """Before, the newest record replaced the others of its cell, on whatever it ran."""
    for (number, values), seed in itertools.product(enumerate((one, other), 1), (0, 1)):
        made = record(run=f"2026010{number}T000000Z-0000", seed=seed)
        store.append(tmp_path, "m", changed(made, "environment", **values))
        tried = dataclasses.replace(EXPERIMENT, run=made.run, environment={**EXPERIMENT.environment, **values})
        experiment.append(tmp_path, "m", tried)
    done = completed("report", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    page = pages.text(tmp_path)
    titles = [line for line in page.splitlines() if line.startswith("# synthetic")]
    assert len(titles) == 2
    assert all(f", {fact} " in title for title in titles)
    plots = [folder.name for folder in (tmp_path / "plots").iterdir()]
    assert sorted(name.partition("-")[0] for name in plots) == ["answer", "synthetic", "synthetic"]
    places = [line for line in page.splitlines() if line.startswith("# Experiments on m")]
    assert len(set(places)) == 2
    assert all(f", {fact} " in place for place in places)
    assert len(list((tmp_path / "tables").glob("experiment-*.csv"))) == 2


@pytest.mark.parametrize(("one", "other", "fact", "axis"), PLACES)
def test_the_command_compares_places_only_if_it_is_asked_to(
    one: dict[str, Any], other: dict[str, Any], fact: str, axis: str, tmp_path: Path
) -> None:
    """Before, one core beside two was a regression of the software."""
    a = side(tmp_path, "a", lambda made: changed(made, "environment", **one))
    b = side(tmp_path, "b", lambda made: changed(made, "environment", **other))
    done = completed("compare", a, b)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: A and B share no cell: {fact} is ")
    assert done.stderr.endswith(f"; --across {axis} compares them along it\n")
    assert completed("compare", a, b, "--across", axis).returncode == 0
    wrong = completed("compare", a, b, "--across", "versions")
    assert (wrong.returncode, f"{fact} is " in wrong.stderr) == (2, True)


def test_a_side_of_several_places_is_no_side(tmp_path: Path) -> None:
    """Along an axis that is free they would be one cell."""
    numbers = itertools.cycle((1, 2))
    a = side(tmp_path, "a", lambda made: changed(made, "environment", cpu_cores_allowed=next(numbers)))
    b = side(tmp_path, "b", lambda made: changed(made, "environment", cpu_cores_allowed=4))
    done = completed("compare", a, b, "--across", "cores")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "A mixes several cores allowed in one cell (1, 2): give records of one of them" in done.stderr


def test_the_command_prints_which_code_the_sides_ran(tmp_path: Path) -> None:
    a = side(tmp_path, "a", lambda made: changed(made, "environment", commit="a" * 40, code="0" * 16))
    b = side(tmp_path, "b", lambda made: changed(made, "environment", commit="a" * 40, code="1" * 16, dirty=True))
    done = completed("compare", a, b)
    assert done.returncode == 0, done.stderr
    assert f"A ran commit {'a' * 10}, code {'0' * 16}\n" in done.stdout
    assert f"B ran commit {'a' * 10}*, code {'1' * 16}\n" in done.stdout


def test_the_command_leaves_out_records_of_code_that_changed_while_it_ran(tmp_path: Path) -> None:
    a = side(tmp_path, "a", lambda made: made)
    edited = iter([True] * 3 + [False] * 7)
    b = side(tmp_path, "b", lambda made: changed(made, "environment", code_changed=next(edited)))
    done = completed("compare", a, b)
    assert done.returncode == 0, done.stderr
    assert f"{b}: 9 rates do not count: their code changed while it ran" in done.stderr
    assert "7 and 7" in done.stdout
    none = side(tmp_path / "none", "b", lambda made: changed(made, "environment", code_changed=True))
    done = completed("compare", a, none)
    assert (done.returncode, "all code of a side changed while it ran" in done.stderr) == (2, True)
