"""How reading, comparing and reporting scale: makes many records from a results folder's, and measures a step on them.

    python -m benchmarks.scale make FOLDER --count 100000     # of the records in results/, with other seeds and runs
    python -m benchmarks.scale read FOLDER                    # then each step in a process of its own
    python -m benchmarks.scale compare FOLDER OTHER
    python -m benchmarks.scale report FOLDER

Each step prints the CPU time of its process and of those it started, the wall time, and the most memory that its
process held. Of a machine that does other things beside, CPU time alone says something.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bcdl.machine import clock
from bcdl.records import identity, log, store
from bcdl.records.shapes import KEYS
from bcdl.screen import say
from bcdl.settings.options import DEFAULT_RESULTS

_MACHINE = "made-up"
_RECORDS_A_RUN = 500
_STRETCH = 1e-7  # by which the samples of each record are shorter than those of the one before: none are equal


def main() -> None:
    arguments = _parse()
    if arguments.step == "make":
        say(f"{make(arguments.folder, arguments.source, arguments.count, arguments.first):,} bytes")
        return
    wall_s, cpu = clock.stopwatch(), _cpu_s()
    said = {"read": _read, "compare": _compare, "report": _report}[arguments.step](arguments)
    wall = wall_s()
    say(f"{arguments.step}: {said}; {_cpu_s() - cpu:.1f} s of CPU, {wall:.1f} s, {_peak_mib():.0f} MiB at most")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("make", "read", "compare", "report"))
    parser.add_argument("folder", type=Path, help="a results folder")
    parser.add_argument("other", type=Path, nargs="?", help="the second side of compare")
    parser.add_argument("--count", type=int, default=100_000, help="records to make")
    parser.add_argument("--first", type=int, default=0, help="their first number: other numbers are other records")
    parser.add_argument("--source", type=Path, default=Path(DEFAULT_RESULTS), help="the folder whose records they are")
    return parser.parse_args()


def make(folder: Path, source: Path, count: int, first: int = 0) -> int:
    """Write so many records, made from those of the source that are ok; returns their size, bytes.

    Args:
        folder: the results folder.
        source: the results folder that they are made from, one after another and then again with the next seed.
        count: how many.
        first: the number of the first; records of different numbers are different.
    """
    templates = [json.loads(record.to_json()) for _, record in store.read_all(source)[0] if record.ok]
    size = 0
    lines = (made(templates[number % len(templates)], number, len(templates)) for number in itertools.count(first))
    for number in range(first, first + count, _RECORDS_A_RUN):
        content = "".join(f"{line}\n" for line in itertools.islice(lines, min(_RECORDS_A_RUN, first + count - number)))
        file = log.file_of(folder, log.RECORDS, _MACHINE, _run(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        size += file.write_text(content, encoding="utf-8")
    return size


def made(template: dict[str, Any], number: int, templates: int) -> str:
    """A line of another seed and run, whose rates follow from its samples."""
    stretch = 1 - _STRETCH * number
    values = {name: value for name, value in template.items() if name not in (identity.SEQUENCE, identity.SHA256)}
    values["run"] = _run(number)
    values["block"] = values["block"] and f"{values['run']}/{values['block'].rpartition('/')[2]}"
    values["cell"] = {**template["cell"], "seed": number // templates}
    values["samples"] = {name: [seconds * stretch for seconds in of] for name, of in template["samples"].items()}
    values["metrics"] = {**template["metrics"], **dict(_stretched(template["metrics"], stretch))}
    return identity.sealed(values, number + 1)


def _stretched(metrics: dict[str, float | None], stretch: float) -> Iterator[tuple[str, float]]:
    """The metrics that follow from samples, as they are of samples that are longer by a factor."""
    for regime in KEYS["regime"][1]:
        for name, value in metrics.items():
            if value is not None and name == f"{regime}_images_per_s":
                yield name, value / stretch
            elif value is not None and name.endswith(f"{regime}_warm_up_s"):
                yield name, value * stretch
    if metrics.get("latency_ms") is not None:
        yield "latency_ms", metrics["latency_ms"] * stretch  # type: ignore[operator]


def _run(number: int) -> str:
    """The id of the run that the record of that number belongs to."""
    run = number // _RECORDS_A_RUN
    return f"20260101T{run // 3600 % 24:02d}{run // 60 % 60:02d}{run % 60:02d}Z-{run // 86400:04x}"


def _read(arguments: argparse.Namespace) -> str:
    records, problems = store.read_all(arguments.folder)
    return f"{len(records):,} records, {len(problems):,} problems"


def _compare(arguments: argparse.Namespace) -> str:
    from bcdl import compare  # here: reading is measured without what it imports
    from bcdl.statistics import comparison

    a, b = compare.read_sides(arguments.folder, arguments.other)
    return f"{len(a):,} and {len(b):,} rates, {len(comparison.compare(a, b)):,} comparisons"


def _report(arguments: argparse.Namespace) -> str:
    from bcdl.report import page  # here: as in `_compare`

    return page.build(arguments.folder)[0]


def _cpu_s() -> float:
    import resource  # here: only on Unix

    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak_mib() -> float:
    import resource  # here: as above

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
