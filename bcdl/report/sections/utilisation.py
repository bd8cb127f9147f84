"""The part of a group's section that says how far from the device's limit its cells ran."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bcdl.evaluation import utilisation
from bcdl.evaluation.utilisation import REGIMES, Peak, Peaks
from bcdl.machine import data_sheets
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import formats, how_to_read
from bcdl.report.sections.metrics import MetricRow, merged_table, metric_table
from bcdl.report.tables import Table, figures, significant, word, words
from bcdl.text import escape

_TEXT = """\
Workers of this section measured at most {arithmetic}, and {memory}.
"""
_NO_MEMORY = "no bandwidth of memory (before schema 8 it was that of a copy into new memory, which is no limit)"
_NO_SHEET_OF_A_PROCESSOR = """\
No data sheet stands beside them: a processor's gives no rate, and its clock under load is not known.
"""
_TERA, _GIGA, _MEBI = 1e12, 1e9, 2**20
_YARDSTICKS = {
    "product_flops_per_s": "A matrix product in each worker, GFLOP/s",
    "convolution_flops_per_s": "A 3x3 convolution in each worker, GFLOP/s",
    "memory_bytes_per_s": "An array added to another in place in each worker, GB/s read and written",
}


def text(group: Group, limit: Peaks) -> str:
    """A text that explains the tables, and says what the device gave at most, and what its data sheet does."""
    fastest, memory = limit.arithmetic, _NO_MEMORY
    gflops = formats.fixed(fastest.rate / _GIGA, 0)
    arithmetic = f"{gflops} GFLOP/s, in {utilisation.ARITHMETIC[fastest.metric]} on {fastest.backend}"
    if limit.memory:
        gbytes = formats.fixed(limit.memory.rate / _GIGA, 1)
        memory = f"{gbytes} GB/s, read and written, adding one array to another in place on {limit.memory.backend}"
    measured = _TEXT.format(arithmetic=arithmetic, memory=memory).strip()
    return f"{how_to_read.link(how_to_read.LIMIT)} {measured} {_data_sheet(group, limit)}"


def _data_sheet(group: Group, limit: Peaks) -> str:
    """What the data sheet of the group's GPU says, and which share of it was measured; or why none stands there."""
    gpus = utilisation.gpus(group)
    if not gpus:
        return _NO_SHEET_OF_A_PROCESSOR.strip()
    if len(gpus) > 1:
        return f"No data sheet stands beside them: several GPUs computed ({', '.join(map(escape, gpus))})."
    name, sheet = escape(gpus[0]), data_sheets.find(gpus[0])
    if sheet is None:
        return f"No data sheet known for {name}."
    precision = group.first.cell.precision
    arithmetic = _beside(sheet.flops_per_s(precision), limit.arithmetic, _TERA, f"TFLOP/s in {precision}")
    memory = _beside(sheet.memory_bytes_per_s, limit.memory, _GIGA, "GB/s")
    return f"Data sheet of {name} (dense, at boost clock): {arithmetic}; {memory}. Source: {sheet.source}."


def _beside(rate: float | None, measured: Peak | None, scale: float, unit: str) -> str:
    """A rate of a data sheet, and the share of it that was measured."""
    if rate is None:
        return f"no figure in {unit}"
    share = f", of which {formats.percent(measured.rate / rate)} were measured" if measured else ""
    return f"{formats.plain(rate / scale)} {unit}{share}"


def part(group: Group, limit: Peaks, costs: Sequence[Table]) -> str:
    """The part of the page: the shares of the limit in one table, and what the models cost."""
    shares = merged_table(group, "Model FLOPs utilisation", [_metric(regime, limit) for regime in REGIMES])
    shown = (table.to_markdown() for table in (shares, *costs))
    return "\n\n".join(["## How far from the device's limit?", text(group, limit), *shown])


def utilisation_tables(group: Group, limit: Peaks) -> tuple[Table, ...]:
    """Each model's operations/s on each backend as a share of the limit, a table a regime."""
    return tuple(metric_table(group, _metric(regime, limit)) for regime in REGIMES)


def _metric(regime: str, limit: Peaks) -> MetricRow:
    share = functools.partial(utilisation.share, regime=regime, limit=limit)
    title = f"Model FLOPs utilisation, {regime} (%)"
    return MetricRow("utilisation", title, 1, sample=f"{regime}_s", short=f"{regime}, %", read=share)


def cost_table(group: Group) -> Table:
    """What each model costs for one image, on any backend; models whose cost no record has are left out."""
    rows = []
    for line in group.lines:
        cost = utilisation.cost(group, line)
        if cost:
            operations = (cost.forward_flops / _GIGA, cost.training_flops / _GIGA)
            sizes = (cost.weight_bytes / _MEBI, cost.output_bytes / _MEBI)
            costs = (significant(value, 3) for value in (*operations, *sizes))
            rows.append((word(line.title), word(line.start), *costs))
    costs_of = ("forward, GFLOP", "training step, GFLOP", "weights, MiB", "layers' outputs, MiB")
    columns = (words("model"), words("start"), *map(figures, costs_of))
    return Table("What a model costs for one image", columns, tuple(rows))


def yardstick_lines(records: Sequence[Record]) -> list[str]:
    """A line for each yardstick with the rates that each backend's workers measured; none if they measured none.

    The records are ok; several may be of one cell.

    It warns if those of one backend differ by much, since then the machine changed its speed, and if the backends
    disagree.
    """
    return [
        line
        for metric, title in _YARDSTICKS.items()
        if (line := _yardstick_line(title, utilisation.yardstick_of(records, metric)))
    ]


def _yardstick_line(title: str, measured: dict[str, list[float]]) -> str:
    if not measured:
        return ""
    ranges = {backend: formats.spread([rate / _GIGA for rate in rates], 0) for backend, rates in measured.items()}
    line = f"{title}: {', '.join(' '.join(pair) for pair in ranges.items())}"
    if (factor := utilisation.unsteady_by(measured)) is not None:
        by = formats.fixed(factor, 1)
        line += f". UNSTEADY by a factor of {by}: rates of this section may differ by more for that alone"
    if (factor := utilisation.disagree_by(measured)) is not None:
        by = formats.fixed(factor, 1)
        line += f". The backends DISAGREE by a factor of {by}, so that this is no limit of the device for all of them"
    return line
