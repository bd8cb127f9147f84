"""What the sessions of the noxfile do by themselves, with a stand-in for nox, which runs outside their environments."""

from __future__ import annotations

import runpy
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

INDEX = "UV_TORCH_BACKEND"


class CommandError(Exception):
    """As `nox.command.CommandFailed`."""


class Session:
    """A session whose installations fail as long as they look for torch's own index, which can't be reached."""

    def __init__(self, folder: Path) -> None:
        self.posargs = ["--device", "cpu"]
        self.virtualenv = types.SimpleNamespace(bin=str(folder / "bin"))
        self.warnings: list[str] = []
        self.installed: list[tuple[str, ...]] = []
        self._folder = folder

    def create_tmp(self) -> str:
        return str(self._folder)

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def install(self, *arguments: str, env: dict[str, str | None] | None = None) -> None:
        if (env or {}).get(INDEX, "set") is not None:
            raise CommandError(f"{INDEX} leads to an index that can't be reached")
        self.installed.append(arguments)

    def run(self, *command: str, env: dict[str, str | None] | None = None) -> None:
        if command[:3] == ("uv", "pip", "install"):
            self.install(*command[3:], env=env)


@pytest.fixture
def noxfile(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the noxfile defines."""
    nox = types.ModuleType("nox")
    nox.options = types.SimpleNamespace()  # type: ignore[attr-defined]
    nox.command = types.SimpleNamespace(CommandFailed=CommandError)  # type: ignore[attr-defined]
    nox.Session = Session  # type: ignore[attr-defined]
    nox.session = lambda function=None, **named: function or (lambda wrapped: wrapped)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nox", nox)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    return runpy.run_path(str(ROOT / "noxfile.py"))


def install(noxfile: dict[str, Any], session: Session, how: str) -> None:
    if how == "the environment of a session":
        noxfile["install"](session, "torch")
    else:
        noxfile["make_side"](session, "a", "torch", ["keras==3.14.0"])


@pytest.mark.parametrize("how", ["the environment of a session", "the environment of a side"])
def test_if_the_index_of_torch_is_out_of_reach_the_ordinary_wheel_is_installed(
    how: str, noxfile: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = Session(tmp_path)
    monkeypatch.setenv(INDEX, "cpu")
    install(noxfile, session, how)
    assert session.installed[0][-1] == "backends/torch/requirements-cpu.txt"
    assert session.warnings[0] == f"{INDEX}'s index could not be used; installing the ordinary wheel"


@pytest.mark.parametrize("how", ["the environment of a session", "the environment of a side"])
def test_an_installation_that_fails_otherwise_fails_the_session(
    how: str, noxfile: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(INDEX, raising=False)
    with pytest.raises(CommandError):
        install(noxfile, Session(tmp_path), how)
