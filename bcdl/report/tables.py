"""Tables: records in, rows of text out. Never imports Keras.

Records are first sorted into groups that may stand in one table: same machine, data (by checksum) and
settings; only model, backbone weights, backend and seed differ.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import rich.markup
import rich.table

from bcdl.parity.verdicts import MISMATCH, UNMEASURED, Verdicts
from bcdl.records.groups import NO_FINDINGS, Group, Line
from bcdl.records.record import Record
from bcdl.statistics import steadiness
from bcdl.statistics.steadiness import is_unstable
from bcdl.text import escape, legible

# Columns of words, which are set to the left.
_WORDS = (
    "model",
    "start",
    "parity",
    "quantity",
    "saved by",
    "unit",
    "subject",
    "a",
    "b",
    "setting",
    "default",
    "best",
    "metric",
    "cell",
    "regime",
    "measured",
    "sample",
    "commit",
    "backend",
    "across",
    "same",
    "split",
    "verdict",
    "TRIPOD+AI",
    "item",
    "known",
    "to be filled in",
)


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """One table of the report.

    Attributes:
        name: the metric's name in records.
        title: with unit.
        digits: decimals shown.
        rate: whether it is a figure of speed. That says little where the backends do not compute the same model, so
            it stands beside the parity verdict.
        sample: name of the samples, seconds, whose median the metric is; it counts only where they are steady.
    """

    name: str
    title: str
    digits: int
    rate: bool = False
    sample: str = ""

    def at(self, record: Record, seconds: float) -> float:
        """What the metric would be if the samples' median were `seconds`."""
        stretch = seconds / statistics.median(record.samples[self.sample])
        return record.value(self.name) * (stretch if self.name.endswith("_ms") else 1 / stretch)


QUALITY = (
    MetricRow("test_accuracy", "Test accuracy", 3),
    MetricRow("test_auroc", "Test AUROC", 3),
    MetricRow("test_loss", "Test loss (binary cross-entropy, nats)", 3),
)


METRICS = (
    *QUALITY,
    MetricRow("fit_images_per_s", "Fit rate (images/s)", 1, rate=True, sample="fit_s"),
    MetricRow("step_images_per_s", "Step rate (images/s)", 1, rate=True, sample="step_s"),
    MetricRow("predict_images_per_s", "Predict rate (images/s)", 1, rate=True, sample="predict_s"),
    MetricRow("latency_ms", "Latency of one image, host to host (ms)", 1, rate=True, sample="request_s"),
    MetricRow("first_step_s", "First step, compilation included (s)", 1),
    MetricRow("peak_memory_mib", "Peak memory (MiB)", 0),
)


STARTUP = (
    MetricRow("import_s", "Import of the framework and Keras (s)", 1),
    MetricRow("build_s", "Building the model (s)", 1),
    MetricRow("step_warm_up_s", "Training steps after the first until they are steady (s)", 1),
    MetricRow("request_warm_up_s", "Single requests until they are steady, compilation included (s)", 1),
)


ENERGY = (
    MetricRow("step_energy_j_per_image", "Energy of training (J/image)", 3),
    MetricRow("predict_energy_j_per_image", "Energy of inference (J/image)", 3),
    MetricRow("step_power_w", "Mean power in training (W)", 0),
)


