"""Tasks that leave no record get one with the reason, once; those that live, or may live, get none."""

from __future__ import annotations

import dataclasses
import io
import types
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.machine import hardware
from bcdl.records import claims, runs, store
from bcdl.runner import launch
from bcdl.runner.cluster import follow, lost, script
from bcdl.runner.cluster.follow import Following, Look
from bcdl.runner.cluster.slurm import End
from bcdl.runner.cluster.submission import TASK_LOG
from bcdl.runner.cluster.task import Begun
from tests.factory import job, record
from tests.faults import hosts
from tests.runner.cluster.conftest import OnCluster


@pytest.fixture
def submitted(on_cluster: OnCluster) -> OnCluster:
    """Three cells in the queue."""
    on_cluster.write_file(seeds=3)
    code, _, error = on_cluster.submit()
    assert code == 0, error
    return on_cluster


@dataclasses.dataclass
class Follower:
    """A driver that follows all tasks, and what it has printed."""

    following: Following
    said: io.StringIO

    @classmethod
    def of(cls, on_cluster: OnCluster) -> Follower:
        (made,) = on_cluster.submissions
        said = io.StringIO()
        console = Console(file=said, force_terminal=False, width=200)
        return cls(Following(follow.watched(made, made.arrays(), made.tasks()), console), said)


def leave_record(on_cluster: OnCluster, index: int, status: str = "ok") -> Path:
    """The record of a task, as its node would have left it."""
    (made,) = on_cluster.submissions
    cell = made.task(index).job.cell
    left = dataclasses.replace(record(run=made.id_of(index), status=status), cell=cell)
    return store.append(on_cluster.results, "a-node", dataclasses.replace(left, metrics={}, samples={}, history={}))


def test_a_look_counts_records_and_asks_the_queue_about_the_rest(submitted: OnCluster) -> None:
    follower = Follower.of(submitted)
    assert follower.following.look() == Look(0, 0, 0, {"Resources": 3})
    submitted.slurm.end(0, "RUNNING")
    assert follower.following.look() == Look(0, 0, 1, {"Resources": 2})
    leave_record(submitted, 0, status="crashed")
    submitted.slurm.end(0, "FAILED")
    assert follower.following.look() == Look(1, 1, 0, {"Resources": 2})
    assert "cnn on torch, seed 0: crashed: it was made to fail" in follower.said.getvalue()


def test_what_is_left_is_estimated_from_what_has_ended(submitted: OnCluster) -> None:
    follower = Follower.of(submitted)
    leave_record(submitted, 0)
    submitted.slurm.end(1, "RUNNING")
    look = follower.following.look()
    assert look.left_s == pytest.approx(2 * 60.0)
    assert look.words == "1 done; 1 running; 1 waiting (Resources), about 2 min left"
    submitted.slurm.end(1, "PENDING", reason="None")
    assert follower.following.look().words == "1 done; 2 waiting (Resources)"


