"""Every way a worker can end becomes a record; the workers here are stand-ins, for the plumbing alone."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from bcdl import launch
from bcdl.record import Record, scrub
from tests.factory import job


def run(tmp_path: Path, script: str) -> tuple[Record, list[str]]:
    """The record and phases of a worker whose interpreter runs `script` instead."""
    interpreter = tmp_path / "interpreter"
    interpreter.write_text(f"#!{sys.executable}\nimport os, sys, json\njob, result, events = sys.argv[-3:]\n{script}\n")
    interpreter.chmod(interpreter.stat().st_mode | stat.S_IEXEC)
    phases: list[str] = []
    record = launch.run(job(), "a-run", tmp_path / "logs" / "worker.log", phases.append, str(interpreter))
    return record, phases


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("os._exit(3)", "crashed", "exit code 3"),
        ("os._exit(0)", "crashed", "exit code 0 and left no record"),
        ("os.kill(os.getpid(), 9)", "crashed", "ended by SIGKILL; the system does this when memory runs out"),
        ("os.kill(os.getpid(), 11)", "crashed", "ended by SIGSEGV"),
        ("open(result, 'w').write('{\"schema\": 1')", "crashed", "left no record"),
        ("open(result, 'wb').write(b'\\xff\\xfe')", "crashed", "left no record"),
    ],
)
def test_a_worker_that_dies_leaves_a_record(tmp_path: Path, script: str, status: str, reason: str) -> None:
    record, _ = run(tmp_path, script)
    assert record.status == status
    assert reason in record.reason
    assert record.cell == job().cell
    assert record.environment["cpu_cores"]


def test_phases_are_told_in_order(tmp_path: Path) -> None:
    script = (
        "import time\nfor phase in ('one', 'two'):\n    open(events, 'a').write(phase + '\\n')\n    time.sleep(0.3)"
    )
    assert run(tmp_path, script)[1] == ["one", "two"]


def test_the_log_is_kept_and_its_tail_names_no_folder(tmp_path: Path) -> None:
    record, _ = run(tmp_path, "print('no such file: /home/someone/secret/file.py')\nsys.exit(1)")
    assert "/home/someone" in (tmp_path / "logs" / "worker.log").read_text()
    assert record.log_tail == ["no such file: file.py"]


def test_children_of_a_dead_worker_are_ended(tmp_path: Path) -> None:
    child = f"import subprocess\nopen(r'{tmp_path}/pid', 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    run(tmp_path, f"{child}\nos._exit(1)")
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_keras_settings_that_would_change_the_run_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    record, _ = run(tmp_path, "print('KERAS_MAX_EPOCHS' in os.environ)\nsys.exit(1)")
    assert record.log_tail == ["False"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("at /a/b/c.py line 3", "at c.py line 3"),
        (r"at C:\Users\me\x.py", "at x.py"),
        ("3/4 images, 1.5 images/s", "3/4 images, 1.5 images/s"),
    ],
)
def test_scrubbing_takes_folders_and_leaves_words(text: str, wanted: str) -> None:
    assert scrub(text) == wanted
