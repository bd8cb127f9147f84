"""What follows from a record's own predictions, samples and history, computed again.

A worker computes these figures in float64 from the very numbers that its record holds. So a figure that does not follow
was edited or damaged, or is of other predictions or samples than those beside it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from bcdl.records import identity
from bcdl.records.moment import MOST_S

if TYPE_CHECKING:
    import numpy as np

    from bcdl.records.record import Record

# Relative, of float64. Other processors and versions of NumPy order sums and round logarithms otherwise: by 1e-15.
_ROUNDING = 1e-9
# By which two outputs of one model with equal weights may differ, that of validation and that of the test: a GPU may
# add in another order each time. Both are generous beside the rounding of the arithmetic, 6e-8 and 4e-3.
_OUTPUT_ROUNDING = {"float32": 1e-3}
_COARSE_OUTPUT_ROUNDING = 2e-2
_WARMTHS = ("", "warm_", "partly_warm_")  # what stands before the names of figures that a cache made shorter


class EditedError(ValueError):
    """A record was edited or damaged; the message says what of it does not follow, and what to do."""

    def __init__(self, what: str) -> None:
        super().__init__(f"edited or damaged: {what}; {identity.ADVICE}")


def check(record: Record) -> None:
    """EditedError, with the name and both values, if a figure does not follow from the record's own raw data."""
    _check_history(record)
    for regime, images in images_a_sample(record).items():
        _check_rate(record, regime, images)
        _check_warm_up(record, regime)
        _check_energy(record, regime, images)
    _check_predictions(record)
    _check_time(record)


def _hold(name: str, stated: float | None, computed: float | None, source: str) -> None:
    """EditedError if what the record says of a figure is not what follows from the source."""
    if not _agree(stated, computed):
        raise EditedError(f"{name} is {_shown(stated)}, but {_shown(computed)} follows from {source}")


