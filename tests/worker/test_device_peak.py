"""What the device gives at most: measured in sizes that fit, and never at the cost of the finished cell."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.worker import measurement
from bcdl.worker.phases import Phases
from tests.factory import jobs

pytestmark = pytest.mark.keras
pytest.importorskip("keras")
device_peak = pytest.importorskip("bcdl.worker.device_peak")

BACKEND = os.environ.get("KERAS_BACKEND", "")
SIZES = (1, 4, 16, 64, 256, 1024)


class _Device:
    """A device of a given rate, work/s, and of memory for sizes below a limit, that notes what it is asked for."""

    def __init__(self, rate: float, too_large: float) -> None:
        self.rate, self.too_large, self.tried = rate, too_large, list[int]()

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)

    def prepare(self, size: int) -> Callable[[], Any]:
        self.tried.append(size)
        if size >= self.too_large:
            raise MemoryError
        return lambda: size


def best(device: _Device) -> tuple[float, bool]:
    yardstick = device_peak._Yardstick(SIZES, float, device.prepare)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(device_peak, "_seconds", lambda adapter, run: run() / device.rate)
        return device_peak._best(device, yardstick)


@pytest.mark.parametrize(
    ("rate", "too_large", "tried"),
    [
        (10.0, 10_000, [1]),  # the first takes long enough
        (200.0, 10_000, [1, 4]),
        (1000.0, 10_000, [1, 4, 16, 64]),  # short, but not far short: a processor's caches favour one of them
        (10_000.0, 10_000, [1, 256]),  # far short: those between are skipped
        (1e6, 10_000, [1, 1024]),
        (1e6, 1024, [1, 1024, 256]),  # memory ran out: the largest of those skipped
        (1e6, 64, [1, 1024, 256, 64, 16]),
        (1e6, 1, [1]),
    ],
)
def test_sizes_grow_until_one_takes_long_enough_or_memory_runs_out(
    rate: float, too_large: float, tried: list[int]
) -> None:
    device = _Device(rate, too_large)
    found, ran_out = best(device)
    assert device.tried == tried
    assert (found, ran_out) == (pytest.approx(rate) if too_large > 1 else 0.0, too_large <= max(tried))


@given(st.floats(1e-3, 1e9), st.sampled_from([*SIZES, 10_000]))
def test_every_size_is_tried_once_and_the_last_is_large_enough_or_the_largest_that_fits(
    rate: float, too_large: int
) -> None:
    device = _Device(rate, too_large)
    found, ran_out = best(device)
    fitting = [size for size in device.tried if size < too_large]
    assert len(device.tried) == len(set(device.tried))
    assert bool(found) == bool(fitting)
    assert ran_out == (len(fitting) < len(device.tried))
    if fitting:
        could = [size for size in SIZES if size < too_large]
        assert max(fitting) == could[-1] or max(fitting) / rate >= device_peak._LEAST_S


@pytest.mark.usefixtures("short_regimes")
def test_a_yardstick_that_memory_has_no_room_for_costs_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """It once threw the finished cell away."""

    def no_room(*arguments: Any) -> None:
        raise MemoryError("as a framework would")

    monkeypatch.setattr(device_peak, "_convolution", no_room)
    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="1")
    record, _ = measurement.run(job, "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    assert "convolution_flops_per_s" not in record.metrics
    assert record.value("product_flops_per_s") > 0
    assert record.environment["notes"] == ["convolution_flops_per_s is not known: memory ran out"]
