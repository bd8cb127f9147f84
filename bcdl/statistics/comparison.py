"""Is side B slower than side A? Each cell that both have, with its ratio and a p-value corrected over all of them.

A rate belongs to the process that it was measured in. One axis may set the sides apart; all else that
`records.comparability` says of rates must be the same.

Each cell is judged by its own noise, the standard error of its ratio: another cell that scatters more says nothing of
it. Equal sides of the same cell, if they were measured, raise that noise, and lower it never.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bcdl.errors import UsageError
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.groups import Line
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.statistics import doubts, effects
from bcdl.statistics.doubts import Doubt
from bcdl.statistics.effects import Effect
from bcdl.text import LONGEST_NAME, legible

RATES = ("fit", "step", "predict")

# What two sides may differ in: each axis by name, with the facts that may change with it. A backend brings versions,
# code and pools of threads of its own, and a Python may need other versions.
_OF_SOFTWARE = {
    "versions": ("versions", "threads"),
    "python": ("python", "versions", "threads"),
    "backend": ("backend", "versions", "code", "threads"),
    "precision": ("precision",),
    "commit": ("commit", "code", "threads"),
}
# Axes that are taken only if they are asked for: that a machine is slower is no fault of what runs on it.
_OF_PLACES = {
    "cores": ("cores allowed", "CPU quota", "threads"),
    "variables": ("variables", "threads"),
    "identity": ("identity", "processor", "cores", "cores allowed", "CPU quota", "GPUs", "driver", "threads"),
}
_AXES = _OF_SOFTWARE | _OF_PLACES
AXES = tuple(_AXES)
# What may differ between a comparison and equal sides of its cell: neither makes it another cell.
_BETWEEN_RUNS = ("versions", "python", "commit", "code")

SIGNIFICANT = 0.05
# Slow-downs up to this are no regression, nor up to this many times the noise of the comparison itself.
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
        facts: what must agree between rates, by name: the cell's settings, hardware, data, weights, versions, code.
        doubts: what makes it doubtful.
    """

    cell: Cell
    regime: str
    rate: float
    block: str
    facts: Mapping[str, Any]
    doubts: Sequence[Doubt] = ()


Names = tuple[str, str]  # of the two sides, for messages
_AB: Names = ("A", "B")
Cells = dict[tuple[str, str], list[Sample]]  # samples of a side, by the facts of their cell and their regime


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Both sides of one cell in one regime.

    Attributes:
        title: of the cell, for people.
        regime: one of `RATES`.
        effect: how B stands to A.
        interleaved: whether the two were measured in turn, in rounds.
        p: the effect's p-value, corrected over all comparisons of the command.
        samples: a sample of each side, A and B, that stands for all that were taken together.
        doubts: of each side, A and B, what makes the rate of each process doubtful.
        equal_sides: the noise of equal sides of the same cell, as `noise`; NaN if none were given.
    """

    title: str
    regime: str
    effect: Effect
    interleaved: bool
    p: float
    samples: tuple[Sample, Sample]
    doubts: tuple[Sequence[Sequence[Doubt]], Sequence[Sequence[Doubt]]] = ((), ())
    equal_sides: float = math.nan

    @property
    def noise(self) -> float:
        """The standard error of the log ratio, about a share: its own or, if larger, that of equal sides of the cell.

        NaN if neither is known.
        """
        return float(np.fmax(self.effect.standard_error, self.equal_sides))

    @property
    def threshold(self) -> float:
        """The slow-down, a share, beyond which B has regressed if its p is significant."""
        return float(threshold(self.noise))

    @property
    def could_regress(self) -> bool:
        """Whether its p could be significant at all, even of this comparison alone: whether rounds were enough."""
        return self.effect.least_p < SIGNIFICANT

    @property
    def regressed(self) -> bool:
        """Whether B is slower by more than the threshold, beyond chance."""
        return bool(is_regression(self.effect.ratio, self.p, self.threshold))


def beyond_reach(comparisons: Sequence[Comparison]) -> str:
    """Why no p-value could be significant, whatever the rates are; empty if it could."""
    number, least = len(comparisons), min(compared.effect.least_p for compared in comparisons)
    if number * least < SIGNIFICANT:
        return ""
    return (
        f"no regression could be found: of {number} comparisons, with so few processes a side, no p can be under "
        f"{min(1, number * least):.2g}; measure fewer cells, or {rounds_needed(number)} rounds in turn "
        f"(nox -s bench-ab -- --rounds {rounds_needed(number)})"
    )


def rounds_needed(comparisons: int) -> int:
    """The fewest rounds in turn with which, of so many comparisons, a single one can be significant."""
    return math.floor(math.log2(2 * comparisons / SIGNIFICANT)) + 1


def threshold(noise: float | np.ndarray) -> np.ndarray:
    """The slow-down, a share, beyond which a significant effect is a regression, at that standard error of its ratio.

    The least that there is, if the noise is not known (NaN).
    """
    return np.asarray(np.fmax(LEAST_REGRESSION, NOISE_FACTOR * np.asarray(noise)))


def is_regression(
    ratio: float | np.ndarray, p: float | np.ndarray, beyond: float | np.ndarray
) -> np.bool_ | np.ndarray:
    """Whether the second side, at `ratio` of the first's rate, is slower by more than `beyond`, and not by chance."""
    return np.less(p, SIGNIFICANT) & np.less(ratio, 1 / (1 + beyond))


