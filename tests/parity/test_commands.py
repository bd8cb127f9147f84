"""`python -m bcdl.parity`: what it imports, and what it says to a person who asks for something it can't do."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends
from bcdl.parity.findings import SCHEMA
from tests import pages
from tests.conftest import ROOT
from tests.parity.dumps import PLAN, judged, write, write_reference

# What only a report draws with, and what only a session of a backend imports.
REPORT = {"matplotlib", "sklearn", "scipy", "rich"}
FRAMEWORKS = {"keras", *backends.NAMES}
OPTIONS = ["--models", "cnn", "--image-size", "32", "--draws", "1", "--device", "cpu"]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)


def bcdl_parity(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bcdl.parity", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_imports_nothing_that_draws_and_no_framework() -> None:
    done = python("import sys, json, bcdl.parity.__main__; print(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert not (REPORT | FRAMEWORKS) & set(json.loads(done.stdout))


def test_judge_imports_nothing_that_draws_before_it_has_judged(tmp_path: Path) -> None:
    """It fails here, since there are no dumps: until then it has done all that it does before it draws."""
    code = (
        "import sys\nfrom bcdl.errors import UsageError\nfrom bcdl.parity.__main__ import main\n"
        "try:\n    main()\nexcept UsageError as error:\n    print(error)\nprint(*sorted(sys.modules), sep='\\n')\n"
    )
    done = python(code, "judge", *OPTIONS, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    said, *modules = done.stdout.splitlines()
    assert "needs the dumps of two backends" in said
    assert not (REPORT | FRAMEWORKS) & set(modules)


def test_judge_keeps_the_finding_and_draws_the_page(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    done = bcdl_parity("judge", *OPTIONS, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "cnn, jax-torch: within float32 rounding" in done.stdout
    (file,) = (tmp_path / "parity").glob("*/*.jsonl")
    (line,) = file.read_text(encoding="utf-8").splitlines()
    kept = json.loads(line)
    assert (kept["schema"], kept["plan"]) == (SCHEMA, PLAN.to_dict())
    assert kept["pairs"] == judged(tmp_path).pairs
    assert "| CNN | within float32 rounding |" in pages.text(tmp_path)


def test_dumps_are_judged_by_a_reference_that_was_carried_from_elsewhere(tmp_path: Path) -> None:
    """As on a machine with a GPU: with two backends, and none of them made the reference."""
    plan = dataclasses.replace(PLAN, precision="mixed_bfloat16", device="gpu")
    write(tmp_path, "jax", of=plan)
    write(tmp_path, "torch", {"third": 1e-2}, of=plan)
    carried = tmp_path / "carried"
    carried.mkdir()
    write_reference(tmp_path / "elsewhere").rename(carried / "cnn-32px-b4-seed0.npz")
    options = [*OPTIONS[:-1], "gpu", "--precision", "mixed_bfloat16", "--reference", str(carried), "--no-report"]
    done = bcdl_parity("judge", *options, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "cnn, jax-torch: within mixed_bfloat16 rounding" in done.stdout
    (file,) = (tmp_path / "parity").glob("*/*.jsonl")
    assert f"findings: {file}" in done.stdout
    assert json.loads(file.read_text(encoding="utf-8"))["reference"]["sketch_length"] == 512
    assert not (tmp_path / "README.md").exists()


def test_a_reference_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    done = bcdl_parity("judge", *OPTIONS, "--results", str(tmp_path), "--reference", str(tmp_path / "no"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no cnn-32px-b4-seed0.npz in ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["join"], "step 'join' is unknown; use dump, reference, exchange, determinism, judge"),
        (["judge", *OPTIONS], "parity of cnn needs the dumps of two backends; there are none"),
        (["judge", "--models", "lenet"], "lenet"),
        (["dump", "--image-size", "few"], "--image-size 'few' is not a whole number from 1 to 8,192"),
        (["dump", "--precision", "float8"], "--precision 'float8' is unknown; use float32, tf32, mixed_bfloat16"),
        (["dump", "--precision", "tf32", "--device", "cpu"], "TF32 is arithmetic of NVIDIA GPUs"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_can_not_be_done_is_said_in_a_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = bcdl_parity(*arguments, "--results", str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
