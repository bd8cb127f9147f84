"""Whatever becomes of a driver, every record it had written is there, and the rest is one command away."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bcdl.records import log, store
from bcdl.report import page as report
from tests.factory import record
from tests.faults import driver
from tests.faults.conftest import Injected

KILLS = 60
CELLS_A_MATRIX = 12


def contents(results: Path) -> dict[Path, bytes]:
    """The files of records there are, each up to the end of its last whole line."""
    files = (results / log.RECORDS).glob("*/*.jsonl")
    return {file: b"".join(file.read_bytes().rpartition(b"\n")[:2]) for file in files}


def begun_and_kept(said: Path) -> tuple[list[str], list[str]]:
    """The ids of the cells that drivers began, and of those whose record was written, as they themselves said."""
    pairs = [line.split(" ", 1) for line in said.read_text().splitlines()] if said.exists() else []
    return [cell for word, cell in pairs if word == "begin"], [cell for word, cell in pairs if word == "kept"]


def recorded(results: Path) -> list[str]:
    """The id of each record's cell; nothing in the folder is anything else, save a line that a kill tore."""
    records, problems = store.read_all(results)
    assert all("torn last line" in problem.reason for problem in problems)
    assert all(entry.ok for _, entry in records)
    return [entry.cell.id for _, entry in records]


def test_a_driver_killed_at_any_instant_loses_at_most_the_cell_under_way(tmp_path: Path, injected: Injected) -> None:
    """Matrix after matrix, each driver resuming what the one before it left, until enough of them have been killed."""
    instants = random.Random(20240229)
    plan = driver.plan(tmp_path, seconds=0.02)
    kills, matrices = 0, 0
    while kills < KILLS:
        results, said = tmp_path / f"results-{matrices}", tmp_path / f"said-{matrices}"
        matrices += 1
        kills_here = 0
        for _ in range(10):
            before = contents(results)
            process = driver.start(results, plan, said, CELLS_A_MATRIX)
            process.join(instants.uniform(0, 0.6))
            if process.exitcode is not None:
                break
            with injected("driver_killed", names=[f"kill {kills + kills_here}"]) as tally:
                process.kill()
                process.join()
                begun, kept = begun_and_kept(said)
                there = recorded(results)
                tally.lost += len(set(kept) - set(there))
                assert set(kept) <= set(there)
                kills_here += 1
                assert len(begun) - len(there) <= kills_here
                assert all(contents(results)[file].startswith(text) for file, text in before.items())
                assert not still_running(results)
        kills += kills_here
        last = driver.start(results, plan, said, CELLS_A_MATRIX)
        last.join()
        assert last.exitcode == 0
        assert sorted(recorded(results)) == sorted(job.cell.id for job in driver.jobs(CELLS_A_MATRIX))


def test_drivers_at_once_on_one_folder_all_keep_everything(tmp_path: Path, injected: Injected) -> None:
    """Four at a time, on a folder where a run that died has left a torn line that each would set aside."""
    plan = driver.plan(tmp_path)
    for time_ in range(5):
        results = tmp_path / f"results-{time_}"
        whole = store.append(results, "another-machine", record())
        before = whole.read_bytes()
        whole.write_bytes(before + b'{"schema": 3')
        said = [tmp_path / f"said-{time_}-{number}" for number in range(4)]
        with injected("drivers_at_once") as tally:
            drivers = [driver.start(results, plan, file, 3) for file in said]
            for process in drivers:
                process.join()
            assert [process.exitcode for process in drivers] == [0] * 4
            kept = [cell for file in said for cell in begun_and_kept(file)[1]]
            there = recorded(results)
            tally.lost += max(0, len(kept) + 1 - len(there))
            assert sorted(there) == sorted([*kept, record().cell.id])
            assert whole.read_bytes() == before
            assert whole.with_suffix(log.TORN).read_bytes() == b'{"schema": 3\n'


def test_a_last_record_that_only_lacks_its_end_is_resumed_from(tmp_path: Path) -> None:
    """What a full disk or a power failure may leave; the run that resumes gives it its end."""
    plan = driver.plan(tmp_path)
    first = driver.command(tmp_path / "results", plan, cells=3)
    assert first.wait() == 0, first.communicate()[0]
    (file,) = contents(tmp_path / "results")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    again = driver.command(tmp_path / "results", plan, "--resume", cells=3)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    assert "resumed: 3 of 3 cells have their record already" in said
    assert f"{file.name}: its last line lacked its end and has it now" in said
    assert list(contents(tmp_path / "results").values()) == [whole]


