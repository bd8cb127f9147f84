"""How well the models of a group distinguish malignant from benign, with intervals.

An interval says how far a figure could have been different on as many other patients like these, with the same models.
It leaves out what another training would have given: that is the spread over seeds, which has columns of its own. Test
sets of the usual size show little: of n independent images of which a share p is named right, the interval reaches
1.96 sqrt(p (1 - p) / n) to either side, at p = 0.8 about 0.07 for 127 images and 0.03 for 647. Patients with several
images make it wider. So 127 images distinguish a model from the majority class only if it is better by more than about
0.07, and hardly ever two good models; the comparison of the same images in `bcdl.evaluation.agreement` sees more.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from bcdl.evaluation import metrics, scored
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.machine.provenance import is_uncommitted
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.statistics import bootstrap
from bcdl.statistics.estimated import Estimated

# The models of so many seeds, the first by number, are resampled. The interval is one of the mean over seeds, in which
# what the images of a single model do by chance is averaged out: of more seeds it would be hardly narrower.
MOST_SEEDS = 20
LEAST_IMAGES = 30  # A plot of fewer would show chance alone.


@dataclasses.dataclass(frozen=True)
class Estimate(Estimated):
    """A metric of one model on one backend: the mean over seeds, with its interval over patients.

    Attributes:
        seeds: each seed's value.
        undefined: of `bootstrap.RESAMPLES` resamples, those in which it is not defined; the interval leaves them out.
    """

    seeds: tuple[float, ...]
    undefined: int


@dataclasses.dataclass(frozen=True)
class Result:
    """One model on one backend.

    Attributes:
        line, backend: which.
        records: its records, those that are not ok among them.
        seeds: what the models of each seed said.
        estimates: its metrics by name.
        reference: each metric of a model that always names the majority class.
    """

    line: Line
    backend: str
    records: list[Record]
    seeds: dict[int, Scored]
    estimates: dict[str, Estimate]
    reference: dict[str, float]

    @property
    def largest(self) -> Scored:
        """The images of the seed with the most: a seed may lack a fold."""
        return max(self.seeds.values(), key=len)

    @property
    def dirty(self) -> bool:
        """Whether a record is from a tree with uncommitted changes."""
        return any(is_uncommitted(record.environment) for record in self.records)


@functools.lru_cache(maxsize=16)
def results(group: Group) -> Sequence[Result]:
    """The metrics of each model and backend that has predictions, in the order of the tables.

    Those of the last groups are kept: tables and several plots show them.
    """
    return [result for line in group.lines for result in of_line(group, line)]


@functools.lru_cache(maxsize=256)
def of_line(group: Group, line: Line, rows: tuple[Metric, ...] = metrics.METRICS) -> Sequence[Result]:
    """As `results`, of one line, with those metrics alone; several pages show the same."""
    return [
        _result(line, backend, records, seeds, rows)
        for backend in group.backends
        if (seeds := scored.by_seed(records := group.of(line, backend)))
    ]


def most_tested(group: Group, line: Line) -> int:
    """How many images the line's models of one seed were tested on, the most of all seeds and backends; 0 if none was.

    That takes no time, as the results do.
    """
    seeds = (scored.records_by_seed(group.of(line, backend)).values() for backend in group.backends)
    tested = (sum(len(fold.predictions["test"]["labels"]) for fold in folds) for of in seeds for folds in of)
    return max(tested, default=0)


def _result(
    line: Line, backend: str, records: list[Record], seeds: dict[int, Scored], rows: Sequence[Metric]
) -> Result:
    every = list(seeds.values())
    constant = majority(max(every, key=len))
    reference = {metric.name: metric.value(constant) for metric in rows}
    return Result(line, backend, records, seeds, estimates(every, rows), reference)


def worth_drawing(group: Group) -> Sequence[Result]:
    """As `results`, or nothing if there are so few test images that a plot would show chance alone."""
    made = results(group)
    return made if made and len(made[0].largest) >= LEAST_IMAGES else []


def estimates(seeds: Sequence[Scored], rows: Sequence[Metric] = metrics.METRICS) -> dict[str, Estimate]:
    """Each metric by name: its mean over seeds, with an interval from resamples of groups, the same for all seeds."""
    drawn = resampled(seeds, rows)
    return {metric.name: _estimate(metric, seeds, drawn[metric.name]) for metric in rows}


def resampled(seeds: Sequence[Scored], rows: Sequence[Metric]) -> dict[str, np.ndarray]:
    """Each metric by name, the mean over the first `MOST_SEEDS`, in every resample: [R], NaN if it is not defined."""
    seeds = seeds[:MOST_SEEDS]
    drawn: dict[str, list[np.ndarray]] = {metric.name: [] for metric in rows}
    for weights in scored.resamples(seeds):
        for metric in rows:
            of_seeds = [metric.resampled(scores, w) for scores, w in zip(seeds, weights, strict=True)]
            drawn[metric.name].append(np.mean(of_seeds, axis=0))
    return {name: np.concatenate(blocks) for name, blocks in drawn.items()}


def difference(metric: Metric, a: Sequence[Scored], b: Sequence[Scored]) -> Estimated:
    """The metric of b less that of a, means over seeds, with its interval: resamples have the same patients."""
    of_a, of_b = ([metric.value(of) for of in side] for side in (a, b))
    value = float(np.mean(of_b) - np.mean(of_a))
    a, b = a[:MOST_SEEDS], b[:MOST_SEEDS]
    drawn = []
    for weights in scored.resamples([*a, *b]):
        of_each = [metric.resampled(of, drawn_of) for of, drawn_of in zip([*a, *b], weights, strict=True)]
        drawn.append(np.mean(of_each[len(a) :], axis=0) - np.mean(of_each[: len(a)], axis=0))
    moved = value - float(np.mean(of_b[:MOST_SEEDS]) - np.mean(of_a[:MOST_SEEDS]))
    return Estimated(value, *bootstrap.interval(value, np.concatenate(drawn) + moved, metric.evidence(a[0])))


def _estimate(metric: Metric, seeds: Sequence[Scored], drawn: np.ndarray) -> Estimate:
    values = tuple(metric.value(scores) for scores in seeds)
    value = float(np.mean(values))
    if len(seeds) > MOST_SEEDS:  # an interval of the first few seeds, about the value of all
        drawn = np.clip(drawn + value - float(np.mean(values[:MOST_SEEDS])), 0, metric.most)
    evidence = min(metric.evidence(scores) for scores in seeds)
    low, high = bootstrap.interval(value, drawn, evidence, metric.share, metric.inflated)
    return Estimate(value, low, high, values, int(np.isnan(drawn).sum()))


def majority(of: Scored) -> Scored:
    """The same images, each given the share of malignant ones as its score: always the more frequent class.

    What every metric must be held against; scikit-learn calls it the prior strategy.
    """
    share = float(np.mean(of.labels))
    outputs = np.tile([1 - share, share], (len(of), 1))
    return dataclasses.replace(of, outputs=outputs, called=np.full(len(of), share > 0.5))
