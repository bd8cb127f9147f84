"""SLURM: the only place that calls its programs and reads what they print.

Nothing here needs accounting (`slurmdbd`): the controller itself knows of a job until some minutes after its end. If
there is accounting, it is asked for what the controller has forgotten.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from bcdl.errors import BcdlError, UsageError
from bcdl.text import legible, quoted

SUBMIT, QUEUE, CONTROL, ACCOUNTING = "sbatch", "squeue", "scontrol", "sacct"
_NEEDED = (SUBMIT, QUEUE, CONTROL)
_TIMEOUT_S = 60
_LONGEST = 300  # letters of what a program says
# What a job is in whose processes have all ended, and which runs no more (squeue(1), job state codes).
ENDED = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
        *("REVOKED", "TIMEOUT"),
    )
)
RUNNING = "RUNNING"
# How many tasks an array may have by SLURM's own default.
_USUAL_ARRAY = 1001
_CONFIG = re.compile(r"^(MaxArraySize|ClusterName)\s*=\s*(\S+)", re.MULTILINE)
_FACT = re.compile(r"(?:^|\s)(JobName|JobId|ArrayJobId|ArrayTaskId|JobState|ExitCode|TimeLimit)=(\S*)")
# What precedes the reason in a line of SLURM's programs.
_PREFIX = re.compile(r"^(?:\w+: )?(?:(?:error|fatal): |allocation failure: )?")
_OUTPUT = re.compile(r"^\s*(StdOut)=(.*?)\s*$", re.MULTILINE)  # a path may hold blanks
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")  # of places in an array


class SilentError(BcdlError):
    """The controller can't be asked at the moment."""


@dataclasses.dataclass(frozen=True)
class Site:
    """What this cluster is set up for.

    Attributes:
        cluster: its name.
        most_tasks: how many tasks an array may have.
    """

    cluster: str
    most_tasks: int


@dataclasses.dataclass(frozen=True)
class State:
    """What the queue says of a task.

    Attributes:
        job: id of the job, or of its array.
        name: its state, as `PENDING`.
        reason: why it waits, or how it ended, in SLURM's words.
    """

    job: str
    name: str
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        return self.name in ENDED


@dataclasses.dataclass(frozen=True)
class End:
    """How a job ended.

    Attributes:
        state: a member of `ENDED`.
        code: its exit code; -1 if a signal ended it or it is not known.
        limit: the time that it was allowed, as SLURM writes it; empty if not known.
    """

    state: str
    code: int = -1
    limit: str = ""


def site() -> Site:
    """The cluster that this machine belongs to; UsageError if it belongs to none, or if that can't be asked."""
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise UsageError(
            f"there is no {missing[0]} on this machine; give this command on a login node of a SLURM cluster, or run "
            "the cells here with bcdl run"
        )
    try:
        config = dict(_CONFIG.findall(_call(CONTROL, "show", "config")))
    except BcdlError as error:
        raise UsageError(f"SLURM's controller can't be asked: {error}; see to it with sinfo, then try again") from error
    size = config.get("MaxArraySize", "")
    return Site(config.get("ClusterName", ""), int(size) if size.isdecimal() and int(size) else _USUAL_ARRAY)


def check(script: Path, options: Sequence[str]) -> None:
    """UsageError, with SLURM's reason, if it would not take the script with these options; nothing is submitted."""
    try:
        _call(SUBMIT, "--test-only", *options, str(script))
    except SilentError:
        raise
    except BcdlError as error:
        raise UsageError(f"SLURM would refuse the cells: {error}; see sinfo, and what --sbatch asks for") from error


def submit(script: Path, options: Sequence[str], *arguments: str) -> str:
    """Submit the script with arguments; the job's id. BcdlError, with SLURM's reason, if it is refused."""
    said = _call(SUBMIT, "--parsable", *options, str(script), *arguments)
    job = said.strip().partition(";")[0]
    if not (job.isascii() and job.isdecimal()):
        raise BcdlError(f"{SUBMIT} says {quoted(legible(said, _LONGEST))} and no job's id; see to what --sbatch asks")
    return job


