"""What a node runs: one cell, once, whatever the scheduler starts again."""

from __future__ import annotations

import json
import os
import socket
import types
from pathlib import Path

import pytest

from bcdl.machine import hardware, scheduler
from bcdl.records import claims, runs, store
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.runner.cluster import task
from bcdl.runner.cluster.submission import BEGUN, TASK_LOG
from bcdl.runner.run import STATUS_FILE
from tests.factory import record
from tests.faults import driver, hosts
from tests.in_process import InProcess, Said
from tests.runner.cluster.conftest import OnCluster, use


@pytest.fixture
def submitted(on_cluster: OnCluster) -> OnCluster:
    code, said, error = on_cluster.submit()
    assert code == 0, error
    assert "submitted 2 cells as SLURM job 100" in said
    return on_cluster


def run(submitted: OnCluster, index: int, patch: pytest.MonkeyPatch, **more: str) -> Said:
    """A task in this process, as its node would run it."""
    (made,) = submitted.submissions
    with patch.context() as of_node:
        for name, value in submitted.slurm.variables(index, **more).items():
            of_node.setenv(name, value)
        return submitted.in_process(task.main, made.folder, str(index))


def folder_of(submitted: OnCluster, index: int) -> Path:
    (made,) = submitted.submissions
    return made.folder_of(index)


def test_a_task_leaves_one_record_in_a_file_of_its_own(submitted: OnCluster) -> None:
    """By the script, in processes of their own, as a node has it."""
    submitted.slurm.run_all()
    assert submitted.slurm.states() == {0: "COMPLETED", 1: "COMPLETED"}
    assert submitted.statuses() == {0: "ok", 1: "ok"}
    (made,) = submitted.submissions
    names = {file.name for file in (submitted.results / "records").glob("*/*.jsonl")}
    assert names == {f"{made.id_of(index)}.jsonl" for index in (0, 1)}
    assert {file.parent.name for files in made.recorded().values() for file in files} == {hardware.machine_name("cpu")}
    assert "cnn on torch, seed 0: ok" in (made.folder_of(0) / TASK_LOG).read_text()


def test_the_record_is_marked_with_the_leaks_that_the_driver_found(submitted: OnCluster) -> None:
    submitted.run_all()
    for each in submitted.records():
        assert each.dataset["leaks"]["clean"]
        assert each.dataset["names"] == "kept"


