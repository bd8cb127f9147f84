"""`pytest benchmarks` with the options and plugins that people have: each cell is measured once, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bcdl.records import store
from tests.faults import driver, foreign_plugin
from tests.faults.conftest import Injected

FOREIGN = ("-p", foreign_plugin.__name__)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return driver.plan(tmp_path_factory.mktemp("plan"))


def statuses(results: Path) -> list[str]:
    """The status of each record that was kept."""
    records, problems = store.read_all(results)
    assert not problems
    return [record.status for _, record in records]


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        (("-n", "2"), {}, "error: -n 2: cells run one after another"),
        (("-n", "auto"), {}, "error: -n auto: cells run one after another"),
        (("-n", "logical"), {}, "error: -n logical: cells run one after another"),
        (("-n", "2", "--dist", "no"), {}, "error: -n 2: cells run one after another"),
        (("--dist", "load", "--tx", "2*popen"), {}, "error: --tx 2*popen: cells run one after another"),
        (("--dist", "each", "--tx", "popen"), {}, "error: --tx popen: cells run one after another"),
        (("-f",), {}, "error: --looponfail: each file that a cell writes"),
        (("-o", "addopts=-n 2 --import-mode=importlib"), {}, "error: -n 2: cells run one after another"),
        ((), {"PYTEST_ADDOPTS": "-n 2"}, "error: -n 2: cells run one after another"),
        ((), {"PYTEST_XDIST_WORKER": "gw0"}, "error: PYTEST_XDIST_WORKER is set"),
        ((*FOREIGN, "--forked"), {}, "error: --forked: a process of its own for each benchmark"),
        ((*FOREIGN, "--boxed"), {}, "error: --boxed: a process of its own for each benchmark"),
        ((*FOREIGN, "--workers", "2"), {}, "error: --workers 2: cells run one after another"),
        ((*FOREIGN, "--tests-per-worker", "2"), {}, "error: --tests-per-worker 2: cells run one after another"),
        ((*FOREIGN, "--parallel-threads", "2"), {}, "error: --parallel-threads 2: cells run one after another"),
        ((*FOREIGN, "--timeout", "60"), {}, "error: --timeout 60: a cell that pytest-timeout cuts short"),
        ((*FOREIGN, "-o", "timeout=60"), {}, "error: --timeout 60: a cell that pytest-timeout cuts short"),
        (FOREIGN, {"PYTEST_TIMEOUT": "60"}, "error: --timeout 60: a cell that pytest-timeout cuts short"),
        (("-p", "no:benchmark"), {}, "error: pytest's plugin 'benchmark' shows what is measured"),
        (("-p", "no:terminal"), {}, "error: pytest's plugin 'terminal' shows what is measured"),
        (("--benchmark-json", "/proc/none/b.json"), {}, "error: --benchmark-json /proc/none/b.json can't be written"),
        (("--benchmark-json", "tests"), {}, "error: --benchmark-json tests can't be written"),
        (("--junitxml", "/proc/none/j.xml"), {}, "error: --junitxml /proc/none/j.xml can't be written"),
        (
            ("--benchmark-autosave", "--benchmark-storage", "/proc/none"),
            {},
            "error: --benchmark-storage /proc/none",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_would_measure_at_once_again_or_in_vain_is_refused_before_the_first_cell(
    tmp_path: Path, plan: Path, injected: Injected, options: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    with injected("pytest_options"):
        code, said = driver.session(tmp_path / "results", plan, *options, **variables)
        assert (code, message in said, "Traceback" in said) == (2, True, False), said
        assert statuses(tmp_path / "results") == []


@pytest.mark.parametrize(
    "options",
    [
        ("-n", "0"),
        ("--benchmark-disable",),
        ("--benchmark-cprofile", "tottime"),
        ("-p", "no:cacheprovider"),
        ("-p", "no:capture"),
        (*FOREIGN, "--timeout", "0"),
    ],
    ids=" ".join,
)
def test_a_cell_is_measured_once_whatever_else_is_asked_of_pytest(
    tmp_path: Path, plan: Path, injected: Injected, options: tuple[str, ...]
) -> None:
    with injected("pytest_options"):
        code, said = driver.session(tmp_path / "results", plan, *options)
        assert (code, "4 passed" in said) == (0, True), said
        assert statuses(tmp_path / "results") == ["ok"]


@pytest.mark.parametrize("kind", ["forks", "threads"])
def test_no_unknown_plugin_measures_in_another_process_or_thread(
    tmp_path: Path, plan: Path, injected: Injected, kind: str
) -> None:
    with injected("pytest_plugins"):
        _, said = driver.session(tmp_path / "results", plan, *FOREIGN, "--foreign", kind)
        assert "error: a plugin of pytest runs this benchmark in a process or thread of its own" in said, said
        assert statuses(tmp_path / "results") == []


@pytest.mark.parametrize(("kind", "shown"), [("repeats", 8), ("reorders", 4)])
def test_an_unknown_plugin_that_repeats_or_reorders_benchmarks_has_their_cell_measured_once(
    tmp_path: Path, plan: Path, injected: Injected, kind: str, shown: int
) -> None:
    with injected("pytest_plugins"):
        code, said = driver.session(tmp_path / "results", plan, *FOREIGN, "--foreign", kind)
        assert (code, f"{shown} passed" in said) == (0, True), said
        assert statuses(tmp_path / "results") == ["ok"]


def test_what_is_no_benchmark_may_be_chosen_beside_them(tmp_path: Path, plan: Path) -> None:
    code, said = driver.session(tmp_path / "results", plan, "tests/test_sources.py")
    assert (code, statuses(tmp_path / "results")) == (0, ["ok"]), said


def test_to_show_what_would_run_touches_no_folder(tmp_path: Path, plan: Path) -> None:
    code, said = driver.session(tmp_path / "results", plan, "--setup-plan")
    assert (code, (tmp_path / "results").exists()) == (0, False), said


def test_a_cell_that_a_plugin_cuts_short_is_not_begun_again(tmp_path: Path, plan: Path, injected: Injected) -> None:
    with injected("pytest_plugins"):
        code, said = driver.session(tmp_path / "results", plan, *FOREIGN, "--foreign", "cuts short")
        assert (code, "it took too long" in said) == (1, True), said
        assert said.count("its cell was cut short, and is not measured again in this run") >= 3
        assert statuses(tmp_path / "results") == []


def test_a_plugin_that_fails_at_the_end_costs_no_record(tmp_path: Path, plan: Path) -> None:
    regression = ("--benchmark-compare", "--benchmark-compare-fail", "mean:5%", "--benchmark-storage", str(tmp_path))
    code, said = driver.session(tmp_path / "results", plan, *regression)
    assert (code, "error: pytest could not show its results (UsageError: " in said) == (1, True), said
    assert statuses(tmp_path / "results") == ["ok"]


def test_a_workers_traceback_stays_in_its_log_which_is_named(tmp_path: Path) -> None:
    failing = driver.plan(tmp_path, at={0: "raise_an_exception"})
    code, said = driver.session(tmp_path / "results", failing)
    (log,) = tmp_path.glob("results/local/runs/*/*.log")
    assert (code, "Traceback" in said) == (1, False), said
    assert f"what its worker printed: {log}\n" in said
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_what_pytest_benchmark_shows_are_the_records_samples(tmp_path: Path, plan: Path) -> None:
    """Whatever it is asked to do with a function that it times itself."""
    own = ("--benchmark-timer", "time.perf_counter", "--benchmark-warmup", "on", "--benchmark-min-rounds", "50")
    code, said = driver.session(tmp_path / "results", plan, *own, "--benchmark-json", str(tmp_path / "bench.json"))
    assert code == 0, said
    ((_, record),), _ = store.read_all(tmp_path / "results")
    shown = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["benchmarks"]
    assert {benchmark["extra_info"]["regime"]: benchmark["stats"]["data"] for benchmark in shown} == {
        regime: pytest.approx(record.samples[f"{regime}_s"]) for regime in ("fit", "step", "predict", "request")
    }
