"""`--budget`: what fits is run, what does not is left out and named, and all ends in time. Workers are stand-ins."""

from __future__ import annotations

import io
import json
import re
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.machine import hardware
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.runner import budget
from bcdl.runner.budget import Budget, BudgetedRun
from bcdl.runner.estimates import Estimates, Took
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import Run
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from tests.factory import as_of_older, job, record
from tests.faults import driver

CNN, MOBILENET, RESNET = (job(model=model) for model in ("cnn", "mobilenet", "resnet50"))


class Session:
    """A run within a budget, of workers that take `seconds`; `said` is what it printed."""

    def __init__(
        self,
        folder: Path,
        jobs: list[Job],
        left_s: float,
        seconds: float = 0.0,
        earlier: dict[Job, float] | None = None,
        limits: Limits | None = None,
    ) -> None:
        worker = driver.worker(driver.plan(folder, seconds))
        self.run = Run(jobs, folder / "results", limits=limits or Limits(), worker=worker)
        self.run.check()
        self._text = io.StringIO()
        known = [Took(job.cell, 24, seconds) for job, seconds in (earlier or {}).items()]
        estimates = Estimates(known, {job.cell: 24 for job in jobs})
        progress = RunProgress(
            Console(file=self._text, width=200), [job.cell for job in jobs], folder / "status", estimates
        )
        within = Budget("1m", 15.0, left_s, time.monotonic() + left_s)
        self.budgeted = BudgetedRun(self.run, jobs, progress, within)

    @property
    def said(self) -> str:
        return self._text.getvalue()

    @property
    def records(self) -> list[Record]:
        return [record for _, record in store.read_all(self.run.results)[0]]

    @property
    def recorded(self) -> list[str]:
        return [record.cell.model for record in self.records]


def test_what_does_not_fit_is_left_out_with_its_reason(tmp_path: Path) -> None:
    session = Session(tmp_path, [RESNET, CNN], 100, earlier={CNN: 1.0, RESNET: 1e4})
    assert session.budgeted.intention == (
        "--budget 1m, 15 s of it for the report: 1 of 2 cells planned, about 1 s; not planned: resnet50 (about 2.8 h)"
    )
    assert [job.cell.model for job in session.budgeted.order] == ["cnn", "resnet50"]
    assert session.budgeted.run_until(CNN) == ""
    assert "left out, since it did not fit in --budget 1m (about" in session.budgeted.run_until(RESNET)
    assert session.recorded == ["cnn"]
    left_out, advice = session.budgeted.summary()
    assert left_out.startswith("left out, since they did not fit in --budget 1m: resnet50 (about ")
    # With the same budget it would not fit either.
    assert advice == "the same command with --resume and a longer --budget runs the rest"


def test_whichever_is_asked_for_first_the_plan_is_followed(tmp_path: Path) -> None:
    session = Session(tmp_path, [RESNET, MOBILENET, CNN], 100, earlier={CNN: 2.0, MOBILENET: 1.0, RESNET: 3.0})
    assert session.budgeted.run_until(RESNET) == ""
    assert session.recorded == ["mobilenet", "cnn", "resnet50"]
    assert session.budgeted.summary() == []


def test_cells_that_measure_no_speed_share_a_process_once_each_model_has_a_cell(tmp_path: Path) -> None:
    jobs = [job(model=model, seed=seed, timing=False) for model in ("cnn", "mobilenet") for seed in range(3)]
    session = Session(tmp_path, jobs, 100, earlier={jobs[0]: 1.0, jobs[3]: 2.0})
    assert session.budgeted.run_until(jobs[2]) == ""
    before = [(each.cell.model, each.environment["process"]["cells_before"]) for each in session.records]
    assert before == [
        ("cnn", 0),
        *(("mobilenet", number) for number in range(3)),
        *(("cnn", number) for number in range(2)),
    ]


def test_in_a_shared_process_too_a_cell_is_begun_only_if_it_fits(tmp_path: Path) -> None:
    """The first takes six times as long as earlier, after which no other is expected to fit."""
    jobs = [job(seed=seed, timing=False) for seed in range(4)]
    session = Session(tmp_path, jobs, 11.0, seconds=6.0, earlier={jobs[0]: 1.0})
    assert "4 of 4 cells planned" in session.budgeted.intention
    assert ["left out" in session.budgeted.run_until(each) for each in jobs] == [False, True, True, True]
    assert len(session.records) == 1
    assert "cnn (3 cells, about" in session.budgeted.summary()[0]


def test_of_an_unknown_machine_that_is_said_and_the_cheapest_is_first(tmp_path: Path) -> None:
    session = Session(tmp_path, [RESNET, CNN, MOBILENET], 100)
    assert session.budgeted.intention.endswith(
        "how long cells take on this machine is not known yet; the cell of fewest operations runs first, and each one "
        "that ends gives a new plan"
    )
    session.budgeted.run_until(RESNET)
    assert session.recorded == ["mobilenet", "cnn", "resnet50"]


def test_a_plan_that_changes_is_shown(tmp_path: Path) -> None:
    """The CNN takes a hundredth of what it took earlier, and so the others are expected to."""
    session = Session(tmp_path, [CNN, RESNET], 100, earlier={CNN: 50.0, RESNET: 80.0})
    assert "1 of 2 cells planned, about 50 s; not planned: resnet50 (about 80 s)" in session.budgeted.intention
    session.budgeted.run_until(RESNET)
    assert "new plan: 1 of 1 cells planned, about" in session.said
    assert session.recorded == ["cnn", "resnet50"]


