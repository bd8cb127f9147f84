"""`bcdl submit --slurm` on a stand-in for SLURM: what is submitted, followed, recorded, resumed and refused."""

from __future__ import annotations

import dataclasses
import json
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from bcdl import run, status, submit
from bcdl.datasets import sources
from bcdl.errors import BcdlError
from bcdl.machine import hardware
from bcdl.records import log, runs, store
from bcdl.report import page as report
from bcdl.runner.cluster import follow, resume
from tests.cluster_study import STUDY
from tests.factory import record
from tests.faults import driver
from tests.runner.cluster.conftest import OnCluster, use


@pytest.fixture
def quick_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is counted, and not drawn."""
    monkeypatch.setattr(report, "build", lambda results: ["the report"])


def while_it_waits(monkeypatch: pytest.MonkeyPatch, *deeds: Callable[[], object]) -> None:
    """Do these, one each time that the driver pauses between two looks; then it may look no more."""
    waiting = list(deeds)

    def pause(seconds: float) -> None:
        assert waiting, "it waits for what has happened"
        waiting.pop(0)()

    monkeypatch.setattr(follow, "time", types.SimpleNamespace(sleep=pause, monotonic=time.monotonic))


def test_cells_are_submitted_followed_and_reported_once(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch, blank_pictures: None
) -> None:
    while_it_waits(monkeypatch, lambda: on_cluster.slurm.end(0, "RUNNING"), on_cluster.run_all)
    code, said, error = on_cluster.submit("--wait")
    assert (code, error) == (0, "")
    assert on_cluster.statuses() == {0: "ok", 1: "ok"}
    assert "0 done; 2 waiting (Resources)" in said
    assert "0 done; 1 running; 1 waiting (Resources)" in said
    assert "2 done" in said
    assert said.count("README.md") == 1
    assert (on_cluster.results / "README.md").is_file()
    assert said.index("submitted 2 cells as SLURM job 100") < said.index("0 done") < said.index("README.md")


def test_what_sbatch_is_asked_for(on_cluster: OnCluster) -> None:
    on_cluster.submit("--at-once", "3", "--cpus-per-task", "2", "--sbatch", "--partition=main --time=10")
    (job,) = on_cluster.slurm.jobs
    (made,) = on_cluster.submissions
    assert job["name"] == f"bcdl-{made.header.run}-0"
    assert job["options"] == [
        *("--parsable", f"--job-name={job['name']}", "--array=0-1%3", f"--chdir={made.folder}", "--output=/dev/null"),
        *("--nodes=1", "--ntasks=1", "--exclusive", "--mem=0", "--cpus-per-task=2", "--partition=main", "--time=10"),
    ]
    assert job["arguments"] == ["0"]


def test_a_study_is_split_by_the_size_that_the_site_allows_an_array(on_cluster: OnCluster) -> None:
    on_cluster.write_file(seeds=7)
    on_cluster.slurm.set(most=3)
    code, said, _ = on_cluster.submit("--at-once", "2")
    assert code == 0
    assert [len(job["tasks"]) for job in on_cluster.slurm.jobs] == [3, 3, 1]
    assert [job["arguments"] for job in on_cluster.slurm.jobs] == [["0"], ["3"], ["6"]]
    # No more than two run at once, in however many arrays.
    after = [[word for word in job["options"] if "afterany" in word] for job in on_cluster.slurm.jobs]
    assert after == [[], ["--dependency=afterany:100"], ["--dependency=afterany:1100"]]
    assert said.count("submitted") == 3
    on_cluster.slurm.run(1, job=1)
    on_cluster.run(0, job=2)
    assert on_cluster.statuses() == {4: "ok", 6: "ok"}


def test_cells_that_measure_no_speed_share_nodes(on_cluster: OnCluster) -> None:
    text = STUDY + '\n[[matrix]]\nbackends = ["torch"]\nmodels = ["cnn"]\nseed = [5]\ntiming = false\n'
    on_cluster.write_file(seeds=2, text=text)
    on_cluster.submit()
    assert ["--exclusive" in job["options"] for job in on_cluster.slurm.jobs] == [True, False]
    assert [len(job["tasks"]) for job in on_cluster.slurm.jobs] == [2, 1]


def test_without_waiting_the_command_says_how_to_go_on(on_cluster: OnCluster) -> None:
    code, said, error = on_cluster.submit()
    assert (code, error) == (0, "")
    assert "the same command with --resume --wait follows the cells and submits what is missing; bcdl status" in said
    assert on_cluster.records() == []


def test_a_failed_cell_fails_the_command_that_waits(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch, quick_report: None
) -> None:
    use(monkeypatch, driver.plan(on_cluster.folder, at={1: "failed"}))
    while_it_waits(monkeypatch, on_cluster.run_all)
    code, said, error = on_cluster.submit("--wait")
    assert code == 1
    assert "error: 1 of 2 cells are not ok (1 failed)" in error
    assert said.count("the report") == 1


# Interrupted, killed, resumed.


def test_after_ctrl_c_the_jobs_go_on_and_the_way_back_is_printed(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    while_it_waits(monkeypatch, interrupt)
    code, _, error = on_cluster.submit("--wait")
    assert code == 130
    (made,) = on_cluster.submissions
    assert "the cells go on: the same command with --resume --wait follows the cells" in error
    assert f"scancel --name=bcdl-{made.header.run}-0 ends them" in error
    assert on_cluster.slurm.states() == {0: "PENDING", 1: "PENDING"}


def test_resume_goes_on_with_what_is_under_way_and_submits_nothing_twice(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch, quick_report: None
) -> None:
    on_cluster.submit()
    on_cluster.run(0)
    while_it_waits(monkeypatch, lambda: on_cluster.run(1))
    code, said, error = on_cluster.submit("--resume", "--wait")
    assert (code, error) == (0, "")
    assert "resumed: 2 of 2 cells are of runs on the cluster that are not over" in said
    assert len(on_cluster.slurm.jobs) == 1
    assert on_cluster.statuses() == {0: "ok", 1: "ok"}


def test_resume_submits_what_is_new_beside_what_is_under_way(on_cluster: OnCluster) -> None:
    on_cluster.submit()
    on_cluster.write_file(seeds=4)
    code, said, _ = on_cluster.submit("--resume")
    assert code == 0
    assert "resumed: 2 of 4 cells are of runs on the cluster that are not over" in said
    assert [len(job["tasks"]) for job in on_cluster.slurm.jobs] == [2, 2]


def test_resume_leaves_out_what_a_node_has_measured_by_the_same_code(on_cluster: OnCluster, quick_report: None) -> None:
    on_cluster.submit()
    on_cluster.run_all()
    code, said, error = on_cluster.submit("--resume", "--wait")
    assert (code, error) == (0, "")
    assert "resumed: 2 of 2 cells have their record already" in said
    assert "no cell is left to submit" in said
    assert said.count("the report") == 1
    assert len(on_cluster.slurm.jobs) == 1


def test_a_record_of_any_node_counts_and_one_of_no_node_does_not(on_cluster: OnCluster) -> None:
    on_cluster.submit()
    on_cluster.run_all()
    folder = on_cluster.results / log.RECORDS / hardware.machine_name("cpu")
    folder.rename(folder.with_name("another-node"))
    assert "resumed: 2 of 2 cells have their record" in on_cluster.submit("--resume")[1]
    for file in (folder.with_name("another-node")).glob("*.jsonl"):
        (record,) = store.read_file(file)
        facts = {name: value for name, value in record.environment.items() if name != "scheduler"}
        file.write_text(dataclasses.replace(record, environment=facts).to_json() + "\n")
    assert "resumed: 0 of 2 cells have their record" in on_cluster.submit("--resume")[1]


def test_other_code_is_measured_anew_and_told(on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cluster.submit()
    on_cluster.run_all()
    monkeypatch.setattr(resume.provenance, "digest", lambda backend: "0" * 16)
    code, said, _ = on_cluster.submit("--resume")
    assert code == 0
    assert "2 of 2 cells run again: their records differ from what is asked now in code" in said
    assert len(on_cluster.slurm.jobs) == 2


def test_a_cell_that_was_cancelled_is_submitted_again_once_its_run_is_over(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch, quick_report: None
) -> None:
    on_cluster.submit()
    on_cluster.run(0)
    on_cluster.slurm.end(1, "CANCELLED", "0:15")
    code, _, error = on_cluster.submit("--resume", "--wait")
    assert code == 1
    assert "1 of 2 cells are not ok (1 crashed)" in error
    assert on_cluster.statuses() == {0: "ok", 1: "crashed"}
    while_it_waits(monkeypatch, lambda: on_cluster.run(0))
    code, said, _ = on_cluster.submit("--resume", "--wait")
    assert code == 0
    assert "resumed: 1 of 2 cells have their record already" in said
    assert [record.status for record in on_cluster.records()] == ["ok", "crashed", "ok"]


def test_resume_without_waiting_records_what_ended_without_a_record(on_cluster: OnCluster) -> None:
    on_cluster.submit()
    on_cluster.slurm.end(0, "NODE_FAIL")
    code, said, _ = on_cluster.submit("--resume")
    assert code == 0
    assert "its node failed while it ran" in said
    assert on_cluster.statuses() == {0: "crashed"}


def test_without_resume_the_same_cells_are_submitted_again_and_told(on_cluster: OnCluster) -> None:
    on_cluster.submit()
    code, said, _ = on_cluster.submit()
    assert code == 0
    assert "note: 2 of these cells are submitted already; --resume goes on with them" in said
    assert len(on_cluster.slurm.jobs) == 2


def test_an_array_that_slurm_refuses_leaves_the_others_and_is_resumed(on_cluster: OnCluster) -> None:
    on_cluster.write_file(seeds=4)
    on_cluster.slurm.set(most=2, refuse="QOSMaxSubmitJobPerUserLimit", refuse_after=1)
    code, _, error = on_cluster.submit()
    assert code == 1
    assert "SLURM took 2 of 4 cells and refused the next 2: QOSMaxSubmitJobPerUserLimit; the same command" in error
    assert error.count("\n") == 1
    on_cluster.slurm.set(refuse="")
    code, said, _ = on_cluster.submit("--resume")
    assert code == 0
    assert "resumed: 2 of 4 cells are of runs on the cluster that are not over" in said
    assert [len(job["tasks"]) for job in on_cluster.slurm.jobs] == [2, 2]
    first, _ = on_cluster.submissions
    assert sum(array.count for array in first.arrays()) == 2  # `bcdl status` waits for no task that SLURM refused


def test_a_record_that_can_not_be_read_fails_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the others say."""
    monkeypatch.setattr("bcdl.report.run_end.show_and_rebuild_all", lambda *of: [])
    run_of_two = types.SimpleNamespace(jobs=["a", "b"], results=tmp_path)
    study = types.SimpleNamespace(run=run_of_two, records=lambda watched: [("m", record())])
    with pytest.raises(BcdlError, match="1 of 2 cells have no record that can be read; bcdl report says why"):
        submit._follow(study, [])  # type: ignore[arg-type]


