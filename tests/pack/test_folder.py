"""The folder of a pack: what is in it, that it names its commit, and that it replaces nothing of anybody else's."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends
from bcdl.errors import BcdlError, UsageError
from bcdl.machine import provenance
from bcdl.pack import __main__ as pack
from bcdl.pack import folder, wheels
from tests.conftest import ROOT
from tests.pack.test_carried import carried_reference

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
SAID = "import json; from bcdl.machine import provenance as p; print(json.dumps([p.commit(), p.digest({!r})]))"


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
    reference = carried_reference(tmp_path)
    monkeypatch.setattr(folder, "MOST_BYTES", 2**10)
    with pytest.raises(BcdlError, match=r"would have \d+\.\d MiB, and at most 0 can be carried"):
        folder.make(tmp_path / "pack", "cp312", references=[reference])
    monkeypatch.setattr(folder, "MOST_BYTES", 64 * 2**20)
    folder.make(tmp_path / "pack", "cp312", references=[reference])
    assert (tmp_path / "pack" / "parity" / reference.name).read_bytes() == reference.read_bytes()


@pytest.mark.parametrize("fails", ["copy", "pip"])
def test_a_full_disk_is_a_line_that_names_the_folder(
    fails: str, offline: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(source: object, *rest: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    monkeypatch.setattr(*((shutil, "copy") if fails == "copy" else (wheels, "download")), full)
    with pytest.raises(UsageError, match=r"pack can't be written .*No space left on device.*; make room") as refused:
        folder.make(tmp_path / "pack", "cp312")
    assert str(ROOT) not in str(refused.value)
    assert not list(tmp_path.iterdir())


def bcdl_pack(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bcdl", "pack", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "py3"], "--for 'py3' is no CPython"),
        (["--with", "no-such-package"], "no-such-package can't be packed"),
        (["--parity", "nowhere.npz"], "nowhere.npz is no file"),
        (["--out", ""], "--out: '' is empty; give a value, or leave the option out"),
        (["--out", "."], "is the working folder or holds it"),
        (["--out", "nosuch/.."], "is the working folder or holds it"),
        (["--out", ".."], "is the working folder or holds it"),
        (["--out", f"{__file__}/x/y"], "is no folder"),
    ],
)
def test_a_wrong_option_is_a_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    out = () if "--out" in arguments else ("--out", str(tmp_path / "pack"))
    done = bcdl_pack(*out, *arguments, cwd=tmp_path)
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


def test_without_git_and_with_a_git_that_refuses_the_reason_is_said(tmp_path: Path) -> None:
    """Not that this is no checkout."""
    fake = tmp_path / "git"
    answers = {
        "fatal: detected dubious ownership in repository at '/x'": "config --global --add safe.directory",
        "fatal: bad object HEAD": "git can't read this one (fatal: bad object HEAD)",
    }
    for answer, said in ({"": "there is no git on the PATH"} | answers).items():
        if answer:
            fake.write_text(f'#!/bin/sh\necho "{answer}" >&2\nexit 128\n')
            fake.chmod(0o755)
        done = bcdl_pack("--out", str(tmp_path / "pack"), PATH=str(tmp_path))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
        assert "this is none" not in done.stderr
    assert not (tmp_path / "pack").exists()


def test_a_pack_is_not_packed_again(offline: None, tmp_path: Path) -> None:
    """Without its history it would be a pack of nothing."""
    folder.make(tmp_path / "pack", "cp312")
    code = "import sys; from bcdl.pack import __main__ as m; sys.argv[1:] = []; m.run_command(m.main)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "pack" / "source")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "this is the source of a pack" in done.stderr


@pytest.mark.parametrize("name", ["plain", "a b", "a'b$x", "-n", "*"])
def test_the_printed_command_is_one_that_a_shell_takes(
    name: str, offline: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bcdl pack", f"--out=x/../{name}"])
    assert pack.main() == 0
    command = capsys.readouterr().out.splitlines()[-1].partition("run there: ")[2]
    program, script, seconds = shlex.split(command)
    assert (program, seconds) == ("bash", "SECONDS")
    assert not script.startswith("-")
    assert (tmp_path / script).samefile(tmp_path / name / "run.sh")
    shown = subprocess.run(["sh", "-c", f"printf %s {command.split(' ', 1)[1]}"], capture_output=True, text=True)
    assert shown.stdout == f"{script}SECONDS"
