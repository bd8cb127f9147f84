"""Sides that run the bcdl of another checkout: a copy of this one whose worker is a stand-in."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import ab, backends
from bcdl.errors import UsageError
from bcdl.machine import provenance
from bcdl.records import store
from bcdl.records.schema import SCHEMA
from bcdl.runner import interpreter, supervisor
from bcdl.runner.run import Run
from tests.factory import job, record, with_rates
from tests.faults import driver

ROOT = provenance.ROOT
# A worker that leaves the record of a plan, as a worker of its own checkout would.
WORKER = """
import json, pathlib, sys
from bcdl.machine import provenance
from bcdl.records import record
from bcdl.settings.job import Job
provenance.take()
asked = json.loads(pathlib.Path(sys.argv[1]).read_text())
assert Job.from_dict(asked["job"]).pool is None
values = json.loads(pathlib.Path({plan!r}).read_text())
values |= {{"run": asked["run"], "cell": asked["job"]["cell"]}}
values["environment"] |= {{**provenance.facts("torch"), "code_changed": False}}
pathlib.Path(sys.argv[2]).write_text(json.dumps(values))
"""


def checkout(tmp_path: Path, rate: float = 100.0) -> Path:
    """A checkout, with a commit of its own, whose worker's rates are these and whose backends count as installed."""
    top = tmp_path / "other checkout"
    for folder in ("bcdl", "backends"):
        shutil.copytree(ROOT / folder, top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", top)
    driver.plan(tmp_path)
    values = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["record"]
    rated = with_rates(record(), fit=rate, step=rate, predict=rate)
    values |= {"metrics": rated.metrics, "samples": rated.samples}
    plan = tmp_path / "record.json"
    plan.write_text(json.dumps(values), encoding="utf-8")
    (top / "bcdl/worker/__main__.py").write_text(WORKER.format(plan=str(plan)), encoding="utf-8")
    change(top, "backends/__init__.py", "", "\n\ndef is_installed(name: str) -> bool:\n    return True\n")
    git = ("git", "-C", str(top), "-c", "user.name=n", "-c", "user.email=e@example.org")
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "another")):
        subprocess.run([*git, *command], check=True)
    return top


def change(top: Path, name: str, old: str, new: str) -> None:
    """Replace a passage of a file of the checkout, or add to it if there is no passage."""
    text = (top / name).read_text(encoding="utf-8")
    assert old in text
    (top / name).write_text(text.replace(old, new) if old else text + new, encoding="utf-8")


def compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, *more: str) -> int:
    """`bcdl ab` of this bcdl, at 100 images/s, and that of the checkout; its exit code."""
    made = json.loads(driver.plan(tmp_path).read_text(encoding="utf-8"))
    rated = with_rates(record(), fit=100.0, step=100.0, predict=100.0)
    made["record"] |= {"metrics": rated.metrics, "samples": rated.samples}
    (tmp_path / "plan.json").write_text(json.dumps(made), encoding="utf-8")

    def run(*arguments: object, **flags: object) -> Run:
        made = Run(*arguments, **flags)  # type: ignore[arg-type]
        if made.interpreter.source is None:
            made.worker = driver.worker(tmp_path / "plan.json")
        return made

    monkeypatch.setattr(ab, "Run", run)
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    monkeypatch.setattr(supervisor, "_POLL_S", 0.02)
    cell = ["--models", "cnn", "--profile", "smoke", "--data", "synthetic-48", "--image-size", "32", "--device", "cpu"]
    sides = ["--a", "torch", "--b", "torch", "--b-from", str(source)]
    monkeypatch.setattr(sys, "argv", ["bcdl ab", *sides, *cell, "--results", str(tmp_path / "results"), *more])
    return ab.main()


