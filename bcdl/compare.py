"""Is B slower than A? Ratios with intervals and p-values; exit code 1 on a regression."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

from bcdl.errors import UsageError, program, run_command
from bcdl.records import log
from bcdl.records.record import Record
from bcdl.records.schema import SCHEMA
from bcdl.report.sections.comparison_table import table
from bcdl.runner.progress import console
from bcdl.screen import say, warn
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
    a, b = read(Path(arguments.a)), read(Path(arguments.b))
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
    parser = argparse.ArgumentParser(prog=program("compare"), description=__doc__)
    parser.add_argument(
        "a", metavar="A", help="the side to compare with: record file, folder, or pytest-benchmark JSON"
    )
    parser.add_argument("b", metavar="B", help="the side that may have become slower")
    parser.add_argument(
        "--across",
        choices=AXES,
        help="the one axis that may differ; if not given, the one that does, unless it is identity, cores or variables",
    )
    parser.add_argument(
        "--noise",
        nargs=2,
        metavar=("A", "A2"),
        help="two sides that are the same, measured in turn: they raise the noise by which the same cells are judged",
    )
    parser.add_argument("--allow-separate", action="store_true", help="judge sides that were not measured in turn, too")
    return parser.parse_args()


def read(source: Path) -> list[Sample]:
    """Every process's rates of known code in a file or folder; UsageError without rates, or if a newer bcdl wrote part.

    Whatever else can't be read is reported on stderr, and does not count.
    """
    is_json = source.suffix == ".json"
    rates, problems = (benchmark_file.read(source), []) if is_json else _from_records(source)
    if newer := [problem for problem in problems if problem.newer]:
        raise UsageError(str(newer[0]))
    if not rates:
        first = f" ({problems[0]})" if problems else ""
        raise UsageError(
            f"{source} holds no ok record with rates{first}: give a record file, a folder of them, or a JSON file"
        )
    for problem in problems:
        warn(f"not read: {problem}")
    if problems:
        warn(f"{source}: compared without what could not be read in {len(problems)} places")
    known = of_known_code(rates)
    if left_out := len(rates) - len(known):
        warn(f"{source}: {left_out} rates do not count: their code changed while it ran")
    return known


def _from_records(source: Path) -> tuple[list[Sample], list[log.Problem]]:
    """The rates of records in a file, whatever it is called, or in all files of a folder.

    A record that stands there several times, as in a copy of a file, counts once: it is one process's.
    """
    rates: list[Sample] = []
    problems: list[log.Problem] = []
    different: set[str] = set()
    copies = 0
    for file in _record_files(source):
        records, problems_here = log.read_file(file, Record.from_json, SCHEMA, str(file))
        for record in records:
            copies += (line := dataclasses.replace(record, sequence=0).to_json()) in different
            rates += [] if line in different else samples(record)
            different.add(line)
        problems += problems_here
    if copies:
        warn(f"{source}: {copies} copies of records that it holds already do not count")
    return rates, problems


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


def _equal_sides(first: str, second: str) -> list[Comparison]:
    """The comparisons of two sides that are the same; UsageError if they differ or were not measured in turn."""
    if Path(first).resolve() == Path(second).resolve():
        raise UsageError(f"--noise needs two sides that were measured apart, and got {first} twice")
    a, b = read(Path(first)), read(Path(second))
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