def test_what_a_node_spends_on_a_cell_besides_is_learnt(on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records say 60 s, and the node takes 90 s from one to the next."""
    on_cluster.write_file(seeds=10)
    on_cluster.submit()
    follower, now_s = Follower.of(on_cluster), [0.0]
    monkeypatch.setattr(follow, "time", types.SimpleNamespace(monotonic=lambda: now_s[0]))
    for index in range(8):
        on_cluster.slurm.end(index, "RUNNING")
        assert follower.following.look().done == index
        now_s[0] += 90.0
        leave_record(on_cluster, index)
        on_cluster.slurm.end(index, "COMPLETED")
    on_cluster.slurm.end(8, "RUNNING")
    assert follower.following.look().left_s == pytest.approx(2 * 90.0)


@pytest.mark.parametrize(
    ("state", "code", "status", "reason"),
    [
        ("TIMEOUT", "0:15", "timed_out", "SLURM ended it at its time limit of 00:01:00; ask for more"),
        ("OUT_OF_MEMORY", "0:125", "out_of_memory", "it used more memory than its job had"),
        ("CANCELLED", "0:15", "crashed", "its job was cancelled; --resume submits it again"),
        ("PREEMPTED", "0:15", "crashed", "its job had to give way to another one"),
        ("NODE_FAIL", "0:0", "crashed", "its node failed while it ran"),
        ("BOOT_FAIL", "0:0", "crashed", "its node did not start"),
        ("DEADLINE", "0:0", "timed_out", "at the deadline of its job"),
        ("FAILED", "0:9", "crashed", "its task was ended by a signal and left no record"),
        ("FAILED", "1:0", "crashed", "its task ended with exit code 1 and left no record; see its task.log"),
        ("COMPLETED", "0:0", "crashed", "its task ended with exit code 0 and left no record"),
        ("FAILED", f"{script.NO_FOLDER}:0", "crashed", "its node can't see the results folder"),
        ("FAILED", f"{script.NO_ROOM}:0", "crashed", "its node can't write into the results folder"),
    ],
)
def test_a_task_that_left_no_record_gets_one_with_the_reason(
    submitted: OnCluster, state: str, code: str, status: str, reason: str
) -> None:
    submitted.slurm.end(1, state, code)
    follower = Follower.of(submitted)
    look = follower.following.look()
    assert (look.done, look.failed) == (1, 1)
    assert submitted.statuses() == {1: status}
    assert reason in submitted.reason(1)
    (made,) = submitted.submissions
    assert [file.parent.name for file in made.recorded()[1]] == [lost.UNKNOWN_NODE]
    assert follower.following.look().done == 1
    assert submitted.statuses() == {1: status}


@pytest.mark.parametrize("setup", ["exit 3", "module_that_there_is_not load x"])
def test_what_the_script_says_was_wrong_is_in_the_reason(on_cluster: OnCluster, setup: str) -> None:
    on_cluster.submit("--setup", setup if setup != "exit 3" else "(exit 3)")
    on_cluster.slurm.run(0)
    Follower.of(on_cluster).following.look()
    expected = f"line 1 of --setup ended with exit code {3 if setup == 'exit 3' else 127}"
    assert on_cluster.reason(0) == f"a line of --setup failed on its node; see to the line ({expected})"


def test_an_interpreter_that_is_missing_on_the_node_is_a_record_with_that_reason(on_cluster: OnCluster) -> None:
    on_cluster.submit()
    (made,) = on_cluster.submissions
    (made.folder / "pythons").write_text("/no/such/python\n" * 2)
    on_cluster.slurm.run(1)
    Follower.of(on_cluster).following.look()
    assert on_cluster.reason(1).startswith("its node does not have the Python of its backend; name one that all nodes")
    assert "/no/such" not in on_cluster.reason(1)


def test_a_results_folder_that_the_node_can_not_write_is_a_record_with_that_reason(submitted: OnCluster) -> None:
    (made,) = submitted.submissions
    made.folder_of(0).write_text("a file in the way")
    submitted.slurm.run(0)
    made.folder_of(0).unlink()
    Follower.of(submitted).following.look()
    assert submitted.reason(0).startswith("its node can't write into the results folder")


def test_what_a_task_had_begun_with_stands_in_its_record(submitted: OnCluster) -> None:
    (made,) = submitted.submissions
    begun = Begun("a-machine", {**hardware.describe("cpu")}, "2026-01-01T00:00:00.000+00:00", ("node-x1.cluster",))
    begun.write(made.folder_of(2))
    log = (
        "starting on node-x1\nslurmstepd: error: *** JOB 102 ON node-x1 CANCELLED ***\nerror: node-x1.cluster is odd\n"
    )
    (made.folder_of(2) / TASK_LOG).write_text(log)
    (made.folder_of(2) / f"{launch.EXCHANGE}x").mkdir()
    submitted.slurm.end(2, "FAILED", "1:0")
    Follower.of(submitted).following.look()
    (left,) = submitted.records()
    assert left.reason == "its task ended with exit code 1 and left no record: (host) is odd"
    assert left.log_tail == ["starting on (host)", "error: (host) is odd"]
    assert left.environment["identity"] == hardware.identity("cpu")
    assert left.started == "2026-01-01T00:00:00.000+00:00"
    assert [file.parent.name for file in made.recorded()[2]] == ["a-machine"]
    assert not list(made.folder_of(2).glob(f"{launch.EXCHANGE}*"))


def test_a_clock_ahead_on_the_node_makes_no_record_that_can_not_be_read(submitted: OnCluster) -> None:
    (made,) = submitted.submissions
    Begun("a-machine", {}, "2999-01-01T00:00:00.000+00:00", ()).write(made.folder_of(0))
    submitted.slurm.end(0, "NODE_FAIL")
    Follower.of(submitted).following.look()
    assert submitted.statuses() == {0: "crashed"}


def test_what_slurm_has_forgotten_is_said_to_be_unknown(submitted: OnCluster) -> None:
    submitted.slurm.forget()
    look = Follower.of(submitted).following.look()
    assert look.done == 3
    assert submitted.reason(0) == (
        "it left no record, and SLURM does not know any more how it ended; --resume submits it again"
    )


def test_a_record_is_waited_for_as_long_as_a_disk_may_show_it_late(
    submitted: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_GRACE_S", 3600.0)
    submitted.slurm.end(0, "COMPLETED")
    follower = Follower.of(submitted)
    assert follower.following.look().words == "0 done; 2 waiting (Resources); 1 ended, and no record so far"
    assert submitted.records() == []
    leave_record(submitted, 0)
    assert follower.following.look().done == 1
    assert submitted.statuses() == {0: "ok"}


def test_a_task_whose_node_is_cut_off_gets_no_record_while_it_may_live(submitted: OnCluster) -> None:
    """It may store its own still: two records of one cell would be the worst."""
    (made,) = submitted.submissions
    submitted.slurm.end(0, "NODE_FAIL")
    follower = Follower.of(submitted)
    process = hosts.start("other", 0.0, hosts.hold, submitted.results, made.id_of(0), submitted.folder / "ready")
    with hosts.killed_when(submitted.folder / "ready", process):
        assert follower.following.look().done == 0
        assert submitted.records() == []
    hosts.age(made.folder_of(0) / runs.OWNER_FILE, claims.SILENT_S + 60)
    assert follower.following.look().done == 1
    assert submitted.statuses() == {0: "crashed"}


def test_a_whole_line_without_its_end_is_a_record(submitted: OnCluster) -> None:
    file = leave_record(submitted, 0)
    file.write_bytes(file.read_bytes()[:-1])
    submitted.slurm.end(0, "NODE_FAIL")
    assert Follower.of(submitted).following.look().done == 1
    assert submitted.statuses() == {0: "ok"}


def test_a_torn_line_is_set_aside_before_the_reason_is_recorded(submitted: OnCluster) -> None:
    file = leave_record(submitted, 0)
    file.write_bytes(file.read_bytes()[:50])
    submitted.slurm.end(0, "NODE_FAIL")
    Follower.of(submitted).following.look()
    assert submitted.statuses() == {0: "crashed"}


def test_a_controller_that_is_silent_costs_no_record_and_is_told_once(submitted: OnCluster) -> None:
    submitted.slurm.end(0, "RUNNING")
    submitted.slurm.set(silent=True)
    follower = Follower.of(submitted)
    for _ in range(2):
        assert follower.following.look().left == 3
    assert submitted.records() == []
    assert follower.said.getvalue().count("note: Unable to contact slurm controller") == 1


def test_two_drivers_at_once_give_one_record(submitted: OnCluster) -> None:
    submitted.slurm.end(0, "CANCELLED")
    for follower in (Follower.of(submitted), Follower.of(submitted)):
        assert follower.following.look().done == 1
    assert submitted.statuses() == {0: "crashed"}


def test_a_record_that_can_not_be_read_counts_as_one_that_is_not_ok(submitted: OnCluster) -> None:
    leave_record(submitted, 0).write_text('{"schema": 999}\n')
    follower = Follower.of(submitted)
    assert (follower.following.look().done, follower.following.look().failed) == (1, 1)
    assert "its record can't be read; bcdl report says why" in follower.said.getvalue()


@pytest.mark.parametrize("end", [None, End("FAILED", 1), End("TIMEOUT")])
def test_every_reason_is_a_sentence_that_says_what_to_do_or_to_look_at(end: End | None) -> None:
    _, reason = lost.why(end, "")
    assert "; " in reason
    assert "{" not in reason


# Which runs a driver would go on with.


def test_a_run_goes_on_while_a_wanted_cell_of_it_has_no_record(submitted: OnCluster) -> None:
    (made,) = submitted.submissions
    wanted = {task.job for task in made.tasks()}
    assert len(follow.unfinished(submitted.results, wanted)) == 3
    assert follow.unfinished(submitted.results, {job(seed=99)}) == []
    for index in range(3):
        leave_record(submitted, index)
    assert follow.unfinished(submitted.results, wanted) == []


def test_an_array_that_was_not_submitted_is_not_followed(submitted: OnCluster) -> None:
    """Its driver was killed before it called sbatch; the queue knows of none."""
    (made,) = submitted.submissions
    (array,) = made.arrays()
    (made.folder / "arrays.jsonl").unlink()
    made.note(dataclasses.replace(array, job=""))
    wanted = {task.job for task in made.tasks()}
    assert len(follow.unfinished(submitted.results, wanted)) == 3  # the queue knows it by its name
    submitted.slurm.forget()
    assert follow.unfinished(submitted.results, wanted) == []
    made.folder_of(2).mkdir()
    assert len(follow.unfinished(submitted.results, wanted)) == 3


def test_files_alone_say_how_a_run_stands(submitted: OnCluster) -> None:
    (made,) = submitted.submissions
    assert follow.by_files(made) == Look(0, 0, 0, {"": 3})
    submitted.slurm.run(0)
    with runs.adopt(submitted.results, made.id_of(1)):
        assert follow.by_files(made) == Look(1, 0, 1, {"": 1})
    leave_record(submitted, 1, status="crashed")
    assert follow.by_files(made) == Look(2, 1, 0, {"": 1})
