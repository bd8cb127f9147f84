"""The options of a run, the same in every command, and the jobs they resolve to."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bcdl import backends, datasets
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.settings import models, profiles
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job, Limits

PRECISIONS = ("float32", "tf32", "mixed_bfloat16")


DEVICES = ("cpu", "gpu")


SPLIT_BY = ("group", "image")


KEEP = ("best", "last")


BATCH_NORM = ("moving", "faster", "reestimated", "frozen")


MAGNIFICATIONS = (40, 100, 200, 400)


DEFAULT_RESULTS = "results"


_MEMORY_SHARE = 0.9  # of the machine's: a worker ended by its limit is explained, one ended by the system may not be


def add_cell_options(add: Callable[..., Any]) -> None:
    """Declare the options that make a cell, by a parser's `add_argument` or a pytest group's `addoption`."""
    add("--profile", default=profiles.DEFAULT, help=f"a named set of settings: {', '.join(profiles.PROFILES)}")
    add("--data", help="data set: synthetic, synthetic-COUNT, breastmnist, a folder of class folders, or a .npz file")
    add("--image-size", help="height and width the images are resized to, pixels")
    add("--batch-size", help="images a batch")
    add("--epochs", help="passes over the training images")
    add("--head-epochs", help="passes before those in which the head alone is trained, at ten times the learning rate")
    add("--keep", help="weights that are tested: of the best epoch by validation loss, or of the last; default best")
    add("--patience", default="0", help="stop after so many epochs without a better validation loss; default 0, never")
    add("--learning-rate", help="learning rate of Adam")
    add("--class-weights", action=argparse.BooleanOptionalAction, help="weigh the loss as if classes were balanced")
    add("--batch-norm", help=f"statistics that inference normalises by: {', '.join(BATCH_NORM)}")
    add("--weights", help="what backbones start from: none, imagenet, FILE, or MODEL=FILE[,MODEL=FILE...]")
    add("--precision", help=f"arithmetic: {', '.join(PRECISIONS)}")
    add("--augment", action=argparse.BooleanOptionalAction, help="rotate, zoom and flip training images")
    add("--seed", "--seeds", help="seeds, separated by commas, of weights, order, augmentation and dropout")
    add("--split-seed", default="0", help="seed of the train, validation and test split")
    add("--split-by", default="group", help="what a split never cuts: group, or image, which leaks; or group,image")
    add("--folds", default="0", help="cross-validate over so many folds, each the test set once")
    add("--fold", help="the one fold to test, from 0; where not given, every fold")
    add("--timing", action=argparse.BooleanOptionalAction, default=True, help="measure rates, besides accuracy")
    add("--magnification", default="0", help="keep BreaKHis images of this magnification only: 40, 100, 200 or 400")
    add("--skip-unreadable", action="store_true", help="leave unreadable images out, counted, instead of failing")
    add("--require-clean", action="store_true", help="fail where images or patients stand on both sides of a split")
    add("--device", help="cpu or gpu; where not given, gpu if there is an NVIDIA driver")
    add("--results", default=DEFAULT_RESULTS, help="folder of records, tables and plots")


def add_limit_options(add: Callable[..., Any]) -> None:
    """Declare the options that hold each cell's worker to its limits."""
    add("--cell-timeout", default="4h", help="how long a cell may take, as 90s, 30m or 4h; default 4h")
    add("--memory-limit", help="resident memory a cell's worker may use, as 6000MiB or 12GiB; default 90%% of all")


def resolve_limits(options: Mapping[str, Any]) -> Limits:
    """The limits that the options of `add_limit_options` ask for; UsageError where they can't be read."""
    seconds = _quantity("--cell-timeout", options["cell_timeout"], {"s": 1, "m": 60, "h": 3600}, "90s, 30m or 4h")
    if options["memory_limit"] is None:
        return Limits(seconds, int(_MEMORY_SHARE * hardware.memory_bytes()))
    units = {"MiB": 2**20, "GiB": 2**30}
    return Limits(seconds, int(_quantity("--memory-limit", options["memory_limit"], units, "6000MiB or 12GiB")))


def _quantity(option: str, text: str, units: Mapping[str, int], examples: str) -> float:
    """A number above 0 with its unit, in the least unit there is."""
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)({'|'.join(units)})", text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"{option} {text!r} is no amount above 0 with its unit; write it as {examples}")
    return float(match[1]) * units[match[2]]


