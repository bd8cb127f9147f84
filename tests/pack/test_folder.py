"""The folder of a pack: what is in it, that it names its commit, and that it replaces nothing of anybody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends
from bcdl.errors import BcdlError, UsageError
from bcdl.machine import provenance
from bcdl.pack import folder, wheels
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
SAID = "import json; from bcdl.machine import provenance as p; print(json.dumps([p.commit(), p.digest({!r})]))"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheels come from nowhere: an empty file stands for each."""

    def download(requirements: list[str], version: str, into: Path) -> None:
        into.mkdir()
        for requirement in requirements:
            (into / f"{requirement.replace('==', '-')}-py3-none-any.whl").touch()

    monkeypatch.setattr(wheels, "download", download)


def python(code: str, source: Path, **variables: str) -> str:
    """What Python prints for the code with the source on its path, somewhere else."""
    environment = {**os.environ, **variables, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source.parent, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def tracked() -> set[str]:
    return set(provenance.tracked_files("bcdl", "backends", "benchmarks", "pyproject.toml", "LICENSE"))


def test_a_pack_has_the_tracked_files_that_measure_and_nothing_else(offline: None, tmp_path: Path) -> None:
    made = tmp_path / "a" / "pack"
    size = folder.make(made, "cp312")
    files = {file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file()}
    source = {f"source/{name}" for name in tracked()} | {"source/packed.json"}
    assert {name for name in files if name.startswith("source/")} == source
    others = {name.split("-")[0] for name in files - source}
    assert others == {"run.sh", *(f"wheels/{name}" for name in wheels.NAMES)}
    assert size == sum((made / name).stat().st_size for name in files) < 8 * 2**20
    assert sorted(path.name for path in made.parent.iterdir()) == ["pack"]


def commit_all(repository: Path) -> None:
    """Make the folder a repository, and a commit of all that is in it, as a tool that copies files may do."""
    git = ("git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "a copy"]):
        subprocess.run([*git, *command], check=True)


def test_the_packed_source_names_its_commit_and_its_code(offline: None, tmp_path: Path) -> None:
    """Where there is no git, inside another repository, and as one; a changed module makes it dirty."""
    made = tmp_path / "pack"
    folder.make(made, "cp312")
    code = SAID.format(backends.NAMES[0])
    here = python(code, ROOT)
    assert provenance.commit()["commit"] in here
    assert python(code, made / "source") == here
    for repository in (made / "source", tmp_path):
        commit_all(repository)
        assert python(code, made / "source") == here
    module = made / "source" / "bcdl" / "text.py"
    module.write_text(module.read_text() + "# changed\n")
    assert '"dirty": true' in python(code, made / "source")


def test_a_module_beside_those_that_were_packed_is_a_change(offline: None, tmp_path: Path) -> None:
    made = tmp_path / "pack"
    folder.make(made, "cp312")
    (made / "source" / "bcdl" / "new.py").write_text("")
    assert '"dirty": true' in python(SAID.format(backends.NAMES[0]), made / "source")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"written by": "bcdl pack"}', '{"written by": "x", "commit": 1}'])
def test_a_file_that_bcdl_pack_did_not_write_names_no_commit(content: str, tmp_path: Path) -> None:
    (tmp_path / "packed.json").write_text(content)
    assert provenance.read_pack(tmp_path) is None


def test_an_unused_pack_is_replaced(offline: None, tmp_path: Path) -> None:
    folder.make(tmp_path / "pack", "cp312")
    (tmp_path / "pack" / "site" / "keras").mkdir(parents=True)
    (tmp_path / "pack" / "site" / "keras" / "__init__.py").touch()
    (tmp_path / "pack" / "source" / "bcdl" / "__pycache__").mkdir()
    (tmp_path / "pack" / "source" / "bcdl" / "__pycache__" / "text.pyc").touch()
    folder.make(tmp_path / "pack", "cp312")
    assert not (tmp_path / "pack" / "site").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack"]


@pytest.mark.parametrize("name", ["mine.txt", "pack/out/results.tar.gz", "pack/source/mine.py", "pack/results/a.jsonl"])
def test_nothing_that_was_not_packed_is_replaced(name: str, offline: None, tmp_path: Path) -> None:
    if name.startswith("pack/"):
        folder.make(tmp_path / "pack", "cp312")
    place = tmp_path / "pack"
    mine = tmp_path / name if name.startswith("pack/") else place / name
    mine.parent.mkdir(exist_ok=True, parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="pack"):
        folder.make(place, "cp312")
    assert mine.read_text() == "mine"


def test_a_file_or_a_link_in_its_place_stays(offline: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="no folder"):
            folder.make(tmp_path / name, "cp312")


def test_what_fails_leaves_nothing_and_the_old_pack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()

    def refuse(*arguments: object) -> None:
        raise BcdlError("no index")

    monkeypatch.setattr(wheels, "download", refuse)
    for place in ("pack", "new"):
        with pytest.raises(BcdlError, match="no index"):
            folder.make(tmp_path / place, "cp312")
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_a_pack_too_large_to_carry_is_refused(offline: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reference = tmp_path / "cnn.npz"
    reference.write_bytes(bytes(3 * 2**20))
    monkeypatch.setattr(folder, "MOST_BYTES", 2 * 2**20)
    with pytest.raises(BcdlError, match=r"would have \d+\.\d MiB, and at most 2 can be carried"):
        folder.make(tmp_path / "pack", "cp312", references=[reference])
    monkeypatch.setattr(folder, "MOST_BYTES", 64 * 2**20)
    folder.make(tmp_path / "pack", "cp312", references=[reference])
    assert (tmp_path / "pack" / "parity" / "cnn.npz").stat().st_size == 3 * 2**20


def bcdl_pack(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bcdl", "pack", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "py3"], "--for 'py3' is no CPython"),
        (["--with", "no-such-package"], "no-such-package can't be packed"),
        (["--parity", "nowhere.npz"], "nowhere.npz is no file"),
    ],
)
def test_a_wrong_option_is_a_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = bcdl_pack("--out", str(tmp_path / "pack"), *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not (shutil.which("pip") or shutil.which("uvx")), reason="neither pip nor uv is here")
def test_an_index_that_can_not_be_reached_is_a_line(tmp_path: Path) -> None:
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    done = bcdl_pack("--out", str(tmp_path / "pack"), **nowhere)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "error: pip can't get the wheels keras==" in done.stderr
    assert "see to the network" in done.stderr
    assert not list(tmp_path.iterdir())
