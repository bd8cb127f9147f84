"""What the page to explore shows, as plain values: rates, ratios, quality, curves and parity, with their words.

Every figure is computed and put into words here; the page in the browser only chooses among them. All seeds and folds
of a model on a backend are one row. All texts are of one line and without characters that turn what stands around them
(Unicode Standard Annex 9): records may come from anywhere.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.evaluation import curves, estimates, scored, utilisation
from bcdl.machine.provenance import short_commit
from bcdl.parity.findings import as_float
from bcdl.parity.judge import QUANTITIES
from bcdl.parity.verdicts import NEVER_MEASURED, Verdicts, group_findings, title_of
from bcdl.records import comparability
from bcdl.records.comparability import Evidence
from bcdl.records.groups import Group, Line, group_records
from bcdl.records.record import Record
from bcdl.report import answer, doubt_lines, formats, titles
from bcdl.report.sections import sides_in_turn
from bcdl.report.sections.sides_in_turn import SidesInTurn
from bcdl.report.sources import Sources
from bcdl.settings.cell import Cell
from bcdl.settings.words import title_words
from bcdl.statistics import comparison, doubts, ranking
from bcdl.statistics.comparison import RATES
from bcdl.statistics.ranking import Ratio, Rounds
from bcdl.text import LONGEST_NAME, legible

HISTORIES = ("loss", "val_loss", "accuracy", "val_accuracy", "val_auroc")
METRICS = {"auroc": "test AUROC", "accuracy": "test accuracy"}
MOST_EPOCHS = 60  # of a curve
ROC_POINTS, ROC_SEEDS = 51, 20
IN_TURN, APART = "in turn", "one after another"

_LONGEST_LINE = 240
_MOST_LINES = 14  # of the circumstances of a row
_NO_RATIO = "none: measured one after another"

Values = dict[str, Any]  # as JSON has them


def read(sources: Sources) -> Values:
    """All that the page shows; it opens with the machine that the first page is about."""
    verdicts = Verdicts(sources.findings)
    apart = group_records([(machine, record) for machine, record in sources.records if not record.block], verdicts)
    of_runs = [part for run in sides_in_turn.read(sources.records) for part in _parts(run, verdicts)]
    logged = [*reversed(sources.records), *reversed(sources.findings)]
    # A group of several machines is a choice of its own.
    machines = dict.fromkeys([*(machine for machine, _ in logged), *(group.machine for group in apart)])
    rows = [*(row for part in reversed(of_runs) for row in part), *(row for group in apart for row in _apart(group))]
    with_rates = {row["machine"] for row in rows if row["rates"]}
    answered = [_line(machine) for machine in answer.machines(sources.records) if _line(machine) in with_rates]
    return {
        "machines": list(dict.fromkeys([*answered, *map(_line, machines)])),
        "backends": _in_order({row["backend"] for row in rows} | _judged(sources)),
        "rows": sorted(rows, key=lambda row: row["measured"] != IN_TURN),
        "roofs": [roof for group in apart for roof in _roofs(group)],
        **_parity(sources),
        "source": f"{len(sources.records)} records, {len(sources.findings)} parity findings",
        "unread": [_line(str(problem)) for problem in sources.unread],
    }


def _judged(sources: Sources) -> set[str]:
    return {_name(backend) for _, finding in sources.findings for backend in finding.backends}


def _in_order(names: Iterable[str]) -> list[str]:
    """Backends in their own order, those that there are no more last."""
    order = {name: place for place, name in enumerate(backends.NAMES)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


# Records that were measured one after another.


def _apart(group: Group) -> Iterator[Values]:
    """The rows of a group: each line of its tables on each backend."""
    rests_on = _rests_on(group)
    places = {regime: _places(group, regime) for regime in utilisation.REGIMES}
    for line in group.lines:
        for backend in group.backends:
            if records := group.of(line, backend):
                ok = _ok(records)
                yield {
                    **_row(group, line, backend, records),
                    "quality_note": rests_on,
                    "measured": APART,
                    "rates": {regime: rate for regime in RATES if (rate := _rate(ok, regime))},
                    "ratios": {},
                    "no_ratio": _NO_RATIO,
                    "roofline": {regime: at for regime, of in places.items() if (at := of.get((line, backend)))},
                    "curves": {name: curve for name in HISTORIES if (curve := _curve(ok, name))},
                    "roc": _roc(ok),
                }


def _rate(records: Sequence[Record], regime: str) -> Values | None:
    """The median rate of the records, images/s, between their slowest and their fastest sample; None if there is none.

    The spread is that of samples, and no interval.
    """
    rates = [record.value(f"{regime}_images_per_s") for record in records]
    known = [rate for rate in rates if rate > 0]
    if not known:
        return None
    ends = [end for record in records if record.value(f"{regime}_images_per_s") > 0 for end in _ends(record, regime)]
    value, low, high = statistics.median(known), min(ends, default=math.nan), max(ends, default=math.nan)
    return {**_figure(value, 1), **_between(low, high, 1), "doubt": _doubt(records, regime)}


def _ends(record: Record, regime: str) -> list[float]:
    """The rates of the slowest and the fastest sample, images/s; none if there are no samples."""
    samples = record.samples.get(f"{regime}_s")
    if not samples:
        return []
    images = record.value(f"{regime}_images_per_s") * statistics.median(samples)
    return [images / max(samples), images / min(samples)]


def _doubt(records: Sequence[Record], regime: str) -> str:
    """What makes the rate doubtful, in words; empty if nothing does."""
    said = doubt_lines.lines({regime: [doubts.every(record, regime) for record in records]})
    return _line("; ".join(said))


# Sides that were measured in turn.


def _parts(run: SidesInTurn, verdicts: Verdicts) -> Iterator[list[Values]]:
    """For each cell of a comparison, a row a side, with its ratio to every other."""
    names, not_comparable = _side_names(run), _not_comparable(run)
    for sides in _by_cell(run):
        if any(record.ok for records in sides.values() for record in records):
            every = tuple(record for records in sides.values() for record in records)
            group = Group(run.machine, "", every, verdicts)
            yield list(_in_turn(run, group, {names[side]: of for side, of in sides.items()}, not_comparable))


def _side_names(run: SidesInTurn) -> dict[str, str]:
    """A side is called by its backend, and by its letter if several have the same."""
    named = {side: records[0].cell.backend for side, records in run.sides.items()}
    several = len(set(named.values())) < len(named)
    return {side: f"{name} ({side.upper()})" if several else name for side, name in named.items()}


def _by_cell(run: SidesInTurn) -> list[dict[str, list[Record]]]:
    """The records of each cell by side; what sets the sides apart does not make it another cell."""
    precisions = [{record.cell.precision for record in records} for records in run.sides.values()]
    free = {"backend", "seed", *(["precision"] if all(len(of_side) == 1 for of_side in precisions) else [])}
    cells: dict[tuple[object, ...], dict[str, list[Record]]] = {}
    for side, records in run.sides.items():
        for record in records:
            key = tuple(value for name, value in sorted(record.cell.to_dict().items()) if name not in free)
            cells.setdefault(key, {}).setdefault(side, []).append(record)
    return list(cells.values())


def _not_comparable(run: SidesInTurn) -> str:
    """Why sides of the run can't be compared, by the one rule of that; empty if all can."""
    samples = {
        side: [s for record in records for s in comparison.samples(record)] for side, records in run.sides.items()
    }
    known = {side.upper(): comparison.of_known_code(of_side) for side, of_side in samples.items()}
    first, *others = known
    try:
        for other in others:
            comparison.differing_axis(known[first], known[other], (first, other))
    except UsageError as error:  # records may come from anywhere
        return _line(f"none: {error}")
    return ""


