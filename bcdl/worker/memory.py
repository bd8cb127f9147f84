"""The most memory that a cell used: of the device, in each regime that has a figure, and of the worker on the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bcdl.machine import hardware
from bcdl.records.shapes import host_peak
from bcdl.worker.measured import Measured
from bcdl.worker.prepared import Prepared

# The metric of the device's peak, by regime, in the order in which they are timed.
_METRICS = {"step": "device_peak_memory_mib", "predict": "predict_device_peak_memory_mib"}
_TRAINING = "step"


@contextlib.contextmanager
def watching_memory(regime: str, prepared: Prepared, measured: Measured) -> Iterator[None]:
    """A block in which a regime is timed; on a GPU, its peak is recorded, or a note that says why it is not known.

    A peak begins with what is allocated already: weights, the optimizer's state, batches. A framework that can't let it
    begin anew has one of all that the process did. Of training that is recorded, with a note, since what precedes is
    training, too; of inference it is if it lies above what precedes.
    """
    adapter, device, metric = prepared.adapter, prepared.cell.device, _METRICS[regime]
    is_new = adapter.reset_peak_memory()
    before = adapter.peak_memory_bytes()
    yield
    if device == "cpu":
        return
    peak = adapter.peak_memory_bytes()
    if peak is None or before is None:
        measured.note(f"{metric} is not known: the framework's allocator keeps no peak")
        return
    if not is_new and regime != _TRAINING and peak <= before:
        measured.note(f"{metric} is not known: the framework can't reset it, and training had needed no less")
        return
    measured.metrics[metric] = peak / hardware.MIB
    if not is_new and regime == _TRAINING:
        measured.note(f"{metric} is of all until then, the tuning of the first step too: the framework can't reset it")
        measured.mark_warm(adapter.describe()["compilation_cache"], metric)  # what is loaded needs no tuning


def record_host_peak(prepared: Prepared, measured: Measured) -> None:
    """Record the peak of the worker's resident memory until now, which compiling has a part in."""
    metric = host_peak(prepared.cell.device)
    measured.metrics[metric] = hardware.peak_rss_bytes() / hardware.MIB
    measured.mark_warm(prepared.adapter.describe()["compilation_cache"], metric)
