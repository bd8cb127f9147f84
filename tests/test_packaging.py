"""The wheel: what it installs, and that it works outside a checkout, inside another project's repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bcdl.__main__ import COMMANDS
from bcdl.records import experiment, store
from tests import factory

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, without what leads this process's Python to the checkout."""
    values = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        command, cwd=cwd, env={**values, **environment}, capture_output=True, text=True, check=False, timeout=600
    )


# Runs commands of bcdl in one process, so that the framework is imported once; ends at the first that fails.
_ONE_BY_ONE = """
import json, sys
from bcdl import __main__
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["bcdl", *arguments]
    try:
        __main__.main()
    except SystemExit as end:
        assert end.code == 0, (arguments, end.code)
"""


def checked(*command: str, cwd: Path | None = None) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def uv() -> str:
    """Uv as a program; a session that has it as a package has the program, too."""
    program = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not program:
        pytest.skip("uv builds and installs the wheel: pip install uv")
    return program


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `uv build` does, from the files that git tracks or would: an sdist, then the wheel of it."""
    source = tmp_path_factory.mktemp("source")
    listed = checked("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if name.startswith("results/") or not (ROOT / name).is_file():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    checked(uv(), "build", "--quiet", "--out-dir", str(source / "dist"), str(source))
    (file,) = (source / "dist").glob("*.whl")
    return file


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another project: a git repository with a commit of its own."""
    folder = tmp_path_factory.mktemp("project")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    checked("git", "init", "--quiet", str(folder))
    (folder / "notes.txt").write_text("another project")
    checked("git", "add", ".", cwd=folder)
    checked(*git, "commit", "--quiet", "--message", "notes", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def installed(wheel: Path, project: Path) -> Path:
    """The programs of a fresh virtual environment in that project, with the wheel and what it depends on."""
    folder = project / ".venv"
    checked(uv(), "venv", "--quiet", "--python", sys.executable, str(folder))
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    checked(uv(), "pip", "install", "--quiet", "--python", str(programs / "python"), str(wheel))
    return programs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with two runs of records."""
    for number in (1, 2):
        record = factory.record(run=f"2026112{number}T142328Z-af84")
        store.append(tmp_path, "a-machine", record)
    return tmp_path


def test_a_wheel_installs_one_package_and_all_of_it(wheel: Path) -> None:
    """Everything under bcdl/ and backends/ is there, the latter as bcdl.backends; and nothing beside them."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    assert {name.split("/")[0] for name in names} == {"bcdl", next(n.split("/")[0] for n in names if "dist-info" in n)}
    sources = {file.relative_to(ROOT).as_posix() for file in (ROOT / "bcdl").rglob("*.py")} - {"bcdl/backends.py"}
    sources |= {f"bcdl/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "backends").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert {"bcdl/py.typed", "bcdl/report/web/page.css", "bcdl/report/web/page.js"} <= names
    pins = {file.relative_to(ROOT).as_posix() for file in (ROOT / "backends").glob("*/requirements-*.txt")}
    assert pins
    assert {f"bcdl/{name}" for name in pins} <= names


@pytest.mark.elsewhere
@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_every_command_is_there_outside_a_checkout(installed: Path, tmp_path: Path, command: str) -> None:
    if command in ("train", "predict"):
        pytest.skip("needs Keras: see the test of a whole cell")
    done = run(str(installed / "bcdl"), *filter(None, [command]), "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: bcdl {command}".rstrip())


@pytest.mark.elsewhere
def test_records_are_reported_and_compared_outside_a_checkout(installed: Path, results: Path, tmp_path: Path) -> None:
    bcdl = str(installed / "bcdl")
    done = run(bcdl, "report", "--results", str(results), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (results / "README.md").is_file()
    assert run(bcdl, "report", "--results", str(results), "--check", cwd=tmp_path).returncode == 0
    files = sorted((results / "records").glob("*/*.jsonl"))
    done = run(bcdl, "compare", *map(str, files), "--allow-separate", cwd=tmp_path)
    assert done.returncode == 2  # one process a side: no p could be significant
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    assert "experiment" in run(bcdl, "experiment", cwd=tmp_path).stdout


@pytest.mark.elsewhere
def test_what_is_installed_in_another_repository_has_no_commit(installed: Path, project: Path) -> None:
    """Else records would carry that repository's HEAD as bcdl's own commit, `dirty: false`."""
    head = checked("git", "rev-parse", "HEAD", cwd=project).strip()
    done = run(str(installed / "bcdl"), "doctor", "--device", "cpu", cwd=project)
    assert done.returncode == 0, done.stderr
    rows = dict(line.strip()[1:-1].split("│") for line in done.stdout.splitlines() if line.count("│") == 3)
    facts = {key.strip(): value.strip() for key, value in rows.items()}
    assert (facts["commit"], facts["dirty"]) == ("none", "none")
    assert head not in done.stdout


@pytest.mark.keras
@pytest.mark.any_backend
def test_a_cell_is_trained_and_a_model_used_from_the_wheel(wheel: Path, project: Path, tmp_path: Path) -> None:
    """In this environment, with the wheel unpacked on its path and the checkout out of sight."""
    pytest.importorskip("keras")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    results, model, picture = tmp_path / "results", str(tmp_path / "cnn.keras"), str(tmp_path / "a.png")
    small = ("--profile", "smoke", "--image-size", "32", "--epochs", "1", "--device", "cpu")
    settings = (*small, "--results", str(results))
    Image.new("RGB", (40, 30), (200, 150, 180)).save(picture)
    backend = ("--backend", os.environ["KERAS_BACKEND"], "--models", "cnn")
    commands = [
        ("train", "--model", "cnn", "--no-timing", "--save", model, *settings),
        ("predict", "--model", model, picture),
        ("experiment", "empty-cell", *backend, "--rounds", "1", *settings),
    ]
    done = run(sys.executable, "-c", _ONE_BY_ONE, json.dumps(commands), cwd=project, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    ((_, record),), problems = store.read_all(results)
    assert not problems
    assert (record.status, record.environment["commit"], record.environment["dirty"]) == ("ok", None, None)
    assert record.environment["code"]
    assert any(line.startswith(f"{picture}\t") for line in done.stdout.splitlines())
    ((_, kept),), _ = experiment.read_all(results)
    assert kept.ways[1] == "a cell that measures nothing"
    assert min(*kept.a, *kept.b) > 0
