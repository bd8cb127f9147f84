"""Is B slower than A? Ratios with intervals and p-values; exit code 1 on a regression."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections.abc import Hashable
from pathlib import Path

from bcdl.errors import UsageError, run_command
from bcdl.records import log
from bcdl.records.identity import Distinct, LogLine
from bcdl.records.record import Record
from bcdl.records.schema import SCHEMA
from bcdl.report.sections.comparison_table import table
from bcdl.runner.progress import console
from bcdl.screen import say, warn
from bcdl.settings.arguments import Parser
from bcdl.statistics import benchmark_file
from bcdl.statistics.comparison import (
    AXES,
    LEAST_REGRESSION,
    NOISE_FACTOR,
    Comparison,
    Sample,
    beyond_reach,
    compare,
    differing_axis,
    of_known_code,
    samples,
    unshared,
    with_equal_sides,
)
from bcdl.text import legible

_LISTED = 5  # cells that one side alone has
_FEWEST = 3  # rounds of equal sides: two say next to nothing of their noise
_RULE = (
    f"each cell is judged by its own noise, the standard error of its ratio: a significant slow-down counts if it is "
    f"larger than {LEAST_REGRESSION:.0%} and than {NOISE_FACTOR:g} times that (column threshold); HL is the ratio of "
    "Hodges and Lehmann, which a few wild rounds hardly move"
)


def main() -> int:
    arguments = _parse()
    a, b = read_sides(Path(arguments.a), Path(arguments.b))
    equal = _equal_sides(*arguments.noise) if arguments.noise else []
    comparisons = with_equal_sides(compare(a, b, arguments.across), equal)
    noise = _on_equal_sides(comparisons) if equal else []
    console().print(table(comparisons).to_rich())
    if reason := beyond_reach(comparisons):
        raise UsageError(reason)
    judged = [compared for compared in comparisons if compared.interleaved or arguments.allow_separate]
    regressions = [compared for compared in judged if compared.regressed]
    code = [_code_of("A", a), _code_of("B", b)]
    alone = _alone(*unshared(a, b, arguments.across))
    for line in [*code, *alone, _RULE, *noise, *_conclusion(comparisons, judged, regressions)]:
        say(line)
    return 1 if regressions else 0


def _parse() -> argparse.Namespace:
    parser = Parser("compare", __doc__)
    parser.add_argument(
        "a", type=Path, metavar="A", help="the side to compare with: record file, folder, or pytest-benchmark JSON"
    )
    parser.add_argument("b", type=Path, metavar="B", help="the side that may have become slower")
    parser.add_argument(
        "--across",
        choices=AXES,
        help="the one axis that may differ; if not given, the one that does, unless it is identity, cores or variables",
    )
    parser.add_argument(
        "--noise",
        nargs=2,
        type=Path,
        metavar=("A", "A2"),
        help="two sides that are the same, measured in turn: they raise the noise by which the same cells are judged",
    )
    parser.add_argument("--allow-separate", action="store_true", help="judge sides that were not measured in turn, too")
    return parser.parse_args()


@dataclasses.dataclass
class _Side:
    """What a file or folder gives: lines of records, or rates of pytest-benchmark with the run of each.

    `borrowed` counts the records and rates that do not count here, since an earlier side has them, too.
    """

    source: Path
    lines: list[LogLine[Record]] = dataclasses.field(default_factory=list)
    rates: list[tuple[str, Sample]] = dataclasses.field(default_factory=list)
    problems: list[log.Problem] = dataclasses.field(default_factory=list)
    borrowed: int = 0


def read(source: Path) -> list[Sample]:
    """As `read_sides`, of a single side."""
    (samples,) = read_sides(source)
    return samples


def read_sides(*sources: Path) -> list[list[Sample]]:
    """Every process's rates of known code in each file or folder, the sides of a comparison.

    Whatever can't be read is reported on stderr, and does not count. So is a record that stands in them several times:
    it counts once, for the first side that has it, since it is one process's.

    Raises:
        UsageError: a side has no rates, or a newer bcdl wrote part of it.
    """
    sides = [_read_source(source) for source in sources]
    for side in sides:
        if newer := [problem for problem in side.problems if problem.newer]:
            raise UsageError(str(newer[0]))
    _drop_copies_of_records(sides)
    for side in sides:
        side.rates += [(line.entry.run, sample) for line in side.lines for sample in samples(line.entry)]
    _drop_copies_of_rates(sides)
    return [_known(side) for side in sides]


def _read_source(source: Path) -> _Side:
    side = _Side(source)
    if source.suffix == ".json":
        side.rates = benchmark_file.read(source)
        return side
    for file in _record_files(source):
        lines, problems = log.read_file(file, Record.from_json, SCHEMA, str(file))
        side.lines += lines
        side.problems += problems
    return side


def _drop_copies_of_records(sides: list[_Side]) -> None:
    """Keep each record once, and none of those that contradict each other."""
    distinct = Distinct(line for side in sides for line in side.lines)
    kept, copied = {id(line) for line in distinct.kept}, dict(distinct.copies)
    for side in sides:
        own = {id(line) for line in side.lines}
        _report_copies(side, [id(copied[line]) in own for line in side.lines if line in copied])
        contradictions = [line for line in side.lines if line in distinct.contradictions]
        side.problems += [log.Problem(line.file, line.number, distinct.contradictions[line]) for line in contradictions]
        side.lines = [line for line in side.lines if id(line) in kept]


def _drop_copies_of_rates(sides: list[_Side]) -> None:
    """Keep each rate of a run, cell, regime and round once: records and JSON of pytest-benchmark may hold the same."""
    first: dict[tuple[Hashable, ...], _Side] = {}
    for side in sides:
        keys = [(run, rate.cell, rate.regime, rate.rate, rate.block) for run, rate in side.rates]
        is_new = [key not in first and first.setdefault(key, side) is side for key in keys]
        copied = [first[key] is side for key, new in zip(keys, is_new, strict=True) if not new]
        _report_copies(side, copied, "rates")
        side.rates = list(itertools.compress(side.rates, is_new))


def _report_copies(side: _Side, of_own: list[bool], what: str = "records") -> None:
    """Report so many copies of records or rates, each of one that the side has, or of one that an earlier side has."""
    if own := sum(of_own):
        warn(f"{side.source}: {own} copies of {what} that it holds already do not count")
    if borrowed := len(of_own) - own:
        side.borrowed += borrowed
        warn(f"{side.source}: {borrowed} {what} do not count, since a side before it has them, too")


def _known(side: _Side) -> list[Sample]:
    """The side's rates of known code; UsageError if it has none at all."""
    if not side.rates and side.borrowed:
        raise UsageError(f"{side.source} has nothing that a side before it lacks: give two sides of different records")
    if not side.rates:
        first = f" ({side.problems[0]})" if side.problems else ""
        raise UsageError(
            f"{side.source} holds no ok record with rates{first}: give a record file, a folder of them, or a JSON file"
        )
    for problem in side.problems:
        warn(f"not read: {problem}")
    if side.problems:
        warn(f"{side.source}: compared without what could not be read in {len(side.problems)} places")
    rates = [sample for _, sample in side.rates]
    known = of_known_code(rates)
    if left_out := len(rates) - len(known):
        warn(f"{side.source}: {left_out} rates do not count: their code changed while it ran")
    return known