def resolve(options: Mapping[str, Any], backend: str, names: str | None, installed_here: bool = True) -> list[Job]:
    """The jobs that `options` (by destination name) ask for on `backend`: models in order, then splits, then seeds.

    Args:
        options: values of the options of `add_cell_options`, as text or None.
        backend: name of a backend.
        names: model names separated by commas; None for the profile's.
        installed_here: whether the backend must be installed in this Python.

    Raises:
        UsageError: an unknown name, a number out of its range, a path that is not there, a backend that is
            not installed.
    """
    check_backend(backend, installed_here)
    profile = profiles.find(options["profile"])
    rows = [models.find(name.strip()) for name in (names.split(",") if names else profile.models)]
    chosen = {key: value for key, value in options.items() if value is not None}
    data = chosen.get("data", profile.data)
    shared = {
        "backend": backend,
        "device": one_of("--device", chosen.get("device", hardware.default_device()), DEVICES),
        "profile": profile.name,
        "data": datasets.name_of(data),
        "magnification": _magnification(chosen["magnification"]),
        "image_size": whole("--image-size", chosen.get("image_size", profile.image_size)),
        "batch_size": whole("--batch-size", chosen.get("batch_size", profile.batch_size)),
        "epochs": whole("--epochs", chosen.get("epochs", profile.epochs)),
        "keep": one_of("--keep", chosen.get("keep", profile.keep), KEEP),
        "patience": whole("--patience", chosen["patience"], least=0),
        "learning_rate": _rate(chosen.get("learning_rate", profile.learning_rate)),
        "class_weights": bool(chosen.get("class_weights", profile.class_weights)),
        "batch_norm": one_of("--batch-norm", chosen.get("batch_norm", profile.batch_norm), BATCH_NORM),
        "precision": one_of("--precision", chosen.get("precision", profile.precision), PRECISIONS),
        "augment": chosen.get("augment", profile.augment),
        "split_seed": whole("--split-seed", chosen["split_seed"], least=0),
        "timing": chosen["timing"],
        "windows": profile.windows,
        "window_steps": profile.window_steps,
        "optimizer": "adam",
    }
    models.check_sizes(rows, shared["image_size"])
    head_epochs = whole("--head-epochs", chosen.get("head_epochs", profile.head_epochs), least=0)
    seeds = _seeds(chosen.get("seed", profile.seeds))
    splits = _splits(chosen["split_by"], chosen["folds"], chosen.get("fold"))
    weights = _weights(chosen.get("weights", profile.weights), rows)
    jobs = []
    for row in rows:
        name, file = weights[row.name]
        chosen_by = itertools.product(splits, seeds)
        own: dict[str, Any] = {"model": row.name, "weights": name, "head_epochs": head_epochs if row.backbone else 0}
        cells = [Cell(seed=seed, **own, **split, **shared) for split, seed in chosen_by]
        jobs += [Job(cell, data, file, bool(chosen.get("skip_unreadable"))) for cell in cells]
    return jobs


def check_backend(name: str, installed_here: bool = True) -> None:
    """UsageError where `name` is no backend, or, if it must be, is not installed here with its framework and Keras."""
    if name not in backends.NAMES:
        raise UsageError(f"unknown backend {name!r}; the backends are {', '.join(backends.NAMES)}")
    missing = [package for package in (name, "keras") if not backends.is_installed(package)]
    if installed_here and missing:
        raise UsageError(
            f"{' and '.join(missing)} not installed in this Python; use nox -s bench-{name}, or install "
            f"backends/{name}/requirements-cpu.txt (or -gpu.txt) first"
        )


def configured_backend() -> str:
    """KERAS_BACKEND, or, where it is not set, the backend that Keras's own configuration names, told on stdout."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    chosen = _keras_json_backend()
    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    print(f"KERAS_BACKEND is not set; installed here: {', '.join(installed) or 'none'}; Keras's own choice is {chosen}")
    return chosen


def _keras_json_backend() -> str:
    """Keras's configured backend, read as Keras reads it: from keras.json, else tensorflow."""
    file = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, or UsageError where it is none of `allowed`."""
    if value not in allowed:
        raise UsageError(f"{option} {value!r} is unknown; use {', '.join(allowed)}")
    return value


def whole(option: str, value: Any, least: int = 1) -> int:
    """`value` as a whole number; UsageError where it is none, or under `least`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{option} {value!r} is not a whole number of {least} or more")
    return number


def _rate(value: Any) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"--learning-rate {value!r} is not a number above 0")
    return number


def _magnification(value: Any) -> int:
    number = whole("--magnification", value, least=0)
    if number and number not in MAGNIFICATIONS:
        raise UsageError(f"--magnification {value!r} is not one of BreaKHis's: {', '.join(map(str, MAGNIFICATIONS))}")
    return number


def _splits(split_by: str, folds: str, fold: str | None) -> list[dict[str, Any]]:
    """The fields of a cell that say how the data is split, for every way that is asked for."""
    kinds = [one_of("--split-by", kind.strip(), SPLIT_BY) for kind in split_by.split(",")]
    count = whole("--folds", folds, least=0)
    if count == 1:
        raise UsageError("--folds 1 leaves nothing to train on; use 2 or more, or 0 for a single split")
    if fold is not None and whole("--fold", fold, least=0) >= max(1, count):
        raise UsageError(f"--fold {fold} is none of the {count} folds; they are counted from 0 to --folds less 1")
    chosen = range(max(1, count)) if fold is None else [int(fold)]
    return [{"split_by": kind, "folds": count, "fold": number} for kind in kinds for number in chosen]


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(dict.fromkeys(whole("--seed", part, least=0) for part in value.split(",")))
    return tuple(value)


def _weights(value: str, rows: list[models.ModelRow]) -> dict[str, tuple[str, str | None]]:
    """For each model, the name that the cell carries and the file's path or None.

    A bare file is for every backbone asked for; the CNN has no backbone and starts from none.
    """
    if value in ("none", "imagenet"):
        return {row.name: (value if row.backbone else "none", None) for row in rows}
    if "=" in value and not Path(value).exists():
        pairs = (pair.partition("=") for pair in value.split(","))
        files = {name: file for name, _, file in pairs}
    else:
        files = {row.name: value for row in rows if row.backbone}
        if not files:
            raise UsageError(
                f"--weights {value!r}: {', '.join(row.name for row in rows)} has no backbone to load it into"
            )
    for name, file in files.items():
        if not models.find(name).backbone:
            raise UsageError(f"--weights: {name} has no backbone to load a file into; leave it out")
        if not Path(file).is_file():
            raise UsageError(f"--weights: there is no file {file!r} for {name}; use none, imagenet or a file's path")
    return {row.name: _named(files.get(row.name)) for row in rows}


def _named(file: str | None) -> tuple[str, str | None]:
    return (Path(file).name, str(Path(file).resolve())) if file else ("none", None)