def test_memory_that_ran_out_on_one_node_may_do_on_another(on_cluster: OnCluster, quick_report: None) -> None:
    on_cluster.submit()
    on_cluster.slurm.end(0, "OUT_OF_MEMORY")
    on_cluster.run(1)
    on_cluster.submit("--resume", "--wait")
    assert sorted(on_cluster.statuses().values()) == ["ok", "out_of_memory"]
    assert "submitted 1 cells" in on_cluster.submit("--resume")[1]


# What is refused before anything is submitted.


def refused(on_cluster: OnCluster, *options: str) -> str:
    code, _, error = on_cluster.submit(*options)
    assert code == 2, error
    assert error.count("\n") == 1
    assert on_cluster.slurm.jobs == []
    return error


def test_a_partition_that_does_not_exist(on_cluster: OnCluster) -> None:
    assert "invalid partition specified: nosuch" in refused(on_cluster, "--sbatch=--partition=nosuch")
    assert on_cluster.submissions == []


def test_a_login_node_needs_no_gpu(on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although NVIDIA's driver may be there without one."""
    monkeypatch.setattr("bcdl.machine.gpus._why_none", lambda: "the NVIDIA driver shows this process no GPU")
    on_cluster.write_file(2, STUDY.replace('device = "cpu"', 'device = "gpu"'))
    assert on_cluster.submit()[0] == 0
    code, _, error = on_cluster.in_process(run.main, on_cluster.file, "--results", on_cluster.results)
    assert (code, "shows this process no GPU" in error) == (2, True)


def test_a_machine_without_sbatch(on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(on_cluster.folder))
    assert "there is no sbatch on this machine" in refused(on_cluster)


def test_a_command_without_its_scheduler(on_cluster: OnCluster) -> None:
    code, _, error = on_cluster.in_process(submit.main, on_cluster.file, "--results", on_cluster.results)
    assert (code, error.count("\n")) == (2, 1)
    assert "--slurm is missing" in error


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it asks for no cell"),
        (STUDY.replace("{seeds}", ""), "the list is empty"),
        (STUDY.replace("torch", "abacus"), "unknown backend 'abacus'"),
        (STUDY.replace("{seeds}", ", ".join(map(str, range(400)))) + f"epochs = {[*range(1, 500)]}\n", "100,000"),
        (STUDY.replace("32", "0"), "image-size"),
    ],
)
def test_a_matrix_of_no_cells_of_too_many_or_of_cells_that_can_not_run(
    on_cluster: OnCluster, text: str, reason: str
) -> None:
    on_cluster.file.write_text(text.replace("{seeds}", "0"))
    assert reason in refused(on_cluster)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--python", "torch=/no/such/python"), "there is no Python at '/no/such/python'"),
        (("--python", "jax=/bin/sh"), "the file asks for cells on torch alone"),
        (("--setup", "echo 'open"), "a shell can't read its lines"),
        (("--sbatch", "--array=0-9"), "bcdl gives sbatch this option itself"),
        (("--at-once", "0"), "--at-once"),
        (("--cpus-per-task", "many"), "--cpus-per-task"),
        (("--memory-limit", "much"), "--memory-limit"),
        (("--sbatch",), "expected one argument"),
        (("--sbatch", "--wait"), "expected one argument"),
    ],
)
def test_options_that_can_not_be_used(on_cluster: OnCluster, options: tuple[str, ...], reason: str) -> None:
    assert reason in refused(on_cluster, *options)


