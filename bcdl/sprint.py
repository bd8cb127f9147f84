"""Measure the most valuable things first, within a time: for a GPU that is rented by the minute.

The models train on every backend that is installed, in turn, so that a cut-off leaves figures of each; first in the
precision that others measure most. After each cell all records so far are in one file of `--out`: who is cut off loses
the cell in hand. `bcdl unpack` adds that file to a results folder. The options of a cell are those of `bcdl train`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import itertools
import os
import re
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bcdl import ENDS_WITH_DRIVER, backends, interrupts
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.machine import environment
from bcdl.parity import findings, references
from bcdl.records import archive, disk, record, runs, store
from bcdl.runner import supervisor
from bcdl.runner.progress import RunProgress, console, duration
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.screen import say, say_lines
from bcdl.settings import models as all_models
from bcdl.settings.arguments import Parser
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits, add_limit_options, resolve_limits
from bcdl.settings.option import Number
from bcdl.settings.options import MODELS, PRECISIONS, add_cell_options, check_backend, notices, resolve
from bcdl.text import names_in

RECORDS_FILE, LOGS_FILE, DOCTOR_FILE = "results.tar.gz", "logs.tar.gz", "doctor.txt"
_MODELS = "resnet50,mobilenet"
EXPERIMENTS = ("native-models", "largest-batch")
_ROUNDS = 4
# An experiment takes steps on one batch: to draw more images would take the time of its rounds.
_EXPERIMENT_DATA = "synthetic-96"
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
_SECONDS = Number("--seconds", "how long all of it may take", least=1, most=7 * 24 * 60 * 60, default="550")
_PROBE_BYTES = 64 * 2**10  # what the records of a few small cells take
_LOG_BYTES = 256 * 2**10  # of each worker's log, its end
_SHOWN_LINES = 12  # of what a command printed
# How an item ends for which there was too little time: ended unfinished, or not begun.
NO_TIME, LEFT_OUT = "no time", "left out"
# How an item's end begins that was asked for what can't be run.
REFUSED = "refused"


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

        A model or backend that is known, but not among those given, leaves the step with nothing to do.
        """
        kind, *only = text.split("/")
        if kind not in KINDS or len(only) > (0 if kind == DOCTOR else 2):
            kinds = ", ".join(KINDS)
            raise UsageError(f"--steps {text!r} is unknown; give one of {kinds}, or KIND/MODEL or KIND/MODEL/BACKEND")
        of_model, of_backend = (*only, "", "")[:2]
        if of_model:
            all_models.find(of_model)
        if of_backend:
            check_backend(of_backend, installed_here=False)
        return cls(
            kind,
            tuple(name for name in models if of_model in ("", name)),
            tuple(name for name in names if of_backend in ("", name)),
        )


def main() -> int:
    interrupts.advise("the same command goes on with what is left, as with --resume")
    arguments, given = _parse()
    seconds = _SECONDS.read(arguments.seconds)
    ends = time.monotonic() + seconds - _END_S
    home = _Home(Path(arguments.results), Path(arguments.out))
    plan = _plan(arguments, given, home.results, home.out)
    home.check()
    store.check_writable(home.results)
    home.take_in()
    for line in notices(vars(arguments)):
        say(line)
    outcomes = _work_through(plan, ends, home.send)
    return _summary(outcomes, seconds, home)


def _parse() -> tuple[argparse.Namespace, list[str]]:
    """The values of all options, and those arguments that make a cell as they were given, for other commands."""
    own = Parser("sprint", None, add_help=False)
    _SECONDS.add(own.add_argument)
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
    parser = Parser("sprint", __doc__, parents=[own], conflict_handler="resolve")
    add_cell_options(parser.add_argument)
    return parser.parse_args(), own.parse_known_args()[1]


def _plan(arguments: argparse.Namespace, given: list[str], results: Path, out: Path) -> list[Item]:
    """All that is to be done, in order, each thing once; UsageError, before the first begins, if one can't be."""
    steps = _steps(arguments)
    jobs = {step: _jobs(arguments, step) for step in steps if step.kind in PRECISIONS}
    cells = _Cells(list(dict.fromkeys(itertools.chain(*jobs.values()))), results, arguments)
    precision = next((step.kind for step in jobs), PRECISIONS[0])
    common = ["--precision", precision, "--results", str(results)]
    device = ["--device", arguments.device] if arguments.device else []
    parity = _parity([step for step in steps if step.kind == PARITY], arguments.parity, [*common, *device], results)
    plan = [*cells.preparation()]
    for step in steps:
        if step in jobs:
            plan += map(cells.item, jobs[step])
        elif step.kind in EXPERIMENTS:
            _check_experiment(step, arguments, precision)
            plan += _experiments(step, ["--data", _EXPERIMENT_DATA, *given, *common], results)
        elif step.kind == PARITY:
            plan += parity[step]
        else:
            plan.append(_doctor(device, results, out / DOCTOR_FILE))
    if not plan:
        raise UsageError("nothing is left to do of what --steps, --models, --backends and --parity name; name more")
    return list({item.title: item for item in plan}.values())