def test_a_run_touches_no_log_of_somebody_else(tmp_path: Path) -> None:
    visits = tmp_path / "results" / "records" / "clinic" / "visits.jsonl"
    visits.parent.mkdir(parents=True)
    visits.write_bytes(b'{"patient": 1}\n{"patient": 2}')
    run = driver.command(tmp_path / "results", driver.plan(tmp_path), cells=1)
    said = run.communicate()[0]
    assert run.returncode == 0, said
    assert visits.read_bytes() == b'{"patient": 1}\n{"patient": 2}'
    assert [file.name for file in visits.parent.iterdir()] == [visits.name]
    assert said.count("clinic/visits.jsonl: not a log of bcdl; left alone") == 1


@pytest.mark.parametrize("name", ["parity", "experiments"])
def test_a_run_sets_aside_the_torn_line_of_any_log(tmp_path: Path, name: str) -> None:
    torn = log.file_of(tmp_path / "results", name, "a-machine", record().run)
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b'{"schema": 1, "run": "')
    run = driver.command(tmp_path / "results", driver.plan(tmp_path), cells=1)
    said = run.communicate()[0]
    assert run.returncode == 0, said
    assert f"{torn.name}: a torn last line of 22 bytes was set aside" in said
    assert torn.with_suffix(log.TORN).read_bytes() == b'{"schema": 1, "run": "\n'


def test_two_commands_at_once_on_one_folder_both_end_well(tmp_path: Path, injected: Injected) -> None:
    plan = driver.plan(tmp_path)
    with injected("commands_at_once") as tally:
        both = [driver.command(tmp_path / "results", plan) for _ in range(2)]
        said = [process.communicate()[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        tally.lost += 8 - len(recorded(tmp_path / "results"))
        assert len(recorded(tmp_path / "results")) == 8
        assert report.check(tmp_path / "results")


def interrupt_at(process: subprocess.Popen[str], *marks: str, number: int = signal.SIGINT) -> str:
    """Send the signal, that of Ctrl-C, at each of the marks in what the driver prints; all that it printed."""
    said = ""
    for mark in marks:
        while mark not in said:
            line = process.stdout.readline()
            assert line, f"it ended before {mark!r}:\n{said}"
            said += line
        process.send_signal(number)
    return said + process.communicate()[0]


def still_running(results: Path) -> list[int]:
    """What a driver on `results` has left after a moment's grace: the system ends it, and takes some milliseconds."""
    for _ in range(50):
        left = driver.left_running(results)
        if not left:
            return []
        time.sleep(0.1)
    return [process.pid for process in left]


@pytest.mark.parametrize("timing", ["--timing", "--no-timing"])
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(tmp_path: Path, timing: str, injected: Injected) -> None:
    """Whether each cell has a worker of its own or all share one."""
    plan = driver.plan(tmp_path, seconds=0.3)
    with injected("ctrl_c") as tally:
        process = driver.command(tmp_path / "results", plan, timing, cells=6)
        said = interrupt_at(process, "[3/6]")
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        done = len(recorded(tmp_path / "results"))
        assert 2 <= done < 6
        assert f"interrupted: {done} of 6 cells are done and recorded; the same command with --resume runs" in said
        assert "Traceback" not in said
        assert (tmp_path / "results" / "README.md").is_file()
        assert not still_running(tmp_path / "results")
        rest = driver.command(tmp_path / "results", plan, timing, "--resume", cells=6)
        assert f"resumed: {done} of 6 cells have their record already" in rest.communicate()[0]
        assert rest.returncode == 0
        tally.lost += 6 - len(set(recorded(tmp_path / "results")))
        assert len(recorded(tmp_path / "results")) == 6


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, injected: Injected) -> None:
    plan = driver.plan(tmp_path, seconds=0.1)
    with injected("ctrl_c_twice") as tally:
        process = driver.command(tmp_path / "results", plan, cells=6, slow_report=True)
        interrupt_at(process, "[3/6]", "reporting")
        assert process.returncode == 130
        tally.lost += 2 - min(2, len(recorded(tmp_path / "results")))
        assert len(recorded(tmp_path / "results")) >= 2
        assert not still_running(tmp_path / "results")