def _in_turn(
    run: SidesInTurn, group: Group, sides: Mapping[str, list[Record]], not_comparable: str
) -> Iterator[Values]:
    line = Line.of(group.first.cell)
    rests_on = _rests_on(group)
    rounds = {regime: _rounds(sides, regime) for regime in RATES}
    standings = {
        regime: {standing.name: standing for standing in ranking.rank(of).standings} if of else {}
        for regime, of in rounds.items()
    }
    for name, records in sides.items():
        ok = _ok(records)
        rates = {
            regime: {
                **_figure(of[name].rate, 1),
                **_between(of[name].low, of[name].high, 1),
                "doubt": _doubt(ok, regime),
            }
            for regime, of in standings.items()
            if name in of
        }
        yield {
            **_row(group, line, records[0].cell.backend, records),
            "side": _name(name),
            "quality_note": rests_on,
            "measured": IN_TURN,
            "settings": _line(f"{title_words(records[0].cell)}, run {run.run}"),
            "rates": rates,
            "ratios": {} if not_comparable else _ratios(rounds, name),
            "no_ratio": not_comparable or "none: not in one run",
            "roofline": {},
            "curves": {},
            "roc": None,
        }


def _rounds(sides: Mapping[str, list[Record]], regime: str) -> dict[str, Rounds]:
    """The rates of each side that has any, by round, of samples of known code."""
    rounds = {}
    for name, records in sides.items():
        samples = comparison.of_known_code([sample for record in records for sample in comparison.samples(record)])
        rounds[name] = {sample.block: sample.rate for sample in samples if sample.regime == regime}
    return {name: of_side for name, of_side in rounds.items() if of_side}


