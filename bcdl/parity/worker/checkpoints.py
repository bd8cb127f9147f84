"""Checkpoints: saved by one backend with the optimizer's state, loaded and trained on by another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bcdl.parity.dumps import Loaded, Resumed
from bcdl.parity.worker import instrumented
from bcdl.parity.worker.instrumented import Instrumented
from bcdl.text import on_one_line
from bcdl.worker.input_pipeline import Batch
from bcdl.worker.snapshot import Snapshot

# Steps before the checkpoint, so that the optimizer's state is not empty.
_STEPS_BEFORE = 2
_LONGEST = 200  # letters of an error that a finding holds


def save(subject: Instrumented, start: Snapshot, file: Path) -> Resumed:
    """Train some steps, save to `file`, and train one step more: a backend that loads the file must get the same."""
    start.restore()
    for batch in subject.batches[:_STEPS_BEFORE]:
        instrumented.advance(subject.model, batch)
    file.parent.mkdir(parents=True, exist_ok=True)
    subject.model.save(file)
    return _go_on(subject.model, next_batch(subject))


def load_all(files: dict[str, Path], batch: Batch) -> dict[str, Loaded]:
    """Load each checkpoint, predict, and resume training by one step on `batch`; the results, by saver.

    Keras reads each into a model of its own. Training resumes in the first of them, with the state that was read, since
    each model's training function would be compiled anew.
    """
    runner: keras.Model | None = None
    results: dict[str, Loaded] = {}
    for saver, file in files.items():
        try:
            loaded, as_it_is = _load(file)
        except Exception as error:  # whatever Keras raises for a file of another Keras: it is the finding
            results[saver] = {"error": on_one_line(error, with_kind=True, longest=_LONGEST)}
            continue
        if runner is None:
            runner = loaded
            # The file holds what jit_compile resolved to on the saver's backend, and forces it on this one.
            runner.compile(optimizer=runner.optimizer, loss=runner.loss, jit_compile="auto")
        elif instrumented.definition(loaded) != instrumented.definition(runner):
            results[saver] = {"error": "another model definition"}
            continue
        for variable, value in zip(_state(runner), _state(loaded), strict=True):
            variable.assign(value)
        results[saver] = _loaded(_go_on(runner, batch), as_it_is)
    return results


def _load(file: Path) -> tuple[keras.Model, bool]:
    """The model, in safe mode, in which no code in the file runs; and whether Keras read it without help.

    A file saved on torch names the optimizer by a module that exists on torch alone (see `known_differences`).
    """
    try:
        return keras.saving.load_model(file), True
    except TypeError:
        return keras.saving.load_model(file, custom_objects={"SGD": keras.optimizers.SGD}), False


def next_batch(subject: Instrumented) -> Batch:
    """The batch of the first step after the checkpoint."""
    return subject.batches[_STEPS_BEFORE]


def _loaded(resumed: Resumed, as_it_is: bool) -> Loaded:
    return {
        "state": resumed["state"],
        "outputs": resumed["outputs"],
        "resumed_loss": resumed["resumed_loss"],
        "resumed_outputs": resumed["resumed_outputs"],
        "loads_as_it_is": as_it_is,
    }


def _go_on(model: keras.Model, batch: Batch) -> Resumed:
    """Digest of the state and outputs of the model as it is, and loss and outputs after one more step."""
    digest = hashlib.sha256(b"".join(_bits(variable) for variable in _state(model)))
    before = instrumented.to_numpy(model(batch[0], training=False)).tolist()
    loss = instrumented.advance(model, batch)
    after = instrumented.to_numpy(model(batch[0], training=False)).tolist()
    return {"state": digest.hexdigest(), "outputs": before, "resumed_loss": loss, "resumed_outputs": after}


def _state(model: keras.Model) -> list[Any]:
    # Without the dropout layers' random states: at rate 0 a loaded layer has none.
    return [*model.weights, *model.optimizer.variables]


def _bits(variable: Any) -> bytes:
    """A variable's bits; whole numbers as int64, since a step counter is int64 on one backend and int32 on another."""
    value = instrumented.to_numpy(variable)
    return (value.astype(np.int64) if np.issubdtype(value.dtype, np.integer) else value).tobytes()
