"""Several hosts on one results folder, as a network or a synced disk has it: no record is lost, and no report mixed."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from rich.console import Console

from bcdl import status
from bcdl.errors import UsageError
from bcdl.records import claims, disk, log, runs, store
from bcdl.records.claims import BusyError, Claim
from bcdl.report import __main__ as report_command
from bcdl.report import artefacts, check
from bcdl.report import page as report
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import Run
from tests.factory import record
from tests.faults import driver, hosts
from tests.faults.conftest import Injected
from tests.in_process import InProcess

HOUR_S = 3600.0
RUN = "20260101T000000Z-0123456789ab"
DEAD_S = claims.SILENT_S + 60


@pytest.mark.parametrize("number", range(2, 7))
def test_hosts_at_once_lose_no_record_and_agree_on_the_order(tmp_path: Path, number: int, injected: Injected) -> None:
    """Their clocks are hours apart, and go back: what was there when a record was written comes before it."""
    results, count = tmp_path / "results", 4
    said = [tmp_path / f"said-{host}" for host in range(number)]
    with injected("hosts_writing") as tally:
        writers = [
            hosts.start(f"h{host}", host * 3 * HOUR_S, hosts.append, results, file, count, host * HOUR_S)
            for host, file in enumerate(said)
        ]
        for process in writers:
            process.join()
        assert [process.exitcode for process in writers] == [0] * number
        lines = [json.loads(line) for file in said for line in file.read_text().splitlines()]
        records, problems = store.read_all(results)
        assert problems == []
        order = [hosts.key(entry.run, entry.cell.seed) for _, entry in records]
        tally.lost += len({line["wrote"] for line in lines} - set(order))
        assert sorted(order) == sorted(line["wrote"] for line in lines)
        place = {name: position for position, name in enumerate(order)}
        for line in lines:
            assert all(place[seen] < place[line["wrote"]] for seen in line["seen"])
    assert len(list((results / "records").glob("*/*.jsonl"))) == number


@pytest.mark.parametrize("number", range(2, 7))
def test_reports_of_hosts_at_once_are_never_mixed(tmp_path: Path, number: int, injected: Injected) -> None:
    times = 3
    with injected("hosts_reporting"):
        writers = [hosts.start(f"h{host}", 0.0, hosts.report, tmp_path, f"h{host}", times) for host in range(number)]
        for process in writers:
            process.join()
        assert [process.exitcode for process in writers] == [0] * number
        last = (tmp_path / "README.md").read_text().splitlines()[-1]
        assert last in {f"h{host} {times - 1}" for host in range(number)}
        assert list(check.differences(tmp_path, hosts.files(last))) == []
        assert [file.name for file in (tmp_path / "local").iterdir()] == []


@pytest.mark.parametrize("cut", [1, 20, 60, 200, 1000])
def test_what_a_host_left_that_died_in_mid_line_is_touched_by_no_other(
    tmp_path: Path, cut: int, injected: Injected
) -> None:
    ready, file = tmp_path / "ready", hosts.log_file(tmp_path, RUN)
    with injected("host_killed_writing") as tally:
        process = hosts.start("other", -5 * HOUR_S, hosts.write_half_a_line, tmp_path, RUN, cut, ready)
        with hosts.killed_when(ready, process):
            before = file.read_bytes()
            (problem,) = store.read_all(tmp_path)[1]
            assert "its run is alive and writes it" in str(problem)
            assert problem.foreign  # a report lacks nothing
            assert log.repair(tmp_path) == []
        records, (problem,) = store.read_all(tmp_path)
        tally.lost += 1 - len(records)
        owner = runs.folder_of(tmp_path, RUN) / runs.OWNER_FILE
        data = owner.parent / "data"
        for silent_s, forgotten in ((DEAD_S, False), (2 * claims.FORGOTTEN_S, True)):
            hosts.age(owner, silent_s)
            (problem,) = store.read_all(tmp_path)[1]
            assert (problem.foreign, "torn" in str(problem)) == (False, True)
            (notice,) = log.repair(tmp_path)
            assert "another host wrote it; the next run there mends it" in notice
            assert runs.is_forgotten(tmp_path, RUN) == forgotten
            Run(driver.jobs(1), tmp_path)._remove_what_dead_runs_left()
            assert data.exists() != forgotten
        assert file.read_bytes() == before
        assert not file.with_suffix(log.TORN).exists()
        owner.unlink()  # as the notice says, if the host is no more
        assert len(log.repair(tmp_path)) == 1
        assert len(store.read_all(tmp_path)[0]) == 1


@pytest.mark.parametrize("written", range(5))
def test_a_report_that_a_host_left_half_done_is_finished_by_the_next(
    tmp_path: Path, written: int, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, lock = tmp_path / "ready", tmp_path / "local" / "report.lock"
    monkeypatch.setattr(runs, "_MOST_LOOKS", 3)
    hosts.report(tmp_path, "here", 1)
    with injected("host_killed_reporting"):
        process = hosts.start("other", 0.0, hosts.report_in_part, tmp_path, "other", written, ready)
        with hosts.killed_when(ready, process):
            pass
        with pytest.raises(BusyError, match="another host"):
            hosts.report(tmp_path, "here", 1)
        hosts.age(lock, DEAD_S)
        hosts.report(tmp_path, "here", 1)
        assert list(check.differences(tmp_path, hosts.files("here 0"))) == []
        assert not lock.exists()


def test_a_report_does_without_its_turn_if_another_process_has_it(
    tmp_path: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is there, and a line says what to do."""
    monkeypatch.setattr(runs, "_MOST_LOOKS", 3)
    store.append(tmp_path, hosts.MACHINE, record())
    process = hosts.start("other", 0.0, hosts.hold_lock, tmp_path, tmp_path / "ready")
    with hosts.killed_when(tmp_path / "ready", process):
        (line,) = report.build(tmp_path)
        code, out, error = in_process(report_command.main, "--results", tmp_path)
    assert "was not rebuilt, but its records are all kept: a process of another host" in line
    assert f"run python -m bcdl.report --results {tmp_path} when it has ended" in line
    assert (code, out, error) == (1, "", f"error: {line}\n")
    assert not (tmp_path / "README.md").exists()


