"""Agreement: does the backend change the diagnosis? Two models that should be the same, on the same images.

Compared are the models of two backends that started from the same weights and saw the same batches (cells equal but
for the backend), and, to hold that against, those of two seeds on one backend, and of one cell on two machines. The
test images are the same, so that every comparison is paired, and sees more than two intervals side by side would.

A pair is two trained models, and says nothing of what another seed would have given. That is what the same two backends
over several seeds say: their mean difference, with the variance between seeds in its interval.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy import stats

from bcdl.evaluation import estimates, metrics, scored
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.records.comparability import Evidence, Purpose, differences, identity_of
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.statistics import bootstrap, effects
from bcdl.statistics.estimated import Estimated, of_both

# The equivalence margin, fixed before any result: differences in accuracy up to this count as none in a first study of
# a method. It is no clinical margin; a trial would have to justify one.
MARGIN = 0.05
# Of two backends that are compared with each other; each pair of models is resampled.
MOST_SHARED_SEEDS = 100


class Verdict(enum.Enum):
    """Whether the accuracies of two models are equivalent."""

    EQUIVALENT = enum.auto()
    DIFFERENT = enum.auto()
    NOT_SHOWN = enum.auto()


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How two models name the same images, at a score of 0.5.

    Attributes:
        share: of the images, that which both name the same class.
        kappa: Cohen's, agreement beyond chance (1960, Educational and Psychological Measurement 20:37-46); NaN if
            both name every image the same one class.
        only_a, only_b: images that a, or b, alone names right.
        p: of McNemar's test, exact and two-sided, that neither is right more often (McNemar 1947, Psychometrika
            12:153-157). It takes images for independent, which those of one patient are not.
        p_by_patient: the same with the patient as the unit: under no difference a and b could be exchanged for all
            images of a patient at once, whose gains and losses go together (clustered pairs: Obuchowski 1998,
            Statistics in Medicine 17:1495-1507; here exact, by all exchanges). It is `p` if no patient has several
            flips.
        flipped: names of the images that they name differently.
        one_class: whether both name every image the same class, so that they agree but distinguish nothing.
        largest: largest difference between two scores of one image.
        accuracy, auroc: of b less those of a, with intervals over patients.
    """

    share: float
    kappa: float
    only_a: int
    only_b: int
    p: float
    p_by_patient: float
    flipped: tuple[str, ...]
    one_class: bool
    largest: float
    accuracy: Estimated
    auroc: Estimated

    @property
    def verdict(self) -> Verdict:
        """Whether the accuracies of these two trained models are equivalent, on other patients like these."""
        return _verdict(self.accuracy)


