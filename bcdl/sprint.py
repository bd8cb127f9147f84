"""Measure the most valuable things first, within a time: for a GPU that is rented by the minute.

The models train on every backend that is installed, in turn, so that a cut-off leaves figures of each; first in the
precision that others measure most. After each cell all records so far are in one file of `--out`: who is cut off loses
the cell in hand. `bcdl unpack` adds that file to a results folder. The options of a cell are those of `bcdl train`.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import re
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bcdl import backends
from bcdl.errors import BcdlError, UsageError, program, run_command
from bcdl.machine import environment
from bcdl.records import archive, disk, record, runs
from bcdl.runner import supervisor
from bcdl.runner.progress import RunProgress, console, duration
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits, add_limit_options, resolve_limits
from bcdl.settings.options import MODELS, PRECISIONS, add_cell_options, notices, resolve, whole

RECORDS_FILE, LOGS_FILE, DOCTOR_FILE = "results.tar.gz", "logs.tar.gz", "doctor.txt"
_MODELS = "resnet50,mobilenet"
EXPERIMENTS = ("native-models", "largest-batch")
_ROUNDS = 4
# An experiment takes steps on one batch: to draw more images would take the time of its rounds.
_EXPERIMENT_DATA = ("--data", "synthetic-96")
PARITY, DOCTOR = "parity", "doctor"
KINDS = (*PRECISIONS, *EXPERIMENTS, PARITY, DOCTOR)
# In order of value; what an earlier step has done, a later one leaves out. Figures that others publish are of ResNet50
# in mixed precision most often.
STEPS = (
    *("mixed_bfloat16/resnet50", "native-models/resnet50", "mixed_bfloat16", "tf32", "float32"),
    *(PARITY, *EXPERIMENTS, DOCTOR),
)
_CELL_TIMEOUT = "180s"  # a cell that hangs leaves time for the others
_LEAST_S = 45  # nothing is begun with less: it would not end
_END_S = 5  # what the way home of the last records takes
_LOG_BYTES = 256 * 2**10  # of each worker's log, its end
_SHOWN_LINES = 12  # of what a command printed
# How an item ends for which there was too little time: ended unfinished, or not begun.
NO_TIME, LEFT_OUT = "no time", "left out"
# How `bcdl parity reference` names its files.
_REFERENCE = re.compile(r"(?P<model>[a-z0-9]+)-(?P<size>[0-9]+)px-b(?P<batch>[0-9]+)-seed(?P<seed>[0-9]+)\.npz")


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing to do.

    Attributes:
        title: what it is, in words.
        do: does it within so many seconds; how it ended, `ok` if all is well.
    """

    title: str
    do: Callable[[float], str]


@dataclasses.dataclass(frozen=True)
class Step:
    """What is done, a member of `KINDS`, with each of some models on each of some backends."""

    kind: str
    models: tuple[str, ...]
    backends: tuple[str, ...]

    @classmethod
    def read(cls, text: str, models: Sequence[str], names: Sequence[str]) -> Step:
        """The step that `KIND`, `KIND/MODEL` or `KIND/MODEL/BACKEND` names; UsageError if there is none of that name.

        A model or backend that is not among those given leaves the step with nothing to do.
        """
        kind, *only = text.split("/")
        if kind not in KINDS or len(only) > 2:
            kinds = ", ".join(KINDS)
            raise UsageError(f"--steps {text!r} is unknown; give one of {kinds}, or KIND/MODEL or KIND/MODEL/BACKEND")
        of_model, of_backend = (*only, "", "")[:2]
        return cls(
            kind,
            tuple(name for name in models if of_model in ("", name)),
            tuple(name for name in names if of_backend in ("", name)),
        )


def main() -> int:
    arguments, given = _parse()
    seconds = whole("--seconds", arguments.seconds)
    ends = time.monotonic() + seconds - _END_S
    out, results = Path(arguments.out), Path(arguments.results)
    out.mkdir(parents=True, exist_ok=True)
    plan = _plan(arguments, given, results, out)
    for line in notices(vars(arguments)):
        print(line)
    outcomes = _work_through(plan, ends, lambda: _send_home(results, out))
    return _summary(outcomes, seconds, out)


