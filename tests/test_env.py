"""`bcdl env`: an environment that has the backend, or one line and nothing left. Installers are stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import __version__, env
from bcdl.machine import installing, provenance
from tests.in_process import completed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts of a Unix shell")

# Makes an environment whose Python answers as one that has the backend; installs nothing, and fails at what is asked.
INSTALLER = """#!/bin/sh
echo "$*" >> "$NOTES/ran"
env | cut -d= -f1 > "$NOTES/variables"
if [ -n "$FAILS_AT" ] && echo "$*" | grep -q -e "$FAILS_AT"; then
    if [ -z "$FAILS_WITH" ] || [ -n "$UV_TORCH_BACKEND" ]; then printf "%b" "$SAYS" >&2; mkdir -p "$MADE"; exit 2; fi
fi
case "$*" in
*venv*) mkdir -p "$MADE/bin"; cp "$NOTES/python" "$MADE/bin/python";;
esac
"""
PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then echo "$ANSWER"; else exec "$NOTES/uv" "$@"; fi
"""
ANSWER = {"installed": True, "software": {"python": "3.11.7", "versions": {"keras": "3.15.1", "torch": "2.15.0"}}}


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environment goes; `uv` on the path is a stand-in, and so is the Python of what it makes."""
    for name, text in (("uv", INSTALLER), ("python", PYTHON)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    made = tmp_path / "made here"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name, value in (("NOTES", tmp_path), ("MADE", made), ("ANSWER", json.dumps(ANSWER))):
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    return made


def make(at: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return completed("env", "torch", "--at", at, "--device", "cpu", *more)


def ran(at: Path) -> list[str]:
    """What the installer was asked, a line each."""
    return (at.parent / "ran").read_text().splitlines()


def test_uv_installs_the_pinned_packages_and_this_bcdl(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    done = make(at)
    assert done.returncode == 0, done.stderr
    made, pinned, own = ran(at)
    python = f"pip install --quiet --python {at}/bin/python"
    assert made == f"venv --quiet --python {sys.executable} {at}"
    assert pinned == f"{python} --requirement {provenance.ROOT}/backends/torch/requirements-cpu.txt"
    assert own == f"{python} --no-deps --editable {provenance.ROOT}"
    assert not {"PYTHONPATH", "VIRTUAL_ENV"} & set((at.parent / "variables").read_text().split())
    assert f"{at} has torch 2.15.0 and keras 3.15.1; use it as in" in done.stdout
    assert f"bcdl run FILE.toml --python 'torch={at}'" in done.stdout
    assert (at / "bin" / "python").is_file()


def test_without_uv_venv_and_pip_do(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "uv", lambda: [])
    monkeypatch.setattr(env.sys, "executable", str(at.parent / "python"))
    done = make(at)
    assert done.returncode == 0, done.stderr
    made, pinned, own = ran(at)
    assert made == f"-m venv {at}"
    assert pinned.startswith("-m pip install --quiet --no-input --disable-pip-version-check --requirement ")
    assert own.endswith(f"--no-deps --editable {provenance.ROOT}")


@pytest.mark.parametrize(
    ("step", "said", "message"),
    [
        ("venv", "error: No room\\n", "uv can't make the environment: No room; see to the network"),
        (
            "--requirement",
            "a warning\\n  \u00d7 No solution found:\\n  Because there is no\\n      keras==3.15.1, it fails.\\n",
            "installed: No solution found: Because there is no keras==3.15.1, it fails.; see to the network",
        ),
        ("--requirement", "ERROR: first\\nERROR: No matching distribution\\n", "installed: No matching distribution;"),
        ("--no-deps", "some words\\n", "uv can't install bcdl: some words; see to the network"),
        ("--no-deps", "", "uv can't install bcdl: it gives no reason; see to the network"),
    ],
)
def test_what_fails_is_one_line_and_nothing_is_left(
    at: Path, monkeypatch: pytest.MonkeyPatch, step: str, said: str, message: str
) -> None:
    monkeypatch.setenv("FAILS_AT", step)
    monkeypatch.setenv("SAYS", said)
    done = make(at)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert not at.exists()


def test_if_torchs_own_index_fails_the_ordinary_wheel_is_installed(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("UV_TORCH_BACKEND", "cpu"), ("FAILS_AT", "--requirement"), ("FAILS_WITH", "it")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAYS", "error: no route\\n")
    done = make(at)
    assert done.returncode == 0, done.stderr
    assert "note: with UV_TORCH_BACKEND, the packages can't be installed: no route" in done.stdout
    assert len(ran(at)) == 4


@pytest.mark.parametrize("answer", [json.dumps({**ANSWER, "installed": False}), "no JSON"])
def test_an_environment_that_turns_out_to_lack_the_backend_is_not_left(
    at: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setenv("ANSWER", answer)
    done = make(at)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: --at ")
    assert not at.exists()


def test_ctrl_c_leaves_nothing(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        at.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(env, "_make", interrupt)
    done = make(at)
    assert done.returncode == 130
    assert "nothing of the environment is left: give the same command again" in done.stderr
    assert not at.exists()


def test_what_is_there_is_neither_replaced_nor_removed(at: Path) -> None:
    for kind in ("folder", "link"):
        at.mkdir() if kind == "folder" else at.symlink_to("nowhere")
        done = make(at)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "is there already; name a folder that is not, or remove it" in done.stderr
        assert os.path.lexists(at)
        at.rmdir() if kind == "folder" else at.unlink()
    assert not (at.parent / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mxnet", "--at", "x"), "unknown backend 'mxnet'; the backends are jax"),
        (("torch",), "the following arguments are required: --at"),
        (("torch", "--at", "x", "--device", "tpu"), "--device 'tpu' is unknown; use cpu, gpu"),
    ],
)
def test_wrong_usage_ends_with_2(at: Path, arguments: tuple[str, ...], message: str) -> None:
    done = completed("env", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (None, f"bcdl=={__version__}"),
        ({"url": "file:///a/bcdl.whl", "archive_info": {}}, "bcdl @ file:///a/bcdl.whl"),
        (
            {"url": "https://x/y", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "bcdl @ git+https://x/y@abc",
        ),
    ],
)
def test_outside_a_checkout_bcdl_is_installed_from_where_it_came(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None, requirement: str
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return json.dumps(origin) if origin and name == "direct_url.json" else None

    monkeypatch.setattr(provenance, "python_path", lambda: [])
    monkeypatch.setattr(env.importlib.metadata, "distribution", lambda name: Installed())
    assert env._this_bcdl() == [requirement]
