"""The matrix of a study: a TOML file that says what to run, read and resolved to jobs before anything runs.

Each `[[matrix]]` table of the file has a value, or a list of values, for any option of a cell; what stands above the
tables counts for all of them that do not say otherwise. A list stands for each of its values, so that a table gives
every combination. Each value is read by its option's own row, and each job is made as `pytest benchmarks` makes it. So
what is refused there is refused here, by the name of the file, the number of the table and the key.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import itertools
import math
import operator
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcdl import datasets
from bcdl.errors import UsageError
from bcdl.settings import arguments, limits, models, profiles, weights
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.options import (
    MODELS,
    REQUIRE_CLEAN,
    RESULTS,
    RESUME,
    cell_options,
    check_backend,
    notices,
    resolve_run,
)
from bcdl.text import legible, on_one_line, quoted

MOST_CELLS = 100_000
_MOST_BYTES = 2**20  # of a file: thousands of tables
_TABLES, _BACKENDS, _MODELS = "matrix", "backends", "models"
_SET = "--set"
_OF_A_RUN = (RESULTS, RESUME, REQUIRE_CLEAN, limits.BUDGET, *limits.OPTIONS)  # and so no keys of a table
_LONGEST_REASON = 300  # letters
# What sets two jobs of one cell apart, by the keys that give it: no cell holds it.
_BESIDE_THE_CELL = {
    "data": "data",
    "weights_file": "weights",
    "labels_file": "labels",
    "skip_unreadable": "skip-unreadable",
    "cold": "cold",
    "keep_names": "keep-names",
}


@dataclasses.dataclass(frozen=True)
class Matrix:
    """What a study's file asks for.

    Attributes:
        jobs: of each backend, in the order in which they run; backends are in the order in which the file names them.
            No two jobs are of one cell, and all are on one device.
        notices: lines for people: what was left to defaults, and what is asked for more than once.
    """

    jobs: Mapping[str, Sequence[Job]]
    notices: tuple[str, ...] = ()


def add_option(add: Callable[..., Any]) -> None:
    """Declare `--set` by a parser's `add_argument`."""
    add(
        _SET,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key that every table of the file is to have, whatever it says itself, as in --set epochs=1 or --set "
        "'seed=[0, 1]'; may be given several times",
    )


def read(path: Path, elsewhere: Collection[str] = (), settings: Sequence[str] = (), runs_here: bool = True) -> Matrix:
    """The matrix that the file asks for.

    Relative paths in the file lead from its folder.

    Args:
        path: of the file.
        elsewhere: names of backends whose cells another Python runs, so that they need not be installed in this one.
        settings: what `--set` says that every table has, each a key and its value; relative paths start at the working
            folder.
        runs_here: whether the cells run on this machine, which must then have a GPU if they ask for one.

    Raises:
        UsageError: the file can't be read, or what it asks for can't be run; the message names the file and, as far
            as it is of one, the table and the key.
    """
    tables = _tables(path, _set(settings))
    _check_number(path, tables)
    backends = dict.fromkeys(name for table in tables for name in table.backends)
    for backend in backends:
        _check_installed(path, backend, backend not in elsewhere)
    gathered = _Gathered(path, runs_here)
    for backend, table in itertools.product(backends, tables):
        if backend in table.backends:
            gathered.add_all(table, backend, backend not in elsewhere)
    gathered.check_device()
    left_to_defaults = [line for table in tables for line in notices(next(table.combinations()))]
    return Matrix(gathered.jobs, tuple(dict.fromkeys([*left_to_defaults, *gathered.notices()])))


