"""python -m bcdl.compare A B: is B slower than A? Ratios with intervals and p-values; exit code 1 on a regression.

A and B are record files, folders of them, or JSON files of pytest-benchmark. One axis may differ between them, and
everything else that could change a rate must be the same. Never imports Keras.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bcdl.errors import UsageError
from bcdl.records.groups import Line
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.statistics import effects
from bcdl.statistics.effects import Effect

RATES = ("fit", "step", "predict")


# What may set two sides apart, and how the message names it.
AXES = ("versions", "backend", "precision", "commit")


SIGNIFICANT = 0.05


# Slow-downs up to this are no regression, nor up to this many times the noise of equal sides.
LEAST_REGRESSION = 0.03


NOISE_FACTOR = 3.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """One process's rate in one regime.

    Attributes:
        cell: what ran.
        regime: one of `RATES`.
        rate: images/s.
        block: the round of an interleaved run, or empty.
        axes: by name in `AXES`, the value as text.
        rest: what else must agree: hardware, data, weights.
    """

    cell: Cell
    regime: str
    rate: float
    block: str
    axes: dict[str, str]
    rest: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Both sides of one cell in one regime.

    Attributes:
        title: of the cell, for people.
        regime: one of `RATES`.
        effect: how B stands to A.
        interleaved: whether the two were measured in turn, in rounds.
        p: the effect's p-value, corrected over all comparisons of the command.
    """

    title: str
    regime: str
    effect: Effect
    interleaved: bool
    p: float

    def regressed(self, beyond: float) -> bool:
        """Whether B is slower by more than a share of `beyond`, beyond chance."""
        return bool(is_regression(self.effect.ratio, self.p, beyond))


def beyond_reach(comparisons: Sequence[Comparison]) -> str:
    """Why no p could be significant, whatever the rates; empty where one could."""
    number, least = len(comparisons), min(one.effect.least_p for one in comparisons)
    if number * least < SIGNIFICANT:
        return ""
    return (
        f"no regression could be found: of {number} comparisons, with so few processes a side, no p can be under "
        f"{min(1, number * least):.2g}; measure fewer cells, or {rounds_needed(number)} rounds in turn "
        f"(nox -s bench-ab -- --rounds {rounds_needed(number)})"
    )


def rounds_needed(comparisons: int) -> int:
    """Rounds in turn of so many comparisons from which on one of them can be significant."""
    return math.floor(math.log2(2 * comparisons / SIGNIFICANT)) + 1


def threshold(noise: float) -> float:
    """The slow-down, a share, beyond which a significant effect is a regression, at such a noise of equal sides."""
    return max(LEAST_REGRESSION, NOISE_FACTOR * noise)


def is_regression(ratio: float | np.ndarray, p: float | np.ndarray, beyond: float) -> np.bool_ | np.ndarray:
    """Whether the second side, at `ratio` of the first's rate, is slower by more than `beyond`, and not by chance."""
    return np.less(p, SIGNIFICANT) & np.less(ratio, 1 / (1 + beyond))


def samples(record: Record) -> list[Sample]:
    """The process's rates, one a regime; none where it is not ok."""
    found = {regime: record.value(f"{regime}_images_per_s") for regime in RATES if record.ok}
    return [
        Sample(record.cell, regime, rate, record.block, *circumstances(record))
        for regime, rate in found.items()
        if rate > 0
    ]


def circumstances(record: Record) -> tuple[dict[str, str], tuple[str, ...]]:
    """The axes and the rest of what can change a record's rates, as text."""
    environment = record.environment
    versions = {name: version for name, version in environment.get("versions", {}).items() if name != "bcdl"}
    axes = {
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "backend": record.cell.backend,
        "precision": record.cell.precision,
        "commit": str(environment.get("commit")),
    }
    hardware = [str(environment.get(key)) for key in ("cpu", "cpu_cores", "gpus", "driver")]
    return axes, (*hardware, str(record.dataset.get("checksum")), str(record.weights.get("sha256")))


def compare(a: list[Sample], b: list[Sample], across: str | None = None) -> list[Comparison]:
    """Every cell and regime that both sides have; UsageError where they share none, or differ in more than an axis."""
    across = across or _differing_axis(a, b)
    first, second = _by_cell(a, across), _by_cell(b, across)
    shared = [key for key in first if key in second]
    if not shared:
        raise UsageError("A and B share no cell: " + _first_difference(a[0].cell, b[0].cell))
    of_cells = {key: _effect(first[key], second[key]) for key in shared}
    corrected = effects.holm([effect.p for effect, _ in of_cells.values()])
    return [
        Comparison(title(first[key][0].cell), key[1], effect, interleaved, p)
        for (key, (effect, interleaved)), p in zip(of_cells.items(), corrected, strict=True)
    ]


def _differing_axis(a: list[Sample], b: list[Sample]) -> str | None:
    """The axis that sets the sides apart, None where they are the same."""
    differing = [axis for axis in AXES if {s.axes[axis] for s in a} != {s.axes[axis] for s in b}]
    # A backend brings its own versions with it.
    if "backend" in differing and "versions" in differing:
        differing.remove("versions")
    if len(differing) > 1:
        raise UsageError(f"A and B differ in {' and '.join(differing)}: measure them with only one of these changed")
    return differing[0] if differing else None


def _by_cell(samples: list[Sample], across: str | None) -> dict[tuple[str, str], list[Sample]]:
    """Samples by what must be the same on both sides: cell, axes and the rest, save the axis that may differ.

    Seeds are one cell: another one is another draw of the same rate.
    """
    free = {"seed", across, "versions"} if across == "backend" else {"seed", across}
    found: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        settings = {key: value for key, value in sample.cell.to_dict().items() if key not in free}
        axes = {axis: value for axis, value in sample.axes.items() if axis not in free}
        found[json.dumps([settings, axes, sample.rest], sort_keys=True), sample.regime].append(sample)
    return dict(found)


def _effect(a: list[Sample], b: list[Sample]) -> tuple[Effect, bool]:
    """The effect, and whether the sides were measured in turn: each round's rates of a side count as one."""
    rounds_a, rounds_b = _by_round(a), _by_round(b)
    shared = [block for block in rounds_a if block in rounds_b]
    if shared and "" not in shared:
        return effects.paired([rounds_a[block] for block in shared], [rounds_b[block] for block in shared]), True
    return effects.independent([sample.rate for sample in a], [sample.rate for sample in b]), False


def _by_round(samples: list[Sample]) -> dict[str, float]:
    rounds: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        rounds[sample.block].append(sample.rate)
    return {block: math.exp(sum(map(math.log, rates)) / len(rates)) for block, rates in rounds.items()}


def title(cell: Cell) -> str:
    """The cell in the words of a comparison: what both of its sides have in common."""
    model = Line.of(cell).title
    return f"{model}, {cell.data}, {cell.image_size}x{cell.image_size}, batch {cell.batch_size}"


def _first_difference(a: Cell, b: Cell) -> str:
    theirs = b.to_dict()
    differing = [
        f"{key} is {value} in A and {theirs[key]} in B" for key, value in a.to_dict().items() if value != theirs[key]
    ]
    return ", ".join(differing) or "their hardware, data or versions differ"
