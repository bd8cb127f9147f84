"""A folder for temporary files that takes nothing costs no cell: what has room for records has room for results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from bcdl.errors import UsageError
from bcdl.machine import scratch
from bcdl.runner import launch
from bcdl.settings.job import RESULT_LOST
from bcdl.worker import measurement, parent_death
from tests.factory import job, record
from tests.faults.conftest import Injected
from tests.faults.test_disks import fill
from tests.faults.test_drivers import recorded
from tests.faults.test_signals import Driver, left_behind

pytestmark = pytest.mark.skipif(os.name != "posix", reason="disks of a Unix system")
CONTENT = bytes(range(256)) * 1024


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """The folder as a file system of 64 KiB."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    with small_disk(folder):
        fill(folder / "others")
        yield


@contextlib.contextmanager
def nearly_full(folder: Path) -> Iterator[None]:
    """It takes a folder and its mark, and the beginning of what is written."""
    with small_disk(folder):
        (folder / "others").write_bytes(bytes(32 * 1024))
        yield


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    with small_disk(folder):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield


@contextlib.contextmanager
def no_folder(folder: Path) -> Iterator[None]:
    folder.write_bytes(b"")
    yield


@contextlib.contextmanager
def below_no_folder(folder: Path) -> Iterator[None]:
    folder.parent.joinpath("a-file").write_bytes(b"")
    folder.symlink_to("a-file/x")
    yield


FAULTY: dict[str, Callable[[Path], contextlib.AbstractContextManager[None]]] = {
    "full": full,
    "nearly full": nearly_full,
    "read-only": read_only,
    "a file": no_folder,
    "leads nowhere": below_no_folder,
}


@pytest.fixture
def beside_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results" / "local"
    monkeypatch.setattr(scratch, "_beside_records", [folder])
    return folder


def write(file: IO[bytes]) -> None:
    file.write(CONTENT)


@pytest.mark.parametrize("fault", FAULTY)
def test_temporary_files_lie_beside_the_records_if_they_find_no_room(
    tmp_path: Path, beside_records: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected, fault: str
) -> None:
    """The folder was sound when the process began."""
    temporary = tmp_path / "temporary"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with injected("temporary_folder"), FAULTY[fault](temporary):
        with scratch.file(write) as file:
            file.seek(0)
            assert file.read() == CONTENT
        with scratch.folder() as folder:
            assert folder.parent == (temporary if fault == "nearly full" else beside_records)
        assert not folder.exists()
        monkeypatch.setattr(scratch, "_beside_records", [])
        with pytest.raises(UsageError, match=r"no temporary file can be written .*; make room there, or set TMPDIR"):
            scratch.file(write)
        assert not temporary.is_dir() or {path.name for path in temporary.iterdir()} <= {"others"}


def test_a_system_without_a_folder_for_temporary_files_has_one_beside_the_records(
    beside_records: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    with injected("temporary_folder"):
        with scratch.folder() as folder:
            assert folder.parent == beside_records
        monkeypatch.setattr(scratch, "_beside_records", [])
        with pytest.raises(UsageError, match="the system has no folder for them"), scratch.folder():
            pass


def test_a_temporary_folder_that_fills_in_mid_run_costs_no_cell(tmp_path: Path, injected: Injected) -> None:
    temporary = tmp_path / "temporary"
    with injected("temporary_folder") as tally, small_disk(temporary):
        started = Driver.start(tmp_path, temporary)
        started.reach(2)
        fill(temporary / "others")
        started.process.join()
        assert started.process.exitcode == 0, started.printed.read_text()
        tally.lost += 6 - len(recorded(started.results))
        assert len(recorded(started.results)) == 6
        assert left_behind(temporary, started.results) == []


def test_a_worker_without_room_for_its_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], injected: Injected
) -> None:
    monkeypatch.setattr(parent_death, "end_with_driver", lambda: None)
    monkeypatch.setattr(measurement, "run", lambda *arguments: (record(), None))
    monkeypatch.setattr(scratch, "_beside_records", [])
    asked = tmp_path / "job.json"
    asked.write_text(json.dumps({"job": job().to_dict(), "run": "a-run", "launched_s": 0.0}))
    process = measurement.Process()
    with injected("result_lost"):
        result = tmp_path / "job.json" / "result.json"  # a folder that is none
        assert measurement.serve(str(asked), str(result), str(tmp_path / "e"), process=process) == RESULT_LOST
        assert capsys.readouterr().err.startswith("the record can't be handed to the driver: ")


@pytest.mark.parametrize("cells", [1, 3])
@pytest.mark.parametrize("timing", [True, False])
def test_a_record_that_finds_no_room_ends_the_run_and_is_no_crash(
    tmp_path: Path, injected: Injected, cells: int, timing: bool
) -> None:
    jobs = [dataclasses.replace(job(seed=seed), cold=timing) for seed in range(cells)]
    worker = ("-c", f"raise SystemExit({RESULT_LOST})")
    with (
        injected("result_lost"),
        pytest.raises(UsageError, match=r"has no room for the record of cnn .*; make room .* with --resume"),
        launch.started(jobs, "a-run", tmp_path / "a-run" / "log", worker=worker) as process,
    ):
        process.record_of_next(lambda phase: None)
    assert [path.name for path in (tmp_path / "a-run").iterdir()] == ["log"]
