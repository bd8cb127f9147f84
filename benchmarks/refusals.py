"""Refuses, before the first cell, what would have a cell measured twice, beside another one, not to its end or in vain.

A cell is measured once, by the process that was started and in its main thread; all benchmarks of it show the same
record. Plugins of pytest that spread benchmarks over processes or threads, run them in a loop or cut them short break
that, and what is measured then are no figures of the cell.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bcdl.errors import UsageError

_BESIDE = "cells run one after another, or they would measure each other"
_FORKED = "a process of its own for each benchmark would measure the cell again for each"
_LOOP = "each file that a cell writes would have it measured again"
_CUT = "a cell that pytest-timeout cuts short leaves no record; --cell-timeout ends one that does"
# Set by pytest-xdist in the processes that it starts, and so in what these start.
_OF_XDIST = "PYTEST_XDIST_WORKER"


@dataclasses.dataclass(frozen=True)
class _Refused:
    """What a plugin is asked by.

    Attributes:
        options: options by their destination, each as a person writes it; a plugin may read a setting of that name.
        harm: what it would do.
        variable: the environment variable by which it is asked, too.
    """

    options: Mapping[str, str]
    harm: str
    variable: str = ""


_REFUSED = (
    _Refused({"numprocesses": "-n", "tx": "--tx"}, _BESIDE),  # pytest-xdist
    _Refused({"looponfail": "--looponfail"}, _LOOP),  # pytest-xdist
    _Refused({"workers": "--workers", "tests_per_worker": "--tests-per-worker"}, _BESIDE),  # pytest-parallel
    _Refused({"parallel_threads": "--parallel-threads"}, _BESIDE),  # pytest-run-parallel
    _Refused({"forked": "--forked", "boxed": "--boxed"}, _FORKED),  # pytest-forked
    _Refused({"timeout": "--timeout"}, _CUT, "PYTEST_TIMEOUT"),  # pytest-timeout
)
# Plugins that show what is measured, by an option that each declares.
_NEEDED = {"benchmark_json": "benchmark", "verbose": "terminal"}


def check(config: pytest.Config) -> None:
    """UsageError if an option, a setting or a variable asks for what benchmarks can't be run with."""
    if hasattr(config, "workerinput") or os.environ.get(_OF_XDIST):
        raise UsageError(f"{_OF_XDIST} is set, as in processes of pytest-xdist: {_BESIDE}; unset it, or leave -n out")
    for refused in _REFUSED:
        for name, option in refused.options.items():
            if value := _value(config, name, refused.variable):
                raise UsageError(
                    f"{_written(option, value)}: {refused.harm}; leave it out, in PYTEST_ADDOPTS and pytest's "
                    "settings, too"
                )
    for name, plugin in _NEEDED.items():
        if not hasattr(config.option, name):
            raise UsageError(f"pytest's plugin {plugin!r} shows what is measured, and is not there; see to -p no:NAME")


def _value(config: pytest.Config, name: str, variable: str) -> object:
    """What an option, a variable or a setting asks for; None if nothing does, or if there is no such plugin."""
    if not hasattr(config.option, name):
        return None
    value = getattr(config.option, name) or os.environ.get(variable) or _setting(config, name)
    return value if value not in ("0", "0.0") else None


def _setting(config: pytest.Config, name: str) -> object:
    try:
        return config.getini(name)
    except (KeyError, ValueError):  # the plugin has no such setting
        return None


def _written(option: str, value: object) -> str:
    """The option as a person writes it."""
    return option if value is True else f"{option} {' '.join(value) if isinstance(value, list) else value}"


def check_outputs(config: pytest.Config) -> None:
    """UsageError if what pytest writes at the end, when all is measured, could not be written."""
    for option, place, file in _outputs(config):
        try:
            _try(file)
        except OSError as error:
            raise UsageError(f"{option} {place} can't be written ({error.strerror}); name another place") from error
    if config.option.benchmark_histogram and not importlib.util.find_spec("pygal"):
        raise UsageError("--benchmark-histogram needs the package pygal: install it, or leave the option out")


def _try(file: Path) -> None:
    """OSError if the file can't be written; it stays as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    is_new = not file.exists()
    with file.open("ab"):
        pass
    if is_new:
        file.unlink()


def _outputs(config: pytest.Config) -> Iterator[tuple[str, Path, Path]]:
    """The options that ask for output, each with the place that it names and a file there."""
    options = config.option
    if options.benchmark_json:
        yield "--benchmark-json", options.benchmark_json, options.benchmark_json
    if getattr(options, "xmlpath", None):
        yield "--junitxml", Path(options.xmlpath), Path(options.xmlpath)
    scheme, _, folder = options.benchmark_storage.rpartition("://")
    if (options.benchmark_save or options.benchmark_autosave) and scheme in ("", "file"):
        yield "--benchmark-storage", Path(folder), Path(folder).expanduser() / f".probe-{os.getpid()}"


class Place:
    """The process and the thread in which it is made, which alone may measure."""

    def __init__(self) -> None:
        self._process, self._thread = os.getpid(), threading.get_ident()

    def check(self) -> None:
        """UsageError if this is another process or thread: a plugin that `check` does not know has made it."""
        if (self._process, self._thread) != (os.getpid(), threading.get_ident()):
            raise UsageError(
                "a plugin of pytest runs this benchmark in a process or thread of its own, in which its cell would be "
                "measured once more; leave that plugin out (-p no:NAME)"
            )
