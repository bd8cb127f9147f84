"""`bcdl submit` and `bcdl ab` on a real SLURM of two nodes: what no stand-in for it could show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report import page as report
from bcdl.runner.cluster import lost
from bcdl.runner.cluster.submission import PYTHONS as PYTHONS_FILE
from benchmarks.two_nodes import NODES, TwoNodes
from tests.conftest import ROOT
from tests.in_process import SMALL_TRAINING
from tests.slurm.conftest import OnNodes

pytestmark = pytest.mark.slurm

PYTHONS = "BCDL_TEST_PYTHONS"  # as `jax=PATH:torch=PATH`: the environments of backends


def test_eight_cells_whatever_becomes_of_them_leave_eight_records(on_nodes: OnNodes) -> None:
    """One is killed, one cancelled, one over its time limit, one's node stops; the driver is killed and resumed."""
    killed, limited, cancelled, stopped = 2, 3, 4, 5
    on_nodes.write(seeds=8, at=dict.fromkeys((killed, limited, cancelled, stopped), "hang"))
    options = ("--wait", "--sbatch=--time=1 --no-requeue")
    driver = on_nodes.start(*options)
    on_nodes.wait_for_worker(killed)
    on_nodes.task(killed).kill()
    limited_on = on_nodes.wait_for_worker(limited)
    driver.kill()
    driver.wait()
    on_nodes.wait_for_worker(cancelled)
    job = on_nodes.states()[cancelled].job
    on_nodes.cluster.run("scancel", f"{job}_{cancelled}")
    stopped_on = on_nodes.wait_for_worker(stopped)
    assert {limited_on, stopped_on} == set(NODES)
    on_nodes.cluster.stop_node(stopped_on)
    code, said = on_nodes.submit(*options, "--resume", said="resumed")
    on_nodes.cluster.start_node(stopped_on)
    assert code == 1, said
    assert "resumed: 8 of 8 cells are of runs on the cluster that are not over" in said
    assert "error: 4 of 8 cells are not ok (" in said
    failed = {killed: "crashed", limited: "timed_out", cancelled: "crashed", stopped: "crashed"}
    assert on_nodes.statuses() == {**dict.fromkeys(range(8), "ok"), **failed}
    assert "was ended by a signal and left no record" in on_nodes.reason(killed)
    assert on_nodes.reason(limited).startswith("SLURM ended it at its time limit of 00:01:00")
    assert on_nodes.reason(cancelled).startswith("its job was cancelled")
    assert on_nodes.reason(stopped).startswith("its node failed while it ran")
    assert said.count("8 records: README.md") == 1
    assert report.check(on_nodes.results)
    assert_private(on_nodes.records())


def assert_private(records: list[Record]) -> None:
    """The scheduler's ids are there as digests, and no node by its name."""
    for record in records:
        assert set(record.environment["scheduler"]) == {"name", "job", "array", "restarts"}
        assert not any(f'"{node}"' in record.to_json() or f" {node} " in record.to_json() for node in NODES)


def test_a_task_that_is_put_back_into_the_queue_gives_one_record(on_nodes: OnNodes) -> None:
    on_nodes.write(seeds=1, at={0: "hang"})
    driver = on_nodes.start("--wait")
    on_nodes.wait_for_worker(0)
    on_nodes.change(at={})
    job = on_nodes.states()[0].job
    on_nodes.cluster.run("scontrol", "requeue", f"{job}_0")
    assert driver.wait(240) == 0, (on_nodes.folder / "said").read_text()
    (record,) = on_nodes.records()
    assert (record.status, record.environment["scheduler"]["restarts"]) == ("ok", 1)


def test_ctrl_c_leaves_the_jobs_and_resume_follows_them(on_nodes: OnNodes) -> None:
    on_nodes.write(seeds=3, seconds=3.0)
    driver = on_nodes.start("--wait")
    on_nodes.wait_for_worker(0)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == 130
    said = (on_nodes.folder / "said").read_text()
    assert "the cells go on: the same command with --resume --wait follows the cells" in said
    assert on_nodes.states()[0].name == "RUNNING"
    code, said = on_nodes.submit("--resume", "--wait", said="resumed")
    assert code == 0, said
    assert on_nodes.statuses() == dict.fromkeys(range(3), "ok")


def test_what_slurm_refuses_is_one_line_before_anything_is_submitted(on_nodes: OnNodes) -> None:
    on_nodes.write(seeds=2)
    for option, reason in (
        ("--sbatch=--partition=nosuch", "SLURM would refuse the cells: invalid partition specified: nosuch"),
        ("--sbatch=--no-such-option", "SLURM would refuse the cells: unrecognized option '--no-such-option'"),
        ("--sbatch=--mem=999999999", "Requested node configuration is not available"),
    ):
        code, said = on_nodes.submit(option)
        assert code == 2, said
        (line,) = (line for line in said.splitlines() if line.startswith("error: "))
        assert reason in line
    assert on_nodes.cluster.run("squeue", "--noheader") == ""


