"""The backends, and the only door to them: `load(name)`.

A backend is a folder here with an `adapter.py` and its pinned requirements. The adapter does what Keras has no
function for. It and the modules beside it are the only ones that import the framework. This folder itself must never
be on `sys.path`: its `jax/` would shadow the framework.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .out_of_memory import is_lack_of_memory as is_lack_of_memory
from .out_of_memory import says_memory_ran_out as says_memory_ran_out

if TYPE_CHECKING:
    import numpy as np

NAMES = tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/adapter.py")))


class DeviceError(Exception):
    """The device asked for can't be had from this framework on this machine, or can't be used; in one line."""

    def __init__(self, what_is_wrong: str) -> None:
        super().__init__(f"{what_is_wrong}; use --device cpu")


class StateLostError(RuntimeError):
    """A step that failed took the weights of the model along, so that the model can't be used."""


class UnsupportedError(Exception):
    """The hardware or the framework lacks what was asked for: the cell is skipped, never run as something else."""


def check_precision(device: str, precision: str) -> None:
    """Raise UnsupportedError if no framework could give `precision` on `device`."""
    if precision == "tf32" and device == "cpu":
        raise UnsupportedError("TF32 is arithmetic of NVIDIA GPUs; a CPU has none, so use --precision float32")


def check_transfer_to_cpu(input_transfer: str) -> None:
    """Raise UnsupportedError if batches were to be copied ahead to a CPU."""
    if input_transfer == "prefetched":
        raise UnsupportedError("a CPU computes on the host's own memory; leave --input-transfer out")


class NativeModel(Protocol):
    """A model written in the framework itself, without Keras, that computes what a Keras model does.

    It trains by SGD with momentum.

    Images are [B, S, S, 3] uint8 and labels [B, 2] float32, both on the device.
    """

    @property
    def parameters(self) -> int:
        """The number of all parameters, moving averages included, as Keras counts."""

    def outputs(self, images: Any) -> np.ndarray:
        """Inference outputs [B, 2] float32, sigmoids."""

    def gradient(self, images: Any, labels: Any) -> dict[str, np.ndarray]:
        """The gradient of the loss in inference mode, float32, by the names and in the layout of Keras's weights."""

    def step(self, images: Any, labels: Any) -> Any:
        """Run one training step, not synchronised; returns something `sync` can wait for."""


