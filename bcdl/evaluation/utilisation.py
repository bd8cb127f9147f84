"""How far from the device's limit a cell ran: model FLOPs utilisation, and its place under the roofline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
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
class Cost:
    """What a model costs for one image: operations forward and of a training step, bytes of weights and of outputs."""

    forward_flops: float
    training_flops: float
    weight_bytes: float
    output_bytes: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A record in one regime: operations/s, operations a byte moved (an estimate), whether its rate never settled."""

    line: Line
    backend: str
    flops_per_s: float
    intensity: float
    unstable: bool


def peaks(group: Group) -> Peaks | None:
    """The best of every record's measurement of the device; None if none was made."""
    ran = _with_peak(group)
    if not ran:
        return None
    return Peaks(*(max(record.value(name) for record in ran) for name in ("peak_flops_per_s", "peak_bytes_per_s")))


def _with_peak(group: Group) -> list[Record]:
    """The records whose worker measured the device."""
    return [record for *_, record in group.ran() if record.value("peak_flops_per_s") > 0]


def products(group: Group) -> dict[str, list[float]]:
    """What each backend's workers measured in a matrix product, operations/s; empty if none measured the device."""
    measured: dict[str, list[float]] = {}
    for record in _with_peak(group):
        measured.setdefault(record.cell.backend, []).append(record.value("peak_flops_per_s"))
    return measured


def unsteady_by(products: dict[str, list[float]]) -> float | None:
    """By which factor one backend's products differ, if by so much that the machine must have changed its speed.

    If they agree it may have changed all the same.
    """
    ratio = max((max(rates) / min(rates) for rates in products.values()), default=1.0)
    return ratio if ratio > _STEADY_RATIO else None


def share(record: Record, regime: str, limit: Peaks) -> float | None:
    """The record's operations/s as a share of the limit, percent; None if its operations were not counted."""
    achieved = flops_per_s(record, regime)
    return None if achieved is None else 100 * achieved / limit.flops_per_s


def flops_per_s(record: Record, regime: str) -> float | None:
    """Operations/s of the model (not of what the framework adds); None if they were not counted."""
    per_image = _flops(record, regime)
    return per_image * record.value(f"{regime}_images_per_s") if per_image else None


def points(group: Group, regime: str) -> Iterator[Point]:
    """Every record whose operations were counted, and of whose optimizer it is known what it keeps."""
    for line, backend, record in group.ran():
        achieved = flops_per_s(record, regime)
        if achieved and achieved > 0 and record.cell.optimizer in OPTIMIZER_SLOTS:
            intensity = _flops(record, regime) * record.cell.batch_size / max(1.0, _bytes(record, regime))
            yield Point(line, backend, achieved, intensity, is_unstable(record, f"{regime}_s"))


def cost(group: Group, line: Line) -> Cost | None:
    """What the line's model costs for one image, on whatever backend; None if nobody counted it."""
    record = next((record for record in group.ok_records(line) if "cost" in record.model), None)
    if record is None:
        return None
    counted = record.model["cost"]
    return Cost(
        forward_flops=sum(counted["forward_flops"].values()),
        training_flops=sum(counted["training_flops"].values()),
        weight_bytes=counted["weight_bytes"],
        output_bytes=counted["activation_bytes"],
    )


def _flops(record: Record, regime: str) -> float:
    counted = record.model.get("cost", {}).get("training_flops" if regime == "step" else "forward_flops", {})
    return float(sum(counted.values()))


def _bytes(record: Record, regime: str) -> float:
    cost = record.model["cost"]
    outputs = record.cell.batch_size * cost["activation_bytes"]
    slots = OPTIMIZER_SLOTS[record.cell.optimizer] if regime == "step" else 0
    return float(_OUTPUT_TRANSFERS[regime] * outputs + (_WEIGHT_TRANSFERS[regime] + 2 * slots) * cost["weight_bytes"])
