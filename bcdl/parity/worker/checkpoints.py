"""Checkpoints: saved by one backend with the optimizer's state, loaded and trained on by another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bcdl.parity.worker import instrumented
from bcdl.parity.worker.instrumented import Trunk
from bcdl.worker.input_pipeline import Batch
from bcdl.worker.snapshot import Snapshot

# Steps before the checkpoint, so that the optimizer's state is not empty.
_STEPS_BEFORE = 2


def save(opened: Trunk, start: Snapshot, file: Path) -> dict[str, Any]:
    """Train a little, save, and go on by one step: what whoever loads the file must arrive at too."""
    start.restore()
    for batch in opened.batches[:_STEPS_BEFORE]:
        instrumented.advance(opened.model, batch)
    file.parent.mkdir(parents=True, exist_ok=True)
    opened.model.save(file)
    return _go_on(opened.model, next_batch(opened))


def load_all(files: dict[str, Path], batch: Batch) -> dict[str, dict[str, Any]]:
    """Load each checkpoint, compare its state, predict, and resume training by one step; facts by saver.

    Each is read by Keras into a model of its own. Training resumes in the first of them, with the state that
    was read, since each model's training function would be compiled anew.
    """
    runner: keras.Model | None = None
    found: dict[str, dict[str, Any]] = {}
    for saver, file in files.items():
        loaded, as_it_is = _load(file)
        if runner is None:
            runner = loaded
            # The file holds what jit_compile resolved to on the saver's backend, and forces it on this one.
            runner.compile(optimizer=runner.optimizer, loss=runner.loss, jit_compile="auto")
        elif _definition(loaded) != _definition(runner):
            found[saver] = {"error": "another model definition"}
            continue
        for variable, value in zip(_state(runner), _state(loaded), strict=True):
            variable.assign(value)
        found[saver] = {**_go_on(runner, batch), "loads_as_it_is": as_it_is}
    return found


def _load(file: Path) -> tuple[keras.Model, bool]:
    """The model, in safe mode: no code in the file is run; and whether Keras read it without help.

    A file saved on torch names the optimizer by a module that exists on torch alone (see `known`).
    """
    try:
        return keras.saving.load_model(file), True
    except TypeError:
        return keras.saving.load_model(file, custom_objects={"SGD": keras.optimizers.SGD}), False


def next_batch(opened: Trunk) -> Batch:
    """The batch of the first step after the checkpoint."""
    return opened.batches[_STEPS_BEFORE]


def _go_on(model: keras.Model, batch: Batch) -> dict[str, Any]:
    """The state as it is, what it predicts, and where one more step leads."""
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


def _definition(model: keras.Model) -> str:
    """The model's configuration, its names by order of appearance: Keras counts `input_layer_2` on in a process."""
    config = json.loads(json.dumps(model.get_config(), default=str))
    names: dict[str, str] = {}
    _collect_names(config, names)
    return json.dumps(_renamed(config, names), sort_keys=True)


def _collect_names(config: Any, names: dict[str, str]) -> None:
    if isinstance(config, dict):
        name = config.get("name")
        if isinstance(name, str):
            names.setdefault(name, f"#{len(names)}")
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for part in parts:
        _collect_names(part, names)


def _renamed(config: Any, names: dict[str, str]) -> Any:
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list):
        return [_renamed(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config
