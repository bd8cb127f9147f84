"""A backend's adapter with an injected fault: each training step is followed by a busy wait."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any


class Slowed:
    """Any adapter, waiting busily after each training step for a share of the time that the step took."""

    def __init__(self, adapter: Any, share: float) -> None:
        self._adapter, self._share = adapter, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    @contextlib.contextmanager
    def training(self, model: Any, images: Any, labels: Any) -> Iterator[Callable[[], Any]]:
        with self._adapter.training(model, images, labels) as step:
            yield lambda: self._slowly(step)

    def _slowly(self, step: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = step()
        self._adapter.sync(result)
        end = time.perf_counter()
        while time.perf_counter() < end + self._share * (end - start):
            pass
        return result
