"""The metrics of speed, memory, energy and quality that records hold: a row each, and the table of one.

To add a metric that workers record is to add its row to the tuple that it belongs to.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from bcdl.machine.provenance import is_uncommitted
from bcdl.parity.verdicts import NO_FINDINGS
from bcdl.records.groups import Group, Line, ParityVerdicts
from bcdl.records.record import Record
from bcdl.report import formats, titles
from bcdl.report.doubt_lines import lines
from bcdl.report.tables import Column, Entry, Table, absent, figures, word, words
from bcdl.settings.cell import Cell
from bcdl.statistics import doubts, steadiness
from bcdl.statistics.steadiness import is_unstable


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric that has a table for itself.

    Attributes:
        name: the metric's name in records.
        title: the title of its table, with the unit.
        digits: decimals shown.
        rate: whether it is a figure of speed. That says little if the backends do not compute the same model, so it
            stands beside the parity verdict.
        sample: name of the samples, seconds, whose median the metric is; it counts only if they are steady.
        is_time: whether it grows with its samples; if not, it is a rate, which falls as they grow.
        short: heading of its column in the table of a run; if that is empty, it has no column there.
        of_compiling: whether compiling has a part in it: if compiled functions were loaded from a cache, a record has
            it under another name, and the entry says so.
        read: reads the metric from a record, if it is not among the record's own metrics.
        split: the split whose images it is of, if it is one of quality: its title says on how little it rests.
        device: the device whose cells have it; empty if those of both have.
    """

    name: str
    title: str
    digits: int
    rate: bool = False
    sample: str = ""
    is_time: bool = False
    short: str = ""
    of_compiling: bool = False
    read: Callable[[Record], float | None] | None = None
    split: str = ""
    device: str = ""

    def of(self, record: Record) -> float | None:
        """The record's value; None if it is undefined or was not measured."""
        value = self.read(record) if self.read else record.metrics.get(self.name)
        return None if formats.is_undefined(value) else value

    @property
    def heading(self) -> str:
        """What a column of the metric is called beside others."""
        return self.short or self.title

    @property
    def regime(self) -> str:
        """The regime whose rate it shows; empty if it shows none."""
        return self.sample.removesuffix("_s")

    def unsteady(self, record: Record) -> tuple[bool, float, float] | None:
        """Whether unsteady samples have a trend, and what their halves give, else the ends of their spread.

        None if they are steady or too few.
        """
        value = self.of(record)
        if value is None or not is_unstable(record, self.sample):
            return None
        samples = record.samples[self.sample]
        trend = steadiness.fault(samples) == steadiness.TREND
        pair = steadiness.halves(samples) if trend else steadiness.ends(samples)
        stretches = [seconds / statistics.median(samples) for seconds in pair]
        first, second = (value * (stretch if self.is_time else 1 / stretch) for stretch in stretches)
        return (trend, first, second) if trend or first < second else (trend, second, first)


