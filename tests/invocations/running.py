"""Runs invocations and judges how they end."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from unittest import mock

import pytest

from bcdl.__main__ import COMMANDS
from bcdl.errors import UsageError, run_command
from tests.conftest import ROOT
from tests.invocations import places
from tests.invocations.generator import BENCHMARKS, Invocation
from tests.invocations.places import State

_CODES = {0, 1, UsageError.exit_code}  # nothing interrupts a command here
_USAGE_OF_PYTEST = int(pytest.ExitCode.USAGE_ERROR)
_MOST_LINES, _MOST_LINES_OF_PYTEST = 3, 8  # of stderr; pytest's own usage takes more
_PATIENCE_S = 20
_NO_FRAMEWORK = "installed in this Python"  # what refuses an invocation of a command that needs what is not here


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code, what it printed, and the paths that it made, changed or removed."""

    code: int | None
    out: str
    err: str
    changed: tuple[str, ...] = ()


def faults(invocation: Invocation, ending: Ending) -> list[str]:
    """What is wrong with the ending, a few words each."""
    of_pytest = invocation.command == BENCHMARKS
    usage = {UsageError.exit_code, _USAGE_OF_PYTEST} if of_pytest else {UsageError.exit_code}
    said, lines = ending.out + ending.err, ending.err.splitlines()
    control = {ascii(letter) for letter in said if not letter.isprintable()} - {r"'\n'"}
    most_lines = _MOST_LINES_OF_PYTEST if of_pytest else _MOST_LINES
    asked_for_traceback = "--debug" in invocation.arguments
    stray = [path for path in ending.changed if not _is_named(path, invocation)]
    wrong = {
        f"exit code {ending.code}": ending.code not in (_CODES | usage),
        "a traceback": "Traceback (most recent" in said and not asked_for_traceback,
        f"{len(lines)} lines on stderr": len(lines) > most_lines and not asked_for_traceback,
        f"control characters {control}": bool(control),
        f"a stray change of {stray[:1]}": bool(stray),
        "accepted, or refused as something else": invocation.refused
        and not (ending.code in usage and any(reason in said for reason in (invocation.about, _NO_FRAMEWORK))),
    }
    return [what for what, is_so in wrong.items() if is_so]


def _is_named(path: str, invocation: Invocation) -> bool:
    """Whether a path, relative to the folder, is what an argument names, in it, or a folder above it."""
    words = [part for word in invocation.arguments for part in (word, word.partition("=")[2]) if part]
    named = {"results", "out", *map(os.path.normpath, words)}
    if invocation.command == BENCHMARKS:
        named.add(".benchmarks")  # pytest-benchmark makes its own folder, whatever it is asked for
    return any(_is_in(path, name) or _is_in(name, path) for name in named)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/") or (folder == "." and not path.startswith(".."))


class Sandbox:
    """A folder to run in, with files of every odd kind, which is as it was before after each invocation."""

    def __init__(self, base: Path) -> None:
        self.folder, self.temporary = base / "cwd", base / "tmp"
        for folder in (self.folder, self.temporary):
            folder.mkdir(parents=True)
        places.make(self.folder)
        self._base, self._before = base, State.of(base)

    def changes(self) -> tuple[str, ...]:
        """The paths that have changed since the folder was made, relative to it; new ones are removed."""
        changed = State.of(self._base).changed(self._before)
        for path in reversed(changed):
            if path not in self._before.entries:
                _remove(Path(path))
        return tuple(os.path.relpath(path, self.folder) for path in changed)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


class _HungError(BaseException):
    """A command took longer than it may."""


def in_process(invocation: Invocation, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> Ending:
    """Run the invocation in this process, which is in the sandbox's folder."""
    out, err = io.StringIO(), io.StringIO()
    patch.setattr(sys, "argv", [f"bcdl {invocation.command}", *invocation.arguments])
    variables = mock.patch.dict(os.environ)  # an option may set one for the command's own process: --debug does
    with variables, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _patience():
        code = _code(invocation)
    return Ending(code, out.getvalue(), err.getvalue(), sandbox.changes())


def _code(invocation: Invocation) -> int | None:
    """The exit code; None if it hung or left by an exception, which is then on stderr."""
    try:
        if invocation.command == BENCHMARKS:
            return int(pytest.main([*_pytest_arguments(), *invocation.arguments]))
        main: Callable[[], int] = importlib.import_module(COMMANDS[invocation.command].module).main
        run_command(main)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except _HungError:
        print("it hung", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    return None


def _pytest_arguments() -> list[str]:
    """Of `pytest benchmarks` with its configuration, which pytest looks for above all paths that are given."""
    configuration = f"--config-file={ROOT / 'pyproject.toml'}"
    return [str(ROOT / BENCHMARKS), f"--rootdir={ROOT}", configuration, "-p", "no:cacheprovider"]


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A block that is given up after some seconds."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise _HungError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def as_process(
    invocation: Invocation,
    sandbox: Sandbox,
    redirections: str = "",
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Ending:
    """Run the invocation as a process of its own, by a shell.

    Args:
        invocation: what is run.
        sandbox: the folder that it runs in.
        redirections: what a shell gets behind the command, as `>/dev/full`.
        options: options of Python itself.
        variables: environment variables beside those of this process.
    """
    is_pytest = invocation.command == BENCHMARKS
    module = ("pytest", *_pytest_arguments()) if is_pytest else ("bcdl", invocation.command)
    command = [sys.executable, *options, "-m", *module, *invocation.arguments]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirections}', "sh", *command],
        cwd=sandbox.folder,
        env={**_environment(sandbox), **(variables or {})},
        capture_output=True,
        check=False,
        timeout=10 * _PATIENCE_S,
    )
    out, err = (stream.decode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr))
    return Ending(done.returncode, out, err, sandbox.changes())


def _environment(sandbox: Sandbox) -> dict[str, str]:
    """The variables of this process, but for those by which a pytest takes itself for one of several."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**own, **offline, "PYTHONPATH": str(ROOT), "TMPDIR": str(sandbox.temporary)}