class Backend(Protocol):
    """What an adapter does for the harness. Tensors are the framework's own; `model` is a compiled keras.Model.

    A difference between the frameworks belongs here, as a method: no other module asks which backend runs.
    """

    name: str

    def configure(self, device: str, precision: str) -> None:
        """Set device, precision, memory growth and caches; called once, before Keras is imported.

        `precision` is that of a cell, or `float64` for a parity reference. Raises DeviceError if `device` (`cpu`
        or `gpu`) can't be had, UnsupportedError if the hardware lacks `precision`.
        """

    def make_deterministic(self) -> None:
        """Make the framework compute the same bits each time, at whatever cost, until the process ends.

        Called before `configure`.
        """

    def check_settings(self, data_format: str, input_transfer: str) -> None:
        """Raise UnsupportedError if the device lacks a setting of that name or would not be any different by it.

        Called after `configure`. `data_format` is the layout of maps; if `input_transfer` is `prefetched`, `prefetch`
        is to be called.
        """

    def set_autotune(self, on: bool) -> None:
        """Have the framework time its convolution kernels for each shape and take the fastest, or not any more.

        Called after `configure`. Raises UnsupportedError if it has no such choice, or none on the device.
        """

    def cache_compilations(self, folder: Path | None) -> None:
        """Drop what this process has compiled; from now on, load from `folder` what is there, and store there the rest.

        None ends that: what is compiled stays, and what is compiled from then on is stored nowhere.

        Raises UnsupportedError if the framework has no such cache.
        """

    def describe(self) -> dict[str, Any]:
        """The device in use, the precision flags in force and the compilation cache, as JSON values.

        `autotune` is what chooses convolution kernels by timing them, `off` if nothing does.
        `compilation_cache` is `off`; `cold`, if its folder was empty; `warm`, if all that was compiled so far was in
        it; or `partly warm`. On a GPU `memory_pool` says how the framework takes its memory.
        """

    def threads(self) -> dict[str, int]:
        """How many threads the pools of this process have, by pool, once something was computed.

        A pool whose threads can't be counted is left out.
        """

    def stream(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        """`batches` as the input of `model.fit` that this framework's users would choose.

        `batches` yields ([B, H, W, 3] uint8, [B, 2] float32) without end, every batch of one shape.
        """

    def prefetch(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        """As `stream`, but each batch is on its way to the device, as uint8, before the step that takes it."""

    def put(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        """`arrays` as tensors on the device, transfer finished."""

    def training(self, model: Any, images: Any, labels: Any) -> AbstractContextManager[Callable[[], Any]]:
        """A function that runs one training step on a device batch, the very one `fit` compiled.

        `images` [B, S, S, 3] uint8 and `labels` [B, 2] float32 are on the device, and go nowhere else. The function
        does not synchronise, and returns something that `sync` can wait for. The context prepares the first step when
        it is entered, and writes the new weights into the model when it is left: both outside what is timed.

        If it is left by an error, the model has the weights of the last whole step and can be used. If the failed step
        took them along, the next use of the model says so (StateLostError) until they are assigned anew.
        """

    def predicting(self, model: Any) -> AbstractContextManager[Callable[[Any], Any]]:
        """A function from images on the device, [B, S, S, 3] uint8, to the outputs [B, 2] float32 of inference.

        It is compiled once, and does not synchronise.
        """

    def forwarding_in_training(self, model: Any) -> AbstractContextManager[Callable[[Any], Any]]:
        """A function from images on the device, [B, S, S, 3] uint8, to the outputs [B, 2] float32 of training mode.

        Batch norms normalise by the batch and move their averages, and dropout is active; there is no gradient and no
        step, so that weights and optimizer stay as they are. The function is compiled once a model and does not
        synchronise. When the context is left, the moved state is in the model.
        """

    def gradient(self, function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
        """The gradient at `at` of a function from a tensor to a single number: of the shape and dtype of `at`."""

    def native_models(
        self, model: str, weights: Mapping[str, np.ndarray], learning_rate: float, momentum: float, precision: str
    ) -> Mapping[str, NativeModel]:
        """Models that compute what the Keras model of that name does, by the way they run; empty if there are none.

        They train by SGD. `weights` are those of the Keras model, float32, by `<layer>/<variable>`. `precision` is
        that of a cell.
        """

    def adding_in_place(self, count: int) -> Callable[[], Any]:
        """A function that adds one float32 array on the device, of `count` values, to another, in its memory.

        It does not synchronise, and returns something that `sync` can wait for.
        """

    def sync(self, value: Any) -> None:
        """Wait until `value`, and so every step before it, is computed."""

    def peak_memory_bytes(self) -> int | None:
        """Peak of the framework's device allocator since `reset_peak_memory`, else since the process began; bytes.

        None if the allocator keeps none: on a CPU, of which the peak of the process counts, and of some allocators.
        """

    def reset_peak_memory(self) -> bool:
        """Let the peak begin anew, with what is allocated now; False if the framework can't, or keeps no peak."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether `error` means, on this framework, that memory ran out."""

    def is_divergence(self, error: BaseException) -> bool:
        """Whether `error` of a training step means, on this framework, that the model's outputs are no numbers."""


class Examples(Protocol):
    """Images in memory, drawn one at a time: what the input pipelines of `input_pipelines` read."""

    image_shape: tuple[int, ...]
    label_shape: tuple[int, ...]

    def __len__(self) -> int: ...

    def draw(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """The image of that number, uint8, augmented anew at each call, and its label, float32; from any thread."""


# Gives batches of examples without end, of such a size, on so many cores: a pair (images, labels) each, as its users
# get them.
InputPipeline = Callable[[Examples, int, int], Iterator[Any]]


def input_pipelines() -> dict[str, tuple[str, InputPipeline]]:
    """The input pipelines that users of the frameworks choose, by name, each with the package that it needs.

    They are those of the backends that have a module `input_pipeline`, which imports that package only when it is used.
    """
    found: dict[str, tuple[str, InputPipeline]] = {}
    for name in NAMES:
        module_name = f"{__name__}.{name}.input_pipeline"
        if importlib.util.find_spec(module_name) is None:
            continue
        module = importlib.import_module(module_name)
        found |= {title: (module.PACKAGE, pipeline) for title, pipeline in module.PIPELINES.items()}
    return found


def load(name: str) -> Backend:
    """The adapter of the backend of that name; imports its framework."""
    adapter: Backend = importlib.import_module(f"{__name__}.{name}.adapter").Adapter()
    return adapter


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def threads_named(**pools: str) -> dict[str, int]:
    """How many threads of this process have a name that begins so, by pool; empty if the system does not say."""
    names = []
    for file in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            names.append(file.read_text(encoding="utf-8", errors="replace"))
    counts = {pool: sum(name.startswith(start) for name in names) for pool, start in pools.items()}
    return {pool: count for pool, count in counts.items() if count}


def is_installed(name: str) -> bool:
    """Whether the framework of that name can be imported here, without importing it.

    A plain folder of that name where Python looks, of somebody's data for instance, is none.
    """
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None
