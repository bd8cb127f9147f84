"""How often each fault was injected and survived; `--reliability FILE` writes it down as a page.

`pytest tests/faults --reliability docs/reliability.md` counts the faults of this run; rows of faults that it did not
inject, as those of another backend, stay as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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

    It yields the fault's tally, to which the block adds the records that were lost.
    """
    tallies = request.config.stash.setdefault(TALLIES, {})

    @contextlib.contextmanager
    def inject(fault: str, times: int = 1) -> Iterator[Tally]:
        assert fault in catalogue.FAULTS
        tally = tallies.setdefault(fault, Tally())
        tally.injected += times
        tally.test = request.node.nodeid if f"[{fault}]" in request.node.nodeid else request.node.nodeid.split("[")[0]
        yield tally
        tally.survived += times

    return inject


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    file = config.getoption("--reliability", None)
    if file:
        catalogue.write(Path(file), config.stash.get(TALLIES, {}))
        terminalreporter.write_line(f"{file}: {len(config.stash.get(TALLIES, {}))} faults of this run")
