"""Inference: the device's own rate by the compiled forward function, and the latency of one image."""

from typing import Any

import pytest

from bcdl.records.record import Record
from benchmarks.replay import CLOCK, replay


@pytest.mark.benchmark(timer=CLOCK)
def bench_predict(record: Record, benchmark: Any) -> None:
    """Seconds a window of inference steps on a batch already on the device, synchronised at its edges."""
    replay(benchmark, record, "predict_s")


@pytest.mark.benchmark(timer=CLOCK)
def bench_request(record: Record, benchmark: Any) -> None:
    """Seconds a request of one image, from its bytes on the host to its outputs on the host."""
    replay(benchmark, record, "request_s")
