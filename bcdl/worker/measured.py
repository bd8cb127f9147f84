"""What a worker has measured of its cell so far; a cell that fails keeps the figures that it had."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from bcdl.machine import disturbance
from bcdl.records.shapes import DatasetFacts, ModelFacts, Predictions
from bcdl.screen import warn_lines
from bcdl.worker.energy import Repeated
from bcdl.worker.phases import Phases

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Watcher:
    """How somebody follows a cell that runs in the process of the command.

    Attributes:
        bar: whether Keras shows its bar, which moves with each step.
        epoch: takes a line about each epoch, if the bar is not shown.
        trained: takes the model once it is trained and gives outputs, so that no fault of what follows costs it.
        failed: takes the traceback of a cell that fails; a worker's goes to its log by stderr.
    """

    bar: bool = False
    epoch: Callable[[str], None] | None = None
    trained: Callable[[keras.Model], None] | None = None
    failed: Callable[[str], None] = warn_lines


NOBODY = Watcher()


@dataclasses.dataclass
class Measured:
    """The parts of a record that a worker measures; see `bcdl.records.record.Record` for each.

    A part that is empty was not reached. `phases` books where the time goes meanwhile.
    """

    phases: Phases = dataclasses.field(default_factory=Phases)
    metrics: dict[str, float | None] = dataclasses.field(default_factory=dict)
    samples: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)
    predictions: dict[str, Predictions] = dataclasses.field(default_factory=dict)
    dataset: DatasetFacts | None = None
    model: ModelFacts | None = None
    weights: dict[str, str | None] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def watching(self, regime: str) -> Iterator[None]:
        """A block in which the regime is timed; what else happened meanwhile goes to `environment.disturbance`."""
        with disturbance.watched() as facts:
            yield
        self.environment.setdefault("disturbance", {})[regime] = facts

    def note_gpu(self, regime: str, facts: dict[str, Any]) -> None:
        """Add facts of the GPU in the regime to `environment.gpu_state`, if there are any."""
        if facts:
            self.environment.setdefault("gpu_state", {})[regime] = facts

    def note_idle_gpu(self, seen: Repeated) -> None:
        """Add what the GPU draws and does while it has no work."""
        if seen.power_w is not None:
            self.metrics["idle_power_w"] = seen.power_w
        self.environment["gpu_idle"] = seen.state()

    def note(self, sentence: str) -> None:
        """Add what a person should know of how the cell was measured to `environment.notes`."""
        self.environment.setdefault("notes", []).append(sentence)

    def drop_speed(self) -> None:
        """Forget times, rates and memory: a cell that is about accuracy alone may have run beside others."""
        self.metrics = {name: value for name, value in self.metrics.items() if not name.endswith(("_s", "_mib"))}
        self.samples = {}

    def mark_warm(self, state: str, name: str) -> None:
        """Give a figure that a compilation cache made shorter or smaller another name: it is no cold one's equal.

        Args:
            state: that of the cache when the figure was taken, as `Backend.describe` gives it.
            name: the metric's; it then begins with `warm_` or `partly_warm_`.
        """
        if "warm" in state:
            self.metrics[f"{state.replace(' ', '_')}_{name}"] = self.metrics.pop(name)

    def parts(self) -> dict[str, Any]:
        """The parts by name, as JSON values: keyword arguments of a record."""
        facts = {"dataset": dict(self.dataset or {}), "model": dict(self.model or {})}
        return {**vars(self), **facts, "phases": self.phases.seconds}
