"""What runs workers: a Python, and the bcdl that it imports; a side that is measured in turn may have others."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.machine import environment
from bcdl.records import checks
from bcdl.records.schema import SCHEMA
from bcdl.records.shapes import Environment
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.text import legible

_TIMEOUT_S = 120
# Of a Python it is asked by the standard library alone: it may lack everything else.
_ASK = """
import json, platform, sys
from bcdl import backends
from bcdl.machine import provenance
answer = {
    "installed": all(map(backends.is_installed, ("keras", sys.argv[1]))),
    "software": {"python": platform.python_version(), "versions": provenance.versions()},
}
"""
_ASK_OF_ANOTHER_BCDL = """
import dataclasses
from bcdl.records.schema import SCHEMA
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
answer |= {
    "root": str(provenance.ROOT),
    "code": provenance.facts(sys.argv[1]),
    "schema": SCHEMA,
    "job": [field.name for field in dataclasses.fields(Job)],
    "settings": [field.name for field in dataclasses.fields(Cell)],
}
"""
_ANSWER = "print(json.dumps(answer))"
_MOST_BYTES = 2**20  # of an answer, and of what the Python prints before it
_WORKER = Path("bcdl") / "worker" / "__main__.py"
_JOB_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Job)}


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A Python, and the bcdl that it imports.

    Attributes:
        python: path of the Python.
        source: top of the checkout whose bcdl it imports; None if that is the bcdl that runs this.
        facts: `python` and `versions`, if it is another Python or another bcdl; of another bcdl also `commit`, `dirty`
            and `code`. All are as a record's environment has them.
        lacks: names of fields of a job, and of settings of its cell, that the other bcdl does not know.
    """

    python: str = sys.executable
    source: Path | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lacks: Collection[str] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of a process that it runs."""
        return environment.of_child(self.source)

    def values_of(self, job: Job) -> dict[str, Any]:
        """The job as JSON values, as its bcdl reads them: without what it does not know, if that says nothing new.

        Raises:
            UsageError: the job asks for something that its bcdl does not know.
        """
        values = {name: value for name, value in job.to_dict().items() if self._is_known(name, value, _JOB_DEFAULTS)}
        before = {name: row.before for name, row in job.cell.rows().items()}
        values["cell"] = {
            name: value for name, value in job.cell.to_dict().items() if self._is_known(name, value, before)
        }
        return values

    def _is_known(self, name: str, value: object, usual: Mapping[str, object]) -> bool:
        """Whether its bcdl knows the field; UsageError if it does not, and the value is not that of before."""
        if name not in self.lacks:
            return True
        if value != usual[name]:
            raise UsageError(
                f"the bcdl at {legible(str(self.source))} does not know {name}, and {name} {value} is asked for; leave "
                "it out, or compare with a newer checkout"
            )
        return False


def find(option: str, python: str, backend: str, source: Path | None = None) -> Interpreter:
    """The Python at this path, with the bcdl of the checkout at `source` if one is given, asked what it has.

    The path may be that of a virtual environment, and begin with `~`, which shells leave as it is after a `=`.
    The Python and the bcdl that run this are not asked.

    Raises:
        UsageError: there is no such Python or checkout, it can't run that bcdl, it lacks the backend, or its records
            are of a newer schema; the message names `option`.
    """
    if backend not in backends.NAMES:
        raise UsageError(f"{option}: unknown backend {legible(backend)!r}; choose from {', '.join(backends.NAMES)}")
    python = _program(python)
    if not Path(python).is_file():
        raise UsageError(f"{option}: there is no Python at {legible(python)!r}")
    if source is None and python == sys.executable:
        return Interpreter()
    if source is not None:
        source = source.resolve()
        _check_source(option, source)
    answer = _ask(option, python, backend, source)
    if not answer["installed"]:
        raise UsageError(
            f"{option}: the Python at {legible(python)} lacks {backend} or Keras; install "
            f"backends/{backend}/requirements-cpu.txt, or -gpu.txt, there, or make another by bcdl env {backend}"
        )
    if source is None:
        return Interpreter(python, None, answer["software"])
    return Interpreter(python, source, {**answer["software"], **answer["code"]}, _unknown(option, source, answer))


def of_environment(folder: Path) -> Path:
    """The Python of the virtual environment at `folder`."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def _program(python: str) -> str:
    """The path of the Python that a person names, its own or that of its environment, from the root."""
    path = os.path.abspath(os.path.expanduser(python))
    return str(of_environment(Path(path))) if os.path.isdir(path) else path


def _check_source(option: str, source: Path) -> None:
    if not (source / _WORKER).is_file():
        raise UsageError(f"{option}: {legible(str(source))} lacks {_WORKER.as_posix()}; name the top of a checkout")


def _unknown(option: str, source: Path, answer: Mapping[str, Any]) -> Collection[str]:
    """Names of what a job and its cell have here and do not have in that bcdl; UsageError if it is the newer one."""
    theirs = {*answer["job"], *answer["settings"]}
    ours = {*_JOB_DEFAULTS, *Cell.rows()}
    if answer["schema"] > SCHEMA:
        reason = f"writes records of schema {answer['schema']}, which is newer than {SCHEMA}, the newest read here"
    elif more := sorted(theirs - ours):
        reason = f"needs to be told {', '.join(more)}, of which nothing is known here"
    else:
        return ours - theirs
    raise UsageError(f"{option}: the bcdl at {legible(str(source))} {reason}; run bcdl ab of the newer checkout")


def _ask(option: str, python: str, backend: str, source: Path | None) -> dict[str, Any]:
    """What that Python and its bcdl say of themselves."""
    program = _ASK + (_ASK_OF_ANOTHER_BCDL if source else "") + _ANSWER
    try:
        answer: dict[str, Any] = json.loads(_printed([python, "-c", program, backend], source).splitlines()[-1])
        _check_answer(answer, source)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what, remedy = f"the Python at {legible(python)} can't run bcdl", f"try {legible(python)} -m bcdl doctor"
        if source is not None:
            what, remedy = f"{what} of {legible(str(source))}", "try bcdl doctor in that folder, by that Python"
        raise UsageError(f"{option}: {what}; {remedy}") from error
    return answer


def _printed(command: Sequence[str], source: Path | None) -> str:
    """What the command prints to stdout; ValueError if that is too much, or ends too late: it is then ended."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment.of_child(source),
        start_new_session=True,
    ) as asked:
        late = threading.Timer(_TIMEOUT_S, _end, [asked])
        late.start()
        try:
            printed = asked.stdout.read(_MOST_BYTES + 1) if asked.stdout else b""
        finally:
            late.cancel()
            _end(asked)
    if len(printed) > _MOST_BYTES:
        raise ValueError("it prints too much")
    return printed.decode()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, and what it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _check_answer(answer: Mapping[str, Any], source: Path | None) -> None:
    """Raise whatever there is to raise if the answer is not what `_ASK` asks for, as a record could hold it."""
    parts = {"installed": bool} if source is None else {"installed": bool, "root": str, "schema": int}
    if any(type(answer[name]) is not kind for name, kind in parts.items()):
        raise ValueError("not an answer")
    facts = {"python": answer["software"]["python"], "versions": answer["software"]["versions"]}
    if source is not None:
        if Path(answer["root"]) != source:
            raise ValueError("another bcdl comes first")
        facts |= answer["code"]
        if not all(isinstance(name, str) for name in [*answer["job"], *answer["settings"]]):
            raise ValueError("not an answer")
    checks.check_parts(checks.of_shape(Environment), facts)