@dataclasses.dataclass(frozen=True)
class _Table:
    """One table of the file.

    Attributes:
        number: counted from 1.
        place: what names it in messages.
        backends: the backends that its cells run on.
        values: the values of each other option, by destination name, with those of the whole file.
    """

    number: int
    place: str
    backends: tuple[str, ...]
    values: Mapping[str, tuple[Any, ...]]

    @property
    def count(self) -> int:
        """How many cells it asks for at least: a profile, or folds, may give more."""
        return len(self.backends) * math.prod(map(len, self.values.values()))

    def combinations(self) -> Iterator[dict[str, Any]]:
        """The options of every combination; what an option takes several of stands in each, separated by commas."""
        several = {name: ",".join(map(str, self.values[name])) for name in self.values if _takes_several(name)}
        single = {name: values for name, values in self.values.items() if name not in several}
        for combination in itertools.product(*single.values()):
            yield {**several, **dict(zip(single, combination, strict=True))}


def _takes_several(name: str) -> bool:
    """Whether the option of that destination takes several values, separated by commas."""
    row = Cell.rows().get(name)
    return name == _MODELS or (row is not None and row.several)


def _set(settings: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The values of each option that `--set` names, by destination name; UsageError if one can't be read."""
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = map(str.strip, setting.partition("="))
        if not equals or not text:
            raise UsageError(f"{_SET} {quoted(setting)} names no key, or no value; write it as in {_SET} epochs=1")
        if key in given:
            raise UsageError(f"{_SET} {quoted(key)} is given twice; give it once, with a list if it has several values")
        given[key] = _as_toml(text)
    return _options(_SET, given, Path())


def _as_toml(text: str) -> Any:
    """The value as TOML has it; a text that is none stands for itself, since a shell takes its quotes away.

    Raises UsageError if there is more in the text than one value.
    """
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    if len(parsed) > 1:
        raise UsageError(f"{_SET} {quoted(text)} gives more than one value; write {_SET} once for each key")
    return parsed["value"]


def _tables(path: Path, settings: Mapping[str, tuple[Any, ...]]) -> list[_Table]:
    """The tables of the file, every value read; UsageError if there is none, or one of them can't be used.

    `settings` are values that all of them have, whatever the file says.
    """
    document = _document(path)
    tables = document.pop(_TABLES, None)
    if isinstance(tables, dict):
        raise UsageError(f"{_shown(path)}: [{_TABLES}] is one table; write [[{_TABLES}]], in two brackets, before each")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{_shown(path)}: it asks for no cell; write [[{_TABLES}]], and what to run below it")
    folder = path.parent
    shared = _options(_shown(path), document, folder, but=settings)
    return [
        _table(number, path, {**shared, **_options(_place(path, number), table, folder, but=settings), **settings})
        for number, table in enumerate(tables, start=1)
    ]


def _table(number: int, path: Path, values: dict[str, tuple[Any, ...]]) -> _Table:
    place = _place(path, number)
    names = values.pop(_BACKENDS, ())
    if not names:
        raise UsageError(f"{place}: it names no backend to run on; add {_BACKENDS} = [...]")
    return _Table(number, place, names, values)


def _document(path: Path) -> dict[str, Any]:
    """What the file holds; UsageError if it can't be read or is no TOML."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"{legible(str(path))} is no file; name the file that says what to run")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{legible(str(path))} can't be read ({error.strerror or error}); name the file that says what to run"
        ) from error
    if len(content) > _MOST_BYTES:
        raise UsageError(
            f"{_shown(path)}: it has more than {_MOST_BYTES:,} bytes, and so is no file that says what to run"
        )
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{_shown(path)}: it holds bytes that are no UTF-8; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{_shown(path)}: it is no TOML: {on_one_line(error, _LONGEST_REASON)}") from error


def _options(
    place: str, table: Mapping[str, Any], folder: Path, but: Collection[str] = ()
) -> dict[str, tuple[Any, ...]]:
    """The values of each option of a table, by destination name; UsageError, which names the key, if one is wrong.

    Values of the options `but` are not read: others stand for them.
    """
    destinations = _destinations()
    options: dict[str, tuple[Any, ...]] = {}
    for key, value in table.items():
        if key not in destinations:
            raise UsageError(f"{place}: {_unknown(key)}")
        name = destinations[key]
        if name in options:
            raise UsageError(f"{place}, {key}: it is another name of a key that stands there, too; give one of them")
        if name not in but:
            options[name] = _values(f"{place}, {key}", name, value, folder)
    return options


def _destinations() -> dict[str, str]:
    """The destination name of each key that a table may have: the names of options, without their hyphens."""
    options = [option for option in (MODELS, *cell_options()) if option not in _OF_A_RUN]
    of_options = {name: option.names[0] for option in options for name in option.names}
    return {_BACKENDS: _BACKENDS} | {_key(name): _key(first).replace("-", "_") for name, first in of_options.items()}


def _key(option: str) -> str:
    return option.removeprefix("--")


def _unknown(key: str) -> str:
    """What is said of a key that no table has."""
    if key in {_key(name) for option in _OF_A_RUN for name in option.names}:
        return f"{key} is of a whole run; give it on the command line, --{key}"
    near = difflib.get_close_matches(key, _destinations(), n=1, cutoff=0.5)
    meant = f"; {near[0]} is meant, perhaps" if near else ""
    return (
        f"there is no key {quoted(key)}{meant}; keys are {_BACKENDS}, and the options of a cell without their hyphens"
    )


def _values(place: str, name: str, value: object, folder: Path) -> tuple[Any, ...]:
    """The values that a key gives, each read; UsageError if one can't be, or if there is none."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise UsageError(f"{place}: the list is empty; give a value, or leave the key out")
    read = [each for one in given for each in _checked(place, _read, name, one, folder)]
    if repeated := [each for each, count in Counter(read).items() if count > 1]:
        raise UsageError(f"{place}: {quoted(str(repeated[0]))} stands there twice; give it once")
    return tuple(read)


def _read(name: str, value: object, folder: Path) -> tuple[Any, ...]:
    """A value as its option takes it; several, if it is a text in which the option takes several.

    Raises:
        UsageError, ValueError, ArgumentTypeError: it is of another type, or none that the option takes.
    """
    row = Cell.rows().get(name)
    check_name = _CHECKS_OF_NAMES.get(name)
    _check_type(row.kind if row else str if check_name else bool, value)
    if isinstance(value, str):
        arguments.text(value)
        value = _led_from(folder, name, value)
    if row is not None:
        values = row.choose_all(value) if row.several else (row.choose(value),)
    else:
        values = _parts(value) if isinstance(value, str) else (value,)
    if check_name is not None:
        for each in values:
            check_name(each)
    return values


def _check_type(kind: type, value: object) -> None:
    """Raise ValueError if a value of the file is not of the type that an option of that kind is written in."""
    shown = quoted(str(value))
    if isinstance(value, (list, dict)):
        raise ValueError(f"{shown} is no single value; give values in one list")
    if kind is str and not isinstance(value, str):
        raise ValueError(f"{shown} is no text; write it between quotes")
    if kind is bool and not isinstance(value, bool):
        raise ValueError(f"{shown} is not true or false; write one of these, without quotes")
    if kind in (int, float) and isinstance(value, str):
        raise ValueError(f"{shown} is a text; write the number without quotes, or several as a list")


def _parts(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _check_backend(name: str) -> None:
    check_backend(name, installed_here=False)


# What raises UsageError if a value of the option names something that there is not.
_CHECKS_OF_NAMES: dict[str, Callable[[str], object]] = {
    _BACKENDS: _check_backend,
    _MODELS: models.find,
    "profile": profiles.find,
    "data": datasets.name_of,
}


def _led_from(folder: Path, name: str, value: str) -> str:
    """The value, a path in it leading from that folder if it is relative."""
    if name == "weights":
        return weights.from_folder(value, folder)
    if name == "labels" or (name == "data" and not datasets.is_name(value)):
        return str(folder / value)
    return value


def _check_installed(path: Path, backend: str, installed_here: bool) -> None:
    try:
        check_backend(backend, installed_here)
    except UsageError as error:
        other = f"name the Python that has it, as in --python {backend}=PATH; bcdl env {backend} --at PATH makes one"
        raise UsageError(f"{_shown(path)}, {_BACKENDS}: {error}; or {other}") from error


def _check_number(path: Path, tables: Sequence[_Table]) -> None:
    """UsageError if more cells are asked for than a study has, before any is made: they might fill the memory."""
    _check_count(path, sum(table.count for table in tables))


def _check_count(path: Path, count: int) -> None:
    if count > MOST_CELLS:
        raise UsageError(
            f"{_shown(path)}: it asks for {count:,} cells or more, and a study has {MOST_CELLS:,} at most; write "
            "several files"
        )


class _Gathered:
    """The jobs so far, each cell once.

    Attributes:
        jobs: of each backend, in order.
    """

    def __init__(self, path: Path, runs_here: bool) -> None:
        self._path, self._runs_here = path, runs_here
        self.jobs: dict[str, list[Job]] = {}
        self._first: dict[Cell, tuple[Job, _Table]] = {}
        self._repeated: dict[tuple[int, int], list[Cell]] = {}

    def add_all(self, table: _Table, backend: str, installed_here: bool) -> None:
        """Add the jobs of the table on that backend."""
        of_backend = self.jobs.setdefault(backend, [])
        for options in table.combinations():
            asked = (options, backend, options.get(_MODELS), installed_here, self._runs_here)
            for job in _checked(table.place, resolve_run, *asked):
                first, of_table = self._first.setdefault(job.cell, (job, table))
                if first is job:
                    _checked(table.place, operator.attrgetter("request"), job)
                    of_backend.append(job)
                else:
                    self._repeat(first, of_table, job, table)
            _check_count(self._path, len(self._first))

    def _repeat(self, first: Job, of_table: _Table, job: Job, table: _Table) -> None:
        """Count a cell that came up before; UsageError if what it would be run with differs."""
        apart = [key for name, key in _BESIDE_THE_CELL.items() if getattr(first, name) != getattr(job, name)]
        if apart:
            raise UsageError(
                f"{table.place}, {apart[0]}: {job.cell.title} is a cell of {_TABLES} {of_table.number}, too, and the "
                f"two differ only in what a cell does not hold ({', '.join(apart)}); give both the same, rename one, "
                "or write a file for each"
            )
        self._repeated.setdefault((table.number, of_table.number), []).append(job.cell)

    def notices(self) -> Iterator[str]:
        """A line for each two tables that give the same cells."""
        for (number, first), cells in sorted(self._repeated.items()):
            where = "come up in it before" if first == number else f"are of {_TABLES} {first}, too"
            example = f"{cells[0].title}, for one"
            yield f"{_place(self._path, number)}: {len(cells)} of its cells {where} ({example}); each runs once"

    def check_device(self) -> None:
        """UsageError if the cells are not all on one device: a run has the identity of one machine."""
        devices = dict.fromkeys(cell.device for cell in self._first)
        if len(devices) > 1:
            raise UsageError(
                f"{_shown(self._path)}, device: it asks for cells on {' and on '.join(devices)}, and those of one file "
                "run on one device; write a file for each"
            )


def _checked(place: str, function: Callable[..., Any], *given: Any) -> Any:
    """What the function gives; what it refuses is a UsageError that names the place and, if it is known, the key."""
    try:
        return function(*given)
    except UsageError as error:
        raise UsageError(_placed(place, str(error))) from error
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{place}: {error}") from error


def _placed(place: str, message: str) -> str:
    """The message of an error with its place, and with a key if it begins with the option of that name."""
    about = re.fullmatch(r"--([a-z-]+):? (.*)", message, re.DOTALL)
    if not about or about[1] not in _destinations():
        return f"{place}: {message}"
    key = f", {about[1]}"
    return f"{place.removesuffix(key)}{key}: {about[2]}"


def _place(path: Path, number: int) -> str:
    """What names a table in messages."""
    return f"{_shown(path)}, {_TABLES} {number}"


def _shown(path: Path) -> str:
    return legible(path.name)