def test_the_record_has_the_job_by_digests_and_no_name_of_a_node(
    submitted: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(submitted, 0, monkeypatch, SLURM_RESTART_COUNT="2")
    (made,) = submitted.records()
    assert made.environment["scheduler"] == {
        "name": "slurm",
        "job": scheduler.digest("stand-in", "100"),
        "array": scheduler.digest("stand-in", "100"),
        "restarts": 2,
    }
    line = made.to_json()
    assert "node-x1" not in line
    assert socket.gethostname() not in line or len(socket.gethostname()) < 3


def test_a_process_in_no_job_says_nothing_of_one() -> None:
    assert scheduler.facts({}) == {}
    assert scheduler.facts({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "x"})["scheduler"]["restarts"] == 0


def test_a_task_that_is_started_again_finds_its_record(submitted: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(submitted, 0, monkeypatch)[0] == 0
    code, said, _ = run(submitted, 0, monkeypatch, SLURM_RESTART_COUNT="1")
    assert (code, said) == (0, "task 0 has its record already\n")
    assert submitted.statuses() == {0: "ok"}


def test_one_whose_first_attempt_died_measures_and_its_torn_line_is_set_aside(
    submitted: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = submitted.submissions
    file = store.append(submitted.results, hardware.machine_name("cpu"), record(run=made.id_of(0)))
    file.write_bytes(file.read_bytes()[:100])
    code, said, _ = run(submitted, 0, monkeypatch)
    assert code == 0
    assert "a torn last line of 100 bytes was set aside" in said
    assert submitted.statuses() == {0: "ok"}


def test_a_second_attempt_waits_until_the_first_is_known_to_be_dead(
    submitted: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that the scheduler has lost may be alive, and store its record still."""
    (made,) = submitted.submissions
    looks: list[None] = []
    process = hosts.start("other", 0.0, hosts.hold, submitted.results, made.id_of(0), submitted.folder / "ready")
    with hosts.killed_when(submitted.folder / "ready", process):

        def look(seconds: float) -> None:
            looks.append(None)
            if len(looks) == 3:
                process.kill()
                process.join()
                hosts.age(folder_of(submitted, 0) / runs.OWNER_FILE, claims.SILENT_S + 60)

        monkeypatch.setattr(task, "time", types.SimpleNamespace(sleep=look))
        monkeypatch.setattr(task, "_LOOK_S", 0.0)
        code, _, error = run(submitted, 0, monkeypatch)
    assert (code, error) == (0, "")
    assert len(looks) >= 3
    assert submitted.statuses() == {0: "ok"}


def test_an_attempt_beside_one_that_lives_ends_in_a_line(submitted: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = submitted.submissions
    monkeypatch.setattr(task, "_LOOK_S", 0.0)
    process = hosts.start("other", 0.0, hosts.hold, submitted.results, made.id_of(0), submitted.folder / "ready")
    with hosts.killed_when(submitted.folder / "ready", process):
        code, _, error = run(submitted, 0, monkeypatch)
    assert code == 2
    assert error.startswith(f"error: run {made.id_of(0)} is under way")
    assert submitted.records() == []


def test_who_was_taken_for_dead_stores_nothing(submitted: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a task that the driver has given up would have two records."""
    keep = task._OfTask.keep

    def keep_late(self: task._OfTask, job: object, outcome: Record) -> None:
        file = folder_of(submitted, 0) / runs.OWNER_FILE
        claims.take_away(file, claims.holder(file))
        with claims.Claim(file, stays=True):
            store.append(submitted.results, "m", record(run=self.id, status="crashed"))
        keep(self, job, outcome)

    monkeypatch.setattr(task._OfTask, "keep", keep_late)
    code, _, error = run(submitted, 0, monkeypatch)
    assert code == 1
    assert "took this process, which was stopped for long, for dead" in error
    assert submitted.statuses() == {0: "crashed"}


def test_what_a_task_begins_with_is_there_for_a_record_that_it_does_not_live_to_write(
    submitted: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(submitted, 1, monkeypatch)
    begun = json.loads((folder_of(submitted, 1) / BEGUN).read_text())
    assert begun["machine"] == hardware.machine_name("cpu")
    assert set(begun["environment"]) >= {"identity", "versions", "scheduler"}
    assert "node-x1" in begun["hosts"]
    assert json.loads((folder_of(submitted, 1) / STATUS_FILE).read_text())["done"] == 1


def test_data_that_changed_since_the_driver_checked_it_fails_the_cell(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node reads the data itself, and compares it with what was checked, as any worker does."""
    use(monkeypatch, driver.plan(on_cluster.folder, reads=True))
    on_cluster.submit()
    (made,) = on_cluster.submissions
    file = made.folder / "submission.json"
    file.write_text(file.read_text().replace('"data_checksum": "', '"data_checksum": "0000', 1))
    run(on_cluster, 0, monkeypatch)
    run(on_cluster, 1, monkeypatch)
    assert on_cluster.statuses() == {0: "failed", 1: "ok"}
    assert "data changed since the run checked it" in on_cluster.reason(0)


@pytest.mark.parametrize("arguments", [(), ("x",), ("x", "-1"), ("x", "²"), ("x", "1", "2")])
def test_other_arguments_are_refused(in_process: InProcess, arguments: tuple[str, ...]) -> None:
    code, _, error = in_process(task.main, *arguments)
    assert code == 2
    assert error.count("\n") == 1


def test_a_task_that_there_is_not_is_refused(submitted: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = submitted.submissions
    for folder, index in ((made.folder, "2"), (submitted.folder, "0")):
        code, _, error = submitted.in_process(task.main, folder, index)
        assert code == 2
        assert f"says of no task {index} what it is" in error


def test_nodes_of_two_kinds_never_merge(on_cluster: OnCluster) -> None:
    """The machine's identity keeps them apart: in folders, and so in tables."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one processor is of one kind")
    few = f"case $SLURMD_NODENAME in small*) taskset --cpu-list --pid {cores[0]} $$ >/dev/null;; esac"
    on_cluster.submit("--setup", few)
    for place, node in enumerate(("large1", "small1")):
        on_cluster.slurm.run(place, SLURMD_NODENAME=node)
    assert on_cluster.statuses() == {0: "ok", 1: "ok"}
    records, _ = store.read_all(on_cluster.results)
    assert len({machine for machine, _ in records}) == 2
    assert sum("-1-cores-" in machine for machine, _ in records) == 1
    assert sorted(len(group.records) for group in group_records(records)) == [1, 1]
