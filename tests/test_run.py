"""`bcdl run FILE.toml`: every cell of a study runs once, whatever ends the command before. Workers are stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bcdl import backends, run
from bcdl.machine import provenance
from bcdl.records import log, runs, store
from bcdl.records.record import Record
from bcdl.runner import supervisor
from bcdl.runner.progress import State
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.settings import matrix
from tests.conftest import ROOT
from tests.faults import driver
from tests.in_process import completed

SMALL = {"profile": "smoke", "device": "cpu", "data": "synthetic-48", "image-size": 32, "models": "cnn"}
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def write(folder: Path, *tables: Mapping[str, Any]) -> Path:
    """The study's file of these tables, each with what is `SMALL` if it does not say otherwise."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in SMALL.items()]
    for table in tables:
        lines += ["[[matrix]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    file = folder / "study.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def plan_of(folder: Path, backend: str, **more: Any) -> Path:
    """The plan of a backend's stand-ins, whose records are of its code."""
    own = folder / f"plan-{backend}"
    own.mkdir(exist_ok=True)
    file = driver.plan(own, **more)
    values = json.loads(file.read_text(encoding="utf-8"))
    values["record"]["environment"]["code"] = provenance.digest(backend)
    file.write_text(json.dumps(values), encoding="utf-8")
    return file


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command on a study of these tables; `options` are its own, `plan` is for the stand-ins."""
    monkeypatch.setattr(supervisor, "_POLL_S", 0.02)
    monkeypatch.setattr(backends, "is_installed", lambda name: True)

    def run_study(*tables: Mapping[str, Any], options: tuple[str, ...] = (), **plan: Any) -> Any:
        def make(jobs: Any, *arguments: Any, **flags: Any) -> Run:
            worker = driver.worker(plan_of(tmp_path, jobs[0].cell.backend, **plan))
            return Run(jobs, *arguments, **flags, worker=worker)

        monkeypatch.setattr(run, "Run", make)
        return completed("run", write(tmp_path, *tables), "--results", tmp_path / "results", *options)

    return run_study


def records(folder: Path) -> list[Record]:
    return [record for _, record in store.read_all(folder / "results")[0]]


def interrupted_after(count: int, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Ctrl-C as soon as so many records are kept."""
    keep, kept = Run.keep, Counter[str]()

    def keep_and_stop(of: Run, job: Any, outcome: Record) -> None:
        keep(of, job, outcome)
        kept["all"] += 1
        if kept["all"] == count:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "keep", keep_and_stop)
    return monkeypatch


TWO_BACKENDS = {"backends": ["torch", "jax"], "seed": [0, 1], "learning-rate": [0.1, 0.01]}


def test_every_cell_runs_backend_by_backend_as_one_run(command: Command, tmp_path: Path) -> None:
    done = command(TWO_BACKENDS)
    assert done.returncode == 0, done.stderr
    made = records(tmp_path)
    assert [record.cell.backend for record in made] == ["torch"] * 4 + ["jax"] * 4
    assert [(record.cell.learning_rate, record.cell.seed) for record in made[:4]] == [
        *((0.1, seed) for seed in (0, 1)),
        *((0.01, seed) for seed in (0, 1)),
    ]
    assert "[1/8] cnn on torch, seed 0, learning rate 0.1: " in done.stdout
    assert "[8/8] cnn on jax, seed 1, learning rate 0.01: ok" in done.stdout
    assert len({record.run for record in made}) == 1
    (file,) = (tmp_path / "results" / log.RECORDS).glob("*/*.jsonl")
    (folder,) = (tmp_path / "results" / runs.RUNS).iterdir()
    assert file.stem == folder.name == made[0].run
    assert len(list(folder.glob("*.log"))) == 8  # one a cell, although the names of cells do not tell them apart
    state = State.read(folder / STATUS_FILE)
    assert state is not None
    assert (state.done, state.failed, state.left) == (8, 0, 0)
    assert state.title == "cnn on jax, seed 1, learning rate 0.01"
    assert (tmp_path / "results" / "README.md").is_file()
    for rate in ("Adam 0.1,", "Adam 0.01,"):  # a table for each, and their titles tell them apart
        assert " ".join(done.stdout.split()).count(rate) == 1


