"""A disk that is full, or that can't be written, stops a run with a message; earlier records stay to the byte."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcdl.errors import UsageError
from bcdl.records import disk, log, store
from tests.factory import record
from tests.faults import driver
from tests.faults.conftest import Injected

MIB = 2**20
RECORD_BYTES = 100_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of 1 MiB; the test is skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def earlier(results: Path) -> dict[Path, bytes]:
    """Two records of an earlier run, and their file."""
    for seed in range(2):
        file = store.append(results, "a-machine", record(run="20250101T000000Z-0000", seed=seed))
    return {file: file.read_bytes()}


def fill(file: Path) -> None:
    """Write to the file until its disk is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def check_stopped(process: subprocess.Popen[str], results: Path, before: dict[Path, bytes], reason: str) -> int:
    """That the driver ended with a message, every record whole; how many records it wrote."""
    said = process.communicate()[0]
    assert process.returncode == 2, said
    assert f"can't be written ({reason}); make room or choose another folder with --results" in said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said
    assert {file: file.read_bytes() for file in before} == before
    records, problems = store.read_all(results)
    assert not problems
    return len(records) - 2


def test_a_full_disk_stops_a_run_and_harms_no_record(small_disk: Path, tmp_path: Path, injected: Injected) -> None:
    before = earlier(small_disk)
    plan = driver.plan(tmp_path, padding=RECORD_BYTES)
    with injected("full_disk"):
        process = driver.command(small_disk, plan, cells=12)
        written = check_stopped(process, small_disk, before, "No space left on device")
        assert 1 <= written < 12


def test_a_disk_full_from_the_start_is_found_before_the_first_cell(
    small_disk: Path, tmp_path: Path, injected: Injected
) -> None:
    before = earlier(small_disk)
    fill(small_disk / "others")
    with injected("full_disk"):
        process = driver.command(small_disk, driver.plan(tmp_path), "--resume")
        assert check_stopped(process, small_disk, before, "No space left on device") == 0


def test_a_file_that_may_not_grow_stops_a_run_and_harms_no_record(tmp_path: Path, injected: Injected) -> None:
    """What an unprivileged user has in place of a small disk: a limit on the size of files."""
    results = tmp_path / "results"
    before = earlier(results)
    plan = driver.plan(tmp_path, padding=RECORD_BYTES)
    limit = (5 * RECORD_BYTES // 2,) * 2
    with injected("file_limit"):
        process = driver.command(results, plan, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
        assert check_stopped(process, results, before, "File too large") == 2


def test_a_folder_that_is_read_only_stops_a_run_before_the_first_cell(
    tmp_path: Path, request: pytest.FixtureRequest, injected: Injected
) -> None:
    if os.geteuid():
        results, reason = tmp_path / "results", "Permission denied"
        before = earlier(results)
        for folder in [results, *results.rglob("*/")]:
            folder.chmod(0o555)
    else:  # no permission stops this user
        results, reason = request.getfixturevalue("small_disk"), "Read-only file system"
        before = earlier(results)
        subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
    with injected("read_only"):
        process = driver.command(results, driver.plan(tmp_path))
        assert check_stopped(process, results, before, reason) == 0
    for folder in [results, *results.rglob("*/")] if os.geteuid() else ():
        folder.chmod(0o755)


def test_a_line_cut_at_any_byte_costs_no_other(tmp_path: Path, injected: Injected) -> None:
    """What a power failure may leave of the last line."""
    line = record().to_json().encode()
    file = store.append(tmp_path, "a-machine", record())
    whole = file.read_bytes()
    for length in range(1, len(line), 7):
        with injected("torn_line", names=[f"cut at {length}"]) as tally:
            file.write_bytes(whole + line[:length])
            records, problems = store.read_all(tmp_path)
            tally.lost += 1 - len(records)
            assert (len(records), len(problems)) == (1, 1)
            (notice,) = log.repair(tmp_path)
            assert f"{length} bytes was set aside" in notice
            assert file.read_bytes() == whole
            assert file.with_suffix(log.TORN).read_bytes().endswith(line[:length] + b"\n")


def test_a_device_that_takes_no_byte_gives_a_message(injected: Injected) -> None:
    with injected("full_device"), pytest.raises(UsageError, match="can't be written"):
        disk.append_line(Path("/dev/full"), record().to_json())