def _verdict(difference: Estimated) -> Verdict:
    """Whether two accuracies are equivalent: whether the whole interval of their difference lies within `MARGIN`.

    Two one-sided tests (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15:657-680), at 2.5
    percent each, so that the 95 percent interval that is shown decides; a 90 percent one, as is usual in
    bioequivalence, would claim it more easily (Walker and Nowacki 2011, Journal of General Internal Medicine
    26:192-196). What is not shown may be so all the same: few images show little.
    """
    low, high = difference.low, difference.high
    if low >= -MARGIN and high <= MARGIN:
        return Verdict.EQUIVALENT
    if low > MARGIN or high < -MARGIN:
        return Verdict.DIFFERENT
    return Verdict.NOT_SHOWN


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two models that are compared.

    Attributes:
        line: what both are.
        a, b: the two backends, seeds or machines, as text.
        same: what they share of backend and seed, as text.
        across: `backends`, `seeds` or `machines`, what sets them apart.
        sides: what each of them said.
        agreement: how they agree.
    """

    line: Line
    a: str
    b: str
    same: str
    across: str
    sides: tuple[Judged, Judged]
    agreement: Agreement

    @property
    def images(self) -> int:
        """How many both were tested on."""
        return len(self.sides[0].scored)

    @property
    def groups(self) -> int:
        """Of how many patients or groups these are."""
        return self.sides[0].scored.group_count

    @property
    def ungrouped(self) -> int:
        """How many of the images count as a patient of their own, because theirs is not known."""
        return self.sides[0].scored.ungrouped


@dataclasses.dataclass(frozen=True)
class OverSeeds:
    """Two backends over all seeds that both ran, two or more, on the same test images.

    Attributes:
        line: what the models are.
        a, b: the two backends.
        seeds: which seeds, in words.
        differences: accuracy of b less that of a, by seed.
        over_seeds: their mean, with Student's interval on as many degrees of freedom as there are seeds, less one: what
            other seeds would give on these test images.
        accuracy: the mean, with an interval over seeds and patients: what other seeds would give on other patients. It
            is too wide rather than too narrow, since how seeds differ from patient to patient counts in both parts.
        auroc: the same of the AUROC.
        one_class: whether all models name every image the same class.
        images, groups: how many all were tested on.
        ungrouped: how many of the images count as a patient of their own, because theirs is not known.
    """

    line: Line
    a: str
    b: str
    seeds: tuple[str, ...]
    differences: tuple[float, ...]
    over_seeds: Estimated
    accuracy: Estimated
    auroc: Estimated
    one_class: bool
    images: int
    groups: int
    ungrouped: int

    @property
    def verdict(self) -> Verdict:
        """Whether the accuracies of the two backends are equivalent, over seeds and patients."""
        return _verdict(self.accuracy)


@dataclasses.dataclass(frozen=True)
class Refused:
    """Two models that can't be compared: what they are, as in `Pair`, and the reason."""

    line: Line
    a: str
    b: str
    same: str
    across: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a model said, and its accuracy and AUROC by name: of the images, and [R] in each resample of patients."""

    scored: Scored
    values: dict[str, float]
    drawn: dict[str, np.ndarray]

    @classmethod
    def of(cls, predictions: Scored) -> Judged:
        values = {row.name: row.value(predictions) for row in _COMPARED}
        return cls(predictions, values, estimates.resampled([predictions], _COMPARED))


_ACCURACY, _AUROC = _COMPARED = (metrics.BY_NAME["accuracy"], metrics.BY_NAME["auroc"])


def compare(first: Judged, second: Judged) -> Agreement:
    """How two models agree that were tested on the same images, in the same order."""
    a, b = first.scored, second.scored
    only_a, only_b = int(np.sum(a.right & ~b.right)), int(np.sum(b.right & ~a.right))
    gains = _gains(first, second)
    differ = a.named != b.named
    return Agreement(
        share=float(np.mean(~differ)),
        kappa=_kappa(a, b),
        only_a=only_a,
        only_b=only_b,
        p=float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
        p_by_patient=effects.sign_flip_p_of_counts(_by_group(a, gains)),
        flipped=tuple(a.names[differ].tolist()),
        one_class=len(np.unique([a.named, b.named])) == 1,
        largest=float(np.max(np.abs(a.scores - b.scores))),
        accuracy=_widened(_difference(_ACCURACY, [(first, second)]), a, gains),
        auroc=_difference(_AUROC, [(first, second)]),
    )


def _gains(a: Judged, b: Judged) -> np.ndarray:
    """[N] int64, 1 for an image that b alone names right, -1 for one that a alone does."""
    return b.scored.right.astype(np.int64) - a.scored.right


def _by_group(images: Scored, values: np.ndarray) -> np.ndarray:
    """The sums of values [N] over the images of each group: [groups] float64."""
    _, place = np.unique(images.groups, return_inverse=True)
    return np.bincount(place, values)


def _kappa(a: Scored, b: Scored) -> float:
    """As scikit-learn's, which takes more time than all else of a pair; NaN if both name one class alone."""
    of_a, of_b = float(np.mean(a.named)), float(np.mean(b.named))
    chance = of_a * of_b + (1 - of_a) * (1 - of_b)
    return math.nan if chance == 1 else (float(np.mean(a.named == b.named)) - chance) / (1 - chance)