def test_an_interrupted_study_says_what_is_done_and_resume_runs_the_rest(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupted_after(3, patch)
        first = command(TWO_BACKENDS)
    assert first.returncode == 130
    assert first.stderr == (
        "interrupted; every finished cell's record is kept; 3 of 8 cells are done and recorded; the same command with "
        "--resume runs the rest, and bcdl report shows what is there\n"
    )
    again = command(TWO_BACKENDS, options=("--resume",))
    assert again.returncode == 0, again.stderr
    assert "resumed: 3 of 4 cells on torch have their record already" in again.stdout
    assert "resumed: 0 of 4 cells on jax have their record already" in again.stdout
    assert "[1/5] cnn on torch, seed 1, learning rate 0.01: " in again.stdout
    assert len({record.cell for record in records(tmp_path)}) == len(records(tmp_path)) == 8
    third = command(TWO_BACKENDS, options=("--resume",))
    assert third.returncode == 0, third.stderr
    assert "[1/" not in third.stdout
    assert len(records(tmp_path)) == 8


def test_of_a_long_study_no_cell_is_lost_or_run_twice_however_often_it_is_interrupted(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells that measure no speed share a worker, in which they are cut short in the middle."""
    table = {"backends": ["jax", "torch"], "timing": False, "seed": list(range(60)), "patience": [0, 1]}
    codes = []
    for count in (7, 1, 100, 50, 1000):
        with monkeypatch.context() as patch:
            interrupted_after(count, patch)
            codes.append(command(table, options=("--resume",)).returncode)
    assert codes == [130, 130, 130, 130, 0]
    cells = [record.cell for record in records(tmp_path)]
    assert len(cells) == len(set(cells)) == 240


def test_a_cell_that_fails_costs_no_other_and_gives_exit_code_1(command: Command, tmp_path: Path) -> None:
    table = {**TWO_BACKENDS, "backends": "torch", "seed": [0, 1, 2]}
    done = command(table, at={1: "failed", 2: "skipped"})
    assert done.returncode == 1
    assert done.stderr == (
        "error: 4 of 6 cells are not ok (2 failed, 2 skipped); the lines above say why, and the same command with "
        "--resume runs those again that may end otherwise\n"
    )
    assert "cnn on torch, seed 1, learning rate 0.01: failed: " in done.stdout
    assert Counter(record.status for record in records(tmp_path)) == {"ok": 2, "failed": 2, "skipped": 2}
    again = command(table, options=("--resume",))
    assert again.returncode == 1  # what was skipped would be so again
    assert "2 of 6 cells are not ok (2 skipped)" in again.stderr
    assert len(records(tmp_path)) == 8


def test_cells_that_two_tables_give_run_once_and_that_is_told(command: Command, tmp_path: Path) -> None:
    done = command({"backends": "torch", "seed": [0, 1]}, {"backends": ["torch"], "seed": [1, 2]})
    assert done.returncode == 0, done.stderr
    assert "study.toml, matrix 2: 1 of its cells are of matrix 1, too (cnn on torch, seed 1, for one); each runs" in (
        done.stdout
    )
    assert [record.cell.seed for record in records(tmp_path)] == [0, 1, 2]


ONE = {"backends": "torch"}


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({**ONE, "epochs": 0}, (), "study.toml, matrix 1, epochs: '0' is not a whole number from 1 to 100,000"),
        ({**ONE, "data": "nowhere"}, (), "study.toml, matrix 1, data: no data set "),
        ({**ONE, "batch-size": 500}, (), "--batch-size 500 is more than the 28 training images"),
        ({**ONE, "split-by": "image"}, ("--require-clean",), "--require-clean: data set synthetic-48 leaks"),
        (ONE, ("--python", "torch"), "--python torch names no backend, or no Python; write it as in jax=PATH"),
        (ONE, ("--python", "=x"), "--python =x names no backend, or no Python"),
        (ONE, ("--python", "jax=x"), "--python jax: the file asks for cells on torch alone; leave it out"),
        (ONE, ("--python", "torch=x", "--python", "torch=y"), "--python names two of torch; a backend runs by one"),
        (ONE, ("--python", "torch=/no/python"), "--python torch: there is no Python at '/no/python'"),
        (ONE, ("--budget", "1s"), "--budget 1s leaves no time for cells: 30 s are kept for the report; give more"),
        (ONE, ("--budget", "x"), "--budget 'x' is no amount above 0 with its unit"),
        (ONE, ("--cell-timeout", "x"), "--cell-timeout 'x' is no amount above 0 with its unit"),
        (ONE, ("--memory-limit", "x"), "--memory-limit 'x' is no amount above 0 with its unit"),
        (ONE, ("--results", "study.toml"), ""),
    ],
)
def test_what_cannot_run_is_refused_before_the_first_cell(
    command: Command, tmp_path: Path, table: dict[str, Any], options: tuple[str, ...], message: str
) -> None:
    if not message:
        (tmp_path / "results").write_text("mine")
        options, message = (), f"{tmp_path / 'results'} can't be written"
    done = command(table, {"backends": "torch", "seed": 7}, options=options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: {message}")
    assert not list(tmp_path.glob("results/records/*/*.jsonl"))


def python(folder: Path, installed: bool) -> Path:
    """A Python that says that it has a backend or not, notes what it runs, and is this one besides."""
    environment = folder / "environment"
    (environment / "bin").mkdir(parents=True)
    answer = {"installed": installed, "software": {"python": "3.11.7", "versions": {"keras": "9.9"}}}
    script = (
        f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{json.dumps(answer)}'; exit; fi\n"
        f'echo "$2" >> "{environment}/ran"\nexec "{sys.executable}" "$@"\n'
    )
    program = environment / "bin" / "python"
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)
    return environment


@pytest.mark.skipif(sys.platform == "win32", reason="the Python here is a script of a Unix shell")
@pytest.mark.parametrize("is_named_by_its_folder", [True, False])
def test_each_backend_runs_by_the_python_that_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named_by_its_folder: bool
) -> None:
    """Which this one, that lacks it, need not have."""
    monkeypatch.setattr(backends, "is_installed", lambda name: name != "jax")
    environment = python(tmp_path, installed=True)
    path = environment if is_named_by_its_folder else environment / "bin" / "python"
    table = {"backends": ["torch", "jax"], "seed": [0, 1]}
    done = command(table, options=("--python", f"jax={path}"), at={1: "end_at_once"})
    assert done.returncode == 1, done.stderr
    assert (environment / "ran").read_text().split() == ["tests.faults.good_worker"] * 2
    crashed = {record.cell.backend: record for record in records(tmp_path) if not record.ok}
    assert crashed["jax"].environment["versions"] == {"keras": "9.9"}
    assert crashed["torch"].environment["versions"] == provenance.versions()


@pytest.mark.skipif(sys.platform == "win32", reason="as above")
def test_a_python_without_the_backend_is_refused(command: Command, tmp_path: Path) -> None:
    environment = python(tmp_path, installed=False)
    done = command({"backends": ["torch", "jax"]}, options=("--python", f"jax={environment}"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "lacks jax or Keras" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_backend_that_this_python_lacks_is_refused_with_the_way_to_name_another(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: name != "jax")
    done = command({"backends": ["torch", "jax"]})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: study.toml, backends: jax not installed in this Python; ")
    assert "--python jax=PATH; bcdl env jax --at PATH makes one" in done.stderr


def test_within_a_budget_each_backend_has_a_cell_before_any_has_two(command: Command, tmp_path: Path) -> None:
    done = command({"backends": ["torch", "jax"], "seed": [0, 1]}, options=("--budget", "10m"))
    assert done.returncode == 0, done.stderr
    assert (
        "--budget 10m, 30 s of it for the report: how long cells take on this machine is not known yet" in done.stdout
    )
    assert {record.cell.backend for record in records(tmp_path)[:2]} == {"torch", "jax"}
    assert len(records(tmp_path)) == 4


def test_what_does_not_fit_in_a_budget_is_named_and_resume_runs_it(command: Command, tmp_path: Path) -> None:
    table = {"backends": ["torch", "jax"]}
    done = command(table, options=("--budget", "32s"), seconds=60)
    assert done.returncode == 0, done.stderr
    assert "cnn on torch, seed 0: ended unfinished after" in done.stdout
    assert "left out, since they did not fit in --budget 32s: cnn (no estimate)" in done.stdout
    assert done.stdout.rstrip().endswith("the same command with --resume and a longer --budget runs the rest")
    assert records(tmp_path) == []
    assert command(table, options=("--resume",)).returncode == 0
    assert len(records(tmp_path)) == 2


NOT_COMMITTED = ["data=synthetic-120", "weights=none"]  # in place of `study/data/` and `study/weights/`
SMALL_STUDY = [*NOT_COMMITTED, "models=cnn", "image-size=32", "epochs=1", "head-epochs=0", "batch-size=8"]


@pytest.mark.parametrize("file", sorted((ROOT / "study").glob("*.toml")), ids=lambda file: file.stem)
def test_each_file_of_the_study_asks_for_what_can_be_run(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    asked = matrix.read(file, settings=NOT_COMMITTED)
    assert sum(map(len, asked.jobs.values())) >= 3
    assert file.name in (file.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.keras
@pytest.mark.any_backend
@pytest.mark.parametrize("file", sorted((ROOT / "study").glob("*.toml")), ids=lambda file: file.stem)
def test_each_file_of_the_study_runs_at_a_small_size(file: Path, tmp_path: Path) -> None:
    """The CNN on drawings, a seed and a fold: by the command of the study's README, on the framework that is here."""
    pytest.importorskip("keras")
    backend = os.environ["KERAS_BACKEND"]
    one = ("seed=0", "fold=0", "learning-rate=1e-4", "batch-norm=faster")
    small = [*SMALL_STUDY, f"backends={backend}", *one]
    options = [option for setting in small for option in ("--set", setting)]
    command = [sys.executable, "-m", "bcdl", "run", file, *options, "--results", tmp_path / "results"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    measured = records(tmp_path)
    asked = matrix.read(file, settings=small)
    assert len(measured) == sum(map(len, asked.jobs.values()))
    assert {record.status for record in measured} == {"ok"}
    assert {bool(record.predictions.get("test")) for record in measured} == {record.cell.test for record in measured}
    assert (tmp_path / "results" / "README.md").is_file()


def test_a_python_that_is_named_and_is_this_one_must_have_the_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: False)
    file = write(tmp_path, {"backends": "jax"})
    done = completed("run", file, "--python", f"jax={sys.executable}", "--results", tmp_path / "results")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "jax and keras not installed in this Python" in done.stderr
