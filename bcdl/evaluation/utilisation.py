"""How far from the device's limit a cell ran: model FLOPs utilisation, and its place under the roofline."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator

from bcdl.records.groups import Group, Line
from bcdl.records.record import Record

REGIMES = ("step", "predict")
# Times that a layer's output crosses the memory bus if nothing is fused or cached. Inference writes it and reads it
# once. Training reads it again for the gradient of the next layer's weights, and writes its own gradient and reads that
# twice, for the weights' gradient and the input's.
_OUTPUT_TRANSFERS = {"predict": 2, "step": 6}
# The same of the weights: read forward; then read backward, the gradient written and read, the weights likewise.
_WEIGHT_TRANSFERS = {"predict": 1, "step": 6}
# What an optimizer keeps of each weight, read and written in a step: Adam's two moments, the velocity of SGD.
OPTIMIZER_SLOTS = {"adam": 2, "sgd": 1}
# Of a layer's outputs, by the compute dtype of the precision; a model's cost counts 4.
_OUTPUT_BYTES = {"mixed_bfloat16": 2}
# What workers measure of a device's arithmetic, by metric.
ARITHMETIC = {"product_flops_per_s": "a matrix product", "convolution_flops_per_s": "a 3x3 convolution"}
MEMORY = "memory_bytes_per_s"
# Of a backend's fastest product to its slowest: the best of a moment each, they differ by less on a steady machine.
_STEADY_RATIO = 1.25


# Of the backend that got most of a yardstick to the one that got least: they should agree on what a device can do.
_AGREED_RATIO = 1.5


@dataclasses.dataclass(frozen=True)
class Peak:
    """The highest rate that a worker measured: operations/s or bytes/s, the metric, and the backend it was got with."""

    rate: float
    metric: str
    backend: str


@dataclasses.dataclass(frozen=True)
class Peaks:
    """What the group's machine gave at most, over all its records; memory is None if only older schemas measured it."""

    arithmetic: Peak
    memory: Peak | None


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a model costs for one image: operations forward and of a training step, bytes of weights and of outputs."""

    forward_flops: float
    training_flops: float
    weight_bytes: float
    output_bytes: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A record in one regime: operations/s, and operations a byte moved (an estimate)."""

    line: Line
    backend: str
    flops_per_s: float
    intensity: float
    record: Record


def peaks(group: Group) -> Peaks | None:
    """The best of every record's measurement of the device; None if none was made."""
    arithmetic = _highest(group, ARITHMETIC)
    return None if arithmetic is None else Peaks(arithmetic, _highest(group, (MEMORY,)))


def _highest(group: Group, metrics: Collection[str]) -> Peak | None:
    measured = (
        Peak(max(rates), metric, backend) for metric in metrics for backend, rates in yardstick(group, metric).items()
    )
    return max(measured, key=lambda peak: peak.rate, default=None)


def yardstick(group: Group, metric: str) -> dict[str, list[float]]:
    """What each backend's workers measured of the device under that name; empty if none did."""
    return yardstick_of((record for *_, record in group.ran()), metric)


def yardstick_of(records: Iterable[Record], metric: str) -> dict[str, list[float]]:
    """The same of any records that are ok, several of one cell among them."""
    measured: dict[str, list[float]] = {}
    for record in records:
        if record.value(metric) > 0:
            measured.setdefault(record.cell.backend, []).append(record.value(metric))
    return measured


def gpus(group: Group) -> list[str]:
    """Names of the GPUs that computed the group's records, each once; none if processors did."""
    return sorted({_gpu(record) for *_, record in group.ran() if record.cell.device == "gpu"})


def _gpu(record: Record) -> str:
    """The name of the GPU that computed: the framework's, since the driver calls a slice (MIG) by its card's name.

    It is the driver's if the framework gave no name of a card, and only cards of one name are there.
    """
    named, listed = record.environment.get("device", ""), set(record.environment.get("gpus", ()))
    if len(listed) != 1 or any(name in named for name in listed):
        return named or "an unknown GPU"
    return listed.pop()


def unsteady_by(measured: dict[str, list[float]]) -> float | None:
    """By which factor one backend's measurements differ, if by so much that the machine must have changed its speed.

    If they agree it may have changed all the same.
    """
    ratio = max((max(rates) / min(rates) for rates in measured.values()), default=1.0)
    return ratio if ratio > _STEADY_RATIO else None


def disagree_by(measured: dict[str, list[float]]) -> float | None:
    """By which factor the best of one backend differs from another's, if by more than a device's limit should."""
    best = [max(rates) for rates in measured.values()]
    ratio = max(best, default=1.0) / min(best, default=1.0)
    return ratio if ratio > _AGREED_RATIO else None


def share(record: Record, regime: str, limit: Peaks) -> float | None:
    """The record's operations/s as a share of the limit, percent; None if its operations were not counted."""
    achieved = flops_per_s(record, regime)
    return None if achieved is None else 100 * achieved / limit.arithmetic.rate


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
            yield Point(line, backend, achieved, intensity, record)


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
    outputs = record.cell.batch_size * cost["activation_bytes"] * _OUTPUT_BYTES.get(record.cell.precision, 4) / 4
    slots = OPTIMIZER_SLOTS[record.cell.optimizer] if regime == "step" else 0
    return float(_OUTPUT_TRANSFERS[regime] * outputs + (_WEIGHT_TRANSFERS[regime] + 2 * slots) * cost["weight_bytes"])
