"""The rates in a JSON file of pytest-benchmark, as `benchmarks/` writes it; nothing in it is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from bcdl.errors import UsageError
from bcdl.records import checks, comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.fields import LARGEST, Field
from bcdl.settings.cell import Cell
from bcdl.statistics.comparison import RATES, Sample
from bcdl.statistics.doubts import Doubt
from bcdl.text import on_one_line

_MOST_BYTES = 256 * 2**20  # thousands of cells; what is longer would fill the memory


class _Replayed(TypedDict, total=False):
    run: Annotated[str, Field("the run that measured it", "a copy of a rate is known by it")]
    doubts: Annotated[
        list[tuple[str, float | None, str]],
        Field("what makes the rate doubtful", "a comparison marks it", least=-LARGEST),
    ]


class _Extra(_Replayed):
    """What `benchmarks.replay` says of a cell and its regime."""

    cell: Annotated[str, Field("the cell's id", "its settings must agree with another's")]
    regime: Annotated[
        str,
        Field("what was timed", "a rate is compared with one of the same", choices=(*RATES, "request")),
    ]
    block: Annotated[str, Field("the round of an interleaved run; empty if there was none", "rounds are pairs")]
    images_per_s: Annotated[float, Field("the rate", "what is compared", unit="images/s")]
    facts: Annotated[dict[str, Any], Field("what must agree between rates, by name", "others are no equals")]


class _Benchmark(TypedDict):
    extra_info: Annotated[_Extra, Field("what this harness adds", "pytest-benchmark knows no cell")]


class _File(TypedDict):
    benchmarks: Annotated[list[_Benchmark], Field("the benchmarks", "each is of a cell and a regime")]


def read(file: Path) -> list[tuple[str, Sample]]:
    """The rates in the file, each with its run; UsageError, which says why, if it is none of this harness."""
    try:
        if (size := file.stat().st_size) > _MOST_BYTES:
            raise ValueError(f"it is of {size} bytes, more than {_MOST_BYTES}")
        values = json.loads(file.read_text(encoding="utf-8"))
        _check_version(values)
        checks.check_shape(_File, values)
        extras = [benchmark["extra_info"] for benchmark in values["benchmarks"]]
        return [(extra.get("run", ""), _sample(extra)) for extra in extras]
    except (OSError, ValueError, RecursionError, UsageError) as error:
        reason = on_one_line(error, longest=200)
        raise UsageError(
            f"{file} is no JSON of pytest-benchmark from this harness ({reason}); give the record files instead"
        ) from error


def _check_version(values: Any) -> None:
    """ValueError if an older bcdl wrote the file."""
    benchmarks = values.get("benchmarks") if isinstance(values, dict) else None
    for benchmark in benchmarks if isinstance(benchmarks, list) else []:
        extra = benchmark.get("extra_info") if isinstance(benchmark, dict) else None
        if isinstance(extra, dict) and "axes" in extra:
            raise ValueError("an older bcdl wrote it, which kept less of what must agree")


def _sample(extra: Mapping[str, Any]) -> Sample:
    cell = Cell.parse(extra["cell"])
    _check_facts(extra["facts"], cell)
    doubts = tuple(Doubt(*doubt) for doubt in extra.get("doubts", ()))
    return Sample(cell, extra["regime"], float(extra["images_per_s"]), extra["block"], extra["facts"], doubts)


def _check_facts(facts: Mapping[str, Any], cell: Cell) -> None:
    """ValueError if the facts lack a setting of the cell or say another: they would agree with what they should not."""
    for name, value in comparability.values(Evidence.of_cell(cell), Purpose.RATES).items():
        if facts.get(name) != value:
            raise ValueError(f"its facts do not say that {name} of {cell.title} is {value!r}")