def _ratios(rounds: Mapping[str, Mapping[str, Rounds]], name: str) -> Values:
    """The side beside every other as baseline, by regime."""
    ratios: Values = {}
    for regime, sides in rounds.items():
        for baseline in sides:
            if name in sides and baseline != name:
                ratios.setdefault(_name(baseline), {})[regime] = _ratio(ranking.against(sides, baseline)[name])
    return ratios


def _ratio(found: Ratio) -> Values:
    return {
        **_figure(found.ratio, 3),
        **_between(found.low, found.high, 3),
        "verdict": found.verdict,
        "rounds": found.rounds,
    }


# What all rows have.


def _row(group: Group, line: Line, backend: str, records: Sequence[Record]) -> Values:
    """What is said of a line on a backend, however it was measured."""
    cell, ok = records[0].cell, _ok(records)
    return {
        **_facets(group, cell),
        "model": _name(line.title),
        "label": _name(group.label(line)),
        "size": str(cell.image_size),
        "backend": _name(backend),
        "side": _name(backend),
        "records": len(records),
        "status": _status(records),
        "first_step": _median(ok, "first_step_s", 1),
        "memory": _memory(ok),
        "quality": {metric: made for metric in METRICS if (made := _quality(ok, metric))},
        "parity": _line(_same_answers(group, line)),
        "circumstances": _circumstances(records),
    }


def _facets(group: Group, cell: Cell) -> Values:
    """What a row is chosen by."""
    distinction = f", {group.distinction}" if group.distinction else ""
    return {
        "machine": _line(group.machine),
        "data": _name(f"{cell.data} (drawings)" if group.synthetic else cell.data),
        "precision": _name(cell.precision),
        "batch": str(cell.batch_size),
        "settings": _line(f"{title_words(cell)}{distinction}"),
    }


def _rests_on(group: Group) -> str:
    """On how little figures of quality rest, and whether their split may cut a patient; empty if neither."""
    return _line("; ".join(filter(None, [group.mark.rstrip(": "), titles.note(group.records)])))


def _status(records: Sequence[Record]) -> str:
    """`ok`, or how many records are not, and the reason of the newest of them."""
    failed = [record for record in records if not record.ok]
    if not failed:
        return "ok"
    said = formats.status(failed[-1].status, len(failed), len(records))
    return _line(f"{said}: {failed[-1].reason}")


def _median(records: Sequence[Record], metric: str, digits: int) -> Values:
    known = [value for record in records if not math.isnan(value := record.value(metric))]
    return _figure(statistics.median(known) if known else math.nan, digits)


def _memory(records: Sequence[Record]) -> Values:
    """The median of the peak memory, MiB: of a GPU the allocator's, of a CPU the worker's."""
    on_gpu = any(record.cell.device == "gpu" for record in records)
    return _median(records, "device_peak_memory_mib" if on_gpu else "peak_memory_mib", 0)


