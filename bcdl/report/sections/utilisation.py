"""The part of a group's section that says how far from the device's limit its cells ran."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bcdl.evaluation import utilisation
from bcdl.evaluation.utilisation import REGIMES, Peaks
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.sections.metrics import MetricRow, metric_table
from bcdl.report.tables import Table, figures, significant, word, words

_TEXT = """\
The model's own operations (convolutions and dense layers, counted from its graph: two for each multiplication and
addition) in a second, as a share of the most that this machine gave in a large matrix product or convolution. Workers
of this section measured at most {arithmetic}, and {memory}.
"""
_NO_MEMORY = "no bandwidth of memory (before schema 8 it was that of a copy into new memory, which is no limit)"
_GIGA, _MEBI = 1e9, 2**20
_YARDSTICKS = {
    "product_flops_per_s": "A matrix product in each worker, GFLOP/s",
    "convolution_flops_per_s": "A 3x3 convolution in each worker, GFLOP/s",
    "memory_bytes_per_s": "An array added to another in place in each worker, GB/s read and written",
}


def text(limit: Peaks) -> str:
    """A text that explains the tables, and says what the device gave at most."""
    fastest, memory = limit.arithmetic, _NO_MEMORY
    gflops = formats.fixed(fastest.rate / _GIGA, 0)
    arithmetic = f"{gflops} GFLOP/s, in {utilisation.ARITHMETIC[fastest.metric]} on {fastest.backend}"
    if limit.memory:
        gbytes = formats.fixed(limit.memory.rate / _GIGA, 1)
        memory = f"{gbytes} GB/s, read and written, adding one array to another in place on {limit.memory.backend}"
    return _TEXT.format(arithmetic=arithmetic, memory=memory).strip()


def utilisation_tables(group: Group, limit: Peaks) -> tuple[Table, ...]:
    """Each model's operations/s on each backend as a share of the limit, a table a regime."""
    return tuple(_utilisation(group, regime, limit) for regime in REGIMES)


def _utilisation(group: Group, regime: str, limit: Peaks) -> Table:
    share = functools.partial(utilisation.share, regime=regime, limit=limit)
    title = f"Model FLOPs utilisation, {regime} (%)"
    return metric_table(group, MetricRow("utilisation", title, 1, sample=f"{regime}_s", read=share))


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