def test_a_results_folder_that_can_not_be_written(on_cluster: OnCluster) -> None:
    on_cluster.results.write_text("a file")
    assert "can't be written" in refused(on_cluster)


def test_data_that_is_refused_by_require_clean(on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.runner.run._require_clean", lambda *of: (_ for _ in ()).throw(submit.UsageError("leaks")))
    assert "leaks" in refused(on_cluster, "--require-clean")


# What others see.


def test_status_shows_the_cells_from_any_host_that_sees_the_folder(on_cluster: OnCluster) -> None:
    on_cluster.write_file(seeds=3)
    on_cluster.submit()
    on_cluster.run(0)
    (made,) = on_cluster.submissions
    with runs.adopt(on_cluster.results, made.id_of(1)):
        code, said, _ = on_cluster.in_process(status.main, "--results", on_cluster.results)
    assert code == 0
    assert "Cells on a cluster" in said
    (row,) = (line for line in said.splitlines() if made.header.run in line)
    assert [word.strip() for word in row.strip("│ ").split("│")][1:] == ["3", "1", "0", "1", "1"]


def test_status_is_silent_about_a_run_that_is_over(on_cluster: OnCluster) -> None:
    on_cluster.submit()
    on_cluster.run_all()
    _, said, _ = on_cluster.in_process(status.main, "--results", on_cluster.results)
    assert said == f"nothing is running on {on_cluster.results}\n"


def test_paths_lead_from_the_root_since_a_node_works_elsewhere(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(sources.modules()["folder"].example(on_cluster.folder))
    on_cluster.write_file(seeds=1, text=STUDY.replace('"synthetic-48"', f'"{data.relative_to(on_cluster.folder)}"'))
    monkeypatch.chdir(on_cluster.folder)
    code, _, error = on_cluster.in_process(
        submit.main, "--slurm", on_cluster.file.name, "--results", "results", "--sbatch=--time=5"
    )
    assert code == 0, error
    (made,) = on_cluster.submissions
    assert made.task(0).job.data == str(data)
    assert made.folder.is_absolute()


def test_the_drivers_own_data_is_not_handed_over(on_cluster: OnCluster) -> None:
    """A node reads it itself, and compares what it reads with what was checked."""
    on_cluster.submit()
    (made,) = on_cluster.submissions
    for task in made.tasks():
        assert task.job.pool is None
        assert len(task.job.data_checksum) == 64
    assert not (made.folder / "data").exists()


def test_names_of_patients_are_hidden_by_what_the_driver_found(
    on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task gets what hides them; the record has hashes."""
    data = Path(sources.modules()["folder"].example(on_cluster.folder))
    use(monkeypatch, driver.plan(on_cluster.folder, reads=True))
    on_cluster.write_file(seeds=1, text=STUDY.replace('"synthetic-48"', f'"{data}"'))
    code, _, error = on_cluster.submit()
    assert code == 0, error
    on_cluster.run(0)
    (record,) = on_cluster.records()
    assert (record.status, record.dataset["names"]) == ("ok", "hashed")
    checked = json.loads((on_cluster.submissions[0].folder / "checked-0.json").read_text())
    assert checked["private"]["names"]
    assert all(name not in record.to_json() for name in checked["private"]["names"])
