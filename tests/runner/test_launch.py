"""What a worker is given and what is kept of it; how it can end is in `faults/`. The workers here are stand-ins."""

from __future__ import annotations

import dataclasses
import stat
import sys
from pathlib import Path

import pytest

from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.runner.interpreter import Interpreter
from bcdl.text import scrub
from tests.factory import job
from tests.factory import record as made


def run(tmp_path: Path, script: str) -> tuple[Record, list[str]]:
    """The record and phases of a worker whose interpreter runs `script` instead."""
    interpreter = tmp_path / "interpreter"
    interpreter.write_text(f"#!{sys.executable}\nimport os, sys, json\njob, result, events = sys.argv[-3:]\n{script}\n")
    interpreter.chmod(interpreter.stat().st_mode | stat.S_IEXEC)
    phases: list[str] = []
    record = launch.run(job(), "a-run", tmp_path / "logs" / "worker.log", phases.append, Interpreter(str(interpreter)))
    return record, phases


def test_phases_are_reported_in_order(tmp_path: Path) -> None:
    script = (
        "import time\nfor phase in ('one', 'two'):\n    open(events, 'a').write(phase + '\\n')\n    time.sleep(0.3)"
    )
    assert run(tmp_path, script)[1] == ["one", "two"]


def test_the_log_is_kept_and_its_tail_names_no_folder(tmp_path: Path) -> None:
    record, _ = run(tmp_path, "print('no such file: /home/someone/secret/file.py')\nsys.exit(1)")
    assert "/home/someone" in (tmp_path / "logs" / "worker.log").read_text()
    assert record.log_tail == ["no such file: file.py"]


def test_keras_settings_that_would_change_the_run_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    record, _ = run(tmp_path, "print('KERAS_MAX_EPOCHS' in os.environ)\nsys.exit(1)")
    assert record.log_tail == ["False"]


@pytest.mark.parametrize(
    ("printed", "status"),
    [
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out_of_memory"),
        (
            "terminate called after an instance of 'c10::OutOfMemoryError'\\nCUDA out of memory.",
            "out_of_memory",
        ),
        ("F0000 stream_executor.cc:12 RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 b", "out_of_memory"),
        ("F0000 cuda_dnn.cc:12 Could not create cudnn handle: CUDNN_STATUS_ALLOC_FAILED", "out_of_memory"),
        ("F0000 kernel.cc:12 RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 2, has 1", "crashed"),
        ("an illegal memory access was encountered", "crashed"),
    ],
)
def test_a_worker_that_aborts_ran_out_of_memory_if_it_says_so(tmp_path: Path, printed: str, status: str) -> None:
    record, _ = run(tmp_path, f'print("{printed}", flush=True)\nos.abort()')
    assert record.status == status, record.reason


@pytest.mark.parametrize(
    ("run_id", "change", "reason"),
    [
        ("a-run", ('"epochs": 2', '"epochs": 3'), "edited since it was written: its sha256"),
        ("another-run", ("", ""), "a record of another cell or run than was asked for"),
    ],
)
def test_a_result_that_is_no_valid_record_says_why(
    tmp_path: Path, run_id: str, change: tuple[str, str], reason: str
) -> None:
    line = dataclasses.replace(made(), run=run_id, cell=job().cell).to_json()
    (tmp_path / "left.json").write_text(line.replace(*change), encoding="utf-8")
    record, _ = run(tmp_path, f"import shutil; shutil.copy({str(tmp_path / 'left.json')!r}, result)")
    assert record.status == "crashed"
    assert f"exit code 0 and left no record; what it left in its place is refused: {reason}" in record.reason


@pytest.mark.parametrize(("device", "name"), [("cpu", "peak_memory_mib"), ("gpu", "host_peak_memory_mib")])
def test_the_memory_that_a_driver_sees_is_that_of_the_host(tmp_path: Path, device: str, name: str) -> None:
    asked = dataclasses.replace(job(), cell=dataclasses.replace(job().cell, device=device))
    sleeps = ("-c", "import time; time.sleep(1)")
    record = launch.run(asked, "a-run", tmp_path / "log", lambda phase: None, worker=sleeps)
    assert set(record.metrics) == {name}


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
