"""What SLURM's programs say, as 22.05 says it, and what is made of it if they fail or do not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcdl.errors import BcdlError, UsageError
from bcdl.runner.cluster import slurm as programs
from bcdl.runner.cluster.slurm import End, SilentError, Site, State
from tests.runner.cluster.stand_in import StandIn


def script(folder: Path) -> Path:
    file = folder / "job.sh"
    file.write_text("#!/bin/bash\ntrue\n")
    return file


def submitted(slurm: StandIn, count: int = 2, name: str = "bcdl-x-0") -> str:
    return programs.submit(script(slurm.folder), [f"--job-name={name}", f"--array=0-{count - 1}"], "0")


def test_the_site_says_how_large_an_array_may_be(slurm: StandIn) -> None:
    slurm.set(most=7)
    assert programs.site() == Site("stand-in", 7)


def test_a_machine_without_slurm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no sbatch on this machine; .* login node .* bcdl run"):
        programs.site()


def test_a_controller_that_does_not_answer_is_refused_before_anything_is_done(slurm: StandIn) -> None:
    slurm.set(silent=True)
    with pytest.raises(UsageError, match="can't be asked: Unable to contact slurm controller"):
        programs.site()


def test_a_partition_that_does_not_exist_is_refused_with_its_name(slurm: StandIn) -> None:
    with pytest.raises(UsageError, match="refuse the cells: invalid partition specified: nosuch; Invalid partition"):
        programs.check(script(slurm.folder), ["--partition=nosuch"])
    programs.check(script(slurm.folder), ["--partition=main"])
    assert slurm.jobs == []


def test_a_job_that_is_refused_raises_the_reason(slurm: StandIn) -> None:
    slurm.set(refuse="QOSMaxSubmitJobPerUserLimit")
    with pytest.raises(BcdlError, match="QOSMaxSubmitJobPerUserLimit"):
        submitted(slurm)


def test_states_are_those_of_each_task_of_the_named_jobs(slurm: StandIn) -> None:
    job = submitted(slurm)
    submitted(slurm, name="another")
    slurm.end(1, "TIMEOUT", reason="TimeLimit", job=0)
    states = programs.states(["bcdl-x-0", "no-such"])
    assert states == {
        ("bcdl-x-0", 0): State(job, "PENDING", "Resources"),
        ("bcdl-x-0", 1): State(job, "TIMEOUT", "TimeLimit"),
    }
    assert [state.has_ended for state in states.values()] == [False, True]
    assert programs.states([]) == {}


def test_silence_is_told_from_what_ended(slurm: StandIn) -> None:
    """Or a controller that restarts would cost every task that runs its record."""
    submitted(slurm)
    slurm.set(silent=True)
    with pytest.raises(SilentError):
        programs.states(["bcdl-x-0"])
    with pytest.raises(SilentError):
        programs.ends("100")


@pytest.mark.parametrize(("code", "expected"), [("0:0", 0), ("7:0", 7), ("0:9", -1), ("0:15", -1), ("", -1), ("x", -1)])
def test_exit_codes_are_read_and_signals_are_none(slurm: StandIn, code: str, expected: int) -> None:
    job = submitted(slurm)
    slurm.end(1, "FAILED", code=code)
    assert programs.ends(job) == {1: End("FAILED", expected, "00:01:00")}


def test_accounting_is_asked_for_what_the_controller_has_forgotten(slurm: StandIn) -> None:
    job = submitted(slurm, count=3)
    slurm.end(0, "FAILED", code="2:0")
    slurm.set(
        accounting=[f"{job}_0|COMPLETED|0:0|", f"{job}_1|CANCELLED by 1000|0:15|00:05:00", f"{job}_2|RUNNING|0:0|"]
    )
    assert programs.ends(job) == {0: End("FAILED", 2, "00:01:00"), 1: End("CANCELLED", -1, "00:05:00")}
    slurm.forget()
    assert programs.ends(job)[0] == End("COMPLETED", 0)


def test_a_program_that_can_not_be_started_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SilentError, match="squeue can't be started"):
        programs.states(["x"])


def test_tasks_that_slurm_names_together_have_each_their_end(slurm: StandIn) -> None:
    """So it shows those of a waiting array that were cancelled at once."""
    job = submitted(slurm, count=8)
    slurm.set(accounting=[f"{job}_[2-4,6%2]|CANCELLED by 0|0:0|", f"{job}_7|COMPLETED|0:0|"])
    cancelled = End("CANCELLED", 0)
    assert programs.ends(job) == {**dict.fromkeys((2, 3, 4, 6), cancelled), 7: End("COMPLETED", 0)}
    slurm.set(together="2-4,6%2")
    slurm.end(0, "CANCELLED")
    assert set(programs.ends(job)) == {2, 3, 4, 6, 7}


def test_a_path_with_blanks_is_read_whole(slurm: StandIn) -> None:
    job = programs.submit(script(slurm.folder), ["--job-name=x", "--output=/my results/a b.log"])
    assert programs.output(job) == "/my results/a b.log"


@pytest.mark.parametrize("said", ["Usage: sbatch [OPTIONS(0)...]", "", "slurm 22.05"])
def test_what_says_no_id_of_a_job_has_submitted_nothing(
    slurm: StandIn, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(programs, "_call", lambda *command: said)
    with pytest.raises(BcdlError, match="and no job's id"):
        submitted(slurm)