def test_a_lock_whose_process_of_this_host_died_is_free_at_once(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        runs._HELD.append(runs._locked(_lock_in(tmp_path)))
        os._exit(0)
    os.waitpid(pid, 0)
    assert _lock_in(tmp_path).exists()
    with runs.one_at_a_time(tmp_path, "report") as turn:
        assert turn.is_held


def _lock_in(results: Path) -> Path:
    (results / "local").mkdir(exist_ok=True)
    return results / "local" / "report.lock"


def test_who_was_taken_for_dead_writes_no_further_file(tmp_path: Path) -> None:
    """A host that was stopped for minutes, in the middle of a report, goes on."""
    lock = _lock_in(tmp_path)
    hosts.report(tmp_path, "before", 1)
    with Claim(lock) as stopped:
        claims.take_away(lock, claims.holder(lock))
        with Claim(lock), pytest.raises(BusyError, match="took this process, which was stopped for long, for dead"):
            artefacts.write(tmp_path, hosts.files("stopped"), remove_stale=True, check_turn=stopped.check)
    assert list(check.differences(tmp_path, hosts.files("before 0"))) == []


@pytest.mark.parametrize("off_s", [-DEAD_S, -2 * HOUR_S, -48 * HOUR_S, 2 * HOUR_S, 48 * HOUR_S])
def test_a_sign_of_life_with_the_time_of_another_clock_is_none(
    tmp_path: Path, off_s: float, in_process: InProcess, injected: Injected
) -> None:
    """As a synced disk brings it: the run is told of, and nothing of it is changed before a day is over."""
    process = hosts.start("other", 0.0, hosts.write_half_a_line, tmp_path, RUN, 50, tmp_path / "ready")
    with injected("host_clocks"), hosts.killed_when(tmp_path / "ready", process):
        before = hosts.log_file(tmp_path, RUN).read_bytes()
        hosts.age(runs.folder_of(tmp_path, RUN) / runs.OWNER_FILE, -off_s)
        assert not runs.is_live(tmp_path, RUN)
        code, said, _ = in_process(status.main, "--results", tmp_path)
        assert (code, f"run {RUN} of another host" in said) == (0, off_s > -24 * HOUR_S)
        assert len(log.repair(tmp_path)) == 1
        assert hosts.log_file(tmp_path, RUN).read_bytes() == before
        assert runs.is_forgotten(tmp_path, RUN) == (off_s < -24 * HOUR_S)


def test_a_run_of_another_host_lives_as_long_as_it_gives_signs(tmp_path: Path, in_process: InProcess) -> None:
    owner = runs.folder_of(tmp_path, RUN) / runs.OWNER_FILE
    process = hosts.start("other", 9 * HOUR_S, hosts.hold, tmp_path, RUN, tmp_path / "ready")
    with hosts.killed_when(tmp_path / "ready", process):
        hosts.age(owner, DEAD_S)
        assert _comes_to_live(tmp_path)
        _, said, _ = in_process(status.main, "--results", tmp_path)
        assert re.search(rf"{RUN} +│ another +│ unknown", said), said
    assert runs.is_live(tmp_path, RUN)  # by its last sign
    hosts.age(owner, DEAD_S)
    assert not runs.is_live(tmp_path, RUN)
    _, said, _ = in_process(status.main, "--results", tmp_path)
    assert f"nothing is running on {tmp_path}\n" in said
    assert f"note: run {RUN} of another host: no sign of life for " in said
    assert "it is not known whether it is alive" in said


def _comes_to_live(results: Path) -> bool:
    """Whether the run is seen to live within some seconds."""
    for _ in range(200):
        if runs.is_live(results, RUN):
            return True
        time.sleep(0.05)
    return False


# One id, twice.


@pytest.mark.parametrize("first", ["begun", "ended", "older", "experiment", "begun on this host"])
def test_a_run_whose_id_is_taken_is_refused_before_it_runs(tmp_path: Path, first: str, injected: Injected) -> None:
    results, ready = tmp_path / "results", tmp_path / "ready"
    taken = "there is a run .* already, and two must not share its files; start again"
    with injected("run_ids"):
        if first == "begun":
            process = hosts.start("other", 0.0, hosts.write_half_a_line, results, RUN, 9, ready)
            with hosts.killed_when(ready, process):
                pass
        elif first == "begun on this host":
            held = runs.claim(results, RUN)
        elif first == "ended":
            runs.claim(results, RUN).give_back()
        else:  # of a bcdl that left no claims
            log.append(results, {"older": "records", "experiment": "experiments"}[first], "m", RUN, _line)
        before = {file: file.read_bytes() for file in results.glob("*/*/*.jsonl")}
        again = Run(driver.jobs(1), results, id=RUN, worker=driver.worker(driver.plan(tmp_path)))
        with pytest.raises(UsageError, match=taken):
            again.check()
        assert {file: file.read_bytes() for file in results.glob("*/*/*.jsonl")} == before
    if first == "begun on this host":
        held.give_back()


def _line(count: int) -> str:
    return record(run=RUN).to_json()


def test_a_line_is_added_to_no_run_of_another_process_that_lives(tmp_path: Path) -> None:
    process = hosts.start("other", 0.0, hosts.write_half_a_line, tmp_path, RUN, 9, tmp_path / "ready")
    with hosts.killed_when(tmp_path / "ready", process):
        before = hosts.log_file(tmp_path, RUN).read_bytes()
        with pytest.raises(UsageError, match="is that of another process, which is alive"):
            store.append(tmp_path, hosts.MACHINE, record(run=RUN))
    assert hosts.log_file(tmp_path, RUN).read_bytes() == before


# Disks that lack something.


def _refuse(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_no_lock_of_the_file_system_is_needed(
    tmp_path: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, _refuse)
    results = tmp_path / "results"
    with injected("no_locks", times=5) as tally:
        for _ in range(5):
            run = Run(driver.jobs(1), results, worker=driver.worker(driver.plan(tmp_path)))
            run.check()
            run.measure(run.jobs, RunProgress(Console(quiet=True), [job.cell for job in run.jobs], None))
            hosts.report(results, "here", 1)
        records, problems = store.read_all(results)
        tally.lost += 5 - len(records)
        assert (len(records), problems) == (5, [])


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.EBADF, errno.EACCES, errno.ENOSYS, errno.ENOTSUP])
def test_a_disk_that_cannot_flush_a_folder_keeps_records(
    tmp_path: Path, refusal: int, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = disk.flush

    def flush_files(file: Path) -> None:
        if file.is_dir():
            raise OSError(refusal, os.strerror(refusal))
        flush(file)

    monkeypatch.setattr(disk, "flush", flush_files)
    with injected("no_folder_flush") as tally:
        store.append(tmp_path, hosts.MACHINE, record())
        tally.lost += 1 - len(store.read_all(tmp_path)[0])
        assert store.read_all(tmp_path) == ([(hosts.MACHINE, record())], [])


def test_a_disk_that_fails_to_flush_a_folder_is_no_such_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk, "flush", fail)
    with pytest.raises(UsageError, match="can't be written"):
        store.append(tmp_path, hosts.MACHINE, record())


