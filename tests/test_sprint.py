"""A sprint: the order of what it does, and that nothing that goes wrong costs what comes after it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bcdl import backends, sprint
from bcdl.errors import BcdlError
from bcdl.records import archive, store
from bcdl.sprint import Item
from tests.conftest import ROOT


def item(title: str, outcome: str | Exception, done: list[str]) -> Item:
    def do(seconds: float) -> str:
        done.append(title)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Item(title, do)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Titles of what a sprint would do if all backends were installed."""
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    return titles(monkeypatch, tmp_path)


def titles(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> list[str]:
    places = ["--device", "gpu", "--results", str(folder), "--backends", "jax,torch"]
    monkeypatch.setattr(sys, "argv", ["sprint", *places, *options])
    arguments, given = sprint._parse()
    return [each.title for each in sprint._plan(arguments, given, folder, folder)]


def test_the_most_valuable_is_first_and_the_backends_are_in_turn(planned: list[str]) -> None:
    cells = [title for title in planned if ", batch " in title]
    assert cells[:5] == [
        "resnet50 on jax, mixed_bfloat16, seed 0, batch 32",
        "resnet50 on torch, mixed_bfloat16, seed 0, batch 32",
        "mobilenet on jax, mixed_bfloat16, seed 0, batch 32",
        "mobilenet on torch, mixed_bfloat16, seed 0, batch 32",
        "resnet50 on jax, tf32, seed 0, batch 32",
    ]
    assert len(cells) == len(set(cells)) == 12
    assert planned.index("native-models, resnet50 on torch") < planned.index(cells[2])
    assert planned[-1] == "bcdl doctor"
    assert planned[-5:-1] == [
        f"largest-batch, {model} on {backend}" for model in ("resnet50", "mobilenet") for backend in ("jax", "torch")
    ]


def test_a_step_may_name_a_model_and_a_backend(
    planned: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = "tf32/mobilenet/torch,native-models/resnet50/torch,tf32/mobilenet,doctor,tf32/nasnetlarge"
    assert titles(monkeypatch, tmp_path, "--steps", steps) == [
        "the data of the cells",
        "mobilenet on torch, tf32, seed 0, batch 32",
        "native-models, resnet50 on torch",
        "mobilenet on jax, tf32, seed 0, batch 32",
        "bcdl doctor",
    ]


def test_parity_is_judged_of_the_models_that_have_a_reference(
    planned: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any("parity" in title for title in titles(monkeypatch, tmp_path))
    assert "parity is left out, since no reference was carried" in capsys.readouterr().out
    for name in ("mobilenet-96px-b4-seed0.npz", "cnn-96px-b4-seed0.npz", "notes.txt"):
        (tmp_path / name).touch()
    found = titles(monkeypatch, tmp_path, "--steps", "parity", "--parity", str(tmp_path))
    assert found == ["parity, mobilenet on jax", "parity, mobilenet on torch", "parity, mobilenet"]


def test_what_goes_wrong_costs_nothing_that_comes_after(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    sent: list[int] = []
    outcomes = {"a": "ok", "b": BcdlError("no room"), "c": ValueError("a fault"), "d": "out_of_memory", "e": "ok"}
    plan = [item(title, outcome, done) for title, outcome in outcomes.items()]
    ended = sprint._work_through(plan, float("inf"), lambda: sent.append(len(done)))
    assert done == list(outcomes)
    assert sent == [1, 2, 3, 4, 5]  # what was measured leaves after each
    said = [outcome for _, outcome in ended]
    assert said == ["ok", "failed: no room", "failed: ValueError: a fault", "out_of_memory", "ok"]
    assert sprint._summary(ended, 550, Path("out")) == 1
    printed = capsys.readouterr()
    assert "ok: 2\nfailed: no room: 1 (b)" in printed.out
    assert "ValueError: a fault" in printed.err  # with its trace, in the log that comes home


def test_nothing_is_begun_that_would_not_end_and_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    now = [0.0]
    monkeypatch.setattr(sprint.time, "monotonic", lambda: now[0])

    def do(seconds: float) -> str:
        done.append(f"{seconds:g} s")
        now[0] += 60
        return "ok"

    ended = sprint._work_through([Item(title, do) for title in "abcd"], 130.0, lambda: None)
    assert done == ["130 s", "70 s"]
    assert sprint._summary(ended, 130, Path("out")) == 0
    assert "left out: 2 (c; d)" in capsys.readouterr().out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bcdl", "sprint", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "float64"], "--steps 'float64' is unknown"),
        (["--steps", "tf32/cnn/jax/gpu"], "--steps 'tf32/cnn/jax/gpu' is unknown"),
        (["--seconds", "soon"], "--seconds 'soon' is not a whole number"),
        (["--backends", "theano"], "unknown backend 'theano'"),
        (["--models", "vgg"], "'vgg'"),
    ],
)
def test_a_wrong_option_is_a_line_before_anything_runs(arguments: list[str], said: str, tmp_path: Path) -> None:
    first = ["--backends", "torch"] if "--backends" not in arguments else []
    done = run("--out", str(tmp_path / "out"), "--results", str(tmp_path / "results"), *first, *arguments)
    if "not installed" in done.stderr:
        pytest.skip("needs an installed backend")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.keras
def test_a_cell_and_an_experiment_come_home(tmp_path: Path) -> None:
    """Also a precision that a CPU lacks; a second sprint begins where the first one ended."""
    backend, out, results = os.environ["KERAS_BACKEND"], tmp_path / "out", tmp_path / "results"
    small = ["--models", "cnn", "--image-size", "32", "--batch-size", "4", "--epochs", "1", "--data", "synthetic-48"]
    places = ["--device", "cpu", "--out", str(out), "--results", str(results), "--backends", backend]
    for resumed in (0, 2):
        done = run("--steps", "float32,tf32", "--seconds", "240", *small, *places)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"resumed: {resumed} of 2 cells" in done.stdout
        home = tmp_path / f"home-{resumed}"
        archive.unpack(out / sprint.RECORDS_FILE, home)
        records, problems = store.read_all(home)
        assert not problems
        assert [record.status for _, record in records] == ["ok", "skipped"]
    with tarfile.open(out / sprint.LOGS_FILE) as logs:
        assert any(name.endswith(".log") for name in logs.getnames())
