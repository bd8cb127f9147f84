"""python -m bcdl.compare A B: is B slower than A? Ratios with intervals and p-values; exit code 1 on a regression.

A and B are record files, folders of them, or JSON files of pytest-benchmark. One axis may differ between them, and
everything else that could change a rate must be the same. Never imports Keras.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bcdl import experiment, significance
from bcdl.cell import Cell
from bcdl.errors import UsageError, run_command
from bcdl.progress import console
from bcdl.record import Record, RecordError
from bcdl.significance import Effect
from bcdl.tables import Line, Table

RATES = ("fit", "step", "predict")
# What may set two sides apart, and how the message names it.
AXES = ("versions", "backend", "precision", "commit")
RATIO = "B / A"  # the column of ratios
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


def main() -> int:
    arguments = _parse()
    comparisons = compare(read(Path(arguments.a)), read(Path(arguments.b)), arguments.across)
    noise, told = _noise(Path(arguments.a), arguments.noise, min(min(one.effect.processes) for one in comparisons))
    beyond = threshold(noise)
    console().print(table(comparisons).to_rich())
    if hopeless := beyond_reach(comparisons):
        raise UsageError(hopeless)
    judged = [one for one in comparisons if one.interleaved or arguments.allow_separate]
    regressions = [one for one in judged if one.regressed(beyond)]
    for line in [told, *_conclusion(comparisons, judged, regressions, beyond)]:
        print(line)
    return 1 if regressions else 0


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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bcdl.compare", description=__doc__)
    parser.add_argument(
        "a", metavar="A", help="the side to compare with: record file, folder, or pytest-benchmark JSON"
    )
    parser.add_argument("b", metavar="B", help="the side that may have become slower")
    parser.add_argument(
        "--across", choices=AXES, help="the one axis that may differ; where not given, the one that does"
    )
    parser.add_argument(
        "--noise",
        nargs=2,
        metavar=("A", "A2"),
        help="two sides that are the same, measured in turn: what noise alone does; where not given, what "
        "benchmarks.experiment_power found on A's machine",
    )
    parser.add_argument("--allow-separate", action="store_true", help="judge sides that were not measured in turn, too")
    return parser.parse_args()


def read(source: Path) -> list[Sample]:
    """Every process's rates in the file or folder; UsageError where it holds none."""
    if source.suffix == ".json":
        samples = _from_pytest_benchmark(source)
    else:
        samples = [sample for file in _record_files(source) for sample in _from_records(file)]
    if not samples:
        raise UsageError(
            f"{source} holds no ok record with rates: give a record file, a folder of them, or a JSON file"
        )
    return samples


def _record_files(source: Path) -> list[Path]:
    return sorted(source.rglob("*.jsonl")) if source.is_dir() else [source]


def _from_records(file: Path) -> list[Sample]:
    try:
        records = [Record.from_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError, RecordError) as error:
        raise UsageError(f"{file} can't be read as records: {error}") from error
    return [sample for record in records for sample in samples(record)]


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


def _from_pytest_benchmark(file: Path) -> list[Sample]:
    try:
        benchmarks = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
        infos = [benchmark["extra_info"] for benchmark in benchmarks]
        return [
            Sample(
                Cell.parse(info["cell"]),
                info["regime"],
                float(info["images_per_s"]),
                info["block"],
                info["axes"],
                tuple(info["rest"]),
            )
            for info in infos
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is no JSON of pytest-benchmark from this harness ({error!r})") from error


def compare(a: list[Sample], b: list[Sample], across: str | None = None) -> list[Comparison]:
    """Every cell and regime that both sides have; UsageError where they share none, or differ in more than an axis."""
    across = across or _differing_axis(a, b)
    first, second = _by_cell(a, across), _by_cell(b, across)
    shared = [key for key in first if key in second]
    if not shared:
        raise UsageError("A and B share no cell: " + _first_difference(a[0].cell, b[0].cell))
    effects = {key: _effect(first[key], second[key]) for key in shared}
    corrected = significance.holm([effect.p for effect, _ in effects.values()])
    return [
        Comparison(title(first[key][0].cell), key[1], effect, interleaved, p)
        for (key, (effect, interleaved)), p in zip(effects.items(), corrected, strict=True)
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
        return significance.paired([rounds_a[block] for block in shared], [rounds_b[block] for block in shared]), True
    return significance.independent([sample.rate for sample in a], [sample.rate for sample in b]), False


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


def table(comparisons: list[Comparison]) -> Table:
    rows = [
        (
            one.title,
            one.regime,
            *(f"{median:.1f}" for median in one.effect.medians),
            f"{one.effect.ratio:.3f}",
            one.effect.interval,
            _p(one.effect.p),
            _p(one.p),
            f"{one.effect.delta:+.2f}",
            " and ".join(map(str, one.effect.processes)),
            "in turn" if one.interleaved else "apart",
        )
        for one in comparisons
    ]
    figures = ("A, median", "B, median", RATIO, "95% interval", "p", "p, Holm", "Cliff's delta", "processes")
    return Table("Images/s of A and B", ("cell", "regime", *figures, "measured"), tuple(rows))


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def _noise(a: Path, equal: tuple[str, str] | None, rounds: int) -> tuple[float, str]:
    """The noise of equal sides in a comparison of so many rounds, 0 where it is not known; and what to say of it."""
    known = _given_noise(equal, rounds) if equal else _measured_noise(a, rounds)
    if known is None:
        return 0.0, (
            "the noise of equal sides on this machine is not known (python -m benchmarks.experiment_power measures "
            f"it), so that any significant slow-down over {LEAST_REGRESSION:.0%} counts"
        )
    noise, source = known
    return noise, f"noise of equal sides in {rounds} rounds: {noise:.1%} ({source})"


def _given_noise(equal: tuple[str, str], rounds: int) -> tuple[float, str]:
    first, second = (read(Path(source)) for source in equal)
    found = [one for one in compare(first, second) if one.interleaved and not math.isnan(one.effect.scatter)]
    if not found:
        raise UsageError("--noise needs two sides that were measured in turn, 3 rounds or more")
    return max((one.effect.scatter / math.sqrt(rounds), f"{one.title}, {one.regime}") for one in found)


def _measured_noise(a: Path, rounds: int) -> tuple[float, str] | None:
    """What experiments found on the machine in whose folder A's records lie, in the same results folder."""
    file = next(iter(_record_files(a)), a).resolve()
    return experiment.noise_of_equal_sides(file.parents[2], file.parent.name, rounds) if len(file.parents) > 2 else None


def _conclusion(
    comparisons: list[Comparison], judged: list[Comparison], regressions: list[Comparison], threshold: float
) -> list[str]:
    lines = [
        f"slower by more than {threshold:.1%}, beyond chance: {one.title}, {one.regime}: {one.effect.ratio:.3f} of A"
        for one in regressions
    ]
    if len(judged) < len(comparisons):
        apart = len(comparisons) - len(judged)
        lines.append(
            f"{apart} of {len(comparisons)} were not measured in turn, so that drift of the machine counts as an "
            "effect; they fail nothing unless --allow-separate is given (nox -s bench-ab measures in turn)"
        )
    return lines or [f"no regression of more than {threshold:.1%}"]


if __name__ == "__main__":
    run_command(main)