def samples(record: Record) -> list[Sample]:
    """The process's rates, one a regime; none if it is not ok."""
    rates = {regime: record.value(f"{regime}_images_per_s") for regime in RATES if record.ok}
    facts = _facts_of(json.dumps(comparability.values(Evidence.of(record), Purpose.RATES)))
    return [
        Sample(record.cell, regime, rate, record.block, facts, doubts.every(record, regime))
        for regime, rate in rates.items()
        if rate > 0
    ]


@functools.lru_cache(maxsize=1000)
def _facts_of(text: str) -> Mapping[str, Any]:
    """The facts on a line of JSON: those of samples that agree are one object, for the sake of time and memory."""
    facts: Mapping[str, Any] = json.loads(text)
    return facts


def of_known_code(samples: list[Sample]) -> list[Sample]:
    """The samples without those whose code changed while it ran, so that nobody knows which of it that was."""
    return [sample for sample in samples if not comparability.is_of_changed_code(sample.facts)]


def compare(a: list[Sample], b: list[Sample], across: str | None = None) -> list[Comparison]:
    """Every cell and regime that both sides have, of samples of known code.

    UsageError if they share none, or differ in more than an axis.
    """
    return _corrected(_compare(a, b, across))


class Pair(NamedTuple):
    """Two of several sides: their names, their comparisons, and why there are none, empty if there are."""

    a: str
    b: str
    comparisons: Sequence[Comparison]
    failure: str


def compare_all(sides: Mapping[str, list[Sample]]) -> list[Pair]:
    """Every two sides, by name, in their order; p-values are corrected over all comparisons of all pairs."""
    pairs = [_pair(a, b, sides) for a, b in itertools.combinations(sides, 2)]
    corrected = iter(_corrected([compared for pair in pairs for compared in pair.comparisons]))
    return [pair._replace(comparisons=list(itertools.islice(corrected, len(pair.comparisons)))) for pair in pairs]


