"""`bcdl COMMAND`: one table of commands, and how each of them ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import __version__
from bcdl.__main__ import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def test_help_lists_every_command_in_its_group() -> None:
    done = run("-m", "bcdl", "--help")
    assert done.returncode == 0
    listed = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ") and line.strip()}
    for name, row in COMMANDS.items():
        assert listed[name].endswith(row.help)
        assert row.group in GROUPS
    assert run("-m", "bcdl").stdout == done.stdout


def test_the_version_is_said() -> None:
    assert run("-m", "bcdl", "--version").stdout == f"bcdl {__version__}\n"


def test_an_unknown_command_ends_with_2_and_the_names() -> None:
    done = run("-m", "bcdl", "trian", "--model", "cnn")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown command 'trian'; the commands are train, run, submit, ab,")


def test_help_needs_the_standard_library_alone() -> None:
    code = "import sys; sys.argv = ['bcdl', '--help']; from bcdl.__main__ import main\ntry: main()\nfinally: "
    done = run("-c", code + "print(*sys.modules, sep='\\n', file=sys.stderr)")
    assert done.returncode == 0
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert loaded <= {*sys.stdlib_module_names, "bcdl", "__main__", "sitecustomize", "usercustomize", "_virtualenv"} | {
        name for name in loaded if name.startswith(("__editable__", "_distutils", "__mp"))
    }


def test_what_draws_is_not_imported_to_explain_the_report() -> None:
    code = "import sys; sys.argv = ['bcdl', 'report', '--help']; from bcdl.__main__ import main\ntry: main()\nfinally: "
    done = run("-c", code + "print(*sys.modules, file=sys.stderr)")
    assert done.returncode == 0
    assert not {"matplotlib", "scipy", "pandas", "altair"} & set(done.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("style", ["bcdl NAME", "python -m bcdl.NAME"])
def test_each_command_explains_itself_by_the_name_it_was_called_by(name: str, style: str) -> None:
    arguments = ("-m", "bcdl", name) if style == "bcdl NAME" else ("-m", f"bcdl.{name}")
    done = run(*arguments, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {style.replace('NAME', name)}")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("bcdl", "--help"), 1), (("bcdl", "status"), 1), (("bcdl.status",), 1), (("bcdl.leaks", "--help"), 1)],
)
def test_a_reader_that_stopped_ends_a_command_quietly(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    """As `bcdl report | head` may: nothing on stderr, and no code of Python's own."""
    reading, writing = os.pipe()
    os.close(reading)
    more = ("--results", str(tmp_path)) if "status" in arguments[-1] else ()
    command = [sys.executable, "-m", *arguments, *more]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


def test_an_error_is_one_line_and_ctrl_c_is_130() -> None:
    code = "from bcdl.errors import *; import sys\ndef main(): raise {}\nrun_command(main)"
    done = run("-c", code.format("UsageError('--a \\x1b[31m is wrong; give --b')"))
    assert (done.returncode, done.stderr) == (2, "error: --a \\x1b[31m is wrong; give --b\n")
    assert run("-c", code.format("BcdlError('it failed; try again')")).returncode == 1
    done = run("-c", code.format("KeyboardInterrupt"))
    assert (done.returncode, done.stderr.count("\n")) == (130, 1)


def test_a_process_without_stdout_may_print() -> None:
    code = "import sys\nfrom bcdl.errors import run_command\nrun_command(lambda: 0 * sys.stdout.write('x') + 1)"
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code], cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("bcdl", "--version"), ("bcdl.status",), ("bcdl.experiment",)])
def test_an_output_without_room_ends_with_a_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    more = ("--results", str(tmp_path)) if "status" in arguments[-1] else ()
    command = [sys.executable, "-m", *arguments, *more]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: the output can't be written (No space left on device)")


@pytest.mark.parametrize(
    "arguments", [("report", "--results"), ("report", "--check", "--results"), ("status", "--results"), ("compare",)]
)
def test_a_path_that_the_system_refuses_ends_with_2_and_the_path(arguments: tuple[str, ...]) -> None:
    other = (str(ROOT),) if arguments == ("compare",) else ()
    done = run("-m", "bcdl", *arguments, "x" * 300, *other)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert f"{'x' * 29}...{'x' * 28}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        ("PermissionError(errno.EACCES, 'Permission denied', '/secret')", 2, "error: /secret: Permission denied; name"),
        (
            "OSError(errno.ELOOP, 'Too many links', 'a\\nb')",
            2,
            "error: a\\nb: Too many links; name another path",
        ),
        ("BlockingIOError(errno.EAGAIN, 'Resource unavailable')", 1, "error: the system refused what was needed (Res"),
        ("OSError(errno.ENOSPC, 'No space left on device')", 1, "error: the output can't be written (No space left on"),
        ("MemoryError", 1, "error: memory ran out; ask for less at once, or use a machine that has more"),
        (
            "KeyError('x')",
            1,
            "error: unexpected KeyError: 'x'; this is a fault of bcdl: report it",
        ),
        ("UsageError('a\\nerror: b')", 2, "error: a\\nerror: b"),
    ],
)
def test_what_goes_wrong_is_a_line_and_its_traceback_is_shown_if_asked_for(error: str, code: int, line: str) -> None:
    program = f"from bcdl.errors import *; import errno\ndef main(): raise {error}\nrun_command(main)"
    done = run("-c", program)
    assert (done.returncode, done.stderr.count("\n"), done.stderr[: len(line)]) == (code, 1, line)
    shown = run("-c", program, env={**os.environ, "BCDL_DEBUG": "1"})
    assert shown.stderr.startswith("Traceback (most recent call last)")
    assert (shown.returncode, shown.stderr.splitlines()[-1][: len(line)]) == (code, line)


def test_an_error_with_details_shows_them_below_its_line() -> None:
    code = "from bcdl.errors import *\ndef main(): raise BcdlError('two files differ:', ['  a\\x1b', '  b'])"
    done = run("-c", f"{code}\nrun_command(main)")
    assert (done.returncode, done.stderr) == (1, "error: two files differ:\n  a\\x1b\n  b\n")


@pytest.mark.parametrize("arguments", [("bcdl.status",), ("bcdl", "status")])
def test_ctrl_c_while_modules_are_imported_is_130_too(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise KeyboardInterrupt")
    done = run("-m", *arguments, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (130, "interrupted; every finished cell's record is kept\n")