@pytest.mark.parametrize(("rate", "code"), [(80.0, 1), (100.0, 0)])
def test_a_side_runs_the_bcdl_of_another_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rate: float, code: int
) -> None:
    top = checkout(tmp_path, rate)
    assert compare(monkeypatch, tmp_path, top, "--rounds", "8", "--no-parity") == code
    printed = capsys.readouterr().out
    assert ("side b is slower by more than 3.0%, beyond chance" in printed) == bool(code)
    records = [made for _, made in store.read_all(tmp_path / "results")[0] if made.side == "b"]
    head = subprocess.run(["git", "-C", str(top), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    told = {(made.environment["commit"], made.environment["code"]) for made in records if made.ok}
    assert len(records) == 8
    assert [commit for commit, _ in told] == [head.stdout.strip()]
    assert all(digest != provenance.digest("torch") for _, digest in told)


def test_a_worker_of_another_checkout_that_dies_is_recorded_as_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    top = checkout(tmp_path)
    change(top, "bcdl/worker/__main__.py", "provenance.take()", "sys.exit(3)")
    with pytest.raises(Exception, match="side b was left out"):
        compare(monkeypatch, tmp_path, top, "--rounds", "2", "--no-parity")
    dead = [made for _, made in store.read_all(tmp_path / "results")[0] if made.side == "b"]
    asked = interpreter.find("--b-from", sys.executable, "torch", top)
    assert {(made.status, made.environment["code"]) for made in dead} == {("crashed", asked.facts["code"])}


def test_answers_are_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one Python has two bcdls, so that each side makes dumps of its own."""
    from bcdl.parity import upgrade

    asked = []

    def note(sides: list[upgrade.Side], *arguments: object) -> upgrade.Outcome:
        asked.extend((side.name, side.source) for side in sides)
        return upgrade.Outcome([], ["cnn, torch.a and torch.b: same answers: differs"])

    monkeypatch.setattr(upgrade, "compare", note)
    top = checkout(tmp_path)
    assert compare(monkeypatch, tmp_path, top, "--rounds", "2") == 1
    assert asked == [("torch.a", None), ("torch.b", top.resolve())]


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("bcdl/records/schema.py", "\nSCHEMA = ", "\nSCHEMA = 1 + ", f"of schema {SCHEMA + 1}, which is newer than"),
        ("bcdl/settings/job.py", "    cold: bool = False", "    hot: bool = False", "needs to be told hot"),
        ("bcdl/settings/job.py", "import dataclasses", "import no_such_module", "can't run bcdl of"),
    ],
)
def test_a_checkout_whose_records_can_not_be_read_here_is_refused(
    tmp_path: Path, file: str, old: str, new: str, reason: str
) -> None:
    top = checkout(tmp_path)
    change(top, file, old, new)
    with pytest.raises(UsageError, match=reason) as refused:
        interpreter.find(f"--b-from {top}", sys.executable, "torch", top)
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_worker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lacks bcdl/worker/__main__\.py; name the top of a checkout"):
        interpreter.find("--b-from", sys.executable, "torch", tmp_path)


def test_an_older_bcdl_is_not_told_what_it_does_not_know_unless_it_matters() -> None:
    older = interpreter.Interpreter(source=Path("older"), lacks={"optimizer", "keep_names"})
    values = older.values_of(job())
    assert "optimizer" not in values["cell"]
    assert "keep_names" not in values
    assert interpreter.Interpreter().values_of(job()) == job().to_dict()
    with pytest.raises(UsageError, match="the bcdl at older does not know keep_names, and keep_names True is asked"):
        older.values_of(dataclasses.replace(job(), keep_names=True))


def answering(folder: Path, *lines: str) -> str:
    """A program that says these lines, whatever it is asked, in place of a Python."""
    program = folder / "python"
    program.write_text("#!/bin/sh\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    program.chmod(0o755)
    return str(program)


SOFTWARE = {"python": "3.11.7", "versions": {"keras": "3.15.1"}}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(
    "answer",
    [
        *([1], {}, None, "text", {"installed": True}, {"installed": "yes", "software": SOFTWARE}),
        *({"installed": True, "software": {**SOFTWARE, "python": [1]}},),
        *({"installed": True, "software": {**SOFTWARE, "versions": {"keras": 3}}},),
        *({"installed": True, "software": {**SOFTWARE, "versions": "x"}},),
    ],
)
def test_a_program_that_answers_something_else_is_no_python(tmp_path: Path, answer: object) -> None:
    """Else a record would hold what no reader takes."""
    program = answering(tmp_path, f"echo '{json.dumps(answer)}'")
    with pytest.raises(UsageError, match=r"--python torch: the Python at .* can't run bcdl; try "):
        interpreter.find("--python torch", program, "torch")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_one_that_answers_as_asked_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named from the working folder, too."""
    answering(tmp_path, "echo a warning", f"echo '{json.dumps({'installed': True, 'software': SOFTWARE})}'")
    monkeypatch.chdir(tmp_path)
    assert interpreter.find("--python torch", "python", "torch").facts == SOFTWARE


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("line", ["exec yes", "yes", "sleep 60", "sleep 60 & sleep 60"])
def test_one_that_prints_without_end_or_never_answers_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(interpreter, "_TIMEOUT_S", 1.0)
    with pytest.raises(UsageError, match="can't run bcdl"):
        interpreter.find("--python torch", answering(tmp_path, line), "torch")