def test_a_python_that_a_node_lacks_is_a_record_with_the_reason(on_nodes: OnNodes) -> None:
    on_nodes.write(seeds=1)
    code, said = on_nodes.submit("--sbatch=--hold")
    assert code == 0, said
    (on_nodes.submission.folder / PYTHONS_FILE).write_text("/no/such/python\n")
    on_nodes.cluster.run("scontrol", "release", on_nodes.states()[0].job)
    code, said = on_nodes.submit("--resume", "--wait", said="resumed")
    assert code == 1, said
    assert "its node does not have the Python of its backend" in on_nodes.reason(0)


def test_nodes_of_two_kinds_never_merge(on_nodes: OnNodes) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one processor is of one kind")
    on_nodes.write(seeds=6, seconds=1.0)
    few = f"case $SLURMD_NODENAME in {NODES[0]}) taskset --cpu-list --pid {cores[0]} $$ >/dev/null;; esac"
    code, said = on_nodes.submit("--wait", "--setup", few)
    assert code == 0, said
    machines = {machine for machine, _ in store.read_all(on_nodes.results)[0]}
    assert len(machines) == 2
    assert lost.UNKNOWN_NODE not in machines


def test_the_line_of_setup_that_fails_is_named_in_the_record(on_nodes: OnNodes) -> None:
    on_nodes.write(seeds=1)
    code, _ = on_nodes.submit("--wait", "--setup", "export A=1", "--setup", "module_that_there_is_not load x")
    assert code == 1
    assert "line 2 of --setup ended with exit code 127" in on_nodes.reason(0)


# With real backends.


@pytest.fixture
def pythons() -> Mapping[str, str]:
    """The Python of each backend, by its name."""
    named = dict(each.partition("=")[::2] for each in os.environ.get(PYTHONS, "").split(os.pathsep) if each)
    if len(named) < 3:
        pytest.skip(f"set {PYTHONS} to the environments of the three backends: nox -s tests-slurm makes them")
    return named


def bcdl(cluster: TwoNodes, *arguments: str) -> tuple[int, str]:
    """A command of bcdl: exit code, and all it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bcdl", *arguments],
        cwd=ROOT,
        env={**os.environ, **cluster.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_real_matrix_of_three_backends_from_one_file(
    cluster: TwoNodes, tmp_path: Path, pythons: Mapping[str, str]
) -> None:
    small = 'profile = "smoke"\ndevice = "cpu"\ndata = "synthetic-48"\nimage-size = 32\nepochs = 1\n'
    study = f'{small}[[matrix]]\nbackends = {sorted(pythons)}\nmodels = ["cnn"]\n'
    (tmp_path / "study.toml").write_text(study)
    named = [word for name, path in pythons.items() for word in ("--python", f"{name}={path}")]
    results = ("--results", str(tmp_path / "results"))
    code, said = bcdl(cluster, "submit", "--slurm", str(tmp_path / "study.toml"), *named, *results, "--wait")
    assert code == 0, said
    records, problems = store.read_all(tmp_path / "results")
    assert problems == []
    assert sorted(record.cell.backend for _, record in records) == sorted(pythons)
    assert all(record.ok and record.samples for _, record in records)
    assert_private([record for _, record in records])
    assert said.count("records: README.md") == 1
    code, said = bcdl(cluster, "submit", "--slurm", str(tmp_path / "study.toml"), *named, *results, "--resume")
    assert (code, "resumed: 3 of 3 cells have their record already" in said) == (0, True), said


def test_two_real_sides_meet_one_node_in_one_allocation(
    cluster: TwoNodes, tmp_path: Path, pythons: Mapping[str, str]
) -> None:
    first, second, *_ = sorted(pythons)
    sides = ("--a", f"{first}={pythons[first]}", "--b", f"{second}={pythons[second]}", "--models", "cnn")
    small = (*SMALL_TRAINING, "--epochs", "1", "--rounds", "1")
    code, said = bcdl(cluster, "ab", *sides, *small, "--results", str(tmp_path / "results"), "--slurm", "--wait")
    assert code == 0, said
    records = [record for _, record in store.read_all(tmp_path / "results")[0]]
    assert sorted(record.side for record in records) == ["a", "b"]
    assert len({record.environment["scheduler"]["job"] for record in records}) == 1
    assert "Images/s of A and B" in said
