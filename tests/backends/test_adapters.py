"""What an adapter promises: where a batch lies, what is compiled how often, and what is left after an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import backends
from bcdl.worker import session
from tests.conftest import ROOT
from tests.factory import jobs

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
prepared_cell = pytest.importorskip("bcdl.worker.prepared")
regimes = pytest.importorskip("bcdl.worker.regimes")
network = pytest.importorskip("bcdl.worker.network")
snapshot = pytest.importorskip("bcdl.worker.snapshot")

BACKEND = os.environ.get("KERAS_BACKEND", "")


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    return session.start_backend(BACKEND, "cpu", "float32")


@pytest.fixture
def prepared(adapter: backends.Backend) -> Any:
    """A small cell that has run its first step."""
    (job,) = jobs(BACKEND, "cnn", image_size="32", batch_size="4")
    made = prepared_cell.prepare(job, adapter)
    regimes.first_step(made)
    return made


def in_process(code: str, **variables: str) -> str:
    """What a process of its own prints of the code, with these variables."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


# Runs a step of a small cell on the second of two devices that TensorFlow divides its CPU into, or on the first of two
# that JAX does, and prints where what it got lay.
_PLACES = """
import os, sys
from bcdl.worker.session import start_backend
name = os.environ["KERAS_BACKEND"]
if name == "tensorflow":
    import tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
adapter = start_backend(name, "cpu", "float32")
if name == "tensorflow":
    adapter._device = "/CPU:1"
from bcdl.worker import prepared, regimes
from tests.factory import jobs
(job,) = jobs(name, "cnn", image_size="32", batch_size="4")
cell = prepared.prepare(job, adapter)
regimes.first_step(cell)
places = set()
def see(data):
    for tensor in data:
        places.add(str(tensor.devices()) if name == "jax" else str(tensor.device))
inner = cell.model.train_function
def seen(*arguments):
    *state, iterator = arguments
    data = next(iter(iterator))
    see(data)
    return inner(*state, [data] if isinstance(iterator, list) else iter([data]))
cell.model.train_function = seen
images, labels = adapter.put(*cell.pipeline.batch(0, 0))
with adapter.training(cell.model, images, labels) as step:
    adapter.sync(step())
see((images, labels))
print(sorted(places))
"""


def test_the_batch_of_a_step_lies_on_the_device_that_computes() -> None:
    """It once came from the host at each step on TensorFlow, whose repeated data set lives there."""
    wanted = {
        "jax": "['{CpuDevice(id=0)}']",
        "tensorflow": "['/job:localhost/replica:0/task:0/device:CPU:1']",
        "torch": "['cpu']",
    }
    flags = "--xla_force_host_platform_device_count=2"
    assert in_process(_PLACES, XLA_FLAGS=flags).splitlines()[-1] == wanted[BACKEND]


def test_a_step_on_a_device_batch_is_the_one_that_fit_traced(prepared: Any) -> None:
    """As many traces of the training step before `training` as after it; where nothing is traced, one a step."""
    model, adapter = prepared.model, prepared.adapter
    calls: list[None] = []
    original = model.train_step

    def counted(*arguments: Any) -> Any:
        calls.append(None)
        return original(*arguments)

    object.__setattr__(model, "train_step", counted)
    model.make_train_function(force=True)
    regimes.first_step(prepared)
    first = len(calls)
    images, labels = adapter.put(*prepared.pipeline.batch(0, 0))
    with adapter.training(model, images, labels) as step:
        for _ in range(3):
            adapter.sync(step())
    regimes.first_step(prepared)
    assert len(calls) in (first, first + 4)


def _predicting(adapter: Any, model: Any, images: Any, labels: Any) -> Any:
    return adapter.predicting(model)


def _training(adapter: Any, model: Any, images: Any, labels: Any) -> Any:
    return adapter.training(model, images, labels)


def _forwarding(adapter: Any, model: Any, images: Any, labels: Any) -> Any:
    return adapter.forwarding_in_training(model)


@pytest.mark.parametrize("entered", [_training, _predicting, _forwarding])
def test_a_model_is_usable_after_an_error_between_two_steps(prepared: Any, entered: Any) -> None:
    """Before, JAX's model held buffers that it had given away, and torch's stayed in training mode."""
    model, adapter = prepared.model, prepared.adapter
    images, labels = adapter.put(*prepared.pipeline.batch(0, 0))
    arguments = () if entered is _training else (images,)

    def fail_between_steps() -> None:
        with entered(adapter, model, images, labels) as run:
            adapter.sync(run(*arguments))
            raise RuntimeError("an injected fault")

    with pytest.raises(RuntimeError, match="an injected fault"):
        fail_between_steps()
    assert not getattr(model, "training", False)
    before = network.weights_checksum(model)
    with adapter.training(model, images, labels) as step:
        adapter.sync(step())
    assert network.weights_checksum(model) != before