def _pair(a: str, b: str, sides: Mapping[str, list[Sample]]) -> Pair:
    if not (sides[a] and sides[b]):
        return Pair(a, b, (), f"side {b if sides[a] else a} has no rate")
    try:
        return Pair(a, b, _compare(sides[a], sides[b], None, (a.upper(), b.upper())), "")
    except UsageError as error:  # records may come from anywhere, and their sides differ in anything
        return Pair(a, b, (), str(error))


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with their p-values corrected for the number of them."""
    p_values = effects.holm([compared.p for compared in comparisons])
    return [dataclasses.replace(compared, p=p) for compared, p in zip(comparisons, p_values, strict=True)]


def _compare(a: list[Sample], b: list[Sample], across: str | None, names: Names = _AB) -> list[Comparison]:
    """As `compare`, each with the p-value of its own."""
    a, b = of_known_code(a), of_known_code(b)
    if not (a and b):
        raise UsageError("all code of a side changed while it ran, so that it shows nothing: measure the side again")
    across = across or differing_axis(a, b, names)
    free, first, second = _cells(a, b, across)
    for name, side in zip(names, (first, second), strict=True):
        _check_unmixed(name, side.values(), _OF_PLACES.get(across or "", free[:1]))
    shared = [key for key in first if key in second]
    if not shared:
        difference = _first_difference(a, b, free, names)
        raise UsageError(f"{' and '.join(names)} share no cell: {difference}{_way_out(a, b, across)}")
    titles = _titles({key: first[key][0] for key in shared}, free)
    return [_comparison(titles[key], key[1], first[key], second[key]) for key in shared]


def _comparison(title: str, regime: str, a: list[Sample], b: list[Sample]) -> Comparison:
    effect, interleaved = _effect(a, b)
    return Comparison(title, regime, effect, interleaved, effect.p, (a[0], b[0]), _doubts_of(a, b))


def unshared(a: list[Sample], b: list[Sample], across: str | None = None) -> tuple[list[str], list[str]]:
    """The cells, by title, that side A alone has, and that side B alone has: none is compared."""
    free, first, second = _cells(a, b, across or differing_axis(a, b))
    alone = (
        {_alone(side[key][0], list(other.values()), free): None for key in side if key not in other}
        for side, other in ((first, second), (second, first))
    )
    only_a, only_b = map(list, alone)
    return only_a, only_b


def _alone(sample: Sample, others: list[list[Sample]], free: Sequence[str]) -> str:
    """The title of a cell that the other side lacks; and in what it differs if that has one of this title."""
    words = title(sample.cell)
    twins = [cell[0] for cell in others if title(cell[0].cell) == words and cell[0].regime == sample.regime]
    closest = min((_unlike(sample.facts, twin.facts, free) for twin in twins), key=len, default=[])
    return f"{words} (another {' and another '.join(closest)})" if closest else words


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any], free: Sequence[str]) -> list[str]:
    """The names of the facts in which these differ."""
    return [name for name in {**a, **b} if name not in free and a.get(name) != b.get(name)]


def _doubts_of(a: list[Sample], b: list[Sample]) -> tuple[list[Sequence[Doubt]], list[Sequence[Doubt]]]:
    return [sample.doubts for sample in a], [sample.doubts for sample in b]


def with_equal_sides(comparisons: Sequence[Comparison], equal: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, each with the noise of equal sides of its own cell and regime if these are among `equal`.

    `equal` compares sides that are the same. Of two cells, such as those of two backends, the noisier counts.
    """
    return [dataclasses.replace(compared, equal_sides=_equal_sides(compared, equal)) for compared in comparisons]


def _equal_sides(compared: Comparison, equal: Sequence[Comparison]) -> float:
    """The standard error that equal sides of its cells have in as many rounds; NaN if there are none.

    That of a mean falls with the root of their number.
    """
    cells = {_of_cell(sample) for sample in compared.samples}
    effects_of_cells = [each.effect for each in equal if _of_cell(each.samples[0]) in cells]
    rounds = min(compared.effect.processes)
    errors = (effect.standard_error * math.sqrt(min(effect.processes) / rounds) for effect in effects_of_cells)
    return max(errors, default=math.nan)


def _of_cell(sample: Sample) -> tuple[str, str]:
    """What samples of one cell and regime on one machine have in common, whatever code and versions ran."""
    facts = {name: value for name, value in sample.facts.items() if name not in _BETWEEN_RUNS}
    return json.dumps(facts, sort_keys=True), sample.regime


def _titles(samples: Mapping[tuple[str, str], Sample], free: Sequence[str]) -> dict[tuple[str, str], str]:
    """A title for each comparison, by a sample of it; what else differs between those of one title is added."""
    by_title: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for sample in samples.values():
        by_title[title(sample.cell)].append(sample.facts)
    differing = {words: _differing(facts, free) for words, facts in by_title.items()}
    titles = {}
    for key, sample in samples.items():
        words = title(sample.cell)
        apart = (f"{name.replace('_', ' ')} {sample.facts.get(name, 'unknown')}" for name in differing[words])
        titles[key] = ", ".join([words, *(legible(fact, LONGEST_NAME) for fact in apart)])
    return titles


def _differing(facts: Sequence[Mapping[str, Any]], free: Sequence[str]) -> list[str]:
    """The names of the facts in which not all of these agree."""
    names = [name for name in dict.fromkeys(itertools.chain(*facts)) if name not in free]
    return [name for name in names if any(each.get(name) != facts[0].get(name) for each in facts)]


def title(cell: Cell) -> str:
    """The cell in the words of a comparison: what both of its sides have in common."""
    model = Line.of(cell).title
    return f"{model}, {cell.data}, {cell.image_size}x{cell.image_size}, batch {cell.batch_size}"


def count(cells: Iterable[Cell]) -> int:
    """The comparisons that these cells of one side give: those that differ in a seed alone are taken together."""
    return len({comparability.key(Evidence.of_cell(cell), Purpose.RATES) for cell in cells}) * len(RATES)


def differing_axis(a: list[Sample], b: list[Sample], names: Names = _AB) -> str | None:
    """The axis that sets the sides apart, None if there is none; UsageError if it takes more than one."""
    facts = dict.fromkeys(fact for along in _OF_SOFTWARE.values() for fact in along if fact != "threads")
    differing = [fact for fact in facts if _values(a, fact) != _values(b, fact)]
    if not differing:
        return None
    for axis, along in _OF_SOFTWARE.items():
        if along[0] in differing and set(differing) <= set(along):
            return axis
    if differing == ["code"]:
        return "commit"  # the same one, with changes that were not committed
    # A backend or a Python that differs brings its versions with it: they are no change of their own.
    brought = {fact for axis in ("backend", "python") if axis in differing for fact in _OF_SOFTWARE[axis][1:]}
    named = [fact for fact in differing if fact not in brought]
    raise UsageError(
        f"{' and '.join(names)} differ in {' and '.join(named)}: measure them with only one of these changed"
    )


def _values(samples: list[Sample], fact: str) -> set[Hashable]:
    return {comparability.frozen(facts.get(fact)) for facts in _different_facts(samples)}


def _different_facts(samples: Iterable[Sample]) -> list[Mapping[str, Any]]:
    """The facts of the samples, each object once: most samples share theirs."""
    return list({id(sample.facts): sample.facts for sample in samples}.values())


def _cells(a: list[Sample], b: list[Sample], across: str | None) -> tuple[Sequence[str], Cells, Cells]:
    """The facts that are free to differ along the axis, and both sides by what is not."""
    free = _AXES[across] if across else ()
    return free, _by_cell(a, free), _by_cell(b, free)


def _by_cell(samples: list[Sample], free: Sequence[str]) -> Cells:
    """Samples by what must be the same on both sides: every fact that is not `free` to differ; and by regime."""
    keys = {id(facts): _key(facts, free) for facts in _different_facts(samples)}
    cells: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        cells[keys[id(sample.facts)], sample.regime].append(sample)
    return dict(cells)


def _key(facts: Mapping[str, Any], free: Sequence[str]) -> str:
    return json.dumps({name: value for name, value in facts.items() if name not in free}, sort_keys=True)


def _check_unmixed(side: str, cells: Iterable[list[Sample]], facts: Sequence[str]) -> None:
    """UsageError if samples of one cell of the side differ in one of the facts: they are no one side."""
    for samples, fact in itertools.product(cells, facts):
        if len(values := {str(facts.get(fact, "unknown")) for facts in _different_facts(samples)}) > 1:
            raise UsageError(
                f"{side} mixes several {fact} in one cell ({', '.join(sorted(values))}): give records of one of them"
            )


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


def _way_out(a: list[Sample], b: list[Sample], across: str | None) -> str:
    """What to do about sides that differ in one axis of places alone, which has to be asked for; else nothing."""
    names = {name for sample in (*a, *b) for name in sample.facts}
    differing = {name for name in names if _values(a, name) != _values(b, name)}
    axes = [axis for axis, along in _OF_PLACES.items() if differing <= set(along)]
    return f"; --across {axes[0]} compares them along it" if axes and not across else ""


def _first_difference(a: list[Sample], b: list[Sample], free: Sequence[str], names: Names) -> str:
    """In words, the differences between those two cells of the sides that differ least."""
    sides = ([samples[0].facts for samples in _by_cell(side, free).values()] for side in (a, b))
    differing = (_in_words(first, second, free, names) for first, second in itertools.product(*sides))
    closest: list[str] = min(differing, key=len)
    return ", ".join(closest) or "they were measured in different regimes"


def _in_words(a: Mapping[str, Any], b: Mapping[str, Any], free: Sequence[str], names: Names) -> list[str]:
    return [
        f"{fact} is {a.get(fact, 'unknown')} in {names[0]} and {b.get(fact, 'unknown')} in {names[1]}"
        for fact in _unlike(a, b, free)
    ]
