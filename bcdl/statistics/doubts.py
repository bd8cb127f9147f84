"""What makes a rate doubtful: the one rule for tables, plots and comparisons, which mark it and say why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bcdl.records.record import Record
from bcdl.statistics import disturbance
from bcdl.statistics.steadiness import ONE_SAMPLE, UNSTEADY, fault

MARK = "!"
# A `fit` above this share of what its input pipeline gives alone may be bounded by it: the two share the processors.
INPUT_SHARE = 0.8
_MOST_DETAILS = 3  # of one place, in a line


class Doubt(NamedTuple):
    """A reason to doubt a rate: of which kind, and what there is to say of this one, in words."""

    what: str
    detail: str


def every(record: Record, regime: str) -> tuple[Doubt, ...]:
    """All reasons to doubt the record's rate in the regime; none if there is no such rate."""
    seconds = record.samples.get(f"{regime}_s", [])
    unsteady = [Doubt(why, f"{len(seconds)} samples")] if (why := fault(seconds)) in UNSTEADY else []
    return (*unsteady, *beside_unsteady(record, regime))


def beside_unsteady(record: Record, regime: str) -> tuple[Doubt, ...]:
    """The same without that the samples are unsteady, for what shows such a rate as unstable instead of a figure."""
    seconds = record.samples.get(f"{regime}_s", [])
    if not seconds:
        return ()
    return (
        *([Doubt(ONE_SAMPLE, _one(record, regime))] if fault(seconds) == ONE_SAMPLE else []),
        *(_bounded(record) if regime == "fit" else ()),
        *(Doubt(*disturbed) for disturbed in disturbance.of(record, regime)),
    )


def lines(doubted: Mapping[str, Sequence[Sequence[Doubt]]]) -> list[str]:
    """A line for each kind of doubt, with the places where it is found; none if there is no doubt.

    Args:
        doubted: by place, in words, the doubts of each record there.
    """
    places: dict[str, list[str]] = {}
    for place, of_records in doubted.items():
        for what in dict.fromkeys(doubt.what for doubts in of_records for doubt in doubts):
            details = [doubt.detail for doubts in of_records for doubt in doubts if doubt.what == what]
            places.setdefault(what, []).append(f"{place} ({_details(details, len(of_records))})")
    return [f"{what}: {'; '.join(named)}" for what, named in places.items()]


def unrecorded(records: Sequence[Record]) -> str:
    """How many of the timed records do not say what else happened meanwhile, in words; empty if all do."""
    timed = [record for record in records if record.ok and record.samples]
    lacking = sum(not disturbance.is_recorded(record) for record in timed)
    if not lacking:
        return ""
    return f"what else the machine did is not known of {lacking} of {len(timed)} records (before schema 8 none says it)"


def _details(details: Sequence[str], records: int) -> str:
    """What there is to say at one place, and of how many of its records."""
    shown = list(dict.fromkeys(details))
    more = [f"{len(shown) - _MOST_DETAILS} more"] if len(shown) > _MOST_DETAILS else []
    count = [f"{len(details)} of {records}"] if records > 1 else []
    return ": ".join([*count, ", ".join([*shown[:_MOST_DETAILS], *more])])


def _one(record: Record, regime: str) -> str:
    if regime != "fit":
        return "one window"
    images = record.dataset.get("images", {}).get("train", 0)
    return f"one epoch of {images // record.cell.batch_size} steps"


def _bounded(record: Record) -> Iterator[Doubt]:
    """Whether the input pipeline may bound the rate of `fit`."""
    fed = record.value("input_images_per_s")
    if record.value("fit_images_per_s") > INPUT_SHARE * fed:
        yield Doubt("the input pipeline may bound it", f"alone it gives {fed:.1f} images/s")
