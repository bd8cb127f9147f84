"""What is timed besides `fit`: the first step, the input pipeline alone, and the other regimes: training steps,
inference steps and single requests.

Training steps go through the function that `fit` compiles, and validation, test, inference steps and requests through
one forward function, so that nothing is compiled twice.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import keras
import numpy as np

from bcdl.machine.clock import stopwatch
from bcdl.worker import snapshot, timing
from bcdl.worker.clocks import wait_for_training
from bcdl.worker.phases import Phases
from bcdl.worker.prepared import Prepared

_INPUT_S = 1.0  # for which the input pipeline is timed at most, and a batch more
_TURNS = 4  # times what is made ahead that is drawn at least: threads that began together end together


def first_step(prepared: Prepared, phases: Phases | None = None) -> float:
    """Seconds of a `fit` of one step, tracing and compilation included; the weights are put back."""
    model, adapter, phases = prepared.model, prepared.adapter, phases or Phases()
    with phases.aside("keeping weights"):
        before = snapshot.DiskSnapshot.of(model)
    elapsed = stopwatch()
    model.fit(prepared.batches(), steps_per_epoch=1, epochs=1, verbose=0, shuffle=False)
    wait_for_training(model, adapter)
    seconds = elapsed()
    with phases.aside("keeping weights"):
        before.restore()
    return seconds


def time_input(prepared: Prepared) -> float:
    """Images/s of the batches that `fit` would get, drawn with nothing else to do: of an epoch or more, or `_INPUT_S`.

    As many batches as are made ahead are drawn before the clock starts: from then on one is made for each that is
    drawn, and what the start of threads takes does not count.
    """
    batches = iter(prepared.batches())
    ahead = prepared.pipeline.batches_ahead
    for _ in range(ahead):
        next(batches)
    elapsed, drawn = stopwatch(), 0
    for _ in itertools.islice(batches, max(prepared.pipeline.steps_per_epoch, _TURNS * ahead)):
        drawn += 1
        if elapsed() >= _INPUT_S:
            break
    return drawn * prepared.cell.batch_size / elapsed()


def time_steps(prepared: Prepared) -> timing.Timed:
    """Windows of training steps, as `steps` has them."""
    with steps(prepared) as work:
        return work.windows(prepared.cell.windows)


@contextlib.contextmanager
def steps(prepared: Prepared) -> Iterator[timing.Work]:
    """Training steps on one batch that is on the device already."""
    cell, adapter = prepared.cell, prepared.adapter
    images, labels = adapter.put(*prepared.pipeline.batch(epoch=0, step=0))
    with adapter.training(prepared.model, images, labels) as step:
        yield timing.Work(cell.window_steps, step, adapter.sync)


@contextlib.contextmanager
def predictions(prepared: Prepared) -> Iterator[timing.Work]:
    """Inference steps on one batch that is on the device already."""
    cell, adapter = prepared.cell, prepared.adapter
    images, _ = adapter.put(*prepared.pipeline.batch(epoch=0, step=0))
    with adapter.predicting(prepared.model) as forward:
        yield timing.Work(cell.window_steps, lambda: forward(images), adapter.sync)


@contextlib.contextmanager
def requests(prepared: Prepared) -> Iterator[timing.Work]:
    """Requests of one image each, from its bytes on the host to its outputs on the host.

    The first one compiles the forward function for a batch of one; it is part of the warm-up.
    """
    adapter = prepared.adapter
    image = prepared.pipeline.batch(epoch=0, step=0)[0][:1]
    with adapter.predicting(prepared.model) as forward:

        def request() -> np.ndarray:
            return keras.ops.convert_to_numpy(forward(adapter.put(image)[0]))

        yield timing.Work(1, request, lambda outputs: None)