QUALITY = (
    MetricRow("test_accuracy", "Test accuracy", 3, short="accuracy", split="test"),
    MetricRow("test_auroc", "Test AUROC", 3, short="AUROC", split="test"),
    MetricRow("test_loss", "Test loss (binary cross-entropy, nats)", 3, short="loss", split="test"),
)
# Of cells that are not tested.
VALIDATION = (
    MetricRow("val_accuracy", "Validation accuracy", 3, short="val accuracy", split="val"),
    MetricRow("val_auroc", "Validation AUROC", 3, short="val AUROC", split="val"),
    MetricRow("val_loss", "Validation loss (binary cross-entropy, nats)", 3, short="val loss", split="val"),
)
SPEED = (
    MetricRow("fit_images_per_s", "Fit rate (images/s)", 1, rate=True, sample="fit_s", short="fit images/s"),
    MetricRow("step_images_per_s", "Step rate (images/s)", 1, rate=True, sample="step_s", short="step images/s"),
    MetricRow("predict_images_per_s", "Predict rate (images/s)", 1, rate=True, sample="predict_s"),
    MetricRow("latency_ms", "Latency of one image, host to host (ms)", 1, rate=True, sample="request_s", is_time=True),
    MetricRow("first_step_s", "First step, compilation included (s)", 1, short="first step s", of_compiling=True),
    MetricRow("peak_memory_mib", "Peak memory (MiB)", 0, short="peak MiB", of_compiling=True, device="cpu"),
    MetricRow(
        "device_peak_memory_mib",
        "Peak memory of the GPU in training (MiB)",
        0,
        short="GPU peak MiB",
        of_compiling=True,
        device="gpu",
    ),
    MetricRow("predict_device_peak_memory_mib", "Peak memory of the GPU in inference (MiB)", 0, device="gpu"),
    MetricRow(
        "host_peak_memory_mib",
        "Peak memory of the worker on the host (MiB)",
        0,
        short="host peak MiB",
        of_compiling=True,
        device="gpu",
    ),
)
METRICS = (*QUALITY, *SPEED)
STARTUP = (
    MetricRow("import_s", "Import of the framework and Keras (s)", 1),
    MetricRow("build_s", "Building the model (s)", 1, of_compiling=True),
    MetricRow("step_warm_up_s", "Training steps after the first until they are steady (s)", 1),
    MetricRow(
        "request_warm_up_s",
        "Single requests until they are steady, compilation included (s)",
        1,
        of_compiling=True,
    ),
)
# The most that `fit` could reach if its steps took no time.
INPUT = (MetricRow("input_images_per_s", "The input pipeline alone (images/s)", 1),)
# Of cells that loaded from a cache what an earlier cell had compiled.
WARM = (
    MetricRow("warm_first_step_s", "First step from a warm compilation cache (s)", 1),
    MetricRow("warm_build_s", "Building the model, from a warm compilation cache (s)", 1),
    MetricRow("warm_request_warm_up_s", "Single requests until they are steady, from a warm compilation cache (s)", 1),
    MetricRow("warm_peak_memory_mib", "Peak memory of a process with a warm compilation cache (MiB)", 0),
    MetricRow("warm_device_peak_memory_mib", "Peak memory of the GPU, from a warm compilation cache (MiB)", 0),
    MetricRow("warm_host_peak_memory_mib", "Peak memory on the host, from a warm compilation cache (MiB)", 0),
)
ENERGY = (
    MetricRow("step_energy_j_per_image", "Energy of training (J/image)", 3),
    MetricRow("predict_energy_j_per_image", "Energy of inference (J/image)", 3),
    MetricRow("step_power_w", "Mean power in training (W)", 0),
    MetricRow(
        "idle_power_w", "Power of the GPU before the framework was imported, which may not be at rest yet (W)", 0
    ),
)
STALENESS = (
    MetricRow("train_mode_accuracy", "Accuracy on the same training images, training mode", 3, split="train"),
    MetricRow("inference_mode_accuracy", "Accuracy on the same training images, inference mode", 3, split="train"),
)


def quality_rows(cell: Cell) -> tuple[MetricRow, ...]:
    """The metrics of quality of such a cell: of test images, or, if it is not tested, of validation images."""
    return QUALITY if cell.test else VALIDATION


def recordable(rows: Iterable[MetricRow], records: Sequence[Record]) -> tuple[MetricRow, ...]:
    """Those of the rows that records of such a device have, or that one of these has all the same."""
    devices = {"", *(record.cell.device for record in records)}
    return tuple(row for row in rows if row.device in devices or any(row.name in each.metrics for each in records))


def metric_table(group: Group, metric: MetricRow) -> Table:
    """Models down, backends across; a cell that is not ok shows its status.

    A rate is marked if the backends' parity failed (`‡`) or was never measured (`†`), with the verdict beside it; and
    if it is doubtful (`!`), with notes that say why.
    """
    columns = line_columns(group)
    rows = [
        (word(line.title), word(line.start), *(line_entry(group, line, name, metric) for name in group.backends))
        for line in group.lines
    ]
    if metric.split:
        return Table(titles.with_note(metric.title, titles.note(group.records, metric.split)), columns, tuple(rows))
    notes = _doubts(group, metric)
    if not metric.rate:
        return Table(metric.title, columns, tuple(rows), notes)
    verdicts = (word(_verdicts(group).among(group.machine, group.ok_records(line))) for line in group.lines)
    judged = ((*row, verdict) for row, verdict in zip(rows, verdicts, strict=True))
    return Table(metric.title, (*columns, words("parity")), tuple(judged), notes)


