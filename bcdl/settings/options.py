"""The options of a run, the same in every command, and the jobs they resolve to."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcdl import backends, datasets
from bcdl.errors import UsageError
from bcdl.machine import gpus, hardware, places
from bcdl.screen import say
from bcdl.settings import models, profiles
from bcdl.settings import weights as start
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.option import Option
from bcdl.settings.setting import Setting
from bcdl.text import encodable

DEVICES: tuple[str, ...] = Cell.rows()["device"].choices
PRECISIONS: tuple[str, ...] = Cell.rows()["precision"].choices
DEFAULT_RESULTS = "results"
_MOST_DRAWS = 100_000  # cells of a model: years, whatever computes them
# Options of the commands that run several models; `bcdl train` runs a single one, and always anew.
MODELS = Option(
    ("--models",),
    f"models, separated by commas: {', '.join(f'`{name}`' for name in models.MODELS)}",
    "NAME,...",
    "the profile's",
)
RESUME = Option(
    ("--resume",),
    "run only the cells that have no record yet made by the same code, versions and hardware; a cell that is not timed "
    "may have it from another machine (`nox`, `pytest benchmarks`, `bcdl run`)",
    kind="flag",
)
# Of a whole run, and of no cell.
REQUIRE_CLEAN = Option(
    ("--require-clean",),
    "fail if images or patients are on both sides of the split, or if patients are not known, so that they could "
    "be; if not given, it is reported",
    kind="flag",
)
RESULTS = Option(("--results",), "folder of records, tables and plots", "DIR", DEFAULT_RESULTS, value=DEFAULT_RESULTS)
_NO_SETTINGS = (
    Option(("--skip-unreadable",), "leave unreadable images out, counted, instead of failing", kind="flag"),
    Option(
        ("--keep-names",),
        "record the names of images and patients of a folder as they are; if not given, records hold hashes of them "
        "([why](docs/data.md#what-leaves-your-machine))",
        kind="flag",
    ),
    Option(
        ("--cold",),
        "compile everything anew; if not given, what an earlier process compiled is loaded if the backend can, and the "
        "first step is marked warm",
        kind="flag",
    ),
    REQUIRE_CLEAN,
    RESULTS,
)


def add_cell_options(add: Callable[..., Any], cell_type: type[Cell] = Cell) -> None:
    """Declare the options that make a cell, by a parser's `add_argument` or a pytest group's `addoption`."""
    for option in cell_options(cell_type):
        option.add(add)


def cell_options(cell_type: type[Cell] = Cell) -> list[Option]:
    """The options that make a cell: one for each setting that an option gives, then those that are no settings."""
    return [*(_option(row) for row in cell_type.rows().values() if row.given_by == "option"), *_NO_SETTINGS]


def resolve(
    options: Mapping[str, Any],
    backend: str,
    names: str | None,
    installed_here: bool = True,
    cell_type: type[Cell] = Cell,
    spread: bool = True,
    runs_here: bool = True,
) -> list[Job]:
    """The jobs that `options` (by destination name) ask for on `backend`, in the order in which they are to run.

    That is by model, then by precision, by split, by fold and by seed, unless the profile has an order of value.

    Args:
        options: values of the options of `add_cell_options`; an option that was not given is None or missing.
        backend: name of a backend.
        names: model names separated by commas; None for the profile's.
        installed_here: whether the backend must be installed in this Python.
        cell_type: the class whose rows are the settings.
        spread: whether a profile's several values of a setting make a cell each; if not, its first value counts alone.
        runs_here: whether the jobs run on this machine, which must then have a GPU if they ask for one.

    Raises:
        UsageError: an unknown name, a number out of its range, a path that is not there, a backend that is
            not installed.
    """
    check_backend(backend, installed_here)
    request = _Request(options, cell_type, spread)
    if runs_here:
        gpus.check(request.device)
    asked_for = request.profile.models if names is None else dict.fromkeys(name.strip() for name in names.split(","))
    rows = [models.find(name) for name in asked_for]
    shared = {**request.shared(), "backend": backend}
    if options.get("zoom_range") is not None and not shared.get("augment", True):
        raise UsageError("--zoom-range has no effect with --no-augment; leave one of them out")
    models.check_sizes(rows, shared["image_size"])
    data, weights = shared["data"], start.by_model(shared["weights"], rows)
    shared["data"] = datasets.name_of(data)
    labels_file = shared["labels"] or None
    shared["labels"] = encodable(Path(shared["labels"]).name)
    skip_unreadable, cold, keep_names = (bool(options.get(name)) for name in ("skip_unreadable", "cold", "keep_names"))
    jobs = []
    for row, draw in request.in_order(rows, request.draws(shared["folds"])):
        name, file = weights[row.name]
        own = {"model": row.name, "weights": name} | ({} if row.backbone else {"head_epochs": 0})
        cell = cell_type(**{**shared, **own, **draw})
        jobs.append(Job(cell, data, file, skip_unreadable, cold, labels_file, keep_names=keep_names))
    return jobs


def resolve_run(
    options: Mapping[str, Any], backend: str, names: str | None, installed_here: bool = True, runs_here: bool = True
) -> list[Job]:
    """As `resolve`, and after these jobs, unless the options ask for a setting, the jobs of the profile's companion.

    Device and profile count as no such setting. If models are named, the companion runs those of them that are its own.
    """

    def of_profile(asked: Mapping[str, Any], chosen: str | None) -> list[Job]:
        return resolve(asked, backend, chosen, installed_here, runs_here=runs_here)

    jobs = of_profile(options, names)
    companion = profiles.find(jobs[0].cell.profile).also
    if not companion or any(options.get(name) is not None for name in _settings_but("device", "profile")):
        return jobs
    its_own = profiles.find(companion).models
    both = [model for model in dict.fromkeys(job.cell.model for job in jobs) if model in its_own]
    of_companion = {**options, "profile": companion}
    return jobs + (of_profile(of_companion, ",".join(both)) if both else [])


def notices(options: Mapping[str, Any], spread: bool = True) -> list[str]:
    """What the options leave to defaults that a person would not expect, in lines for people; after `resolve`."""
    request = _Request(options, Cell, spread)
    lines = []
    if options.get("profile") is None and request.profile.name != Cell.rows()["profile"].default:
        lines.append(f"profile {request.profile.name}, the default on a GPU; --profile chooses another")
    for name, values in request.left_out().items():
        lines.append(f"profile {request.profile.name}: of its several values of {name} the first, {values[0]}, is run")
    return lines


def _settings_but(*names: str) -> list[str]:
    """The settings that an option gives, without those named."""
    return [name for name, row in Cell.rows().items() if row.given_by == "option" and name not in names]


class _Request:
    """The settings that options and profile ask for, read by their rows."""

    def __init__(self, options: Mapping[str, Any], cell_type: type[Cell], spread: bool = True) -> None:
        self._rows, self._spread = cell_type.rows(), spread
        given = {name: value for name, value in options.items() if value is not None}
        self.device = given.get("device") or hardware.default_device()
        self._given = {"device": self.device, "profile": profiles.default(self.device), **given}
        self.profile = profiles.find(self._given["profile"])

    def shared(self) -> dict[str, Any]:
        """The values that all cells have."""
        rows = self._rows.values()
        return {r.name: self._read(r, r.choose) for r in rows if r.given_by != "command" and not _makes_cells(r)}

    def draws(self, folds: int) -> list[dict[str, Any]]:
        """The values in which the cells of a model differ, in order.

        Precisions vary slowest, then splits, then folds, then seeds.
        """
        left_out = self.left_out()
        several = {name: values[:1] if name in left_out else values for name, values in self._several().items()}
        chosen, seeds = (
            {name: values for name, values in several.items() if (self._rows[name].within_table == "draw") is by_chance}
            for by_chance in (False, True)
        )
        values = {**chosen, "fold": self._folds(folds), **seeds}
        if (count := math.prod(map(len, values.values()))) > _MOST_DRAWS:
            several_of = " times ".join(f"{len(each)} of {name}" for name, each in values.items() if len(each) > 1)
            raise UsageError(f"{several_of} are {count:,} cells of each model; ask for {_MOST_DRAWS:,} at most")
        return [dict(zip(values, draw, strict=True)) for draw in itertools.product(*values.values())]

    def left_out(self) -> dict[str, tuple[Any, ...]]:
        """All values, by name, of the settings of which the profile has several and only the first counts."""
        if self._spread:
            return {}
        given = self._given
        return {name: values for name, values in self._several().items() if name not in given and len(values) > 1}

    def in_order(
        self, rows: Sequence[models.ModelRow], draws: Sequence[dict[str, Any]]
    ) -> list[tuple[models.ModelRow, dict[str, Any]]]:
        """Every model with every draw, in the order in which their cells run."""
        by_model = list(itertools.product(rows, draws))
        if not self.profile.first:
            return by_model
        return sorted(by_model, key=lambda cell: (cell[0].name not in self.profile.first, draws.index(cell[1])))

    def _several(self) -> dict[str, tuple[Any, ...]]:
        """The values of each setting that takes several, by name."""
        return {row.name: self._read(row, row.choose_all) for row in self._rows.values() if row.several}

    def _folds(self, count: int) -> tuple[int, ...]:
        """The folds that are tested: the fold that was asked for, or all."""
        if count == 1:
            raise UsageError("--folds 1 leaves nothing to train on; use 2 or more, or 0 for a single split")
        if "fold" not in self._given:
            return tuple(range(max(1, count)))
        fold = self._read(self._rows["fold"], self._rows["fold"].choose)
        if fold >= max(1, count):
            raise UsageError(f"--fold {fold} is none of the {count} folds; they are counted from 0 to --folds less 1")
        return (fold,)

    def _read(self, row: Setting, read: Callable[[object], Any]) -> Any:
        """The value that the option gives, else the profile, else the row; UsageError if it can't be read."""
        from_option = row.given_by == "option" and row.name in self._given
        value = self._given[row.name] if from_option else self.profile.settings.get(row.name, row.default)
        try:
            return read(value)
        except ValueError as error:
            source = row.option if from_option else f"profile {self.profile.name}: {row.name}"
            raise UsageError(f"{source} {error}") from error