def _record_files(source: Path) -> list[Path]:
    """The files to read; of a whole results folder those of its records, not those of experiments or parity."""
    if not source.is_dir():
        return [source]
    folder = source / log.RECORDS
    return sorted((folder if folder.is_dir() else source).rglob("*.jsonl"))


def _alone(only_a: list[str], only_b: list[str]) -> list[str]:
    """A line for each side with cells that the other lacks."""
    sides = (("A", "B", only_a), ("B", "A", only_b))
    return [
        legible(f"{len(titles)} in {one} alone, not compared since {other} has none like it: {_first_few(titles)}")
        for one, other, titles in sides
        if titles
    ]


def _first_few(titles: list[str]) -> str:
    more = len(titles) - _LISTED
    return "; ".join(titles[:_LISTED]) + (f"; and {more} more" if more > 0 else "")


def _code_of(side: str, samples: list[Sample]) -> str:
    """A line on the code that a side ran: each commit, `*` if there were changes that it lacks, with its digest."""
    ran = {tuple(str(sample.facts.get(name, "unknown")) for name in ("commit", "code")) for sample in samples}
    listed = (f"commit {commit[:10]}{'*' * commit.endswith('*')}, code {code}" for commit, code in sorted(ran))
    return f"{side} ran {'; '.join(listed)}"