def merged_table(group: Group, title: str, metrics: Sequence[MetricRow]) -> Table:
    """One line a model and backend, a column a metric: the entries that `metric_table` has in tables of their own.

    For people; if a metric is a rate, the parity of the line's backends stands behind it.
    """
    rates = any(metric.rate for metric in metrics)
    rows = []
    for line in group.lines:
        parity = [word(_verdicts(group).among(group.machine, group.ok_records(line)))] if rates else []
        for name in group.backends:
            entries = [line_entry(group, line, name, metric) for metric in metrics]
            rows.append((*map(word, (line.title, line.start, name)), *entries, *parity))
    columns = (*map(words, ("model", "start", "backend")), *(figures(metric.heading) for metric in metrics))
    split = next((metric.split for metric in metrics if metric.split), "")
    noted = titles.with_note(title, titles.note(group.records, split)) if split else title
    return Table(noted, (*columns, *([words("parity")] if rates else [])), tuple(rows), _all_doubts(group, metrics))


def _all_doubts(group: Group, metrics: Sequence[MetricRow]) -> tuple[str, ...]:
    """A line for each kind of doubt about the rates of several metrics."""
    places = {
        f"{group.label(line)} on {name}, {metric.heading}": (group.of(line, name), metric)
        for metric in metrics
        if metric.rate
        for line in group.lines
        for name in group.backends
    }
    return doubt_lines(places)


def _doubts(group: Group, metric: MetricRow) -> tuple[str, ...]:
    """A line for each kind of doubt about the rates of a table."""
    places = {f"{group.label(line)} on {name}": group.of(line, name) for line in group.lines for name in group.backends}
    return doubt_lines({place: (records, metric) for place, records in places.items()})


def doubt_lines(shown: Mapping[str, tuple[Sequence[Record], MetricRow]]) -> tuple[str, ...]:
    """A line for each kind of doubt about the metrics shown at these places, each of some records."""
    doubted = {
        place: [doubts.every(record, metric.regime) for record in records if record.ok]
        for place, (records, metric) in shown.items()
    }
    return tuple(f"{doubts.MARK} {line}" for line in lines(doubted))


def line_columns(group: Group) -> tuple[Column, ...]:
    """The columns of a table with a line a model and a column of figures a backend."""
    return (words("model"), words("start"), *map(figures, group.backends))


def line_entry(group: Group, line: Line, backend: str, metric: MetricRow) -> Entry:
    """The line's entry on a backend, marked if it is a rate and the backend's parity failed or was never measured."""
    records = group.of(line, backend)
    mark = _verdicts(group).mark(group.machine, records, group.ok_records(line)) if metric.rate else ""
    return metric_entry(records, metric, len(group.draws(line)), mark)


def _warm_names(metric: MetricRow) -> tuple[str, ...]:
    """The names of the metric in records of cells that loaded compiled functions, all of them or some."""
    return (f"warm_{metric.name}", f"partly_warm_{metric.name}") if metric.of_compiling else ()


def _verdicts(group: Group) -> ParityVerdicts:
    return group.verdicts or NO_FINDINGS


def metric_entry(records: Sequence[Record], metric: MetricRow, wanted: int = 0, mark: str = "") -> Entry:
    """One seed's value, or the median and range over seeds; a status if a record is not ok.

    If samples never settled, the entry shows what their first and second half would give, or the ends of their spread.
    `*` flags a figure from a tree with uncommitted changes, `!` one that is doubtful. If not all
    records are ok, or there are fewer than `wanted`, which is the number of seeds and folds that the line has on any
    backend, the entry says how many.
    """
    if not records:
        return absent(formats.NOT_RUN)
    wanted = max(wanted, len(records))
    failed = [record.status for record in records if not record.ok]
    if failed:
        return Entry(failed[0], functools.partial(formats.status, count=len(failed), wanted=wanted), mark)
    flag = doubts.MARK if any(doubts.beside_unsteady(record, metric.regime) for record in records) else ""
    flag += "*" if any(is_uncommitted(record.environment) for record in records) else ""
    unsteady = [pair for record in records if (pair := metric.unsteady(record))]
    if unsteady:
        trend, first, second = unsteady[0]
        count = len(unsteady)
        writes = functools.partial(formats.unstable, digits=metric.digits, trend=trend, count=count, wanted=wanted)
        return Entry((first, second), writes, mark, flag)
    values = tuple(value for record in records if (value := metric.of(record)) is not None)
    if not values and any(name in record.metrics for record in records for name in _warm_names(metric)):
        return absent(formats.WARM)
    if not values:
        return Entry(None, functools.partial(formats.median, digits=metric.digits), mark)
    return Entry(values, functools.partial(formats.median, digits=metric.digits, wanted=wanted), mark, flag)
