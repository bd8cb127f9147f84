"""Training, in its two regimes: `fit`, what a user of model.fit gets, and `step`, the device's own rate."""

from typing import Any

import pytest

from bcdl.records.record import Record
from benchmarks.replay import CLOCK, replay


@pytest.mark.benchmark(timer=CLOCK)
def bench_fit(record: Record, benchmark: Any) -> None:
    """Seconds an epoch by model.fit: input pipeline included, validation and compilation left out."""
    replay(benchmark, record, "fit_s")


@pytest.mark.benchmark(timer=CLOCK)
def bench_step(record: Record, benchmark: Any) -> None:
    """Seconds a window of training steps on a batch already on the device, synchronised at its edges."""
    replay(benchmark, record, "step_s")