def _equal_sides(first: Path, second: Path) -> list[Comparison]:
    """The comparisons of two sides that are the same; UsageError if they differ or were not measured in turn."""
    if first.resolve() == second.resolve():
        raise UsageError(f"--noise needs two sides that were measured apart, and got {first} twice")
    a, b = read_sides(Path(first), Path(second))
    if axis := differing_axis(a, b):
        raise UsageError(f"--noise needs two sides that are the same, and {first} and {second} differ in {axis}")
    in_turn = [each for each in compare(a, b) if each.interleaved and min(each.effect.processes) >= _FEWEST]
    if not in_turn:
        raise UsageError(f"--noise needs two sides that were measured in turn, {_FEWEST} rounds or more")
    return in_turn


def _on_equal_sides(comparisons: list[Comparison]) -> list[str]:
    """A line for each comparison whose cell has equal sides, and one on the others; UsageError if none has."""
    having = [compared for compared in comparisons if not math.isnan(compared.equal_sides)]
    if not having:
        raise UsageError("--noise has none of the cells that are compared: measure equal sides of one of these")
    lines = [
        f"noise of equal sides in {min(compared.effect.processes)} rounds: {compared.equal_sides:.1%} "
        f"({compared.title}, {compared.regime})"
        for compared in having
    ]
    others = len(comparisons) - len(having)
    rest = [f"{others} of {len(comparisons)} have no equal sides, and their own noise alone"] if others else []
    return [*lines, *rest]


def _conclusion(comparisons: list[Comparison], judged: list[Comparison], regressions: list[Comparison]) -> list[str]:
    """Lines that say which regressions there are, and what was not judged."""
    lines = [
        f"slower by more than {slower.threshold:.1%}, beyond chance: {slower.title}, {slower.regime}: "
        f"{slower.effect.ratio:.3f} of A"
        for slower in regressions
    ]
    if len(judged) < len(comparisons):
        apart = len(comparisons) - len(judged)
        lines.append(
            f"{apart} of {len(comparisons)} were not measured in turn, so that drift of the machine counts as an "
            "effect; they fail nothing unless --allow-separate is given (nox -s bench-ab measures in turn)"
        )
    blind = [compared for compared in judged if not compared.could_regress]
    lines += [f"too few rounds to show any regression: {compared.title}, {compared.regime}" for compared in blind]
    seeing = [compared for compared in judged if compared.could_regress]
    if seeing and not regressions:
        others = f" in the other {len(seeing)}" if lines else ""
        lines.append(f"no regression of more than {_thresholds(seeing)}{others}")
    return lines


def _thresholds(judged: list[Comparison]) -> str:
    """The thresholds by which comparisons were judged, the least and the largest."""
    ends = (f"{end([compared.threshold for compared in judged]):.1%}" for end in (min, max))
    return " to ".join(dict.fromkeys(ends))


if __name__ == "__main__":
    run_command(main)