def _agree(stated: float | None, computed: float | None) -> bool:
    if stated == computed:
        return True
    if stated is None or computed is None:
        return False
    return math.isclose(stated, computed, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _shown(value: float | None) -> str:
    """All digits of a figure: fewer could be alike of two that are not."""
    return "null" if value is None else str(value)


class Images(NamedTuple):
    """The images [N] of a split: outputs [N, 2], and what follows from them."""

    outputs: np.ndarray
    scores: np.ndarray
    losses: np.ndarray
    labels: np.ndarray


def _check_predictions(record: Record) -> None:
    """Scores and metrics of each split follow from its outputs and labels, and it has so many images and groups."""
    splits = {split: columns for split, columns in record.predictions.items() if columns["labels"]}
    undefined = [split for split, columns in splits.items() if any(None in outputs for outputs in columns["outputs"])]
    if undefined and record.ok:
        raise EditedError(f"outputs of {undefined[0]} are null, though it is ok")
    if splits and not undefined:  # of a training that diverged nothing follows
        for (split, columns), images in zip(splits.items(), _images(splits.values()), strict=True):
            _check_counts(record.dataset, split, columns)
            _check_scores(split, columns["scores"], images.scores)
            _check_quality(record, split, images)


def _images(splits: Collection[Mapping[str, list[Any]]]) -> Iterator[Images]:
    """The images of each split; all are computed at once, from flat lists: a report reads thousands of records."""
    import numpy as np  # here, as the module that needs it: whoever writes records does without

    from bcdl.records import quality

    pairs = itertools.chain.from_iterable(columns["outputs"] for columns in splits)
    outputs = np.fromiter(itertools.chain.from_iterable(pairs), dtype=np.float64).reshape(-1, 2)
    labels = np.fromiter(itertools.chain.from_iterable(columns["labels"] for columns in splits), dtype=np.int64)
    with np.errstate(all="ignore"):  # of what was edited
        whole = Images(outputs, quality.malignant_scores(outputs), quality.losses(outputs, labels), labels)
    end = 0
    for columns in splits:
        start, end = end, end + len(columns["labels"])
        yield Images(*[values[start:end] for values in whole])


def _check_counts(dataset: Mapping[str, Any], split: str, columns: Mapping[str, list[Any]]) -> None:
    """The data set has as many images, malignant ones and groups in the split as its predictions."""
    labels, groups = columns["labels"], columns["groups"]
    counts: dict[str, Callable[[], int]] = {
        "images": lambda: len(labels),
        "malignant": lambda: sum(labels),
        "groups": lambda: len(set(groups)),
        "benign_groups": lambda: len({group for group, label in zip(groups, labels, strict=True) if not label}),
        "malignant_groups": lambda: len({group for group, label in zip(groups, labels, strict=True) if label}),
    }
    for name, count in counts.items():
        if split in dataset.get(name, ()):
            _hold(f"dataset.{name}.{split}", dataset[name][split], count(), f"the predictions of {split}")


def _check_scores(split: str, stated: list[float | None], computed: np.ndarray) -> None:
    if stated != (ours := computed.tolist()):
        for place, (score, own) in enumerate(zip(stated, ours, strict=True), start=1):
            _hold(f"score {place} of {split}", score, own, "its outputs, p1 / (p0 + p1)")


def _check_quality(record: Record, split: str, images: Images) -> None:
    """The metrics of the split follow, and the history's of the kept epoch: the model then had the tested weights."""
    from bcdl.records import quality

    computed = quality.measure_images(split, images.scores, images.losses, images.labels)
    computed[f"{split}_majority_accuracy"] = quality.majority_accuracy(images.labels)
    for name, value in computed.items():
        if name in record.metrics:
            _hold(name, record.metrics[name], value, f"the predictions of {split}")
        if split == "val" and name in record.history and record.metrics.get("kept_epoch"):
            _check_kept_epoch(record, name, value, images)


def _check_kept_epoch(record: Record, name: str, value: float | None, images: Images) -> None:
    epoch, values = int(record.metrics["kept_epoch"] or 0), record.history[name]
    stated = values[epoch - 1] if 1 <= epoch <= len(values) else None
    if not _agree(stated, value) and not _within_rounding(name, stated, record.cell.precision, images):
        _hold(f"history.{name} of epoch {epoch}", stated, value, "the predictions of val")


def _within_rounding(name: str, stated: float | None, precision: str, images: Images) -> bool:
    """Whether outputs that differ by their rounding could give the metric: by all that they may, for and against."""
    import numpy as np

    from bcdl.records import quality

    if stated is None:
        return False
    moved = _OUTPUT_ROUNDING.get(precision, _COARSE_OUTPUT_ROUNDING) * (2 * np.eye(2)[images.labels] - 1)
    moves = (np.clip(images.outputs + sign * moved, 0, 1) for sign in (-1, 1))
    ends = [quality.measure("val", outputs, images.labels)[name] for outputs in moves]
    return None not in ends and min(ends) <= stated <= max(ends)  # type: ignore[type-var, operator]


def images_a_sample(record: Record) -> dict[str, int]:
    """How many images each sample of a regime is of; 0 of `fit` if the size of the training split is not known."""
    cell = record.cell
    window = cell.window_steps * cell.batch_size
    of_epoch = record.dataset.get("images", {}).get("train", 0) // cell.batch_size * cell.batch_size
    return {"fit": of_epoch, "step": window, "predict": window, "request": 1}


def _check_rate(record: Record, regime: str, images: int) -> None:
    metrics, kept = record.metrics, record.samples.get(f"{regime}_s")
    if not kept or not images:
        return
    median, source = statistics.median(kept), f"the samples {regime}_s"
    if (name := f"{regime}_images_per_s") in metrics:
        _hold(name, metrics[name], images / median, source)
    if regime == "request" and "latency_ms" in metrics:
        _hold("latency_ms", metrics["latency_ms"], 1e3 * median, source)


def _check_warm_up(record: Record, regime: str) -> None:
    name = f"{regime}_warm_up_s"
    for warmth in _WARMTHS if name in record.samples else ():
        if (named := warmth + name) in record.metrics:
            _hold(named, record.metrics[named], sum(record.samples[name]), f"samples.{name}")


def _check_energy(record: Record, regime: str, images: int) -> None:
    """The energy of an image follows from the power, and from how often the GPU repeated the windows in which time."""
    watched = record.environment.get("gpu_state", {}).get(regime)
    if not watched or not watched.get("watched_s") or not watched.get("repeats") or not images:
        return
    energy, power = (record.metrics.get(f"{regime}_{name}") for name in ("energy_j_per_image", "power_w"))
    if energy is not None and power is not None:
        computed = power * watched["watched_s"] / (watched["repeats"] * images)
        _hold(f"{regime}_energy_j_per_image", energy, computed, f"{regime}_power_w and how long it was watched")


def _check_history(record: Record) -> None:
    """So many epochs were timed as the history has, it has as many as the cell asks for, and the right one was kept."""
    epochs = len(record.history.get("loss", ()))
    if not epochs:
        return
    cell, metrics, samples = record.cell, record.metrics, record.samples
    if "fit_s" in samples:
        timed = len(samples["fit_s"]) + len(samples.get("fit_warm_up_s", ()))
        _hold("the number of samples of fit", timed, epochs, "history.loss")
    if record.ok and not cell.patience:
        _hold("the number of epochs of history.loss", epochs, cell.epochs, "the cell's epochs")
    if "kept_epoch" in metrics:
        kept = _least(record.history.get("val_loss", ())) if cell.keep == "best" else epochs
        _hold("kept_epoch", metrics["kept_epoch"], kept, "the history, as the cell's keep says")


def _least(losses: Iterable[float | None]) -> int | None:
    """The first epoch of the least loss, from 1; one that is not defined is the largest. None if there is none."""
    ranked = [math.inf if loss is None else loss for loss in losses]
    return 1 + ranked.index(min(ranked)) if ranked else None


def _check_time(record: Record) -> None:
    """EditedError if samples take longer than the phases together, or these longer than from start to end.

    They may take less: a machine that was suspended went on telling the time.
    """
    phases_s = sum(record.phases.values())
    samples_s = sum(itertools.chain.from_iterable(record.samples.values()))
    if record.phases and samples_s > phases_s + MOST_S:
        raise EditedError(f"its samples take {_shown(samples_s)} s, but all its phases {_shown(phases_s)} s")
    clock = record.environment.get("clock", {})
    if "jumped_s" not in clock:
        return
    outside = ("starting", "ending")  # before `started`, after `ended`
    within_s = sum(seconds for name, seconds in record.phases.items() if name not in outside)
    try:
        went_by = datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)
    except (ValueError, TypeError):  # no moments: nothing follows
        return
    whole_s = went_by.total_seconds() - clock["jumped_s"]
    if within_s > whole_s + MOST_S:
        raise EditedError(
            f"its phases take {_shown(within_s)} s, but {_shown(whole_s)} s went by from started to ended"
        )