def test_a_step_that_fails_leaves_the_weights_of_the_last_whole_one(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed step is real: images of a shape that the model does not take."""
    model, adapter = prepared.model, prepared.adapter
    images, labels = adapter.put(*prepared.pipeline.batch(0, 0))
    start = snapshot.Snapshot(model)
    with adapter.training(model, images, labels) as step:
        adapter.sync(step())
    wanted = network.weights_checksum(model)
    start.restore()
    function = model.train_function
    (unfit,) = adapter.put(np.zeros((4, 7, 9, 3), np.uint8))

    def fail_in_the_second() -> None:
        with adapter.training(model, images, labels) as step:
            adapter.sync(step())
            monkeypatch.setattr(model, "train_function", lambda *given: function(*given[:-1], iter([(unfit, labels)])))
            adapter.sync(step())

    with pytest.raises(Exception):  # noqa: B017, PT011 (each framework has its own)
        fail_in_the_second()
    assert network.weights_checksum(model) == wanted


def test_weights_that_a_failed_step_took_along_are_said_to_be_lost(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On JAX a step gives its buffers away; one that then fails, as for lack of memory, leaves none."""
    model, adapter = prepared.model, prepared.adapter
    images, labels = adapter.put(*prepared.pipeline.batch(0, 0))
    before = snapshot.DiskSnapshot.of(model)

    def give_away(state: Any, *more: Any) -> Any:
        for values in state if more else ():
            for value in values:
                value.delete()
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes")

    with monkeypatch.context() as patched:
        patched.setattr(model, "train_function", give_away)
        with pytest.raises(RuntimeError) as caught, adapter.training(model, images, labels) as step:
            step()
    assert adapter.is_out_of_memory(caught.value)
    if BACKEND == "jax":
        with pytest.raises(backends.StateLostError, match="took the model's state along"), adapter.predicting(model):
            pass
    before.restore()
    model.reset_metrics()
    with adapter.training(model, images, labels) as step:
        adapter.sync(step())


def test_a_gpu_that_is_not_there_is_one_line_of_every_command(tmp_path: Path) -> None:
    """JAX once said `AssertionError: no message`."""
    settings = ["--profile", "smoke", "--image-size", "32", "--models", "cnn", "--device", "gpu"]
    results = ["--results", str(tmp_path / "results")]
    trained = bcdl("train", "--model", "cnn", "--profile", "smoke", "--device", "gpu", *results)
    assert (trained.returncode, _said(trained)) == (1, True), trained.stdout + trained.stderr
    asked = bcdl("doctor", "--device", "gpu")
    assert (asked.returncode, _said(asked)) == (0, True), asked.stdout + asked.stderr
    tried = bcdl("experiment", "batch-size", "--backend", BACKEND, *settings, *results)
    assert (tried.returncode, _said(tried)) == (2, True), tried.stdout + tried.stderr


def test_benchmarks_say_it_too(tmp_path: Path) -> None:
    given = ["--backend", BACKEND, "--models", "cnn", "--profile", "smoke", "--device", "gpu"]
    command = [sys.executable, "-m", "pytest", "benchmarks", *given, "--results", str(tmp_path / "results"), "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert _said(done), done.stdout + done.stderr


def bcdl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bcdl", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _said(done: subprocess.CompletedProcess[str]) -> bool:
    printed = " ".join((done.stdout + done.stderr).split())
    return "finds no" in printed and "AssertionError" not in printed and "Traceback" not in printed


def test_a_gpu_that_is_there_and_broken_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real errors of frameworks that are made to believe in a GPU; JAX's is made up."""
    broken = backends.load(BACKEND)
    if BACKEND == "jax":

        def fail(*given: Any) -> None:
            raise RuntimeError("INTERNAL: CUDA error: unknown error\nmore of it")

        monkeypatch.setattr("jax.device_put", fail)
        monkeypatch.setattr("jax.config.update", lambda *given: None)
        monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.5")
    elif BACKEND == "torch":
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    else:
        monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: ["a GPU"])
        monkeypatch.setattr("tensorflow.config.experimental.set_memory_growth", lambda *given: None)
    with pytest.raises(backends.DeviceError) as caught:
        broken.configure("gpu", "float32")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith("; use --device cpu")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow alone Keras's choice depends on the GPUs listed")
def test_a_cpu_means_the_same_on_a_machine_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras compiles if TensorFlow lists a GPU, hidden or not."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    gpu = context.PhysicalDevice("/physical_device:GPU:0", "GPU")
    listed = [*tf.config.get_visible_devices(), gpu]

    def list_devices(kind: str | None = None) -> list[Any]:
        return [device for device in listed if kind in (None, device.device_type)]

    monkeypatch.setattr(tf.config, "list_physical_devices", list_devices)
    assert _jit_compile()
    backends.load(BACKEND).configure("cpu", "float32")
    assert not _jit_compile()


def _jit_compile() -> bool:
    """What Keras's "auto" resolves to."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile()
    return bool(model.jit_compile)


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX alone the pool has a fixed share")
@pytest.mark.parametrize(
    ("variables", "share", "when"),
    [
        ({}, "0.9", "taken at the start"),
        ({"XLA_CLIENT_MEM_FRACTION": "0.5"}, "0.5", "taken at the start"),
        ({"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.6"}, "0.6", "taken at the start"),
        ({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, "0.9", "as it is needed"),
    ],
)
def test_the_pool_takes_most_of_a_gpu_unless_a_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], share: str, when: str
) -> None:
    for name in ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.setenv(name, variables.get(name, ""))
    import sys

    adapter = backends.load("jax")
    with monkeypatch.context() as patched:
        patched.setattr("jax.device_put", lambda *given: 0.0)
        patched.setattr("jax.config.update", lambda *given: None)
        adapter.configure("gpu", "float32")
    pool = sys.modules[type(adapter).__module__]._memory_pool()
    assert pool == f"default allocator, {share} of all memory, {when}"
