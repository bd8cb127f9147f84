"""What follows from a record's own predictions, samples and history, computed again.

A worker computes these figures in float64 from the very numbers that its record holds. So a figure that does not follow
was edited or damaged, or is of other predictions or samples than those beside it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
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


class Figure(NamedTuple):
    """A figure of a record: its name, what the record says, what follows, and from what."""

    name: str
    stated: float | None
    computed: float | None
    source: str


def check(record: Record) -> None:
    """EditedError, with the name and both values, if a figure does not follow from the record's own raw data."""
    for figure in _figures(record):
        if not _agree(figure.stated, figure.computed):
            raise EditedError(
                f"{figure.name} is {_shown(figure.stated)}, but {_shown(figure.computed)} follows from {figure.source}"
            )
    _check_time(record)


def _agree(stated: float | None, computed: float | None) -> bool:
    if stated is None or computed is None:
        return stated is computed
    return stated == computed or math.isclose(stated, computed, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:.10g}"


def _figures(record: Record) -> Iterator[Figure]:
    yield from _of_history(record)
    for regime, images in _images_a_sample(record).items():
        yield from _of_samples(record, regime, images)
    yield from _of_predictions(record)


def _of_predictions(record: Record) -> Iterator[Figure]:
    """Scores and metrics of each split by its outputs and labels, and how many images and groups it has."""
    splits = {split: columns for split, columns in record.predictions.items() if columns["labels"]}
    if not splits:
        return
    import numpy as np  # here, as the module that needs it: whoever writes records does without

    from bcdl.records import quality

    # All splits at once, from one flat list: a report reads thousands of records.
    every = itertools.chain.from_iterable(columns["outputs"] for columns in splits.values())
    outputs = np.array(list(itertools.chain.from_iterable(every)), dtype=np.float64).reshape(-1, 2)
    labels = np.array(list(itertools.chain.from_iterable(columns["labels"] for columns in splits.values())))
    with np.errstate(all="ignore"):  # of what was edited
        scores, losses = quality.malignant_scores(outputs), quality.losses(outputs, labels)
    end = 0
    for split, columns in splits.items():
        start, end = end, end + len(columns["labels"])
        images = Images(*(values[start:end] for values in (outputs, scores, losses, labels)))
        yield from _of_split(record, split, columns, images)


class Images(NamedTuple):
    """The images [N] of a split: outputs [N, 2], and what follows from them."""

    outputs: np.ndarray
    scores: np.ndarray
    losses: np.ndarray
    labels: np.ndarray


def _of_split(record: Record, split: str, columns: Mapping[str, list[Any]], images: Images) -> Iterator[Figure]:
    from bcdl.records import quality

    source = f"the predictions of {split}"
    yield from _of_counts(record.dataset, split, columns, source)
    if columns["scores"] != images.scores.tolist():
        yield from _of_scores(split, columns["scores"], images.scores)
    computed = quality.measure_images(split, images.scores, images.losses, images.labels)
    computed[f"{split}_majority_accuracy"] = quality.majority_accuracy(images.labels)
    for name, value in computed.items():
        if name in record.metrics:
            yield Figure(name, record.metrics[name], value, source)
        elif split == "val" and name in record.history and record.metrics.get("kept_epoch"):
            yield from _of_kept_epoch(record, name, value, images)


def _of_scores(split: str, stated: list[float | None], computed: np.ndarray) -> Iterator[Figure]:
    """The score that is farthest from its outputs' one, if that is too far."""
    apart = [math.inf if score is None else abs(score - ours) for score, ours in zip(stated, computed, strict=True)]
    place = max(range(len(apart)), key=apart.__getitem__)
    if not apart[place] <= _ROUNDING:
        name = f"score {place + 1} of {split}"
        yield Figure(name, stated[place], float(computed[place]), "its outputs, as p1 / (p0 + p1)")


def _of_counts(
    dataset: Mapping[str, Any], split: str, columns: Mapping[str, list[Any]], source: str
) -> Iterator[Figure]:
    """How many images, malignant ones and groups the data set is said to have in the split."""
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
            yield Figure(f"dataset.{name}.{split}", dataset[name][split], count(), source)


def _of_kept_epoch(record: Record, name: str, value: float | None, images: Images) -> Iterator[Figure]:
    """What validation gave after the epoch whose weights were kept: the model then had the weights of the test."""
    epoch, values = int(record.metrics["kept_epoch"] or 0), record.history[name]
    stated = values[epoch - 1] if 1 <= epoch <= len(values) else None
    if not _agree(stated, value) and not _within_rounding(name, stated, record.cell.precision, images):
        yield Figure(f"history.{name} of epoch {epoch}", stated, value, "the predictions of val")