STALENESS = (
    MetricRow("train_mode_accuracy", "Accuracy on the same training images, training mode", 3),
    MetricRow("inference_mode_accuracy", "Accuracy on the same training images, inference mode", 3),
)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds words, which are set to the left, or figures."""

    title: str
    words: bool = False


@dataclasses.dataclass(frozen=True)
class Entry:
    """What stands at one place of a table.

    Attributes:
        value: the value itself: a number, a word, or None for what is not known.
        format: writes the value; the same text for people and for programs.
        mark: sign of a footnote, which people see behind the text and programs do not.
    """

    value: Any
    format: Callable[[Any], str] = str
    mark: str = ""

    @property
    def text(self) -> str:
        return self.format(self.value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, columns and rows of entries; a plain string is an entry of words."""

    title: str
    head: tuple[str | Column, ...]
    rows: tuple[tuple[str | Entry, ...], ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(name if isinstance(name, Column) else Column(name, name in _WORDS) for name in self.head)

    def to_markdown(self) -> str:
        columns = self.columns
        lines = [
            tuple(escape(column.title) for column in columns),
            tuple("---" if column.words else "---:" for column in columns),
            *(tuple(escape(_shown(entry)) for entry in row) for row in self.rows),
        ]
        return f"**{escape(self.title)}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def to_rich(self) -> rich.table.Table:
        table = rich.table.Table(title=plain(self.title), title_justify="left", min_width=60)
        for index, column in enumerate(self.columns):
            table.add_column(plain(column.title), justify="left" if index == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(plain(_shown(entry)) for entry in row))
        return table


def _shown(entry: str | Entry) -> str:
    """The entry as people see it."""
    return entry.text + entry.mark if isinstance(entry, Entry) else entry


def _written(entry: str | Entry) -> str:
    """The entry as programs read it."""
    return entry.text if isinstance(entry, Entry) else entry.rstrip(MISMATCH + UNMEASURED)


def plain(text: str) -> str:
    """`text` for a terminal: no markup or control character has any effect."""
    return rich.markup.escape(legible(text))


def metric_table(group: Group, metric: MetricRow, verdicts: Verdicts = NO_FINDINGS) -> Table:
    """Models down, backends across; a cell that is not ok shows its status.

    A rate is marked where the backends' parity failed (`‡`) or was never measured (`†`), with the verdict beside it.
    """
    rows = []
    for line in group.lines:
        found = [group.of(line, backend) for backend in group.backends]
        values = [show(records, metric, len(group.draws(line))) for records in found]
        if metric.rate:
            ran = [record for records in found for record in records if record.ok]
            marks = [verdicts.mark(group.machine, records, ran) for records in found]
            values = [*map("".join, zip(values, marks, strict=True)), verdicts.among(group.machine, ran)]
        rows.append((line.title, line.start, *values))
    parity = ("parity",) if metric.rate else ()
    return Table(metric.title, ("model", "start", *group.backends, *parity), tuple(rows))


def show(records: Sequence[Record], metric: MetricRow, wanted: int = 0) -> str:
    """One seed's value, or the median and range over seeds; a status where a record is not ok.

    Where samples never settled, what their first and second half would give. `*` marks a figure from a tree with
    uncommitted changes. Of how many a median is, or how many are not ok, is told where it is not all of them: of
    `wanted`, where a line has more seeds elsewhere.
    """
    if not records:
        return "not run"
    wanted = max(wanted, len(records))
    failed = [record for record in records if not record.ok]
    if failed:
        return failed[0].status.replace("_", " ") + (f" ({len(failed)} of {wanted})" if wanted > 1 else "")
    unsteady = [record for record in records if is_unstable(record, metric.sample)]
    if unsteady:
        return _unstable(unsteady[0], metric) + (f", {len(unsteady)} of {wanted}" if wanted > 1 else "")
    values = [value for record in records if (value := record.metrics.get(metric.name)) is not None]
    if not values:
        return "not measured"
    text = f"{statistics.median(values):.{metric.digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{metric.digits}f} to {max(values):.{metric.digits}f})"
    if len(values) < wanted:
        text += f", {len(values)} of {wanted}"
    return text + ("*" if any(record.environment.get("dirty") for record in records) else "")


def _unstable(record: Record, metric: MetricRow) -> str:
    first, second = (metric.at(record, seconds) for seconds in steadiness.halves(record.samples[metric.sample]))
    return f"unstable ({first:.{metric.digits}f}, then {second:.{metric.digits}f})"


def run_table(records: Iterable[Record]) -> Table:
    """One line a cell with every metric: what a run shows on the screen when it ends."""
    records = list(records)
    head = ("model", "backend", "seed", *(short for _, short in _SHORT))
    rows = []
    for record in records:
        cell = record.cell
        values = [show([record], metric) for metric, _ in _SHORT] if record.ok else _reason_row(record)
        rows.append((Line.of(cell).title, cell.backend, cell.draw.removeprefix("seed "), *values))
    first = records[0].cell
    synthetic = " (synthetic drawings)" if any(record.dataset.get("synthetic") for record in records) else ""
    settings = f"{first.image_size}x{first.image_size}, batch {first.batch_size}, {first.epochs} epochs"
    return Table(f"{first.data}{synthetic}, {first.precision}, {settings}, {first.profile}", head, tuple(rows))


_SHORT = tuple(
    zip(
        (metric for metric in METRICS if metric.name not in ("predict_images_per_s", "latency_ms")),
        ("accuracy", "AUROC", "loss", "fit images/s", "step images/s", "first step s", "peak MiB"),
        strict=True,
    )
)


def _reason_row(record: Record) -> list[str]:
    return [record.status.replace("_", " "), *[""] * (len(_SHORT) - 1)]


def to_csv(tables: Sequence[Table]) -> str:
    """Tables as one CSV under the longest of their heads, the table's title in the first column.

    Parity has a column of its own there, so that figures carry no mark and programs can read them.
    """
    head = max((table.columns for table in tables), key=len)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", *(column.title for column in head)])
    for table in tables:
        for row in table.rows:
            writer.writerow([table.title, *map(_written, row), *[""] * (len(head) - len(row))])
    return text.getvalue()