def _steps(arguments: argparse.Namespace) -> list[Step]:
    """The steps in order, each once; those with nothing to do are named on the screen."""
    if arguments.precision:
        raise UsageError(
            f"--precision {arguments.precision!r} has no effect in a sprint, whose steps say it; "
            "give one as a step: --steps tf32, for instance"
        )
    names, of_models = _backends(arguments.backends), names_in(arguments.models)
    for name in names:
        check_backend(name)
    for model in of_models:
        all_models.find(model)
    steps = {text: Step.read(text, of_models, names) for text in names_in(arguments.steps)}
    for text, step in steps.items():
        if not (step.models and step.backends):
            say(f"note: {text} has nothing to do: its model or backend is none of --models or --backends")
    return list(dict.fromkeys(steps.values()))


def _backends(text: str | None) -> list[str]:
    """The backends that were asked for, or all that are installed; those that are not are named on the screen."""
    if text:
        return names_in(text)
    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    missing = [name for name in backends.NAMES if name not in installed]
    if not installed:
        raise UsageError(f"no backend is installed in this Python; install one of {', '.join(backends.NAMES)}")
    if missing:
        say(f"note: {' and '.join(missing)} not installed here, and so left out: no figures of it come home")
    return installed


def _jobs(arguments: argparse.Namespace, step: Step) -> list[Job]:
    """The jobs of one precision, the backends in turn."""
    options = {**vars(arguments), "precision": step.kind}
    of_each = [resolve(options, name, ",".join(step.models)) for name in step.backends if step.models]
    return [job for alike in itertools.zip_longest(*of_each) for job in alike if job]


class _Cells:
    """The cells of the sprint, one run, which draws its data once, before the first of them."""

    def __init__(self, jobs: list[Job], results: Path, arguments: argparse.Namespace) -> None:
        limits, clean = resolve_limits(vars(arguments)), bool(arguments.require_clean)
        self._run = Run(jobs, results, limits=limits, resume=True, require_clean=clean)
        self._progress: RunProgress | None = None
        self._refusal: UsageError | None = None

    def preparation(self) -> Iterator[Item]:
        """What has to be done once, before the first cell."""
        if self._run.jobs:
            yield Item("the data of the cells", self._check)

    def item(self, job: Job) -> Item:
        return Item(f"{job.cell.title}, batch {job.cell.batch_size}", lambda seconds: self._measure(job, seconds))

    def _check(self, seconds: float) -> str:
        try:
            notes = self._run.check()
        except UsageError as error:
            self._refusal = error
            raise
        for line in notes:
            say(line)
        cells = [job.cell for job in self._run.left]
        self._progress = RunProgress(console(), cells, self._run.folder / STATUS_FILE)
        return record.OK

    def _measure(self, job: Job, seconds: float) -> str:
        if self._refusal:
            raise self._refusal
        if self._progress is None:
            return "failed: its data could not be made ready"
        if job not in self._run.records:
            ends = time.monotonic() + seconds
            self._run.measure([job], self._progress, allowed_s=lambda _: ends - time.monotonic())
        outcome = self._run.records.get(job)
        return NO_TIME if outcome is None else outcome.status


def _check_experiment(step: Step, arguments: argparse.Namespace, precision: str) -> None:
    """UsageError if an experiment of the step would refuse its options."""
    options = {**vars(arguments), "precision": precision, "data": arguments.data or _EXPERIMENT_DATA}
    for backend in step.backends if step.models else ():
        resolve(options, backend, ",".join(step.models), spread=False)


def _experiments(step: Step, options: list[str], results: Path) -> Iterator[Item]:
    """An experiment of each model, the backends in turn, each by a process of its own."""
    for model, backend in itertools.product(step.models, step.backends):
        arguments = [step.kind, "--backend", backend, "--models", model, "--rounds", str(_ROUNDS), *options]
        title = f"{step.kind}, {model} on {backend}"
        yield _command(title, ["experiment", *arguments], _log(results, title))


