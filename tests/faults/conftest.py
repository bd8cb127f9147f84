"""How often each fault was injected and survived; `--reliability FILE` writes it down as a page.

`pytest tests/faults --reliability docs/reliability.md` counts the faults of this run; rows of faults that it did not
inject, as those of another backend, stay as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults import catalogue
from tests.faults.catalogue import Tally

TALLIES = pytest.StashKey[dict[str, Tally]]()
Injected = Callable[..., contextlib.AbstractContextManager[Tally]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", metavar="FILE", help="page to write: faults, times injected and survived")


@pytest.fixture
def injected(request: pytest.FixtureRequest) -> Injected:
    """A context manager around each injection of a fault (a key of the catalogue); survived if the block ends well.

    An injection has a name, by default that of its test with its parameters. `names` are those of several, or of one
    that the test does not name; `times` says how often the default one is repeated. Several of one name count as one
    kind of injection, and no two tests may give the same `names`. The context is the fault's tally, to which the block
    adds the records and the models that were lost.
    """
    tallies = request.config.stash.setdefault(TALLIES, {})

    @contextlib.contextmanager
    def inject(fault: str, times: int = 1, names: Sequence[str] = ()) -> Iterator[Tally]:
        assert fault in catalogue.FAULTS
        tally = tallies.setdefault(fault, Tally())
        assert len(set(names) - tally.names) == len(names), f"{fault}: injected before: {sorted(names)}"
        tally.names.update(names or [request.node.nodeid])
        count = len(names) or times
        tally.injected += count
        test, *parameters = request.node.nodeid.split("[")
        tally.test = f"{test} -k {fault}" if fault in "".join(parameters) else test
        yield tally
        tally.survived += count

    return inject


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    file = config.getoption("--reliability", None)
    if file:
        catalogue.write(Path(file), config.stash.get(TALLIES, {}))
        terminalreporter.write_line(f"{file}: {len(config.stash.get(TALLIES, {}))} faults of this run")
