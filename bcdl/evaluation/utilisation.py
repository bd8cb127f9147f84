"""How far from the device's limit a cell ran: model FLOPs utilisation, and its place under the roofline.

Never imports Keras.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report.tables import MetricRow, Table, show
from bcdl.statistics.steadiness import is_unstable

REGIMES = ("step", "predict")
# Times that a layer's output crosses the memory bus if nothing is fused or cached. Inference writes it and reads it
# once. Training reads it again for the gradient of the next layer's weights, and writes its own gradient and reads that
# twice, for the weights' gradient and the input's.
_OUTPUT_TRANSFERS = {"predict": 2, "step": 6}
# The same of the weights: read forward; then read backward, the gradient written and read, the weights likewise.
_WEIGHT_TRANSFERS = {"predict": 1, "step": 6}
# What an optimizer keeps of each weight, read and written in a step: Adam's two moments, the velocity of SGD.
OPTIMIZER_SLOTS = {"adam": 2, "sgd": 1}
# Of a backend's fastest product to its slowest: the best of a moment each, they differ by less on a steady machine.
_STEADY_RATIO = 1.25


@dataclasses.dataclass(frozen=True)
class Peaks:
    """What the group's machine gave at most, over all its records: operations/s and bytes/s."""

    flops_per_s: float
    bytes_per_s: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A record in one regime: operations/s, operations a byte moved (an estimate), whether its rate never settled."""

    line: Line
    backend: str
    flops_per_s: float
    intensity: float
    unstable: bool


def peaks(group: Group) -> Peaks | None:
    """The best of every record's measurement of the device; None where none was made."""
    ran = _with_peak(group)
    if not ran:
        return None
    return Peaks(*(max(record.value(name) for record in ran) for name in ("peak_flops_per_s", "peak_bytes_per_s")))


def _with_peak(group: Group) -> list[Record]:
    """The records whose worker measured the device."""
    return [record for *_, record in group.ran() if record.value("peak_flops_per_s") > 0]


def products(group: Group) -> list[str]:
    """A line of what each backend's workers measured in a matrix product, marked where one backend's differ by much.

    Then the machine changed its speed; where they agree it may have changed all the same. No line where none was made.
    """
    found: dict[str, list[float]] = {}
    for record in _with_peak(group):
        found.setdefault(record.cell.backend, []).append(record.value("peak_flops_per_s") / 1e9)
    if not found:
        return []
    told = ", ".join(f"{backend} {min(some):.0f} to {max(some):.0f}" for backend, some in found.items())
    ratio = max(max(some) / min(some) for some in found.values())
    told = f"A matrix product in each worker, GFLOP/s: {told}"
    if ratio > _STEADY_RATIO:
        told += f". UNSTEADY by a factor of {ratio:.1f}: rates of this section may differ by more for that alone"
    return [told]


def flops_per_s(record: Record, regime: str) -> float | None:
    """Operations/s of the model (not of what the framework adds); None where its cost was not counted."""
    per_image = _flops(record, regime)
    return per_image * record.value(f"{regime}_images_per_s") if per_image else None


def points(group: Group, regime: str) -> Iterator[Point]:
    """Every record whose cost was counted."""
    for line, backend, record in group.ran():
        achieved = flops_per_s(record, regime)
        if achieved and achieved > 0:
            intensity = _flops(record, regime) * record.cell.batch_size / max(1.0, _bytes(record, regime))
            yield Point(line, backend, achieved, intensity, is_unstable(record, f"{regime}_s"))


def utilisation_tables(group: Group, limit: Peaks) -> list[Table]:
    """Each model's operations/s on each backend as a share of the limit, a table a regime."""
    return [_utilisation(group, regime, limit) for regime in REGIMES]


def cost_table(group: Group) -> Table:
    """What each model costs for one image, on whatever backend."""
    rows = []
    for line in group.lines:
        ran = [record for one, _, record in group.ran() if one == line and "cost" in record.model]
        if ran:
            cost = ran[0].model["cost"]
            forward, training = (sum(cost[f"{kind}_flops"].values()) / 1e9 for kind in ("forward", "training"))
            weights, outputs = (cost[f"{kind}_bytes"] / 2**20 for kind in ("weight", "activation"))
            rows.append((line.title, line.start, *(f"{value:.3g}" for value in (forward, training, weights, outputs))))
    head = ("model", "start", "forward, GFLOP", "training step, GFLOP", "weights, MiB", "layers' outputs, MiB")
    return Table("What a model costs for one image", head, tuple(rows))


def _utilisation(group: Group, regime: str, limit: Peaks) -> Table:
    metric = MetricRow("utilisation", f"Model FLOPs utilisation, {regime} (%)", 1, sample=f"{regime}_s")
    rows = []
    for line in group.lines:
        found = [[_with_share(r, regime, limit) for r in group.of(line, backend)] for backend in group.backends]
        rows.append((line.title, line.start, *(show(records, metric, len(group.draws(line))) for records in found)))
    return Table(metric.title, ("model", "start", *group.backends), tuple(rows))


def _with_share(record: Record, regime: str, limit: Peaks) -> Record:
    """The record with its utilisation, percent, among its metrics."""
    achieved = flops_per_s(record, regime)
    share = None if achieved is None else 100 * achieved / limit.flops_per_s
    return dataclasses.replace(record, metrics={**record.metrics, "utilisation": share})


def _flops(record: Record, regime: str) -> float:
    counted = record.model.get("cost", {}).get("training_flops" if regime == "step" else "forward_flops", {})
    return float(sum(counted.values()))


def _bytes(record: Record, regime: str) -> float:
    cost = record.model["cost"]
    outputs = record.cell.batch_size * cost["activation_bytes"]
    slots = OPTIMIZER_SLOTS[record.cell.optimizer] if regime == "step" else 0
    return float(_OUTPUT_TRANSFERS[regime] * outputs + (_WEIGHT_TRANSFERS[regime] + 2 * slots) * cost["weight_bytes"])
