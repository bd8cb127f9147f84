"""A backend's adapter that is slowed down on purpose: each training step is followed by a busy wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from bcdl.machine.clock import stopwatch


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
        elapsed = stopwatch()
        result = step()
        self._adapter.sync(result)
        until = (1 + self._share) * elapsed()
        while elapsed() < until:
            pass
        return result
