"""How the suites here run: one worker a cell, its samples replayed through pytest-benchmark's own clock.

Cells of one model that measure no speed share a worker. It starts when the first of them is asked for.

The options are those of every bcdl command, and `--backend`.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcdl import backends, interrupts
from bcdl.errors import DEBUG, BcdlError, UsageError, debugging
from bcdl.records.record import Record
from bcdl.runner.budget import Budget, BudgetedRun
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.screen import warn
from bcdl.settings.job import Job
from bcdl.settings.limits import BUDGET, add_limit_options, resolve_budget, resolve_limits
from bcdl.settings.options import MODELS, RESUME, add_cell_options, notices, resolve_run
from bcdl.text import legible, on_one_line
from benchmarks import refusals
from benchmarks.ending import Ending

RUN = pytest.StashKey[Run]()
PROGRESS = pytest.StashKey[RunProgress]()
WITHIN = pytest.StashKey[Budget | None]()
BUDGETED = pytest.StashKey[BudgetedRun]()
PLACE = pytest.StashKey[refusals.Place]()
CUT_SHORT = pytest.StashKey[set[Job]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bcdl", "bcdl: which cells to run")
    group.addoption("--backend", help=f"one of {', '.join(backends.NAMES)}; if not given, the only one installed")
    MODELS.add(group.addoption)
    RESUME.add(group.addoption)
    BUDGET.add(group.addoption)
    add_limit_options(group.addoption)
    add_cell_options(group.addoption)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Refuse what can't be run with, before a plugin starts another process."""
    try:
        refusals.check(config)
    except UsageError as error:
        warn(f"error: {error}")
        return error.exit_code
    return None


