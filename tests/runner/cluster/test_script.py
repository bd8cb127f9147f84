"""The batch script as a shell runs it, and what is asked of the scheduler for a cell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from bcdl.errors import UsageError
from bcdl.runner.cluster import script
from bcdl.runner.cluster.script import Asked
from bcdl.runner.cluster.submission import PYTHONS, TASK_LOG


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """That of a run, under a name that a shell would take apart, whose tasks have a Python that says what it got."""
    made = tmp_path / "it's a $HOME" / "run"
    (made / "tasks").mkdir(parents=True)
    python = made / "a python"
    python.write_text('#!/bin/sh\necho "$@"\necho "found ${FROM_SETUP:-nothing}"\n')
    python.chmod(0o755)
    (made / PYTHONS).write_text(f"{python}\n{python}\n{made}/no python\n")
    return made


def run(folder: Path, task: int, setup: Sequence[str] = (), first: int = 0) -> tuple[int, str]:
    """Exit code and log of a task."""
    done = subprocess.run(
        ["bash", "-s", str(first)],
        input=script.of_task(folder, setup),
        env={**os.environ, "SLURM_ARRAY_TASK_ID": str(task - first)},
        capture_output=True,
        text=True,
        check=False,
    )
    log = folder / "tasks" / str(task) / TASK_LOG
    return done.returncode, log.read_text() if log.exists() else ""


@pytest.mark.parametrize("first", [0, 1])
def test_a_task_starts_its_python_with_its_folder_and_number(folder: Path, first: int) -> None:
    code, said = run(folder, 1, first=first)
    assert (code, said) == (0, f"-m {script.TASK_MODULE} {folder} 1\nfound nothing\n")


def test_lines_of_setup_come_before_it(folder: Path) -> None:
    assert run(folder, 0, ["x=1", "export FROM_SETUP=$((x + 1))"])[1].endswith("found 2\n")


def test_a_line_of_setup_that_fails_ends_the_task_with_its_number(folder: Path) -> None:
    code, said = run(folder, 0, ["true", "module load nothing 2>/dev/null || (exit 5)", "echo never"])
    assert (code, said) == (script.NO_SETUP, "error: line 2 of --setup ended with exit code 5\n")


def test_a_node_without_the_python_says_so(folder: Path) -> None:
    code, said = run(folder, 2)
    assert (code, said) == (script.NO_PYTHON, f"error: this node has no Python at {folder}/no python\n")


def test_a_node_that_does_not_see_the_folder_ends_with_a_code_of_its_own(folder: Path) -> None:
    moved = folder.with_name("moved")
    text = script.of_task(folder, ())
    folder.rename(moved)
    variables = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(["bash", "-s", "0"], input=text, env=variables, text=True, capture_output=True)
    assert done.returncode == script.NO_FOLDER
    assert not folder.exists()


def test_a_node_that_can_not_write_there_ends_with_another(folder: Path) -> None:
    (folder / "tasks" / "0").write_text("a file in the way")
    assert run(folder, 0)[0] == script.NO_ROOM


def test_a_second_attempt_keeps_the_log_of_the_first(folder: Path) -> None:
    run(folder, 0)
    assert run(folder, 0)[1].count("found") == 2


@pytest.mark.parametrize("line", ["echo 'open", "if true", "x=$(", "fi"])
def test_a_line_that_is_not_whole_is_refused_beforehand(folder: Path, line: str) -> None:
    with pytest.raises(UsageError, match="--setup: a shell can't read its lines"):
        script.check_syntax(script.of_task(folder, [line]))
    script.check_syntax(script.of_task(folder, ["case $x in a) echo 'b';; esac"]))


def test_words_for_sbatch_are_split_as_a_shell_does() -> None:
    assert script.words_of(["--partition=a --time=1:00", "-A 'my group'"]) == (
        *("--partition=a", "--time=1:00"),
        "-Amy group",
    )


def test_a_value_is_one_word_with_its_option_so_that_none_stands_for_the_script() -> None:
    """Of an option that takes no value, as `--hold`, sbatch itself refuses one."""
    assert script.words_of(["--partition gpu --hold other.sh -H p.sh"]) == (
        *("--partition=gpu", "--hold=other.sh"),
        "-Hp.sh",
    )


@pytest.mark.parametrize(
    "text",
    [
        *("--array=0-3", "--job-name x", "-J x", "--output=x", "-o x", "--wrap=ls", "--parsable", "--chdir=/"),
        *("--arra=0-9", "--job-n=hello", "--out=x", "--wr=ls", "-Jx", "-HJx", "-Ha0-9", "-Hk -QJx"),
        *("--help", "-h", "--usage", "--version", "-V", "--test-only", "--wait", "-W"),
    ],
)
def test_what_bcdl_itself_says_to_sbatch_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="bcdl gives sbatch this option itself"):
        script.words_of([text])


@pytest.mark.parametrize("text", ["'open", "partition=a", "--hold=x other.sh", "-Hx other.sh", "-", "--", "", "-p a b"])
def test_words_that_are_no_options_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--sbatch"):
        script.words_of([text])


def test_a_cell_whose_speed_is_measured_gets_a_whole_node_with_its_memory() -> None:
    assert script.resources("cpu", True, Asked()) == ["--nodes=1", "--ntasks=1", "--exclusive", "--mem=0"]


def test_one_whose_speed_is_not_shares_its_node() -> None:
    assert script.resources("cpu", False, Asked(cpus=4)) == ["--nodes=1", "--ntasks=1", "--cpus-per-task=4"]


def test_a_cell_on_a_gpu_gets_one_and_what_the_site_calls_it() -> None:
    assert "--gres=gpu:1" in script.resources("gpu", True, Asked())
    assert script.resources("gpu", True, Asked(gres="")) == ["--nodes=1", "--ntasks=1"]


@pytest.mark.parametrize("option", ["--mem=4G", "--mem-per-cpu=2G"])
def test_memory_that_is_asked_for_takes_the_place_of_all(option: str) -> None:
    asked = script.resources("cpu", True, Asked(more=(option,)))
    assert "--mem=0" not in asked
    assert asked[-1] == option
