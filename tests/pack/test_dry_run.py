"""A pack at work: made here, run in an environment like a bare GPU machine's, by a CPU and a stand-in for NVML."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.machine import provenance
from bcdl.pack import wheels
from bcdl.records import store
from tests.conftest import ROOT
from tests.machine import fake_nvml
from tests.pack.test_wheels import IMAGE

pytestmark = pytest.mark.elsewhere
# A machine that is lent for minutes brings home so few and so small files.
MOST_FILES, MOST_FILE_BYTES = 8, 16 * 2**20
CELLS = "--models cnn --image-size 32 --batch-size 4 --epochs 1 --data synthetic-48 --device cpu"


def checked(*command: str, without: tuple[str, ...] = (), **variables: str) -> str:
    """What the command prints; it must succeed."""
    values = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", *without)}
    done = subprocess.run(
        command, env={**values, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def python_3_12() -> str:
    """A Python 3.12 if there is one, of pyenv's too, else this one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for program in (shutil.which("python3.12"), *map(str, sorted(pyenv.glob("3.12*/bin/python3.12")))):
        if program and subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
            return program
    return sys.executable


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with what a GPU machine's image was seen to hold; of the frameworks, JAX alone."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not uv:
        pytest.skip("uv makes the environment: pip install uv")
    folder = tmp_path_factory.mktemp("image") / "venv"
    checked(uv, "venv", "--quiet", "--python", python_3_12(), str(folder))
    python = folder / "bin" / "python"
    packages = sorted(IMAGE - {"torch"})
    checked(uv, "pip", "install", "--quiet", "--python", str(python), "pip", *packages)
    return python


@pytest.fixture(scope="module")
def packed(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    tag = checked(str(image), "-c", "import sys; print('cp%d%d' % sys.version_info[:2])").strip()
    folder = tmp_path_factory.mktemp("carried") / "pack"
    checked(sys.executable, "-m", "bcdl", "pack", "--for", tag, "--out", str(folder), PYTHONPATH=str(ROOT))
    return folder


def test_a_packed_folder_runs_on_a_bare_machine_to_its_records(image: Path, packed: Path, tmp_path: Path) -> None:
    out, home = tmp_path / "brought", tmp_path / "home"
    gpu = fake_nvml.variables(tmp_path, fake_nvml.FakeGpu())
    command = ["bash", str(packed / "run.sh"), "170", *CELLS.split(), "--steps", "float32,tf32,doctor"]
    screen = checked(*command, OUT=str(out), PYTHON=str(image), **gpu)
    assert "torch not installed here, and so left out" in screen
    files = [file for file in out.rglob("*") if file.is_file()]
    assert len(files) <= MOST_FILES
    assert all(file.stat().st_size <= MOST_FILE_BYTES for file in files)
    assert "backend jax" in (out / "doctor.txt").read_text(encoding="utf-8")
    installed = {file.name.partition("-")[0] for file in (packed / "site").glob("*.dist-info")}
    assert installed == set(wheels.NAMES)  # and the cell needed nothing else that the image lacks

    bcdl = (sys.executable, "-m", "bcdl")
    results = ("--results", str(home))
    checked(*bcdl, "unpack", str(out / "results.tar.gz"), *results, PYTHONPATH=str(ROOT))
    records, problems = store.read_all(home)
    assert not problems
    assert [record.status for _, record in records] == ["ok", "skipped"]
    for _, record in records:
        said = {name: record.environment[name] for name in ("commit", "dirty", "code")}
        assert said == {**provenance.commit(), "code": provenance.digest("jax")}
    checked(*bcdl, "report", *results, PYTHONPATH=str(ROOT))
    checked(*bcdl, "report", "--check", *results, PYTHONPATH=str(ROOT))