def test_a_cell_that_runs_when_the_time_is_over_is_ended_and_leaves_no_record(tmp_path: Path) -> None:
    session = Session(tmp_path, [CNN, MOBILENET], 2.0, seconds=60.0)
    start = time.monotonic()
    ended = session.budgeted.run_until(MOBILENET)
    assert time.monotonic() - start < 50
    assert re.search("ended unfinished after [012] s, without a record, since --budget 1m was over", ended)
    assert "left out, since it did not fit in --budget 1m (no estimate)" in session.budgeted.run_until(CNN)
    assert session.recorded == []
    assert not session.run.records
    assert "mobilenet on torch, seed 0: ended unfinished, without a record: the time for cells is over" in session.said
    cut, left_out, advice = session.budgeted.summary()
    assert left_out == "left out, since they did not fit in --budget 1m: cnn (no estimate)"
    assert cut.startswith("mobilenet on torch, seed 0: ended unfinished after ")
    assert advice == "the same command with --resume and a longer --budget runs the rest"


def test_a_cell_beyond_its_own_limit_is_a_finding_as_ever(tmp_path: Path) -> None:
    session = Session(tmp_path, [CNN], 100, seconds=60.0, limits=Limits(seconds=0.5))
    assert session.budgeted.run_until(CNN) == ""
    assert session.run.records[CNN].status == "timed_out"


def test_many_cells_of_a_model_are_named_together(tmp_path: Path) -> None:
    jobs = [CNN, *(job(model="resnet50", seed=seed) for seed in range(3))]
    session = Session(tmp_path, jobs, 100, earlier={CNN: 1.0, RESNET: 120.0})
    assert session.budgeted.intention.endswith("not planned: resnet50 (3 cells, about 6 min)")


def test_what_is_kept_for_the_report_grows_with_its_plots(tmp_path: Path) -> None:
    empty = Budget.begin("10m", 600, tmp_path)
    for number in range(10):
        file = tmp_path / "plots" / "a-group" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert Budget.begin("10m", 600, tmp_path).report_s == empty.report_s + 10 * budget._REPORT_S_A_PLOT
    assert 0 < empty.left_s <= 600 - empty.report_s


def recorded_earlier(results: Path, model: str, seconds: int) -> None:
    """Leave the record of a cell as the command below runs it, which took so long on this machine."""
    values = as_of_older(record(model=model))
    values["environment"] |= hardware.describe("cpu")
    values["ended"] = f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}.000+00:00"
    store.append(results, hardware.machine_name("cpu"), Record.from_json(json.dumps(values)))


def test_the_command_runs_what_fits_and_resume_runs_the_rest(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for model, seconds in (("cnn", 1), ("mobilenet", 1), ("nasnetlarge", 3000)):
        recorded_earlier(results, model, seconds)
    plan, models = driver.plan(tmp_path, seconds=0.5), ("--models", "nasnetlarge,cnn,mobilenet", "-rs")
    first = driver.command(results, plan, *models, "--budget", "10m", cells=1)
    said = first.communicate()[0]
    assert first.returncode == 0, said
    assert (
        "--budget 10m, 30 s of it for the report: 2 of 3 cells planned, about 2 s; not planned: nasnetlarge (about "
        "50 min)"
    ) in said
    assert "[1/2]" in said
    assert "8 passed, 4 skipped" in said
    assert said.count("left out, since it did not fit in --budget 10m (about ") >= 1
    assert "left out, since they did not fit in --budget 10m: nasnetlarge (about" in said
    assert said.rindex("the same command with --resume and a longer --budget runs the rest") > said.rindex("report")
    rest = driver.command(results, plan, *models, "--resume", "--budget", "4h", cells=1)
    said = rest.communicate()[0]
    assert rest.returncode == 0, said
    assert "resumed: 2 of 3 cells have their record already" in said
    assert "1 of 1 cells planned, about 50 min" in said
    assert "12 passed" in said
    assert "did not fit" not in said


def test_a_run_that_is_interrupted_blames_no_budget(tmp_path: Path) -> None:
    run = driver.command(tmp_path / "results", driver.plan(tmp_path, seconds=60), "--budget", "10m", cells=2)
    said = ""
    while "measuring" not in said:
        line = run.stdout.readline()
        assert line, said
        said += line
    run.send_signal(signal.SIGINT)
    said += run.communicate()[0]
    assert "interrupted: 0 of 2 cells are done and recorded; the same command with --resume runs the rest" in said
    assert "unfinished" not in said


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0m", "--budget '0m' is no amount above 0 with its unit; write it as 90s, 30m or 4h, 8760h at most"),
        ("soon", "--budget 'soon' is no amount above 0 with its unit"),
        ("30s", "--budget 30s leaves no time for cells: 30 s are kept for the report; give more"),
    ],
)
def test_a_budget_that_cannot_be_used_ends_with_2(tmp_path: Path, value: str, message: str) -> None:
    run = driver.command(tmp_path / "results", driver.plan(tmp_path), "--budget", value, cells=1)
    said = run.communicate()[0]
    assert run.returncode == 2, said
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "results").exists()