def _parse() -> tuple[argparse.Namespace, list[str]]:
    """The values of all options, and those arguments that make a cell as they were given, for other commands."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--seconds", default="550", help="how long all of it may take; default 550")
    own.add_argument("--out", default="out", help="folder that takes what is brought home; default out")
    own.add_argument(
        "--steps",
        default=",".join(STEPS),
        metavar="KIND[/MODEL[/BACKEND]],...",
        help=f"what is done, in order: of {', '.join(KINDS)}; default %(default)s",
    )
    own.add_argument("--backends", metavar="NAME,...", help="backends, in turn; default all that are installed")
    own.add_argument("--parity", metavar="FOLDER", help="folder of the references that parity is judged by")
    MODELS.add(own.add_argument)
    add_limit_options(own.add_argument)
    own.set_defaults(models=_MODELS, cell_timeout=_CELL_TIMEOUT)
    parser = argparse.ArgumentParser(
        prog=program("sprint"), description=__doc__, parents=[own], conflict_handler="resolve", allow_abbrev=False
    )
    add_cell_options(parser.add_argument)
    return parser.parse_args(), own.parse_known_args()[1]


def _plan(arguments: argparse.Namespace, given: list[str], results: Path, out: Path) -> list[Item]:
    """All that is to be done, in order, each thing once; UsageError, before the first begins, if one can't be."""
    names = _backends(arguments.backends)
    steps = [Step.read(text, _names(arguments.models), names) for text in _names(arguments.steps)]
    for text, step in zip(_names(arguments.steps), steps, strict=True):
        if not (step.models and step.backends):
            print(f"note: {text} has nothing to do: its model or backend is none of --models or --backends")
    jobs = {step: _jobs(arguments, step) for step in steps if step.kind in PRECISIONS}
    cells = _Cells(list(dict.fromkeys(itertools.chain(*jobs.values()))), results, resolve_limits(vars(arguments)))
    precision = arguments.precision or next((step.kind for step in jobs), PRECISIONS[0])
    common = ["--precision", precision, "--results", str(results)]
    device = ["--device", arguments.device] if arguments.device else []
    plan = [*cells.preparation()]
    for step in steps:
        if step in jobs:
            plan += map(cells.item, jobs[step])
        elif step.kind in EXPERIMENTS:
            plan += _experiments(step, [*_EXPERIMENT_DATA, *given, *common], results)
        elif step.kind == PARITY:
            plan += _parity(step, Path(arguments.parity) if arguments.parity else None, [*common, *device], results)
        else:
            plan.append(_command("bcdl doctor", ["doctor", *device], out / DOCTOR_FILE, shown=False))
    return list({item.title: item for item in plan}.values())


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _backends(text: str | None) -> list[str]:
    """The backends that were asked for, or all that are installed; those that are not are named on the screen."""
    if text:
        return _names(text)
    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    missing = [name for name in backends.NAMES if name not in installed]
    if not installed:
        raise UsageError(f"no backend is installed in this Python; install one of {', '.join(backends.NAMES)}")
    if missing:
        print(f"note: {' and '.join(missing)} not installed here, and so left out: no figures of it come home")
    return installed


def _jobs(arguments: argparse.Namespace, step: Step) -> list[Job]:
    """The jobs of one precision, the backends in turn."""
    options = {**vars(arguments), "precision": step.kind}
    of_each = [resolve(options, name, ",".join(step.models)) for name in step.backends if step.models]
    return [job for alike in itertools.zip_longest(*of_each) for job in alike if job]


class _Cells:
    """The cells of the sprint, one run, which draws its data once, before the first of them."""

    def __init__(self, jobs: list[Job], results: Path, limits: Limits) -> None:
        self._run = Run(jobs, results, limits=limits, resume=True)
        self._progress: RunProgress | None = None

    def preparation(self) -> Iterator[Item]:
        """What has to be done once, before the first cell."""
        if self._run.jobs:
            yield Item("the data of the cells", self._check)

    def item(self, job: Job) -> Item:
        return Item(f"{job.cell.title}, batch {job.cell.batch_size}", lambda seconds: self._measure(job, seconds))

    def _check(self, seconds: float) -> str:
        for line in self._run.check():
            print(line)
        cells = [job.cell for job in self._run.left]
        self._progress = RunProgress(console(), cells, self._run.folder / STATUS_FILE)
        return record.OK

    def _measure(self, job: Job, seconds: float) -> str:
        if self._progress is None:
            return "failed: its data could not be made ready"
        if job not in self._run.records:
            ends = time.monotonic() + seconds
            self._run.measure([job], self._progress, allowed_s=lambda _: ends - time.monotonic())
        outcome = self._run.records.get(job)
        return NO_TIME if outcome is None else outcome.status


def _experiments(step: Step, options: list[str], results: Path) -> Iterator[Item]:
    """An experiment of each model, the backends in turn, each by a process of its own."""
    for model, backend in itertools.product(step.models, step.backends):
        arguments = [step.kind, "--backend", backend, "--models", model, "--rounds", str(_ROUNDS), *options]
        title = f"{step.kind}, {model} on {backend}"
        yield _command(title, ["experiment", *arguments], _log(results, title))


