"""The ledger of a worker: every second belongs to the phase that it is in, so that phases sum to the cell's time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from bcdl.machine.clock import now_s

# Called with a phase, in words for people, as it begins.
OnPhase = Callable[[str], None]


def _silent(phase: str) -> None:
    """Report to nobody."""


class Phases:
    """Books the seconds of one phase after the other, none between them.

    Args:
        report: called with each phase as it begins.
        since_s: the clock's reading at which the phase `starting` began, `clock.now_s` of this or of another process
            of the machine; None if there was no such phase.
    """

    def __init__(self, report: OnPhase = _silent, since_s: float | None = None) -> None:
        self._report = report
        self._seconds: dict[str, float] = {}
        self._name = "starting"
        self._since_s = now_s() if since_s is None else since_s

    def begin(self, name: str, shown: str = "") -> None:
        """End the phase that is on and begin this one; people are `shown` its name, if nothing else is given."""
        self._book()
        self._name = name
        self._report(shown or name)

    @contextlib.contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """In this block the phase is this one, and after it again the one before; reported to nobody."""
        self._book()
        before, self._name = self._name, name
        try:
            yield
        finally:
            self._book()
            self._name = before

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each phase so far, in the order in which they first began; one that came again has all of its."""
        self._book()
        return {name: seconds for name, seconds in self._seconds.items() if seconds > 0}

    def _book(self) -> None:
        reading_s = now_s()
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + reading_s - self._since_s
        self._since_s = reading_s