def _quality(records: Sequence[Record], metric: str) -> Values | None:
    """The median over seeds and folds, between the least and the largest of them; None if it is nowhere defined."""
    known = [value for record in records if not math.isnan(value := record.value(f"test_{metric}"))]
    if not known:
        return None
    draws = {(record.cell.seed, record.cell.fold) for record in records}
    ends = (min(known), max(known)) if len(draws) > 1 else (math.nan, math.nan)
    return {**_figure(statistics.median(known), 3), **_between(*ends, 3, "one seed")}


def _same_answers(group: Group, line: Line) -> str:
    """The verdict of parity on the line's backends, in words."""
    places: dict[str | None, dict[str, Record]] = {}  # a finding is of one machine
    for backend in group.backends:
        for record in _ok(group.of(line, backend)):
            places.setdefault(comparability.identity_of(Evidence.of(record)), {})[backend] = record
    if group.verdicts is None or len({backend for newest in places.values() for backend in newest}) < 2:
        return ""
    pairs = itertools.product(group.machines, places.values())
    said = (group.verdicts.among(machine, list(newest.values())) for machine, newest in pairs)
    return next((verdict for verdict in said if verdict not in ("", NEVER_MEASURED)), NEVER_MEASURED)


def _circumstances(records: Sequence[Record]) -> list[str]:
    """How the newest of the records was made, and what is doubtful of all, a line each."""
    record = next((record for record in reversed(records) if record.ok), records[-1])
    environment, cell = record.environment, record.cell
    versions = comparability.versions(environment, cell.device) or {}
    started = sorted(each.started for each in records)
    seeds = {(each.cell.seed, each.cell.fold) for each in records}
    lines = [
        f"records: {len(records)}, of {len(seeds)} seeds and folds, from {started[0]} to {started[-1]}",
        f"versions: {', '.join(f'{name} {version}' for name, version in sorted(versions.items())) or 'unknown'}",
        f"Python {environment.get('python', 'unknown')}, jit_compile {environment.get('jit_compile', 'unknown')}",
        f"processor: {' or '.join(dict.fromkeys(map(_processor, records)))}",
        *(
            [f"GPU: {environment.get('device', 'unknown')}, driver {environment.get('driver')}"]
            * (cell.device == "gpu")
        ),
        f"commit {short_commit(environment)}",
        *(f"doubtful: {said}" for regime in RATES if (said := _doubt(_ok(records), regime))),
        *doubt_lines.notes([record]),
    ]
    return [_line(line) for line in lines[:_MOST_LINES]]


def _processor(record: Record) -> str:
    environment = record.environment
    return f"{environment.get('cpu', 'unknown')}, {environment.get('cpu_cores_allowed', '?')} cores allowed"


def _ok(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.ok]


# Curves and roofs.


def _curve(records: Sequence[Record], name: str) -> list[list[float | None]]:
    """Epochs, from 1, each with the median over seeds and folds; at most so many, evenly spaced."""
    runs = [record.history[name] for record in records if record.history.get(name)]
    length = max(map(len, runs), default=0)
    step = max(1, math.ceil(length / MOST_EPOCHS))
    shown = sorted({*range(0, length, step), length - 1}) if length else []
    return [[epoch + 1, _short(_middle([run[epoch] for run in runs if epoch < len(run)]))] for epoch in shown]