def _parity(step: Step, folder: Path | None, options: list[str], results: Path) -> Iterator[Item]:
    """Of each model that has a reference: a dump on each backend, then a judgement."""
    if folder and not folder.is_dir():
        raise UsageError(f"--parity {folder} is no folder; bcdl pack --parity FILE makes one, beside run.sh")
    found = [match for file in sorted(folder.iterdir()) if (match := _REFERENCE.fullmatch(file.name))] if folder else []
    if not found:
        print("note: parity is left out, since no reference was carried here; bcdl pack --parity FILE takes one along")
    for match in found:
        if match["model"] not in step.models:
            continue
        plan = ["--models", match["model"], "--image-size", match["size"], "--batch-size", match["batch"]]
        plan += ["--seed", match["seed"], "--reference", str(folder), *options]
        for backend in step.backends:
            title = f"parity, {match['model']} on {backend}"
            yield _command(title, ["parity", "dump", *plan], _log(results, title), KERAS_BACKEND=backend)
        title = f"parity, {match['model']}"
        yield _command(title, ["parity", "judge", "--no-report", *plan], _log(results, title))


def _log(results: Path, title: str) -> Path:
    """The file that takes what a command prints, beside the logs of workers."""
    return runs.folder_of(results, runs.new_run_id()) / f"{re.sub(r'[^a-z0-9]+', '-', title)}.log"


def _command(title: str, arguments: list[str], log: Path, shown: bool = True, **variables: str) -> Item:
    """A command of bcdl, whose output goes to the file `log`; its last lines are shown, too, or only if it fails."""

    def do(seconds: float) -> str:
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bcdl", *arguments]
        with supervisor.started(command, {**environment.of_child(), **variables}, log) as process:
            ending = process.watch(Limits(seconds), lambda: None)
        code = ending.code if ending and not ending.over else None
        if shown or code:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            print("\n".join(lines[-_SHOWN_LINES:]))
        return NO_TIME if code is None else record.OK if code == 0 else f"failed with exit code {code}"

    return Item(title, do)


def _work_through(plan: Sequence[Item], ends: float, send_home: Callable[[], None]) -> list[tuple[Item, str]]:
    """Do the items one after the other until the time is over; how each ended."""
    outcomes = []
    for item in plan:
        begun = time.monotonic()
        outcome = _try(item, ends - begun) if ends - begun >= _LEAST_S else LEFT_OUT
        outcomes.append((item, outcome))
        if outcome != LEFT_OUT:
            ended = time.monotonic()
            print(f"{item.title}: {outcome}, {ended - begun:.0f} s; {max(0.0, ends - ended):.0f} s left", flush=True)
            send_home()
    return outcomes


def _try(item: Item, seconds: float) -> str:
    """How the item ended; whatever goes wrong in it costs none of those after it."""
    try:
        return item.do(seconds)
    except BcdlError as error:
        return f"failed: {error}"
    except Exception as error:  # a fault of ours: the machine is paid for, and its other figures are wanted
        traceback.print_exc()
        return f"failed: {type(error).__name__}: {error}"


def _send_home(results: Path, out: Path) -> None:
    """Put all records and the ends of all logs so far into two files of the folder that comes home."""
    try:
        archive.pack(results, out / RECORDS_FILE)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for file in sorted((results / runs.RUNS).glob("*/*.log")):
                end = file.read_bytes()[-_LOG_BYTES:]
                member = tarfile.TarInfo(file.relative_to(results / runs.RUNS).as_posix())
                member.size = len(end)
                tar.addfile(member, io.BytesIO(end))
        disk.replace(out / LOGS_FILE, content.getvalue())
    except OSError as error:  # the next time may do better
        print(f"note: {out} can't be written ({error.strerror or error}); the records are in {results}")


def _summary(outcomes: Sequence[tuple[Item, str]], seconds: int, out: Path) -> int:
    """Say what was done and what was not; the exit code."""
    by_outcome: dict[str, list[str]] = {}
    for item, outcome in outcomes:
        by_outcome.setdefault(outcome, []).append(item.title)
    for outcome, titles in by_outcome.items():
        print(f"{outcome}: {len(titles)}" + ("" if outcome == record.OK else f" ({'; '.join(titles)})"))
    print(f"all within {duration(seconds)}; bring {out} home, then: bcdl unpack {RECORDS_FILE}")
    fine: set[Any] = {record.OK, record.SKIPPED, LEFT_OUT, NO_TIME}
    return 0 if by_outcome.keys() <= fine else 1


if __name__ == "__main__":
    run_command(main)
