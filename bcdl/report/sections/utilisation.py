"""The part of a group's section that says how far from the device's limit its cells ran."""

from __future__ import annotations

import functools

from bcdl.evaluation import utilisation
from bcdl.evaluation.utilisation import REGIMES, Peaks
from bcdl.records.groups import Group
from bcdl.report import formats
from bcdl.report.sections.metrics import MetricRow, metric_table
from bcdl.report.tables import Table, figures, significant, word, words

_TEXT = """\
The model's own operations (convolutions and dense layers, counted from its graph: two for each multiplication and
addition) in a second, as a share of what this machine gave in a large matrix product. Workers of this section measured
at most {gflops} GFLOP/s in a product and {gbytes} GB/s in a copy, read and written.
"""
_GIGA, _MEBI = 1e9, 2**20


def text(limit: Peaks) -> str:
    """A text that explains the tables, and says what the device gave at most."""
    gflops, gbytes = formats.fixed(limit.flops_per_s / _GIGA, 0), formats.fixed(limit.bytes_per_s / _GIGA, 1)
    return _TEXT.format(gflops=gflops, gbytes=gbytes).strip()


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


def products_line(group: Group) -> list[str]:
    """A line with the rates that each backend's workers measured in a matrix product; none if they measured none.

    It warns if those of one backend differ by much: then the machine changed its speed.
    """
    products = utilisation.products(group)
    if not products:
        return []
    ranges = {backend: formats.spread([rate / _GIGA for rate in rates], 0) for backend, rates in products.items()}
    line = f"A matrix product in each worker, GFLOP/s: {', '.join(' '.join(pair) for pair in ranges.items())}"
    factor = utilisation.unsteady_by(products)
    if factor is not None:
        by = formats.fixed(factor, 1)
        line += f". UNSTEADY by a factor of {by}: rates of this section may differ by more for that alone"
    return [line]