def states(names: Collection[str]) -> dict[tuple[str, int], State]:
    """What the queue says of every task of the jobs of these names, by job name and place in the array, 0 if in none.

    A job that ended some minutes ago is not among them.

    Raises:
        SilentError: the controller can't be asked.
    """
    if not names:
        return {}
    text = _call(QUEUE, "--noheader", "--array", "--states=all", f"--name={','.join(names)}", "-o", "%j|%F|%K|%T|%r")
    lines = (line.split("|", 4) for line in text.splitlines() if line.count("|") >= 4)
    return {
        (name, place): State(job, state, reason.strip())
        for name, job, places, state, reason in lines
        for place in _places(places)
    }


def _places(text: str) -> list[int]:
    """The places in an array that SLURM writes as `4-9,11%2`; 0 if it names none.

    >>> _places("4"), _places("2-4,7%2"), _places("[0-1]"), _places("N/A")
    ([4], [2, 3, 4, 7], [0, 1], [0])
    """
    places: list[int] = []
    for first, last in _RANGE.findall(text.partition("%")[0]):
        places += range(int(first), int(last or first) + 1)
    return places or [0]


def ends(job: str) -> dict[int, End]:
    """How the tasks of an array, or a job, ended, by place in the array, 0 if in none; of those still known.

    Raises:
        SilentError: the controller can't be asked.
    """
    try:
        known = _ends_by_control(job)
    except SilentError:
        raise
    except BcdlError:  # it knows the job no more
        known = {}
    return {**_ends_by_accounting(job), **known}


def output(job: str) -> str:
    """The path of the file that takes what the job prints; empty if the controller knows the job no more."""
    try:
        return dict(_OUTPUT.findall(_call(CONTROL, "show", "job", job))).get("StdOut", "")
    except BcdlError:
        return ""


def _ends_by_control(job: str) -> dict[int, End]:
    facts = (dict(_FACT.findall(line)) for line in _call(CONTROL, "--oneliner", "show", "job", job).splitlines())
    return _ended(
        (each.get("ArrayTaskId", ""), each.get("JobState", ""), each.get("ExitCode", ""), each.get("TimeLimit"))
        for each in facts
    )


def _ends_by_accounting(job: str) -> dict[int, End]:
    """As `ends`, by accounting; nothing if there is none."""
    if shutil.which(ACCOUNTING) is None:
        return {}
    fields = "JobID,State,ExitCode,Timelimit"
    try:
        text = _call(ACCOUNTING, "--noheader", "--parsable2", "--allocations", "-j", job, "-o", fields)
    except BcdlError:
        return {}
    lines = (line.split("|") for line in text.splitlines() if line.count("|") == 3)
    return _ended((of.partition("_")[2], state.partition(" ")[0], code, limit) for of, state, code, limit in lines)


def _ended(lines: Iterable[tuple[str, str, str, str | None]]) -> dict[int, End]:
    return {
        place: End(state, _code(code), limit or "")
        for places, state, code, limit in lines
        if state in ENDED
        for place in _places(places)
    }


def _code(text: str) -> int:
    """The exit code of SLURM's `CODE:SIGNAL`; -1 if a signal ended the process, or it says neither."""
    code, _, signal = text.partition(":")
    return int(code) if code.isdecimal() and signal in ("", "0") else -1


def _call(*command: str) -> str:
    """What the program prints; BcdlError, with what it says on stderr, if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise SilentError(f"{command[0]} did not answer within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise SilentError(f"{command[0]} can't be started ({error.strerror or error})") from error
    if done.returncode:
        said = _said(done.stderr or done.stdout) or f"{command[0]} ended with exit code {done.returncode}"
        raise (SilentError if _is_silence(said) else BcdlError)(said)
    return done.stdout


def _said(text: str) -> str:
    """The reason that a program gives, on one line."""
    lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("lua: ", "Try "))]
    return legible("; ".join(dict.fromkeys(telling)), _LONGEST)


_SILENCE = re.compile(
    r"unable to contact slurm controller|socket timed out|connection refused|zero bytes were transmitted|"
    r"unable to establish controller|controller is in standby|slurm backup controller",
    re.IGNORECASE,
)


def _is_silence(said: str) -> bool:
    """Whether it says that the controller does not answer, which passes."""
    return _SILENCE.search(said) is not None


def lines_to_cancel(names: Iterable[str]) -> str:
    """The command by which a person ends the jobs of these names."""
    return f"scancel --name={','.join(names)}"


def has_option(options: Iterable[str], *names: str) -> bool:
    """Whether sbatch is given one of these options, by its whole name, among others."""
    return any(word.partition("=")[0] in names for word in options)