def _parity(steps: Sequence[Step], text: str | None, options: list[str], results: Path) -> dict[Step, list[Item]]:
    """What each of the steps does: dumps of the models that have a reference, judged once all of them are made."""
    items: dict[Step, list[Item]] = {step: [] for step in steps}
    for found in _references(Path(text) if text else None) if steps else ():
        taking = [step for step in steps if found["model"] in step.models]
        names = list(dict.fromkeys(name for step in taking for name in step.backends))
        if len(names) < 2:
            why = f"{names[0]} alone has nothing to be compared with" if names else "no step is of its model"
            say(f"note: parity with {found[0]} is left out: {why}; see --steps, --models and --backends")
            continue
        title = f"parity, {found['model']} of {found['size']} px, batch {found['batch']}, seed {found['seed']}"
        plan = ["--models", found["model"], "--image-size", found["size"], "--batch-size", found["batch"]]
        plan += ["--seed", found["seed"], "--draws", _draws(Path(str(text)) / found[0])]
        plan += ["--reference", str(text), *options]
        for step in taking:
            items[step] += [_dump(title, name, plan, results) for name in step.backends]
        items[taking[-1]].append(_command(title, ["parity", "judge", "--no-report", *plan], _log(results, title)))
    return items


def _references(folder: Path | None) -> list[re.Match[str]]:
    """The references in the folder, by their names; a line on the screen if there is none."""
    if folder and not folder.is_dir():
        raise UsageError(f"--parity {folder} is no folder; bcdl pack --parity FILE makes one, beside run.sh")
    names = sorted(file.name for file in folder.iterdir()) if folder else []
    found = [match for name in names if (match := references.FILE_NAME.fullmatch(name))]
    if not found:
        say("note: parity is left out, since no reference was carried here; bcdl pack --parity FILE takes one along")
    return found


def _draws(reference: Path) -> str:
    """How many draws the reference was made with: what is judged by it is made with as many."""
    return str(references.read(reference).facts["plan"].get("draws"))


def _dump(title: str, backend: str, plan: list[str], results: Path) -> Item:
    title = f"{title}, on {backend}"
    return _command(title, ["parity", "dump", *plan], _log(results, title), KERAS_BACKEND=backend)


def _doctor(options: list[str], results: Path, home: Path) -> Item:
    """What doctor says, put into the file `home` in one step."""
    title = "bcdl doctor"
    log = _log(results, title)
    command = _command(title, ["doctor", *options], log, shown=False)

    def do(seconds: float) -> str:
        outcome = command.do(seconds)
        try:
            disk.replace(home, log.read_bytes())
        except OSError as error:
            raise BcdlError(f"{home} can't be written ({error.strerror or error}); see {log}") from error
        return outcome

    return Item(title, do)


def _log(results: Path, title: str) -> Path:
    """The file that takes what a command prints, beside the logs of workers."""
    return runs.folder_of(results, runs.new_run_id()) / f"{re.sub(r'[^a-z0-9]+', '-', title)}.log"


def _command(title: str, arguments: list[str], log: Path, shown: bool = True, **variables: str) -> Item:
    """A command of bcdl, whose output goes to the file `log`; its last lines are shown, too, or only if it fails.

    It ends when this process ends, however that ends.
    """

    def do(seconds: float) -> str:
        with disk.writing(log.parent):
            log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bcdl", *arguments]
        of_child = {**environment.of_child(), **variables, ENDS_WITH_DRIVER: "1"}
        with supervisor.started(command, of_child, log) as process:
            ending = process.watch(Limits(seconds), lambda: None)
        code = ending.code if ending and not ending.over else None
        if shown or code:
            with contextlib.suppress(OSError):  # a full disk had no room for it
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                say_lines("\n".join(lines[-_SHOWN_LINES:]))
        return _outcome(code)

    return Item(title, do)


def _outcome(code: int | None) -> str:
    """How an item ended whose command gave that exit code, or none within its time."""
    if code is None:
        return NO_TIME
    if code == 0:
        return record.OK
    return f"{REFUSED if code == UsageError.exit_code else 'failed'} with exit code {code}"


