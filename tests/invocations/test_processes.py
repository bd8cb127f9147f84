"""Commands as processes of their own, without a framework: wrong invocations, and streams that are full or closed."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping

import pytest

from bcdl.__main__ import COMMANDS
from tests.invocations import generator
from tests.invocations.generator import BENCHMARKS, Invocation
from tests.invocations.running import Ending, Sandbox, as_process, faults

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the devices and folders are those of Linux")

_WRONG = 30  # invocations; all others here are right, and their streams are not


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to start a command: redirections of a shell, options of Python, variables of the environment."""

    redirections: str = ""
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        variables = (f"{name}={value}" for name, value in self.variables.items())
        return " ".join(filter(None, (*variables, *self.options, self.redirections)))


_STREAMS = (">&-", "2>&-", "<&-", "2>/dev/full", ">&- 2>&- <&-", ">/dev/full 2>/dev/full", "| true", "| head -n 1")
_OPTIONS = (("-W", "error"), ("-O",), ("-OO", "-u"))
_VARIABLES = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "1", "TERM": "dumb"}
WAYS = (
    *map(Way, _STREAMS),
    *(Way(options=options) for options in _OPTIONS),
    *(Way(variables={name: value}) for name, value in _VARIABLES.items()),
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("box"))


def check(invocation: Invocation, ending: Ending, way: object = "") -> None:
    wrong = faults(invocation, ending)
    assert not wrong, f"{way} {invocation}\n{'; '.join(wrong)}\n{ending.err[-2000:]}"


def test_wrong_invocations_end_with_a_line(sandbox: Sandbox) -> None:
    walked = [command for command in generator.walk() if command.command != BENCHMARKS]
    possible = [
        each for each in generator.sample(walked, 2000, seed=2) if each.refused and "\0" not in "".join(each.arguments)
    ]
    of_each_command = {each.command: each for each in possible}
    chosen = list(dict.fromkeys([*of_each_command.values(), *possible]))[:_WRONG]
    assert of_each_command.keys() == {command.command for command in walked if command.options}
    for invocation in chosen:
        check(invocation, as_process(invocation, sandbox))


@pytest.mark.parametrize("way", [Way(">/dev/full"), Way(">/dev/full", ("-u",))], ids=str)
def test_an_output_that_takes_nothing_is_a_failure_in_a_line(way: Way, sandbox: Sandbox) -> None:
    for name in list(COMMANDS)[len(way.options) :: 4]:  # what writes is the same for all of them
        ending = as_process(Invocation(name, ("--help",), "stream"), sandbox, way.redirections, way.options)
        assert (ending.code, ending.err.count("\n")) == (1, 1), (name, ending)
        assert ending.err.startswith("error: the output can't be written (No space left on device)")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_commands_end_well_whatever_their_streams_are(way: Way, sandbox: Sandbox) -> None:
    place = WAYS.index(way)
    names = [*COMMANDS, *COMMANDS]
    helped = Invocation(names[place], ("--help",), "stream")
    walked = {command.command: command for command in generator.walk()}[names[place + 7]]
    for invocation in (helped, walked.make("stream", *walked.base())):
        ending = as_process(invocation, sandbox, way.redirections, way.options, way.variables)
        check(invocation, ending, way)
        if invocation is helped and "full" not in way.redirections:
            assert ending.code == 0 or way.redirections == "| true", (way, ending)