def pytest_configure(config: pytest.Config) -> None:
    handled = contextlib.ExitStack()
    handled.enter_context(interrupts.handled())
    config.add_cleanup(handled.close)
    with _as_pytest_exit():
        backend = config.getoption("--backend") or _only_backend()
        jobs = resolve_run(vars(config.option), backend, config.getoption("--models"))
        limits = resolve_limits(vars(config.option))
        config.stash[WITHIN] = _budget(config)
    flags = {"resume": config.getoption("--resume"), "require_clean": config.getoption("--require-clean")}
    config.stash[RUN] = Run(jobs, Path(config.getoption("--results")), limits=limits, **flags)
    config.stash[PLACE], config.stash[CUT_SHORT] = refusals.Place(), set()
    config.pluginmanager.register(Ending())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "job" in metafunc.fixturenames:
        jobs = metafunc.config.stash[RUN].jobs
        metafunc.parametrize("job", jobs, ids=[_short_id(job, jobs) for job in jobs], scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    if _runs_nothing(session.config) or not session.items:
        return
    with _as_pytest_exit():
        refusals.check_outputs(session.config)
        run = session.config.stash[RUN]
        for line in [*notices(vars(session.config.option)), *run.check()]:
            _terminal(session.config).write_line(legible(line))
        wanted = _wanted(session)
        jobs = [job for job in run.left if job in wanted]
        progress = RunProgress(console(), [job.cell for job in jobs], run.folder / STATUS_FILE, run.estimates())
        session.config.stash[PROGRESS] = progress
        if (budget := session.config.stash[WITHIN]) is not None:
            _plan(session, BudgetedRun(run, jobs, progress, budget))


def _plan(session: pytest.Session, budgeted: BudgetedRun) -> None:
    """Say what is planned, and sort the benchmarks as their cells will run."""
    session.config.stash[BUDGETED] = budgeted
    _terminal(session.config).write_line(legible(budgeted.intention))
    order: dict[Job | None, int] = {job: place for place, job in enumerate(budgeted.order)}
    session.items.sort(key=lambda item: order.get(_job(item), -1))


def _wanted(session: pytest.Session) -> set[Job]:
    """The jobs of the benchmarks that were chosen."""
    return {job for job in map(_job, session.items) if job}


@pytest.fixture
def record(job: Job, request: pytest.FixtureRequest) -> Record:
    """The record of this cell, measured by the first benchmark that asks for it, with those that share its process."""
    run = request.config.stash[RUN]
    left_out = ""
    if job not in run.records:
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            left_out = _measure_once(job, request.session)
    if left_out:
        pytest.skip(left_out)
    return run.records[job]


def _measure_once(job: Job, session: pytest.Session) -> str:
    """Run the job's cell, unless that was begun before and did not end; why it was left out, empty if it was not."""
    cut_short = session.config.stash[CUT_SHORT]
    if job in cut_short:
        pytest.fail("its cell was cut short, and is not measured again in this run; see above", pytrace=False)
    try:
        with _as_pytest_exit():
            session.config.stash[PLACE].check()
            return _measure(job, session)
    except BaseException as error:
        cut_short.add(job)
        if debugging() or not isinstance(error, Exception) or isinstance(error, pytest.exit.Exception):
            raise
        pytest.fail(f"not measured: {on_one_line(error, with_kind=True)}; {DEBUG}=1 shows where", pytrace=False)


def _measure(job: Job, session: pytest.Session) -> str:
    """Run the job's cell; why it was left out, empty if it was not."""
    stash = session.config.stash
    if BUDGETED in stash:
        return stash[BUDGETED].run_until(job)
    run = stash[RUN]
    run.measure(run.together(job, _wanted(session)), stash[PROGRESS])
    return ""


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """What is there is reported; a second signal meanwhile stops at once, and every record is on the disk already."""
    interrupts.drop_lost_output()  # which pytest had put aside while it captured


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After SIGTERM or SIGHUP the exit code is that of the signal; after Ctrl-C it is pytest's own."""
    interrupt = interrupts.latest()
    if interrupt and interrupt.number != signal.SIGINT:
        session.exitstatus = interrupt.exit_code


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    run = config.stash.get(RUN, None)
    if run is None or _runs_nothing(config):
        return
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    if interrupted:
        done = len(run.jobs) - len(run.left)
        how = interrupts.latest() or interrupts.Interrupted()
        terminalreporter.write_line(
            f"{how.words}: {done} of {len(run.jobs)} cells are done and recorded; the same command with --resume "
            "runs the rest"
        )
    if run.records:
        terminalreporter.section("results")
        with _as_pytest_exit():
            for line in _report(run):
                terminalreporter.write_line(legible(line))
    if BUDGETED in config.stash and not interrupted:
        for line in config.stash[BUDGETED].summary():
            terminalreporter.write_line(legible(line))


def _report(run: Run) -> list[str]:
    """Show the run's records and rebuild the report; lines that say what was written."""
    # Here, so that the driver has neither matplotlib nor a report in its memory while its cells run.
    from bcdl.report import run_end

    return run_end.show_and_rebuild(list(run.records.values()), run.results, console())


@contextlib.contextmanager
def _as_pytest_exit() -> Iterator[None]:
    """In this block an error of bcdl ends pytest with its message and its exit code."""
    try:
        yield
    except BcdlError as error:
        pytest.exit(f"error: {legible(str(error))}", returncode=error.exit_code)


def _budget(config: pytest.Config) -> Budget | None:
    """The budget that `--budget` gives, beginning now; None without it. UsageError if it can't be used."""
    seconds = resolve_budget(vars(config.option))
    results = Path(config.getoption("--results"))
    return None if seconds is None else Budget.begin(config.getoption("--budget"), seconds, results)


def _only_backend() -> str:
    """The backend that is installed; UsageError if there is none or more than one."""
    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    if len(installed) != 1:
        names = ", ".join(installed) or "none"
        raise UsageError(f"which backend? give --backend {' or '.join(backends.NAMES)} (installed here: {names})")
    return installed[0]


def _short_id(job: Job, jobs: list[Job]) -> str:
    """What names the job's benchmarks: model and backend, or the whole cell if its model stands in several jobs."""
    alike = sum((other.cell.model, other.cell.timing) == (job.cell.model, job.cell.timing) for other in jobs)
    if alike > 1:
        return job.cell.stem
    return f"{job.cell.model}-{job.cell.backend}" + ("" if job.cell.timing else "-accuracy")


def _job(item: pytest.Item) -> Job | None:
    """The job whose record the benchmark shows; None if it is of no job."""
    chosen = getattr(item, "callspec", None)  # what is no benchmark may be chosen beside them
    job = chosen.params.get("job") if chosen else None
    return job if isinstance(job, Job) else None


def _runs_nothing(config: pytest.Config) -> bool:
    """Whether pytest shows what would run."""
    return bool(config.option.collectonly or config.option.setupplan)


def _terminal(config: pytest.Config) -> pytest.TerminalReporter:
    reporter: pytest.TerminalReporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter
