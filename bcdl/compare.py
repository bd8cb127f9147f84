"""Is B slower than A? Ratios with intervals and p-values; exit code 1 on a regression."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcdl.errors import UsageError, program, run_command
from bcdl.records import experiment, log
from bcdl.records.record import Record
from bcdl.records.schema import SCHEMA
from bcdl.report.sections.comparison_table import table
from bcdl.runner.progress import console
from bcdl.settings.cell import Cell
from bcdl.statistics import experiments
from bcdl.statistics.comparison import (
    AXES,
    LEAST_REGRESSION,
    Comparison,
    Sample,
    beyond_reach,
    compare,
    of_known_code,
    samples,
    threshold,
)
from bcdl.statistics.doubts import Doubt
from bcdl.text import legible


def main() -> int:
    arguments = _parse()
    a, b = read(Path(arguments.a)), read(Path(arguments.b))
    comparisons = compare(a, b, arguments.across)
    processes = min(min(compared.effect.processes) for compared in comparisons)
    noise, line_on_noise = _noise(Path(arguments.a), a, arguments.noise, processes)
    least = threshold(noise)
    console().print(table(comparisons).to_rich())
    if reason := beyond_reach(comparisons):
        raise UsageError(reason)
    judged = [compared for compared in comparisons if compared.interleaved or arguments.allow_separate]
    regressions = [compared for compared in judged if compared.regressed(least)]
    code = [_code_of("A", a), _code_of("B", b)]
    for line in [*code, line_on_noise, *_conclusion(comparisons, judged, regressions, least)]:
        print(line)
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
        help="two sides that are the same, measured in turn: what noise alone does; if not given, what "
        "bcdl experiment injected-slowdowns measured on A's machine",
    )
    parser.add_argument("--allow-separate", action="store_true", help="judge sides that were not measured in turn, too")
    return parser.parse_args()


def read(source: Path) -> list[Sample]:
    """Every process's rates in the file or folder; UsageError if it holds none, or if a newer bcdl wrote part of it.

    Whatever else can't be read is reported on stderr, and does not count.
    """
    is_json = source.suffix == ".json"
    rates, problems = (_from_pytest_benchmark(source), []) if is_json else _from_records(source)
    if newer := [problem for problem in problems if problem.newer]:
        raise UsageError(str(newer[0]))
    if not rates:
        first = f" ({problems[0]})" if problems else ""
        raise UsageError(
            f"{source} holds no ok record with rates{first}: give a record file, a folder of them, or a JSON file"
        )
    for problem in problems:
        print(legible(f"not read: {problem}"), file=sys.stderr)
    if problems:
        print(f"{source}: compared without what could not be read in {len(problems)} places", file=sys.stderr)
    if left_out := len(rates) - len(of_known_code(rates)):
        print(legible(f"{source}: {left_out} rates do not count: their code changed while it ran"), file=sys.stderr)
    return rates


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
        print(legible(f"{source}: {copies} copies of records that it holds already do not count"), file=sys.stderr)
    return rates, problems


def _record_files(source: Path) -> list[Path]:
    """The files to read; of a whole results folder those of its records, not those of experiments or parity."""
    if not source.is_dir():
        return [source]
    folder = source / log.RECORDS
    return sorted((folder if folder.is_dir() else source).rglob("*.jsonl"))


def _from_pytest_benchmark(file: Path) -> list[Sample]:
    """The rates in a JSON file of pytest-benchmark; UsageError if it holds none of bcdl's."""
    try:
        benchmarks = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
        return [_sample(benchmark["extra_info"]) for benchmark in benchmarks]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{file} is no JSON of pytest-benchmark from this harness ({error!r})") from error


def _sample(info: Mapping[str, Any]) -> Sample:
    """The sample that `benchmarks.replay` wrote down; ValueError, KeyError or TypeError if it is none."""
    if "axes" in info:
        raise ValueError("an older bcdl wrote it, which kept less of what must agree: give the record files instead")
    facts = info["facts"]
    if not isinstance(facts, dict):
        raise TypeError("facts are no object")
    rate, regime, block = float(info["images_per_s"]), info["regime"], info["block"]
    if not 0 < rate < math.inf:
        raise ValueError(f"a rate of {rate} images/s")
    if not isinstance(regime, str) or not isinstance(block, str):
        raise TypeError("regime or block is no text")
    return Sample(Cell.parse(info["cell"]), regime, rate, block, facts, tuple(map(_doubt, info.get("doubts", ()))))


