"""Tables: records in, rows of text out. Never imports Keras.

Records are first sorted into groups that may stand in one table: same machine, data (by checksum) and
settings; only model, backbone weights, backend and seed differ.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import html
import io
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import rich.markup
import rich.table

from bcdl import measure
from bcdl.cell import Cell
from bcdl.legible import legible
from bcdl.models import MODELS
from bcdl.parity.comparison import MISMATCH, UNMEASURED, Verdicts
from bcdl.record import Record

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
_LONGEST_NAME = 60  # in a file's name
_UNSAFE = r"^\.+|[^A-Za-z0-9_.-]+"
NO_FINDINGS = Verdicts(())
# What may differ between the records of one group: what makes its lines and columns, and what chance decides.
_TRAINING = ("head_epochs", "keep", "patience", "class_weights", "batch_norm")
_FREE = ("model", "weights", *_TRAINING, "backend", "seed", "fold")
_BATCH_NORM = {"moving": "Keras's averages", "faster": "faster averages", "frozen": "frozen batch norms"}


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
class Line:
    """A model started from certain weights and trained in a certain way: a line of every table, a series of every plot.

    `training` says in words what was chosen otherwise than usual; empty where nothing was.
    """

    model: str
    weights: str
    training: str = ""

    @classmethod
    def of(cls, cell: Cell) -> Line:
        """The line that the cell's record stands in."""
        chosen = (
            f"head alone for {cell.head_epochs} epochs first" if cell.head_epochs else "",
            _BATCH_NORM.get(cell.batch_norm, ""),
            "balanced loss" if cell.class_weights else "",
            f"patience {cell.patience}" if cell.patience else "",
            f"{cell.keep} epoch" if cell.keep != "best" else "",
        )
        return cls(cell.model, cell.weights, ", ".join(filter(None, chosen)))

    @property
    def title(self) -> str:
        return MODELS[self.model].title if self.model in MODELS else self.model

    @property
    def start(self) -> str:
        """What the backbone started from, and how it was trained where not as usual."""
        weights = {"none": "random", "imagenet": "ImageNet"}.get(self.weights, f"file {self.weights}")
        return f"{weights}; {self.training}" if self.training else weights


@dataclasses.dataclass(frozen=True)
class Group:
    """Records that may stand in one table, the newest of each cell; what is known of their backends' parity."""

    machine: str
    checksum: str
    records: tuple[Record, ...]
    verdicts: Verdicts = NO_FINDINGS

    @property
    def first(self) -> Record:
        """A record to read the common settings from; one that ran, where there is one."""
        return next((record for record in self.records if record.ok), self.records[0])

    @property
    def synthetic(self) -> bool:
        return bool(self.first.dataset.get("synthetic"))

    @property
    def slug(self) -> str:
        """A file name for the group: readable, and made unique by a digest of the whole key."""
        cell = self.first.cell
        digest = hashlib.sha256(repr(_key(self.machine, self.checksum, self.first)).encode()).hexdigest()[:6]
        settings = f"{cell.image_size}px-b{cell.batch_size}-{cell.precision}"
        parts = (cell.data, cell.profile, settings)
        return re.sub(_UNSAFE, "_", "-".join(part[:_LONGEST_NAME] for part in parts) + f"-{digest}")

    @property
    def mark(self) -> str:
        """What titles of its figures begin with: a warning where one patient's images are on both sides."""
        return "LEAKY: " if self.first.cell.split_by == "image" else ""

    @property
    def title(self) -> str:
        """One line that says what was run; synthetic data is called so."""
        cell = self.first.cell
        kind = " (synthetic drawings)" if self.synthetic else ""
        augmented = "augmented" if cell.augment else "not augmented"
        folds = f", {cell.folds} folds" if cell.folds else ""
        leaky = ", LEAKY: split by image" if cell.split_by == "image" else ""
        return (
            f"{cell.data}{kind}, {cell.precision}, {cell.image_size}x{cell.image_size}, batch {cell.batch_size}, "
            f"{cell.epochs} epochs, Adam {cell.learning_rate:g}, {augmented}, profile {cell.profile}{folds}{leaky}"
        )

    @functools.cached_property
    def lines(self) -> list[Line]:
        """The models and weights there are, in the order of the model table."""
        found = {Line.of(record.cell) for record in self.records}
        order = {name: place for place, name in enumerate(MODELS)}
        return sorted(found, key=lambda line: (order.get(line.model, len(order)), dataclasses.astuple(line)))

    @functools.cached_property
    def backends(self) -> list[str]:
        return sorted({record.cell.backend for record in self.records})

    def label(self, line: Line) -> str:
        """The line's name, with its start where the model stands in the group with several."""
        same = [other for other in self.lines if other.model == line.model]
        parts = [line.title]
        if len({other.weights for other in same}) > 1:
            parts.append(dataclasses.replace(line, training="").start.split()[0])
        if len({other.training for other in same}) > 1:
            parts.append(line.training or "as usual")
        return ", ".join(parts)

    def of(self, line: Line, backend: str) -> list[Record]:
        """The line's records on a backend, one a fold and seed."""
        found = [r for r in self.records if r.cell.backend == backend and Line.of(r.cell) == line]
        return sorted(found, key=lambda record: (record.cell.seed, record.cell.fold))

    def draws(self, line: Line) -> list[str]:
        """The seeds and folds that the line was run with on any backend, in words."""
        found = {(r.cell.seed, r.cell.fold): r.cell.draw for r in self.records if Line.of(r.cell) == line}
        return [found[place] for place in sorted(found)]

    @property
    def not_run(self) -> list[str]:
        """What was run on some backend and not on another, in words."""
        found = []
        for line in self.lines:
            draws = self.draws(line)
            for backend in self.backends:
                run = [record.cell.draw for record in self.of(line, backend)]
                which = [draw for draw in draws if draw not in run] if run else [""]
                found += [", ".join(filter(None, (f"{self.label(line)} on {backend}", draw))) for draw in which]
        return found

    def ran(self) -> Iterator[tuple[Line, str, Record]]:
        """The records that are ok, each with its line and backend, in the order of the tables."""
        for line in self.lines:
            for backend in self.backends:
                yield from ((line, backend, record) for record in self.of(line, backend) if record.ok)

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if not record.ok]


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, a head and rows, all text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_markdown(self) -> str:
        lines = [self.head, tuple("---" if name in _WORDS else "---:" for name in self.head), *self.rows]
        return f"**{escape(self.title)}**\n\n" + "\n".join(
            "| " + " | ".join(map(escape, line)) + " |" for line in lines
        )

    def to_rich(self) -> rich.table.Table:
        table = rich.table.Table(title=_plain(self.title), title_justify="left", min_width=60)
        for index, name in enumerate(self.head):
            table.add_column(_plain(name), justify="left" if index == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*map(_plain, row))
        return table