def _difference(metric: Metric, pairs: Sequence[tuple[Judged, Judged]]) -> Estimated:
    """The metric of b less that of a, the mean of pairs (a, b): all were resampled alike, having the same groups."""
    value = float(np.mean([b.values[metric.name] - a.values[metric.name] for a, b in pairs]))
    drawn = np.mean([b.drawn[metric.name] - a.drawn[metric.name] for a, b in pairs], axis=0)
    return Estimated(value, *bootstrap.interval(value, drawn, metric.evidence(pairs[0][0].scored)))


def _widened(difference: Estimated, images: Scored, gains: np.ndarray) -> Estimated:
    """The difference in accuracy, its interval at no end short of that of Agresti and Min, from the gains [N].

    If hardly an image flips, hardly a resample has one, and the bootstrap is too sure. Agresti and Min (2005,
    Statistics in Medicine 24:729-740) add half a pair to each of the four outcomes before they take Wald's interval.
    Here a pair is a group of mean size, and the variance that of sums over groups.
    """
    if images.group_count < bootstrap.LEAST_GROUPS:
        return difference
    size = len(gains) / images.group_count
    total = len(gains) + 2 * size
    off = _by_group(images, gains - gains.mean())
    centre = gains.sum() / total
    reach = stats.norm.ppf((1 + bootstrap.CONFIDENCE) / 2) * math.sqrt(off @ off + size**2) / total
    low, high = np.fmin(difference.low, centre - reach), np.fmax(difference.high, centre + reach)
    return Estimated(difference.value, float(low), float(high))


def over_seeds(pairs: Iterable[Pair]) -> list[OverSeeds]:
    """Every two backends of the pairs that were compared with several seeds, on the same test images."""
    alike: dict[tuple[Line, str, str, bytes], list[Pair]] = {}
    for pair in pairs:
        if pair.across == "backends":
            names = pair.sides[0].scored.names.tobytes()
            alike.setdefault((pair.line, pair.a, pair.b, names), []).append(pair)
    return [_over_seeds(of_seeds) for of_seeds in alike.values() if len(of_seeds) > 1]


def _over_seeds(of_seeds: Sequence[Pair]) -> OverSeeds:
    first = of_seeds[0]
    images = first.sides[0].scored
    sides = [pair.sides for pair in of_seeds]
    gains = np.mean([_gains(a, b) for a, b in sides], axis=0)
    accuracy, auroc = (_seeds_alone(metric, sides) for metric in _COMPARED)
    return OverSeeds(
        line=first.line,
        a=first.a,
        b=first.b,
        seeds=tuple(pair.same for pair in of_seeds),
        differences=tuple(pair.agreement.accuracy.value for pair in of_seeds),
        over_seeds=accuracy,
        accuracy=of_both(accuracy, _widened(_difference(_ACCURACY, sides), images, gains)),
        auroc=of_both(auroc, _difference(_AUROC, sides)),
        one_class=len(np.unique([[judged.scored.named for judged in pair] for pair in sides])) == 1,
        images=first.images,
        groups=first.groups,
        ungrouped=first.ungrouped,
    )


def _seeds_alone(metric: Metric, sides: Sequence[tuple[Judged, Judged]]) -> Estimated:
    """The mean difference in the metric, with Student's interval over seeds."""
    differences = [b.values[metric.name] - a.values[metric.name] for a, b in sides]
    return Estimated(float(np.mean(differences)), *effects.mean_interval(differences, fewest=2))


def pairs(group: Group) -> tuple[list[Pair], list[Refused]]:
    """The pairs of backends, seeds and machines that can be compared, and those that can't; of many seeds the first."""
    compared: list[Pair] = []
    refused: list[Refused] = []
    for line in group.lines:
        sides = _sides(group, line)
        asked = itertools.chain(_across_backends(sides), _across_seeds(sides), _across_machines(group, line))
        for across, a, b, same, first, second in asked:
            reason = _incomparable(first, second, across)
            if reason:
                refused.append(Refused(line, a, b, same, across, reason))
            else:
                judged = first.judged, second.judged
                compared.append(Pair(line, a, b, same + _place(first, second), across, judged, compare(*judged)))
    return compared, refused