def _within_rounding(name: str, stated: float | None, precision: str, images: Images) -> bool:
    """Whether outputs that differ by their rounding could give the metric: by all that they may, for and against."""
    import numpy as np

    from bcdl.records import quality

    if stated is None:
        return False
    rounding = _OUTPUT_ROUNDING.get(precision, _COARSE_OUTPUT_ROUNDING)
    moved = rounding * (2 * np.eye(2)[images.labels] - 1)
    ends = [
        quality.measure("val", np.clip(images.outputs + sign * moved, 0, 1), images.labels)[name] for sign in (-1, 1)
    ]
    return None not in ends and min(ends) <= stated <= max(ends)  # type: ignore[type-var, operator]


def _images_a_sample(record: Record) -> dict[str, int]:
    """How many images each sample of a regime is of; of `fit` only if the size of the training split is known."""
    cell = record.cell
    window = cell.window_steps * cell.batch_size
    of_epoch = record.dataset.get("images", {}).get("train", 0) // cell.batch_size * cell.batch_size
    return {**({"fit": of_epoch} if of_epoch else {}), "step": window, "predict": window, "request": 1}


def _of_samples(record: Record, regime: str, images: int) -> Iterator[Figure]:
    """The rate of a regime, its warm-up, and its energy by its power."""
    metrics, samples = record.metrics, record.samples
    if kept := samples.get(f"{regime}_s"):
        median, source = statistics.median(kept), f"the samples {regime}_s"
        rates = {f"{regime}_images_per_s": images / median}
        rates |= {"latency_ms": 1e3 * median} if regime == "request" else {}
        yield from (Figure(name, metrics[name], rate, source) for name, rate in rates.items() if name in metrics)
    warm_up = f"{regime}_warm_up_s"
    if warm_up in samples:
        names = (warmth + warm_up for warmth in _WARMTHS)
        seconds = sum(samples[warm_up])
        yield from (Figure(name, metrics[name], seconds, f"samples.{warm_up}") for name in names if name in metrics)
    watched = record.environment.get("gpu_state", {}).get(regime, {})
    energy, power = (metrics.get(f"{regime}_{name}") for name in ("energy_j_per_image", "power_w"))
    if energy is not None and power is not None and watched.get("watched_s") and watched.get("repeats"):
        computed = power * watched["watched_s"] / (watched["repeats"] * images)
        yield Figure(f"{regime}_energy_j_per_image", energy, computed, f"{regime}_power_w and how long it was watched")


def _of_history(record: Record) -> Iterator[Figure]:
    """How many epochs there were, in all that has a value for each, and which was kept."""
    epochs = len(record.history.get("loss", ()))
    if not epochs:
        return
    cell, metrics, samples = record.cell, record.metrics, record.samples
    source = "the epochs of history.loss"
    for name, values in record.history.items():
        if not name.startswith("head_"):
            yield Figure(f"the number of epochs of history.{name}", len(values), epochs, source)
    if "fit_s" in samples:
        timed = len(samples["fit_s"]) + len(samples.get("fit_warm_up_s", ()))
        yield Figure("the number of samples of fit", timed, epochs, source)
    if record.ok and not cell.patience:
        yield Figure("the number of epochs of history.loss", epochs, cell.epochs, "the cell's setting")
    if "kept_epoch" in metrics:
        kept = _least(record.history.get("val_loss", ())) if cell.keep == "best" else epochs
        yield Figure("kept_epoch", metrics["kept_epoch"], kept, "the history, as the cell's keep says")


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
        raise EditedError(f"its samples take {samples_s:g} s, but all its phases {phases_s:g} s")
    if "jumped_s" not in record.environment.get("clock", {}):
        return
    outside = ("starting", "ending")  # before `started`, after `ended`
    within_s = sum(seconds for name, seconds in record.phases.items() if name not in outside)
    try:
        went_by = datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)
    except (ValueError, TypeError):  # no moments: nothing follows
        return
    whole_s = went_by.total_seconds() - record.environment["clock"]["jumped_s"]
    if within_s > whole_s + MOST_S:
        raise EditedError(f"its phases take {within_s:g} s, but {whole_s:g} s went by from started to ended")