# What sync tools leave.

COPIES = [
    f"{RUN} (conflicted copy 2026-01-01).jsonl",
    f"{RUN} (Jane's conflicted copy 2026-01-01).jsonl",
    f"{RUN}.sync-conflict-20260101-120000-ABCDEF2.jsonl",
    f"{RUN}_conflict-20260101-120000.jsonl",
    f"{RUN} (1).jsonl",
    f"{RUN}-LAPTOP.jsonl",
    f"{RUN}.jsonl.sync-conflict-20260101",
    f"{RUN}.jsonl~",
    f".{RUN}.jsonl.Ab12Cd",
    f"~syncthing~{RUN}.jsonl.tmp",
]


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_that_a_sync_tool_left_is_told_of_and_counts_no_record_twice(
    tmp_path: Path, name: str, injected: Injected
) -> None:
    file = store.append(tmp_path, hosts.MACHINE, record(run=RUN))
    copy = file.with_name(name)
    shutil.copy(file, copy)
    with injected("sync_copies") as tally:
        records, (problem,) = store.read_all(tmp_path)
        assert (len(records), problem.copies, problem.is_loss) == (1, 1, False)
        assert str(problem).endswith(f"a copy of {file.name}, as sync tools make, without any other line; left alone")
        copy.write_text(record(run=RUN, seed=1).to_json() + "\n" + record(run=RUN, seed=2).to_json()[:40])
        records, (problem,) = store.read_all(tmp_path)
        tally.lost += 1 - len(records)
        assert not problem.foreign  # a report lacks a record, and says so
        assert f"with 1 of its lines that stand only here; add the lines of the copy to {file.name}" in str(problem)
        file.unlink()
        (problem,) = store.read_all(tmp_path)[1]
        assert (problem.foreign, f"it may be {file.name}, which is missing" in str(problem)) == (False, True)
        before = copy.read_bytes()
        assert log.repair(tmp_path) == []
        assert copy.read_bytes() == before