def short_commit(environment: Mapping[str, Any]) -> str:
    """The commit of an environment, `*` where its tree had other changes."""
    return str(environment.get("commit") or "unknown")[:10] + "*" * bool(environment.get("dirty"))


def safe_name(text: str) -> str:
    """`text` as a part of a file's name: it leads into no folder, and where it was changed a digest keeps it unique."""
    safe = re.sub(_UNSAFE, "_", text)[:_LONGEST_NAME]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def escape(text: str) -> str:
    """`text` for a cell of a Markdown table: no bar, line break, tag, link, formula or control character has effect."""
    plain = html.escape(legible(re.sub(r"\s+", " ", text)), quote=False)
    return re.sub(r"[|\[\]$]", lambda match: f"&#{ord(match[0])};", plain)


def _plain(text: str) -> str:
    """`text` for a terminal: no markup or control character has any effect."""
    return rich.markup.escape(legible(text))


def groups(records: Sequence[tuple[str, Record]], verdicts: Verdicts = NO_FINDINGS) -> list[Group]:
    """Records (oldest first, each with its machine) as groups, each cell by its newest record.

    A failed record may not know its data's checksum; it joins the newest group of its settings.
    """
    newest_checksum = {_key(m, "", r): _content(r) for m, r in records if _content(r)}
    sorted_out: dict[tuple[object, ...], dict[str, Record]] = {}
    places: dict[tuple[object, ...], tuple[str, str]] = {}
    for machine, record in records:
        checksum = _content(record) or newest_checksum.get(_key(machine, "", record), "")
        key = _key(machine, checksum, record)
        cells = sorted_out.setdefault(key, {})
        cells[record.cell.id] = record
        places[key] = (machine, checksum)
    found = [Group(*places[key], tuple(cells.values()), verdicts) for key, cells in sorted_out.items()]
    return sorted(found, key=lambda group: (group.synthetic, group.title, group.machine))


def _content(record: Record) -> str:
    """Checksum of the record's data, of its images alone where folds split them in several ways; empty if unknown."""
    return str(record.dataset.get("images_checksum" if record.cell.folds else "checksum", ""))


def _key(machine: str, checksum: str, record: Record) -> tuple[object, ...]:
    return (machine, checksum, *settings_of(record.cell).items())


def settings_of(cell: Cell, free: Sequence[str] = ()) -> dict[str, object]:
    """What the cells of a group have in common, less what else is `free` to differ."""
    return {key: value for key, value in cell.to_dict().items() if key not in (*_FREE, *free)}


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


def is_unstable(record: Record, sample: str) -> bool:
    """Whether the record's samples of that name never settled; not where there are none, or too few to tell."""
    return measure.is_steady(record.samples.get(sample, [])) is False


def _unstable(record: Record, metric: MetricRow) -> str:
    first, second = (metric.at(record, seconds) for seconds in measure.halves(record.samples[metric.sample]))
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
    head = max((table.head for table in tables), key=len)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", *head])
    for table in tables:
        for row in table.rows:
            plain = [value.rstrip(MISMATCH + UNMEASURED) for value in row]
            writer.writerow([table.title, *plain, *[""] * (len(head) - len(row))])
    return text.getvalue()