def _work_through(plan: Sequence[Item], ends: float, send_home: Callable[[], object]) -> list[tuple[Item, str]]:
    """Do the items one after the other until the time is over; how each ended."""
    outcomes = []
    for item in plan:
        begun = time.monotonic()
        outcome = _try(item, ends - begun) if ends - begun >= _LEAST_S else LEFT_OUT
        outcomes.append((item, outcome))
        if outcome != LEFT_OUT:
            ended = time.monotonic()
            say(f"{item.title}: {outcome}, {ended - begun:.0f} s; {max(0.0, ends - ended):.0f} s left", flush=True)
            send_home()
    return outcomes


def _try(item: Item, seconds: float) -> str:
    """How the item ended; whatever goes wrong in it costs none of those after it."""
    try:
        return item.do(seconds)
    except UsageError as error:
        return f"{REFUSED}: {error}"
    except BcdlError as error:
        return f"failed: {error}"
    except Exception as error:  # a fault of ours: the machine is paid for, and its other figures are wanted
        traceback.print_exc()
        return f"failed: {type(error).__name__}: {error}"


@dataclasses.dataclass
class _Home:
    """The folder that comes home, and the results that are put into it.

    Attributes:
        results: the results folder.
        out: the folder that comes home.
        arrived: whether all records so far are in `out`.
    """

    results: Path
    out: Path
    arrived: bool = True

    def check(self) -> None:
        """Make the folder; UsageError if nothing can be written into it."""
        probe = self.out / f".probe-{os.getpid()}"
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            try:
                disk.replace(probe, bytes(_PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                f"--out {self.out} can't be written ({error.strerror or error}); make room or name another folder"
            ) from error

    def take_in(self) -> None:
        """Add the records that an earlier sprint left in the folder to the results, since its file is replaced."""
        file = self.out / RECORDS_FILE
        if not os.path.lexists(file):
            return
        advice = "it would be overwritten: move it away, or name another folder with --out"
        try:
            done = archive.unpack(file, self.results, findings.READERS)
        except UsageError as error:
            raise UsageError(f"{error}; {advice}") from error
        if others := [*done.ignored, *map(str, done.left_out)]:
            raise UsageError(f"{file} holds what can't be added to the records, {others[0]} for one, and {advice}")
        if count := sum(done.added.values()):
            say(f"{count} records of an earlier sprint, in {file}, were added to {self.results}")

    def send(self) -> bool:
        """Put all records and the ends of all logs so far into two files of the folder; whether that went well."""
        try:
            archive.pack(self.results, self.out / RECORDS_FILE)
            disk.replace(self.out / LOGS_FILE, self._logs())
            self.arrived = True
        except (OSError, BcdlError) as error:  # the next time may do better
            reason = getattr(error, "strerror", None) or error
            say(f"note: {self.out} can't be written ({reason}); the records are in {self.results}")
            self.arrived = False
        return self.arrived

    def _logs(self) -> bytes:
        """An archive of the end of each log."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for file in sorted((self.results / runs.RUNS).glob("*/*.log")):
                end = file.read_bytes()[-_LOG_BYTES:]
                member = tarfile.TarInfo(file.relative_to(self.results / runs.RUNS).as_posix())
                member.size = len(end)
                tar.addfile(member, io.BytesIO(end))
        return content.getvalue()


def _summary(outcomes: Sequence[tuple[Item, str]], seconds: int, home: _Home) -> int:
    """Say what was done and what was not; the exit code."""
    by_outcome: dict[str, list[str]] = {}
    for item, outcome in outcomes:
        by_outcome.setdefault(outcome, []).append(item.title)
    for outcome, titles in by_outcome.items():
        say(f"{outcome}: {len(titles)}" + ("" if outcome == record.OK else f" ({'; '.join(titles)})"))
    if not home.arrived:
        results = home.results.resolve()
        say(f"error: the last records are not in {home.out}, which can't be written; bring {results} home itself")
        return 1
    say(f"all within {duration(seconds)}; bring {home.out} home, then: bcdl unpack {RECORDS_FILE}")
    return _exit_code(by_outcome.keys())


def _exit_code(outcomes: Iterable[str]) -> int:
    """That of wrong usage if all that was begun was refused, 1 if anything failed."""
    begun = {outcome for outcome in outcomes if outcome != LEFT_OUT}
    if begun and all(outcome.startswith(REFUSED) for outcome in begun):
        return UsageError.exit_code
    return 0 if begun <= {record.OK, record.SKIPPED, NO_TIME} else 1


if __name__ == "__main__":
    run_command(main)
