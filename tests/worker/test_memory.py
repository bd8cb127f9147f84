"""Which peak of memory is which: of the process on a CPU; on a GPU of each regime, of the host, or unknown and why."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from bcdl.records.record import Record
from bcdl.worker.measured import Measured

pytestmark = pytest.mark.keras
pytest.importorskip("keras")
memory = pytest.importorskip("bcdl.worker.memory")

BACKEND = os.environ.get("KERAS_BACKEND", "")
MIB = 2**20


class _Allocator:
    """The allocator of a device: it holds so many MiB, and its highest since the last reset if it has such a thing."""

    def __init__(self, resets: bool, keeps: bool = True, cache: str = "off") -> None:
        self._resets, self._keeps, self._cache = resets, keeps, cache
        self._held = self._peak = 0

    def use(self, held: int, at_most: int) -> None:
        self._held, self._peak = held, max(self._peak, at_most)

    def reset_peak_memory(self) -> bool:
        self._peak = self._held if self._resets else self._peak
        return self._resets

    def peak_memory_bytes(self) -> int | None:
        return self._peak * MIB if self._keeps else None

    def describe(self) -> dict[str, Any]:
        return {"compilation_cache": self._cache}


def measured(allocator: _Allocator, device: str, training: int = 600, inference: int = 300) -> Measured:
    """What is recorded of a cell whose first step needs 900 MiB and leaves 200 of them in use."""
    prepared, result = SimpleNamespace(adapter=allocator, cell=SimpleNamespace(device=device)), Measured()
    allocator.use(200, 900)
    with memory.watching_memory("step", prepared, result):
        allocator.use(200, training)
    with memory.watching_memory("predict", prepared, result):
        allocator.use(200, inference)
    memory.record_host_peak(prepared, result)
    return result


def test_each_regime_has_its_own_peak_if_the_framework_resets_it() -> None:
    result = measured(_Allocator(resets=True), "gpu")
    host = result.metrics.pop("host_peak_memory_mib")
    assert host is not None
    assert host > 50
    assert result.metrics == {"device_peak_memory_mib": 600, "predict_device_peak_memory_mib": 300}
    assert result.environment == {}


def test_a_peak_that_is_not_reset_is_of_all_until_then_and_says_so() -> None:
    result = measured(_Allocator(resets=False), "gpu")
    assert result.metrics["device_peak_memory_mib"] == 900
    assert "predict_device_peak_memory_mib" not in result.metrics
    assert result.environment["notes"] == [
        "device_peak_memory_mib is of all until then, the tuning of the first step too: the framework can't reset it",
        "predict_device_peak_memory_mib is not known: the framework can't reset it, and training had needed no less",
    ]


def test_a_peak_above_all_before_it_is_known_in_any_case() -> None:
    result = measured(_Allocator(resets=False), "gpu", inference=1000)
    assert result.metrics["predict_device_peak_memory_mib"] == 1000


def test_an_allocator_that_keeps_no_peak_never_gives_the_hosts_in_its_place() -> None:
    result = measured(_Allocator(resets=False, keeps=False), "gpu")
    assert set(result.metrics) == {"host_peak_memory_mib"}
    assert result.environment["notes"] == [
        f"{name} is not known: the framework's allocator keeps no peak"
        for name in ("device_peak_memory_mib", "predict_device_peak_memory_mib")
    ]


def test_on_a_cpu_the_peak_is_that_of_the_process() -> None:
    result = measured(_Allocator(resets=False, keeps=False), "cpu")
    assert (set(result.metrics), result.environment) == ({"peak_memory_mib"}, {})


@pytest.mark.parametrize("resets", [True, False])
def test_what_a_warm_cache_makes_smaller_has_another_name(resets: bool) -> None:
    """Compiled functions that are loaded need no tuning: that counts if the peak can't be reset."""
    result = measured(_Allocator(resets=resets, cache="warm"), "gpu")
    assert "warm_host_peak_memory_mib" in result.metrics
    assert ("warm_device_peak_memory_mib" in result.metrics) == (not resets)


def test_the_adapter_of_a_cpu_keeps_no_peak() -> None:
    from bcdl.worker.session import start_backend

    adapter = start_backend(BACKEND, "cpu", "float32")
    assert adapter.peak_memory_bytes() is None
    assert adapter.reset_peak_memory() is False
    assert "memory_pool" not in adapter.describe()


@pytest.mark.usefixtures("short_regimes")
def test_a_whole_cell_whose_device_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor stands in for a GPU whose allocator is made up; no management library answers."""
    from bcdl import backends
    from bcdl.worker import measurement
    from bcdl.worker.phases import Phases
    from tests.factory import jobs

    adapter, allocator = backends.load(BACKEND), _Allocator(resets=True)
    configure = adapter.configure
    monkeypatch.setattr(adapter, "configure", lambda device, precision: configure("cpu", precision))
    monkeypatch.setattr(adapter, "peak_memory_bytes", allocator.peak_memory_bytes)
    monkeypatch.setattr(adapter, "reset_peak_memory", allocator.reset_peak_memory)
    monkeypatch.setattr(backends, "load", lambda name: adapter)
    allocator.use(held=100, at_most=900)
    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="1", device="gpu")
    record, _ = measurement.run(job, "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    assert record.metrics["device_peak_memory_mib"] == record.metrics["predict_device_peak_memory_mib"] == 100
    assert any(name.endswith("host_peak_memory_mib") for name in record.metrics)
    assert "peak_memory_mib" not in record.metrics
    assert Record.from_json(record.to_json()) == record
