"""Thousands of wrong invocations, through the commands' own `main`, in one process."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invocations import generator, stand_ins
from tests.invocations.generator import BENCHMARKS
from tests.invocations.running import Sandbox, faults, in_process

_NUMBER = 2400
_OF_PYTEST = 100  # each makes a pytest within this one, which takes ten times as long as a command
_MOST_MEMORY = 8 * 2**30  # of addresses: what reads a device without end fails soon


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that this process is in: its folder, its temporary files and its memory; stand-ins do the work."""
    sandbox = Sandbox(tmp_path)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)  # a pytest within would take itself for one of several
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("TMPDIR", str(sandbox.temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(sandbox.folder)
    stand_ins.put(monkeypatch)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, limits[1]))
    yield sandbox
    resource.setrlimit(resource.RLIMIT_AS, limits)


def test_every_wrong_invocation_ends_with_a_line(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    walked = generator.walk()
    of_commands = [command for command in walked if command.command != BENCHMARKS]
    of_pytest = [command for command in walked if command.command == BENCHMARKS]
    invocations = generator.sample(of_commands, _NUMBER - _OF_PYTEST) + generator.sample(of_pytest, _OF_PYTEST)
    wrong = []
    for invocation in invocations:
        ending = in_process(invocation, sandbox, monkeypatch)
        if found := faults(invocation, ending):
            wrong.append(f"{invocation}\n  {'; '.join(found)}\n  {ending.err[-300:] or ending.out[-300:]!a}")
    assert len(set(invocations)) == _NUMBER
    assert not wrong, f"{len(wrong)} of {_NUMBER}:\n" + "\n".join(wrong[:20])


def test_the_same_seed_gives_the_same_invocations_and_each_option_of_each_command_has_some() -> None:
    walked = generator.walk()
    invocations = generator.sample(walked, _NUMBER)
    assert invocations == generator.sample(walked, _NUMBER)
    assert invocations != generator.sample(walked, _NUMBER, seed=1)
    about = {(invocation.command, invocation.about) for invocation in invocations}
    missing = [
        (command.command, action.option_strings[0])
        for command in walked
        for action in command.options
        if (command.command, action.option_strings[0]) not in about
    ]
    assert not missing
