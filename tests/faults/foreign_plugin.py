"""Plugins of pytest as other people write them, in small: `-p tests.faults.foreign_plugin --foreign KIND`.

They do what pytest-forked, pytest-parallel, pytest-repeat, pytest-randomly and pytest-timeout do, under an option that
bcdl does not know. The options of some of these, which it knows, are declared, too.
"""

from __future__ import annotations

import os
import threading
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol

from bcdl.runner import progress


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--foreign", choices=("forks", "threads", "repeats", "reorders", "cuts short"))
    for known in ("--forked", "--boxed"):
        parser.addoption(known, action="store_true")
    for known in ("--workers", "--tests-per-worker", "--parallel-threads", "--timeout"):
        parser.addoption(known)
    parser.addini("timeout", "as pytest-timeout declares it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.config.option.foreign == "repeats":
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(2))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.foreign == "reorders":
        items.reverse()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    foreign = item.config.option.foreign
    if foreign == "forks":
        return _forked(item, nextitem)
    if foreign == "threads":
        thread = threading.Thread(target=_quietly, args=(item, nextitem))
        thread.start()
        thread.join()
        return True
    return None


def pytest_configure(config: pytest.Config) -> None:
    if config.option.foreign == "cuts short":
        progress.CellProgress.phase = _cut_short  # type: ignore[method-assign]


def _cut_short(progress: object, name: str) -> NoReturn:
    """As a signal does while the cell is under way."""
    pytest.fail("it took too long")


def _forked(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    child = os.fork()
    if not child:
        _quietly(item, nextitem)
        os._exit(0)
    os.waitpid(child, 0)
    return True


def _quietly(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    try:
        runtestprotocol(item, nextitem=nextitem)
    except pytest.exit.Exception as refusal:
        os.write(1, f"{refusal}\n".encode())
