"""A clock that replays a worker's samples, so that pytest-benchmark's statistics and JSON are of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.record import Record
from bcdl.statistics import doubts


class ReplayClock:
    """Stands still, save that `advance` moves it on: calling `advance(s)` "takes" exactly s seconds."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


CLOCK = ReplayClock()


def replay(benchmark: Any, record: Record, sample: str) -> None:
    """Hand the record's samples of that name to pytest-benchmark, one a round, with the rates they gave.

    Fails with the record's reason if it is not ok; skips if the cell is about accuracy alone.
    """
    if not record.ok:
        pytest.fail(f"{record.status}: {record.reason}", pytrace=False)
    if not record.cell.timing:
        pytest.skip("measured for accuracy alone: there is no rate to show")
    samples = itertools.cycle(record.samples[sample])  # --benchmark-cprofile asks for another one at the end
    regime = sample.removesuffix("_s")
    benchmark.group = f"{regime}, {record.cell.data}, {record.cell.precision}"
    benchmark.extra_info["cell"] = record.cell.id
    benchmark.extra_info["run"] = record.run
    benchmark.extra_info["block"] = record.block
    benchmark.extra_info["regime"] = regime
    benchmark.extra_info["facts"] = comparability.values(Evidence.of(record), Purpose.RATES)
    benchmark.extra_info["doubts"] = doubts.every(record, regime)
    benchmark.extra_info["images_per_s"] = record.metrics[f"{regime}_images_per_s"]
    benchmark.pedantic(CLOCK.advance, setup=lambda: ((next(samples),), {}), rounds=len(record.samples[sample]))
