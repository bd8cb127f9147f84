"""Inference: the device's own rate by the compiled forward function."""

from typing import Any

import pytest

from bcdl.record import Record
from benchmarks.replay import CLOCK, replay


@pytest.mark.benchmark(timer=CLOCK)
def bench_predict(record: Record, benchmark: Any) -> None:
    """Seconds a window of inference steps on a batch already on the device, synchronised at its edges."""
    replay(benchmark, record, "predict_s")