def _middle(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else math.nan


def _roc(records: Sequence[Record]) -> list[list[float | None]] | None:
    """Points of the mean ROC curve over the first seeds: 1 - specificity and sensitivity; None of few test images."""
    first = sorted({record.cell.seed for record in records})[:ROC_SEEDS]
    seeds = list(scored.by_seed(record for record in records if record.cell.seed in first).values())
    if not seeds or max(map(len, seeds)) < estimates.LEAST_IMAGES:
        return None
    sensitivity = curves.mean_roc(seeds)
    if sensitivity is None:
        return None
    step = (len(curves.RATES) - 1) // (ROC_POINTS - 1)
    shown = range(0, len(curves.RATES), step)
    return [[_short(float(curves.RATES[place])), _short(float(sensitivity[place]))] for place in shown]


def _places(group: Group, regime: str) -> dict[tuple[Line, str], list[float | None]]:
    """Where each line on each backend lies: FLOP a byte, and the median of its GFLOP/s over seeds."""
    found: dict[tuple[Line, str], list[utilisation.Point]] = {}
    for point in utilisation.points(group, regime):
        found.setdefault((point.line, point.backend), []).append(point)
    return {
        key: [_short(points[0].intensity), _short(statistics.median(point.flops_per_s for point in points) / 1e9)]
        for key, points in found.items()
    }


def _roofs(group: Group) -> Iterator[Values]:
    """The device's limit in each regime, from left of the leftmost point to right of the rightmost."""
    limit = utilisation.peaks(group)
    for regime in utilisation.REGIMES if limit else ():
        x = [place[0] for place in _places(group, regime).values() if place[0]]
        if limit and x:
            yield {**_facets(group, group.first.cell), "regime": regime, "points": _roof(limit, min(x) / 2, max(x) * 2)}


def _roof(limit: utilisation.Peaks, left: float, right: float) -> list[list[float | None]]:
    """FLOP a byte and GFLOP/s along the roof; without a measured bandwidth it is flat."""
    flat = limit.arithmetic.rate
    if limit.memory is None:
        return [[_short(x), _short(flat / 1e9)] for x in (left, right)]
    ridge = flat / limit.memory.rate
    return [
        [_short(x), _short(min(flat, x * limit.memory.rate) / 1e9)]
        for x in sorted({left, ridge, max(right, 2 * ridge)})
    ]


# Parity.


def _parity(sources: Sources) -> Values:
    """The verdict on each two backends, and each backend's distance from the float64 reference."""
    pairs: list[Values] = []
    errors: list[Values] = []
    for group in group_findings(sources.findings):
        for finding in group.findings:
            plan = finding.plan
            known = {
                "machine": _line(group.machine),
                "settings": _line(group.title),
                "precision": _name(plan.precision),
                "model": _name(title_of(finding)),
            }
            for name, pair in finding.pairs.items():
                apart = {quantity: as_float(pair["relative"].get(quantity)) for quantity in QUANTITIES}
                shown = {quantity: _scientific(value) for quantity, value in apart.items()}
                pairs.append({**known, "pair": _name(name), "verdict": _line(pair["verdict"]), "apart": shown})
            for backend, of_backend in finding.errors.items():
                for quantity in QUANTITIES:
                    error, tolerance = as_float(of_backend.get(quantity)), as_float(finding.tolerance.get(quantity))
                    if error > 0:
                        of_quantity = {"error": _short(error), "tolerance": _short(tolerance), "quantity": quantity}
                        errors.append({**known, "backend": _name(backend), **of_quantity})
    return {"pairs": pairs, "errors": errors}


def _scientific(value: float) -> Values:
    return {"value": _short(value), "text": formats.scientific(value, 1, formats.NOT_MEASURED)}


# Values and words.


def _figure(value: float, digits: int) -> Values:
    return {"value": _short(value), "text": formats.fixed(value, digits, formats.NOT_MEASURED)}


def _between(low: float, high: float, digits: int, missing: str = formats.NO_INTERVAL) -> Values:
    ends = missing if math.isnan(low) else formats.spread((low, high), digits)
    return {"low": _short(low), "high": _short(high), "interval": ends}


def _short(value: float) -> float | None:
    """The value with five digits, which a page can show; None if it is not finite, which JSON has no word for."""
    return float(formats.significant(value, 5)) if math.isfinite(value) else None


def _name(text: str) -> str:
    return legible(text, LONGEST_NAME)


def _line(text: str) -> str:
    return legible(text, _LONGEST_LINE)


def shortened(values: Values, most: int) -> Values:
    """The values with no more than so many rows of each kind; `left_out` says how many they lack."""
    cut = {name: values[name][:most] for name in ("rows", "roofs", "pairs", "errors")}
    return {**values, **cut, "left_out": sum(len(values[name]) - len(kept) for name, kept in cut.items())}