def most_seeds(group: Group) -> int:
    """The most seeds that a backend ran of a line, those that are ok and hold predictions."""
    return max((len(seeds) for line in group.lines for seeds in _sides(group, line).values()), default=0)


@dataclasses.dataclass(frozen=True)
class _Side:
    """The folds of one seed on one backend, judged when first compared."""

    folds: list[Record]

    @functools.cached_property
    def judged(self) -> Judged:
        return Judged.of(scored.pool(self.folds))

    @functools.cached_property
    def evidence(self) -> list[Evidence]:
        return [Evidence.of(record) for record in self.folds]


_Sides = dict[str, dict[int, _Side]]  # by backend and seed
_Compared = tuple[str, str, str, str, _Side, _Side]


def _sides(group: Group, line: Line) -> _Sides:
    ran = {backend: scored.records_by_seed(group.of(line, backend)) for backend in group.backends}
    return {backend: {seed: _Side(folds) for seed, folds in seeds.items()} for backend, seeds in ran.items()}


def _across_backends(sides: _Sides) -> Iterator[_Compared]:
    for place, (a, seeds) in enumerate(sides.items(), start=1):
        shared = {b: [seed for seed in seeds if seed in sides[b]][:MOST_SHARED_SEEDS] for b in list(sides)[place:]}
        for seed, b in itertools.product(seeds, shared):
            if seed in shared[b]:
                yield "backends", a, b, f"seed {seed}", seeds[seed], sides[b][seed]


def _across_seeds(sides: _Sides) -> Iterator[_Compared]:
    for backend, seeds in sides.items():
        for a, b in itertools.combinations(itertools.islice(seeds, estimates.MOST_SEEDS), 2):
            yield "seeds", f"seed {a}", f"seed {b}", backend, seeds[a], seeds[b]


def _place(first: _Side, second: _Side) -> str:
    """What follows the words for what both share, if they were not trained on one machine; else nothing."""
    machines = [{identity_of(evidence) for evidence in side.evidence} for side in (first, second)]
    return "" if machines[0] == machines[1] else ", on different machines"


def _across_machines(group: Group, line: Line) -> Iterator[_Compared]:
    """The line's cells that ran on two machines, all folds of a seed together."""
    twice: dict[tuple[str, int, str, str], list[tuple[Record, Record]]] = {}
    for by_machine in group.several:
        for (a, first), (b, second) in itertools.combinations(sorted(by_machine.items()), 2):
            if Line.of(first.cell) == line:
                twice.setdefault((first.cell.backend, first.cell.seed, a, b), []).append((first, second))
    for (backend, seed, a, b), records in sorted(twice.items()):
        folds = [scored.records_by_seed(of_machine).get(seed, []) for of_machine in zip(*records, strict=True)]
        if all(folds):
            yield "machines", a, b, f"{backend}, seed {seed}", _Side(folds[0]), _Side(folds[1])


_PURPOSES = {"backends": Purpose.BACKENDS, "seeds": Purpose.SEEDS, "machines": Purpose.MACHINES}
# Why two models can't be compared, by the fact that does not agree.
_REASONS = {
    "images and split": "not the same images or splits",
    "test images": "not the same images or splits",
    "initial weights": "not known to have started from the same weights",
}


def _incomparable(first: _Side, second: _Side, across: str) -> str:
    """Why the two sides, folds in order, can't be compared; empty if they can."""
    if [record.cell.fold for record in first.folds] != [record.cell.fold for record in second.folds]:
        return "not the same folds ran"
    purpose = _PURPOSES[across]
    sides = zip(first.evidence, second.evidence, strict=True)
    facts = [difference.fact for a, b in sides for difference in differences(a, b, purpose)]
    return "; ".join(dict.fromkeys(_REASONS.get(fact, f"not the same {fact}") for fact in facts))