def _makes_cells(row: Setting) -> bool:
    """Whether the cells of a model may differ in the setting: it takes several values, or is the fold."""
    return row.several or row.name == "fold"


def _option(row: Setting) -> Option:
    """The option that a setting's row gives."""
    names = (row.option, *row.aliases)
    if row.kind is bool:
        return Option(names, row.help, default=_default(row), kind="switch")
    value = f"{{{','.join(map(str, row.choices))}}}" if row.choices else {int: "N", float: "X"}.get(row.kind, "NAME")
    metavar = row.metavar or (f"{value},..." if row.several else value)
    return Option(names, row.help, metavar, _default(row))


def _default(row: Setting) -> str:
    """What holds if the option is not given, in words: the row's default, and that of each profile that has its own."""
    own = {
        name: profile.settings[row.name] for name, profile in profiles.PROFILES.items() if row.name in profile.settings
    }
    if len(own) == len(profiles.PROFILES):
        return "the profile's"
    values = {"": row.default, **{f" in profile `{name}`": value for name, value in own.items()}}
    return "; ".join(f"{_in_words(value)}{where}" for where, value in values.items())


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def check_backend(name: str, installed_here: bool = True) -> None:
    """Raise UsageError if `name` is no backend, or if its framework or Keras must be installed here and is not."""
    if name not in backends.NAMES:
        raise UsageError(f"unknown backend {name!r}; the backends are {', '.join(backends.NAMES)}")
    missing = [package for package in (name, "keras") if not backends.is_installed(package)]
    if installed_here and missing:
        raise UsageError(
            f"{' and '.join(missing)} not installed in this Python; install bcdl with the extra {name} "
            f"(pip install bcdl[{name}]), or, in a checkout, use nox -s bench-{name}"
        )


def configured_backend() -> str:
    """KERAS_BACKEND, or, if it is not set, the backend that Keras's own configuration names.

    In the second case a line on stdout says which it is.
    """
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    chosen = _keras_json_backend()
    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    say(f"KERAS_BACKEND is not set; installed here: {', '.join(installed) or 'none'}; Keras's own choice is {chosen}")
    return chosen


def _keras_json_backend() -> str:
    """The backend that Keras would take: that of keras.json, or tensorflow, as keras/src/backend/config.py has it."""
    try:
        return str(places.keras_settings().get("backend", "tensorflow"))
    except ValueError:  # which a notice tells
        return "tensorflow"


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, or UsageError if it is none of `allowed`."""
    if value not in allowed:
        raise UsageError(f"{option} {value!r} is unknown; use {', '.join(allowed)}")
    return value
