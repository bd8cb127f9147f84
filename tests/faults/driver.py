"""Drivers whose workers are stand-ins: one that starts in milliseconds, and the real command.

The first is forked from a process that has imported everything already, so that a test can kill dozens. The second is
`pytest benchmarks` as people type it, this module its plugin.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from rich.console import Console

from bcdl import __main__, backends, errors
from bcdl.datasets import handover
from bcdl.machine import hardware, provenance, scratch
from bcdl.report import page as report
from bcdl.runner import supervisor
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.settings.job import Job
from tests.factory import as_of_older, job, record

PLAN = "BCDL_TEST_PLAN"
TOKEN = "BCDL_TEST_TOKEN"
SLOW_REPORT = "BCDL_TEST_SLOW_REPORT"
NO_ROOM = "BCDL_TEST_NO_ROOM"
# Environment variables by which a nested pytest knows of the outer one.
_OUTER = "PYTEST_"
# Of `pytest benchmarks`: small cells, whose backend is never asked for.
_DATA = ("--data", "synthetic-48", "--image-size", "32")
_CELL = ("--backend", "torch", "--profile", "smoke", "--models", "cnn", *_DATA, "--device", "cpu")


def plan(
    folder: Path, seconds: float = 0.0, padding: int = 0, at: dict[int, str] | None = None, **more: object
) -> Path:
    """A plan for `good_worker`: the record that a real worker would leave here now, after `seconds`, bytes longer.

    `at` says what becomes of the cells of some seeds instead; `more` is as in `good_worker`.
    """
    values = as_of_older(record())
    values["weights"]["padding"] = "x" * padding
    values["environment"] |= {**hardware.describe("cpu"), "code": provenance.digest("torch")}
    file = folder / "plan.json"
    file.write_text(json.dumps({"record": values, "seconds": seconds, "at": at or {}, **more}), encoding="utf-8")
    return file


def worker(plan_file: Path) -> tuple[str, ...]:
    """A run's `worker`."""
    return ("-m", "tests.faults.good_worker", str(plan_file))


def jobs(count: int) -> list[Job]:
    """Cells that differ in their seeds."""
    return [job(seed=seed) for seed in range(count)]


def start(results: Path, plan_file: Path, said: Path, count: int) -> ForkServerProcess:
    """A driver that resumes a run of `count` cells, forked and at it; what it does it adds to `said`, line by line."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    driver = context.Process(target=drive, args=(results, plan_file, said, count))
    driver.start()
    return driver


def fork(main: Callable[..., object], *arguments: object, temporary: Path, printed: Path) -> ForkServerProcess:
    """A process, forked and at it, that runs `main(*arguments)` as a command.

    Args:
        main: a function of a module.
        arguments: its arguments.
        temporary: the folder for its temporary files.
        printed: the file that takes what it prints.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_as_command, args=(main, arguments, temporary, printed))
    process.start()
    return process


def _as_command(main: Callable[..., object], arguments: Sequence[object], temporary: Path, printed: Path) -> None:
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    errors.run_command(lambda: int(bool(main(*arguments))))


def end_slowly(*arguments: object) -> None:
    """A command that takes a minute to end after it was interrupted."""
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("ending", flush=True)
        time.sleep(60)


def wait_as(module: str, function: str, arguments: Sequence[str]) -> None:
    """The command, which waits for a minute where its function would be called."""

    def wait(*given: object, **more: object) -> None:
        with scratch.folder():
            print("begun", flush=True)
            time.sleep(60)

    setattr(importlib.import_module(module), function, wait)
    backends.is_installed = lambda name: True  # type: ignore[assignment]
    os.environ["KERAS_BACKEND"] = "torch"
    sys.argv = ["bcdl", *arguments]
    __main__._run()


def drive(results: Path, plan_file: Path, said: Path, count: int) -> None:
    """What `start` starts."""
    os.environ[TOKEN] = str(results)
    supervisor._POLL_S = 0.02  # a stand-in takes no longer
    run = Run(jobs(count), results, resume=True, worker=worker(plan_file))
    run.check()
    progress = RunProgress(Console(file=io.StringIO()), [job.cell for job in run.left], run.folder / STATUS_FILE)
    with said.open("ab", buffering=0) as lines:
        for job in run.left:
            lines.write(f"begin {job.cell.id}\n".encode())
            run.measure([job], progress)
            lines.write(f"kept {job.cell.id}\n".encode())


def session(results: Path, plan_file: Path, *options: str, **variables: str) -> tuple[int, str]:
    """`pytest benchmarks` of one cell by a stand-in, forked as above, without a report: exit code and all it printed.

    `variables` are of its environment.
    """
    said = results.with_suffix(".txt")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pytest_benchmark.plugin"])
    process = context.Process(target=_session, args=(results, plan_file, said, options, variables))
    process.start()
    process.join()
    return process.exitcode or 0, said.read_text(encoding="utf-8", errors="replace")


def _session(
    results: Path, plan_file: Path, said: Path, options: Sequence[str], variables: Mapping[str, str]
) -> NoReturn:
    with said.open("wb", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    for name in [name for name in os.environ if name.startswith(_OUTER)]:
        del os.environ[name]
    os.environ |= {PLAN: str(plan_file), **variables}
    os.chdir(provenance.ROOT)
    backends.is_installed = lambda name: True  # type: ignore[assignment]
    report.build = lambda results: []  # type: ignore[assignment]
    supervisor._POLL_S = 0.02
    code = int(pytest.main(["benchmarks", "-p", __name__, *_CELL, "--seed", "0", "--results", str(results), *options]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a framework's or a plugin's end adds nothing


def left_running(results: Path) -> list[psutil.Process]:
    """Every process that a driver on `results` has started and that lives."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == str(results) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def command(
    results: Path,
    plan_file: Path,
    *options: str,
    cells: int = 4,
    slow_report: bool = False,
    no_room: bool = False,
    before: Callable[[], None] | None = None,
    output: int = subprocess.PIPE,
    prefix: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """`pytest benchmarks` with stand-ins for workers, begun.

    Args:
        results: its results folder.
        plan_file: what its workers do.
        options: more of them.
        cells: seeds of the CNN.
        slow_report: its report takes a minute, and says so.
        no_room: what it has read of the data finds no room on the disk, so that its workers read it again.
        before: called in the new process, to limit it.
        output: where it prints to.
        prefix: a command that runs it as another user.
    """
    seeds = ",".join(map(str, range(cells)))
    run = ("--seed", seeds, "--results", str(results))
    values = {key: value for key, value in os.environ.items() if not key.startswith(_OUTER)}

    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "pytest", "benchmarks", "-p", __name__, *_CELL, *run, *options],
        cwd=provenance.ROOT,
        env={
            **values,
            PLAN: str(plan_file),
            TOKEN: str(results),
            SLOW_REPORT: "1" if slow_report else "",
            NO_ROOM: "1" if no_room else "",
        },
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=before,
        start_new_session=True,  # Ctrl-C is for the driver, as a terminal sends it to the group it has in front
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """As a plugin of `pytest benchmarks`: put the stand-in in its place."""
    if PLAN in os.environ:
        (suite,) = (plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "RUN"))
        config.stash[suite.RUN].worker = worker(Path(os.environ[PLAN]))


def _report_slowly(results: Path) -> list[str]:
    print("reporting", flush=True)
    time.sleep(60)
    return []


def no_room(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


if os.environ.get(NO_ROOM):
    handover.write = no_room
if PLAN in os.environ:
    backends.is_installed = lambda name: True  # type: ignore[assignment]
if os.environ.get(SLOW_REPORT):
    report.build = _report_slowly