def _doubt(values: Any) -> Doubt:
    """The doubt that stands in JSON as what it is, its reading and its unit."""
    what, reading, unit = values
    if not isinstance(what, str) or not isinstance(reading, int | float | None) or not isinstance(unit, str):
        raise TypeError("a doubt is no words with a number")
    return Doubt(what, reading, unit)


def _code_of(side: str, samples: list[Sample]) -> str:
    """A line on the code that a side ran: each commit, `*` if there were changes that it lacks, with its digest."""
    facts = (sample.facts for sample in of_known_code(samples))
    ran = {(str(known.get("commit", "unknown")), str(known.get("code", "unknown"))) for known in facts}
    listed = (f"commit {commit[:10]}{'*' * commit.endswith('*')}, code {code}" for commit, code in sorted(ran))
    return f"{side} ran {'; '.join(listed)}"


def _noise(a: Path, samples: list[Sample], equal: tuple[str, str] | None, rounds: int) -> tuple[float, str]:
    """The noise of equal sides in a comparison of so many rounds, a share, 0 if it is not known; and a line on it."""
    known = _given_noise(equal, rounds) if equal else _measured_noise(a, samples, rounds)
    if known is None:
        return 0.0, (
            "the noise of equal sides on this machine is not known (bcdl experiment injected-slowdowns measures "
            f"it), so that any significant slow-down over {LEAST_REGRESSION:.0%} counts"
        )
    noise, source = known
    return noise, f"noise of equal sides in {rounds} rounds: {noise:.1%} ({source})"


def _given_noise(equal: tuple[str, str], rounds: int) -> tuple[float, str]:
    """The largest noise among the comparisons of two equal sides, for so many rounds; and which one that is.

    The standard error of a mean of rounds falls with their root.
    """
    first, second = (read(Path(source)) for source in equal)
    in_turn = [compared for compared in compare(first, second) if not math.isnan(compared.effect.scatter)]
    if not in_turn:
        raise UsageError("--noise needs two sides that were measured in turn, 3 rounds or more")
    return max(
        (compared.effect.scatter / math.sqrt(rounds), f"{compared.title}, {compared.regime}") for compared in in_turn
    )


def _measured_noise(a: Path, samples: list[Sample], rounds: int) -> tuple[float, str] | None:
    """The noise that experiments measured on the machine in whose folder A's records lie; None if there is none.

    The experiments are those of the same results folder, made in a place like that of A's samples.
    """
    file = next(iter(_record_files(a)), a).resolve()
    if len(file.parents) < 3:
        return None
    measured, _ = experiment.read_all(file.parents[2])  # a comparison does not report what is no experiment
    alike = experiments.made_alike(measured, [sample.facts for sample in samples])
    return experiments.noise_of_equal_sides(alike, file.parent.name, rounds)


def _conclusion(
    comparisons: list[Comparison], judged: list[Comparison], regressions: list[Comparison], least: float
) -> list[str]:
    """Lines that say which regressions there are, and what was not judged.

    `least` is the smallest slow-down that counts, a share.
    """
    lines = [
        f"slower by more than {least:.1%}, beyond chance: {slower.title}, {slower.regime}: "
        f"{slower.effect.ratio:.3f} of A"
        for slower in regressions
    ]
    if len(judged) < len(comparisons):
        apart = len(comparisons) - len(judged)
        lines.append(
            f"{apart} of {len(comparisons)} were not measured in turn, so that drift of the machine counts as an "
            "effect; they fail nothing unless --allow-separate is given (nox -s bench-ab measures in turn)"
        )
    return lines or [f"no regression of more than {least:.1%}"]


if __name__ == "__main__":
    run_command(main)