STRAY = (".~lock.x.jsonl#", "Thumbs.db", ".DS_Store", "desktop.ini", f"._{RUN}.jsonl", ".stfolder")


def test_files_that_systems_leave_are_told_of_and_left_alone(tmp_path: Path, in_process: InProcess) -> None:
    file = store.append(tmp_path, hosts.MACHINE, record(run=RUN))
    for name in STRAY:
        file.with_name(name).write_bytes(b"\0\5\26\7")
        (tmp_path / "records" / name).write_bytes(b"\0\5\26\7")
    code, said, error = in_process(report_command.main, "--results", tmp_path)
    assert (code, error) == (0, "")
    assert "note: records: left alone, since no logs: " in said
    assert "more" in said
    assert all((folder / name).read_bytes() for folder in (file.parent, file.parent.parent) for name in STRAY)


@pytest.mark.parametrize("after", range(6))
def test_files_that_vanish_while_they_are_read_cost_no_report(
    tmp_path: Path, after: int, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host replaces or removes them meanwhile."""
    for seed in range(3):
        store.append(tmp_path, hosts.MACHINE, record(run=f"{RUN[:-1]}{seed}"))
    artefacts.write(tmp_path, hosts.files("first", tables=6), remove_stale=True)
    read_bytes, left = Path.read_bytes, itertools.count(after, -1)

    def vanish_before(file: Path) -> bytes:
        if next(left) == 0:
            file.unlink()
        return read_bytes(file)

    with injected("vanishing_files") as tally:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", vanish_before)
            records, problems = store.read_all(tmp_path)
            list(check.differences(tmp_path, hosts.files("second")))
            if after > 2:
                artefacts.write(tmp_path, hosts.files("second"), remove_stale=True)
        tally.lost += 3 - len(records) - (after < 3)
        assert [problem.reason for problem in problems] == ["can't be read (No such file or directory)"] * (after < 3)
        artefacts.write(tmp_path, hosts.files("second"), remove_stale=True)
        assert list(check.differences(tmp_path, hosts.files("second"))) == []
