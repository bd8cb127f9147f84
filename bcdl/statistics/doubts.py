"""What makes a rate doubtful: the one rule for tables, plots and comparisons, which mark it and say why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bcdl.records.record import Record
from bcdl.statistics import disturbance
from bcdl.statistics.steadiness import ONE_SAMPLE, UNSTEADY, fault

MARK = "!"
# A `fit` above this share of what its input pipeline gives alone may be bounded by it: the two share the processors.
INPUT_SHARE = 0.8


class Doubt(NamedTuple):
    """A reason to doubt a rate.

    Attributes:
        what: of which kind it is, in words.
        reading: how much it is of that; None if that is no number.
        unit: of the reading, or what there is to say instead; if it begins with %, the reading is a share.
    """

    what: str
    reading: float | None
    unit: str


def every(record: Record, regime: str) -> tuple[Doubt, ...]:
    """All reasons to doubt the record's rate in the regime; none if there is no such rate."""
    seconds = record.samples.get(f"{regime}_s", [])
    unsteady = [Doubt(why, len(seconds), "samples")] if (why := fault(seconds)) in UNSTEADY else []
    return (*unsteady, *beside_unsteady(record, regime))


def beside_unsteady(record: Record, regime: str) -> tuple[Doubt, ...]:
    """The same without that the samples are unsteady, for what shows such a rate as unstable instead of a figure."""
    seconds = record.samples.get(f"{regime}_s", [])
    if not seconds:
        return ()
    return (
        *([_one(record, regime)] if fault(seconds) == ONE_SAMPLE else []),
        *(_bounded(record) if regime == "fit" else ()),
        *(Doubt(*disturbed) for disturbed in disturbance.of(record, regime)),
    )


def unrecorded(records: Sequence[Record]) -> str:
    """How many of the timed records do not say what else happened meanwhile, in words; empty if all do."""
    timed = [record for record in records if record.ok and record.samples]
    lacking = sum(not disturbance.is_recorded(record) for record in timed)
    if not lacking:
        return ""
    return f"what else the machine did was not recorded of {lacking} of {len(timed)} records"


def _one(record: Record, regime: str) -> Doubt:
    """That the rate is of one window, or of one epoch, and of how many steps that is."""
    if regime != "fit":
        return Doubt(ONE_SAMPLE, 1, "window")
    images = record.dataset.get("images", {}).get("train", 0)
    return Doubt(ONE_SAMPLE, images // record.cell.batch_size, "steps, one epoch")


def _bounded(record: Record) -> Iterator[Doubt]:
    """Whether the input pipeline may bound the rate of `fit`."""
    fed = record.value("input_images_per_s")
    if record.value("fit_images_per_s") > INPUT_SHARE * fed:
        yield Doubt("the input pipeline may bound it", fed, "images/s by it alone")
