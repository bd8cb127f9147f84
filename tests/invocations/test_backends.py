"""Wrong invocations of the commands that measure, as processes that have Keras and a backend."""

from __future__ import annotations

import os

import pytest

from bcdl.__main__ import COMMANDS
from tests.invocations import generator
from tests.invocations.running import Sandbox, as_process, faults

pytestmark = [pytest.mark.keras, pytest.mark.any_backend]
pytest.importorskip("keras")

_NUMBER = 20


def test_wrong_invocations_end_with_a_line_on_a_backend(tmp_path_factory: pytest.TempPathFactory) -> None:
    sandbox, backend = Sandbox(tmp_path_factory.mktemp("box")), os.environ["KERAS_BACKEND"]
    measuring = [command for command in generator.walk() if _measures(command.command)]
    refused = [each for each in generator.sample(measuring, 3000, seed=3) if each.refused]
    chosen = [each for each in refused if "\0" not in "".join(each.arguments)][:_NUMBER]
    assert len(chosen) == _NUMBER
    for invocation in chosen:
        ending = as_process(invocation, sandbox, variables={"KERAS_BACKEND": backend})
        wrong = faults(invocation, ending)
        assert not wrong, f"{invocation}\n{'; '.join(wrong)}\n{ending.err[-2000:]}"


def _measures(command: str) -> bool:
    return command == "parity" or (command in COMMANDS and COMMANDS[command].group == "measure")
