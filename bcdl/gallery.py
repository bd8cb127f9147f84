"""The test images that a run's models got wrong most confidently, named and drawn.

The pictures hold a data set's pixels: they go to `local/errors/` of the results folder, which git ignores. Not for
clinical use.
"""

from __future__ import annotations

import argparse
import math
import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl import datasets
from bcdl.datasets import Dataset
from bcdl.datasets.pool import CLASSES
from bcdl.datasets.private import HASHED
from bcdl.errors import UsageError, run_command
from bcdl.evaluation import few
from bcdl.records import git_ignore, runs, store
from bcdl.records.quality import malignant_scores
from bcdl.records.record import Record
from bcdl.report.plots import style
from bcdl.screen import say, warn
from bcdl.settings.arguments import Parser
from bcdl.settings.job import Job
from bcdl.settings.option import Number
from bcdl.settings.options import DEFAULT_RESULTS
from bcdl.text import legible, quoted

ERRORS = "errors"
_COUNT = Number("--count", "images a model at most", least=1, most=500, default="20")  # what a picture can hold
_COLUMNS = 5
_NAME_WIDTH = 31  # letters that fit above an image
_SHOWN_RUNS = 5


def main() -> int:
    arguments = _parse()
    results, count = Path(arguments.results), _COUNT.read(arguments.count)
    records = _records(results, arguments.data, arguments.run)
    git_ignore.write(results)
    load = datasets.loader()
    for record in records:
        # An image that was skipped is not missed here: the checksum says whether all others are the record's.
        labels = _labels(record, arguments.labels)
        dataset = load(Job(record.cell, arguments.data, None, skip_unreadable=True, labels_file=labels).request)
        if dataset.checksum != record.dataset["checksum"]:
            raise UsageError(
                f"{dataset.name} as --data names it is not what {_title(record)} of run {record.run} was tested on: "
                "its images, groups or split have changed since; name the folder as it was, or another --run"
            )
        _show(record, dataset, count, results)
    return 0


def _parse() -> argparse.Namespace:
    parser = Parser("gallery", __doc__)
    parser.add_argument("--results", default=DEFAULT_RESULTS, help="folder of the records; default results")
    parser.add_argument("--data", required=True, help="the data set that the models were tested on, as for training")
    parser.add_argument("--labels", help="the table that says each image's class, if one did for training")
    parser.add_argument("--run", help="id of a run; default the newest that was tested on this data set")
    _COUNT.add(parser.add_argument)
    return parser.parse_args()


def _labels(record: Record, given: str | None) -> str | None:
    """The table that the record's data set was labelled by, as it was given; UsageError if it does not fit."""
    if record.cell.labels and not given:
        raise UsageError(
            f"{_title(record)} of run {record.run} was tested on images labelled by {quoted(record.cell.labels)}; give "
            "that table with --labels"
        )
    if given and not record.cell.labels:
        raise UsageError(
            f"{_title(record)} of run {record.run} was tested on images labelled by their folders; leave --labels out"
        )
    return given


def _records(results: Path, data: str, run: str | None) -> list[Record]:
    """The records of the run, or of the newest, that hold predictions for test images of the data set."""
    name = datasets.name_of(data)
    everything, problems = store.read_all(results)
    for problem in problems:
        if not problem.foreign:
            warn(problem.notice)
    usable = [record for _, record in everything if _is_usable(record, name)]
    if not usable:
        raise UsageError(f"{results} holds no record of a model tested on {name}; name another --results or --data")
    of_run = [record for record in usable if record.run == (run or usable[-1].run)]
    if not of_run:
        newest = list(dict.fromkeys(record.run for record in reversed(usable)))[:_SHOWN_RUNS]
        raise UsageError(f"no run {run!r} with a model tested on {name}; the newest are {', '.join(newest)}")
    return of_run


def _is_usable(record: Record, name: str) -> bool:
    return record.ok and "test" in record.predictions and record.dataset.get("name") == name


def most_confident_errors(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Indices [M] of the images whose larger output is not that of their class, the farthest from 0.5 first.

    scores [N] are malignant scores, labels [N] 0 or 1. A score that is no number is no confident one, and is left out.
    """
    wrong = np.flatnonzero(((scores > 0.5) != labels) & np.isfinite(scores))
    return wrong[np.argsort(-np.abs(scores[wrong] - 0.5), kind="stable")]


def _show(record: Record, dataset: Dataset, count: int, results: Path) -> None:
    """Print the record's most confident errors, with the hash that the record has for a name, and draw them."""
    test = dataset.test
    outputs = np.asarray(record.predictions["test"]["outputs"], dtype=np.float64)
    if outputs.shape != (len(test), len(CLASSES)):
        raise UsageError(
            f"the record of {_title(record)} in run {record.run} is damaged: its outputs do not fit its data"
        )
    scores = malignant_scores(outputs)
    errors = most_confident_errors(scores, test.labels)
    hashed = record.dataset.get("names") == HASHED
    rests = f"; {note}" if (note := few.note([record])) else ""
    say(f"{_title(record)}: {len(errors)} of {len(test)} test images wrong{rests}")
    for index in errors[:count]:
        name, group = str(test.names[index]), str(test.groups[index])
        recorded = [dataset.private.hashed(name)] if dataset.private and hashed else []
        say(name, CLASSES[test.labels[index]], f"{scores[index]:.4f}", group, *recorded)
    if len(errors):
        file = _file(results, record)
        shown = f"the {min(count, len(errors))} most confident of {len(errors)} errors in {len(test)} test images"
        style.save(_draw(dataset, errors[:count], scores, f"{_title(record)}: {shown}{rests}"), file)
        say(f"  drawn in {file}")


def _draw(dataset: Dataset, errors: np.ndarray, scores: np.ndarray, title: str) -> Figure:
    """The test images at the indices `errors` [M], each under its name; `scores` [N] are of all test images."""
    test = dataset.test
    rows = math.ceil(len(errors) / _COLUMNS)
    figure, axes = plt.subplots(
        rows, _COLUMNS, figsize=(1.9 * _COLUMNS, 2.35 * rows + 0.6), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, index in zip(axes.flat, errors, strict=False):
        axis.imshow(test.images[index])
        group = [] if test.groups[index] == test.names[index] else [f"group {legible(test.groups[index])}"]
        lines = [legible(test.names[index]), f"is {CLASSES[test.labels[index]]}, score {scores[index]:.3f}", *group]
        wrapped = [part for line in lines for part in textwrap.wrap(line, _NAME_WIDTH, max_lines=2)]
        axis.set_title("\n".join(map(style.plain, wrapped)), fontsize=7, loc="left")
    origin = "Synthetic drawings, no medical images. " if dataset.synthetic else ""
    style.footer(
        figure, title, f"{origin}Malignant scores; above 0.5 an image is called malignant. Not for clinical use."
    )
    return figure


def _title(record: Record) -> str:
    """Which model the record is of, within its run; a split that leaks is marked."""
    cell = record.cell
    parts = [f"{cell.model} on {cell.backend}", f"seed {cell.seed}"]
    parts += [f"fold {cell.fold} of {cell.folds}"] if cell.folds else []
    parts += [f"round {record.block}"] if record.block else []
    return ("LEAKY (split by image): " if cell.split_by == "image" else "") + legible(", ".join(parts))


def _file(results: Path, record: Record) -> Path:
    """Where the picture of the record's errors goes."""
    run, name = (re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") for text in (record.run, _title(record)))
    return results / runs.LOCAL / ERRORS / run / f"{name}.png"


if __name__ == "__main__":
    run_command(main)
