"""The door to NVML, NVIDIA's management library, by the package nvidia-ml-py: a module without type information.

`nvidia-smi` would say the same in text that changes between drivers, takes a process for each question, and has no
counters that can be read in microseconds; so NVML alone is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


class NvmlError(Exception):
    """NVML can't be asked, and why; `driver` says whether a driver is there all the same."""

    def __init__(self, why: str, driver: bool) -> None:
        super().__init__(why)
        self.driver = driver


class Nvml:
    """NVML while it is initialised."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def ask(self, function: str, *arguments: Any) -> Any:
        """What the function answers; None if the library, the GPU or its driver does not support it."""
        try:
            return getattr(self._library, function)(*arguments)
        except Exception:  # an older library or driver makes the package raise errors of several unrelated kinds
            return None


class Handle:
    """A GPU, or a MIG instance of one, as NVML knows it."""

    def __init__(self, nvml: Nvml, handle: Any) -> None:
        self.nvml, self._handle = nvml, handle

    def ask(self, function: str, *arguments: Any) -> Any:
        """What the function answers of this GPU; None as for `Nvml.ask`."""
        return self.nvml.ask(function, self._handle, *arguments)


@contextlib.contextmanager
def opened() -> Iterator[Nvml]:
    """NVML, initialised until the block ends; NvmlError if it can't be asked."""
    try:
        import pynvml  # here: only a machine with a GPU needs it
    except ModuleNotFoundError as error:
        raise NvmlError("the Python package nvidia-ml-py is missing; install it", driver=False) from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        missing = error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
        raise NvmlError(f"NVML says: {error}", driver=not missing) from error
    try:
        yield Nvml(pynvml)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


@contextlib.contextmanager
def opened_gpu(uuid: str) -> Iterator[Handle | None]:
    """The GPU of that UUID, until the block ends; None if it can't be asked."""
    with contextlib.ExitStack() as stack:
        try:
            nvml = stack.enter_context(opened())
        except NvmlError:
            yield None
            return
        handle = nvml.ask("nvmlDeviceGetHandleByUUID", uuid)
        yield None if handle is None else Handle(nvml, handle)
