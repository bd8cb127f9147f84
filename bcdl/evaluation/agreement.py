"""Does the backend change the diagnosis? The same images as named by two models that should be the same. No Keras.

Compared are the models of two backends that started from the same weights and saw the same batches (cells equal but for
the backend), and, to hold that against, those of two seeds on one backend. The test images are the same, so that every
comparison is paired, and sees more than two intervals side by side would.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy import stats
from sklearn import metrics as library

from bcdl.evaluation import estimates, metrics, scored
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.records.comparability import Evidence, Purpose, differences
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report.tables import Table
from bcdl.statistics import bootstrap, effects
from bcdl.text import escape

# The equivalence margin, given before any result: a difference in accuracy of up to this is taken to be no difference
# for a first look at a method. It is no clinical margin; a trial would have to argue for one.
MARGIN = 0.05
# Names listed for one pair on the page; the rest are counted.
MOST_NAMES = 20


@dataclasses.dataclass(frozen=True)
class Difference:
    """A metric of b less that of a, with the 95 percent interval over patients; NaN where there is none."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        interval = "no interval" if math.isnan(self.low) else f"{self.low:+.3f} to {self.high:+.3f}"
        return f"{self.value:+.3f} ({interval})"


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How two models name the same images, at a score of 0.5.

    Attributes:
        agreement: share of images that both name alike.
        kappa: Cohen's, agreement beyond chance (1960, Educational and Psychological Measurement 20:37-46); NaN where
            both name all images alike by one word.
        only_a, only_b: images that a, or b, alone names right.
        p: of McNemar's test, exact and two-sided, that neither is right more often (McNemar 1947, Psychometrika
            12:153-157). It takes images for independent, which those of one patient are not.
        flipped: names of the images that they name differently.
        one_class: whether both name every image the same class, so that they agree without telling anything apart.
        largest: largest difference between two scores of one image.
        accuracy, auroc: of b less those of a.
    """

    agreement: float
    kappa: float
    only_a: int
    only_b: int
    p: float
    flipped: tuple[str, ...]
    one_class: bool
    largest: float
    accuracy: Difference
    auroc: Difference

    @property
    def verdict(self) -> str:
        """Whether the accuracies are equivalent: whether the whole interval lies within `MARGIN`.

        Two one-sided tests (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15:657-680), at 2.5
        percent each, so that the 95 percent interval that is shown decides; a 90 percent one, as is usual in
        bioequivalence, would claim it more easily (Walker and Nowacki 2011, Journal of General Internal Medicine
        26:192-196). What is not shown may be so all the same: few images show little.
        """
        low, high = self.accuracy.low, self.accuracy.high
        if low >= -MARGIN and high <= MARGIN:
            empty = " (empty: all images are named one class)" if self.one_class else ""
            return f"no difference larger than {MARGIN:g}{empty}"
        if low > MARGIN or high < -MARGIN:
            return f"a difference larger than {MARGIN:g}"
        return "not shown"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two models that are compared.

    Attributes:
        line: what both are.
        a, b: the two backends, or the two seeds, as text.
        same: the seed, or the backend, that they share, as text.
        across: `backends` or `seeds`, what sets them apart.
        images, groups: how many both were tested on.
        found: how they agree.
    """

    line: Line
    a: str
    b: str
    same: str
    across: str
    images: int
    groups: int
    found: Agreement


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a model said, and its accuracy and AUROC by name: of the images, and [R] in each resample of patients."""

    scored: Scored
    values: dict[str, float]
    drawn: dict[str, np.ndarray]

    @classmethod
    def of(cls, one: Scored) -> Judged:
        return cls(one, {row.name: row.value(one) for row in _COMPARED}, estimates.resampled([one], _COMPARED))


_ACCURACY, _AUROC = _COMPARED = (metrics.BY_NAME["accuracy"], metrics.BY_NAME["auroc"])


def compare(first: Judged, second: Judged) -> Agreement:
    """How two models agree that were tested on the same images, in the same order."""
    a, b = first.scored, second.scored
    only_a, only_b = int(np.sum(a.right & ~b.right)), int(np.sum(b.right & ~a.right))
    differ = a.named != b.named
    return Agreement(
        agreement=float(np.mean(~differ)),
        kappa=_kappa(a, b),
        only_a=only_a,
        only_b=only_b,
        p=float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
        flipped=tuple(a.names[differ].tolist()),
        one_class=len(np.unique([a.named, b.named])) == 1,
        largest=float(np.max(np.abs(a.scores - b.scores))),
        accuracy=_widened(_difference(_ACCURACY, first, second), a, b),
        auroc=_difference(_AUROC, first, second),
    )


def _kappa(a: Scored, b: Scored) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class alone: 0 / 0, and NaN is what is wanted
        return float(library.cohen_kappa_score(a.named, b.named, labels=[False, True]))


def _difference(metric: Metric, a: Judged, b: Judged) -> Difference:
    """The metric of b less that of a: both were resampled alike, being of the same groups."""
    value = b.values[metric.name] - a.values[metric.name]
    drawn = b.drawn[metric.name] - a.drawn[metric.name]
    return Difference(value, *bootstrap.interval(value, drawn, metric.evidence(a.scored)))


def _widened(difference: Difference, a: Scored, b: Scored) -> Difference:
    """The difference in accuracy, its interval at no end short of that of Agresti and Min.

    Where hardly an image flips, hardly a resample has one, and the bootstrap is too sure. Agresti and Min (2005,
    Statistics in Medicine 24:729-740) add half a pair to each of the four outcomes before they take Wald's interval.
    Here a pair is a group of mean size, and the variance that of sums over groups.
    """
    groups, place = np.unique(a.groups, return_inverse=True)
    if len(groups) < bootstrap.LEAST_GROUPS:
        return difference
    gains = b.right.astype(float) - a.right
    size = len(gains) / len(groups)
    total = len(gains) + 2 * size
    off = np.bincount(place, gains - gains.mean())
    centre = gains.sum() / total
    reach = stats.norm.ppf((1 + bootstrap.CONFIDENCE) / 2) * math.sqrt(off @ off + size**2) / total
    low, high = np.fmin(difference.low, centre - reach), np.fmax(difference.high, centre + reach)
    return Difference(difference.value, float(low), float(high))


def pairs(group: Group) -> tuple[list[Pair], list[str]]:
    """Every pair of backends and every pair of seeds that can be compared, and why others can't, a line each."""
    found: list[Pair] = []
    refused: list[str] = []
    for line in group.lines:
        sides = {
            (backend, seed): _Side(folds) for backend in group.backends for seed, folds in _ran(group, line, backend)
        }
        for across, a, b, same, first, second in itertools.chain(_across_backends(sides), _across_seeds(sides)):
            reason = _incomparable(first.folds, second.folds, across)
            if reason:
                refused.append(f"{group.label(line)}, {a} and {b}, {same}: {reason}")
            else:
                agreed = compare(first.judged, second.judged)
                images = first.judged.scored
                found.append(Pair(line, a, b, same, across, len(images), images.group_count, agreed))
    return found, refused


def _ran(group: Group, line: Line, backend: str) -> Iterable[tuple[int, list[Record]]]:
    return scored.records_by_seed(group.of(line, backend)).items()


@dataclasses.dataclass(frozen=True)
class _Side:
    """The folds of one seed on one backend, judged when first compared."""

    folds: list[Record]

    @functools.cached_property
    def judged(self) -> Judged:
        return Judged.of(scored.pool(self.folds))


_Sides = dict[tuple[str, int], _Side]
_Compared = tuple[str, str, str, str, _Side, _Side]


def _across_backends(sides: _Sides) -> Iterator[_Compared]:
    for (a, seed), (b, other) in itertools.combinations(sides, 2):
        if seed == other:
            yield "backends", a, b, f"seed {seed}", sides[a, seed], sides[b, seed]


def _across_seeds(sides: _Sides) -> Iterator[_Compared]:
    for (backend, a), (other, b) in itertools.combinations(sides, 2):
        if backend == other:
            yield "seeds", f"seed {a}", f"seed {b}", backend, sides[backend, a], sides[backend, b]


# Why two models can't be compared, by the fact that does not agree.
_REASONS = {
    "images and split": "not the same images or splits",
    "test images": "not the same images or splits",
    "initial weights": "not known to have started from the same weights",
}


def _incomparable(first: list[Record], second: list[Record], across: str) -> str:
    """Why the two sides, folds in order, can't be compared; empty if they can."""
    if [record.cell.fold for record in first] != [record.cell.fold for record in second]:
        return "not the same folds ran"
    purpose = Purpose.BACKENDS if across == "backends" else Purpose.SEEDS
    sides = zip(map(Evidence.of, first), map(Evidence.of, second), strict=True)
    facts = [difference.fact for a, b in sides for difference in differences(a, b, purpose)]
    return "; ".join(dict.fromkeys(_REASONS.get(fact, f"not the same {fact}") for fact in facts))


def section(group: Group) -> tuple[str, list[Table]]:
    """The group's part of the page, in Markdown, and the same figures as one table for programs.

    Nothing where no two models can be compared.
    """
    found, refused = pairs(group)
    paragraphs = [_TEXT.strip()] if found else []
    for line in group.lines:
        of_line = [pair for pair in found if pair.line == line]
        if of_line:
            paragraphs += [_line_table(group, line, of_line).to_markdown(), _summary(of_line)]
            paragraphs += [text for text in (_flips(of_line),) if text]
    if refused:
        paragraphs.append(f"Not compared: {escape('; '.join(refused))}.")
    if not paragraphs:
        return "", []
    text = estimates.part(group, "Does the backend change the diagnosis?", paragraphs)
    return text, [_tidy_table(group, found)] if found else []


_TEXT = f"""\
Each backend's model started from the same weights and saw the same batches; rows of two seeds on one backend show what
another start and order alone does. Differences are b less a on the same images, in brackets the
{bootstrap.CONFIDENCE:.0%} interval, by resampling patients.

- **p** is McNemar's, exact: that neither names more images right. It is corrected by Holm's method over the pairs of
  backends of a model, and over those of seeds. A large p shows nothing.
- **Verdict**: *no difference larger than {MARGIN:g}* where the whole interval of accuracy lies within that margin,
  which was fixed beforehand. *Not shown* does not say that there is a difference: few images show little.
"""

_HEAD = (
    *("a", "b", "same", "agreement", "kappa", "flipped", "right in a, b alone", "p", "p (Holm)"),
    *("largest score difference", "accuracy, b - a", "AUROC, b - a", "verdict"),
)


def _line_table(group: Group, line: Line, found: Sequence[Pair]) -> Table:
    images = ", ".join(dict.fromkeys(f"{pair.images} images of {pair.groups} groups" for pair in found))
    title = f"{group.mark}{line.title}, start: {line.start}; {images}"
    corrected = _corrected(found)
    return Table(title, _HEAD, tuple(_row(pair, p) for pair, p in zip(found, corrected, strict=True)))


def _corrected(found: Sequence[Pair]) -> list[float]:
    """Each pair's p by Holm's method, over the pairs of its kind."""
    of_kind = {
        kind: iter(effects.holm([pair.found.p for pair in found if pair.across == kind]))
        for kind in ("backends", "seeds")
    }
    return [next(of_kind[pair.across]) for pair in found]


def _row(pair: Pair, corrected: float) -> tuple[str, ...]:
    one = pair.found
    return (
        *(pair.a, pair.b, pair.same),
        f"{one.agreement:.3f}",
        _kappa_text(one.kappa),
        str(len(one.flipped)),
        f"{one.only_a}, {one.only_b}",
        *map(_p_text, (one.p, corrected)),
        f"{one.largest:.2g}",
        *map(str, (one.accuracy, one.auroc)),
        one.verdict,
    )


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _kappa_text(kappa: float) -> str:
    return "not defined" if math.isnan(kappa) else f"{kappa:.3f}"


def _summary(found: Sequence[Pair]) -> str:
    """In a sentence, how many images flip between backends and how many between seeds."""
    told = []
    for kind in ("backends", "seeds"):
        counts = [len(pair.found.flipped) for pair in found if pair.across == kind]
        if counts:
            least, most = min(counts), max(counts)
            told.append(f"{least if least == most else f'{least} to {most}'} between {kind}")
    return f"Flipped images of {found[0].images}: {', '.join(told)}."


def _flips(found: Sequence[Pair]) -> str:
    """The images that two backends name differently, a line a pair."""
    lines = []
    for pair in found:
        names = pair.found.flipped
        if pair.across == "backends" and names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            listed = ", ".join(map(literal, names[:MOST_NAMES]))
            lines.append(f"- {pair.a} and {pair.b}, {pair.same}: {listed}{more}")
    return "\n".join(lines)


def literal(name: str) -> str:
    """A file's name for Markdown text outside tables: nothing in it is taken for markup or an address."""
    return escape(re.sub(r"([\\`*_~:@])", r"\\\1", name))


_TIDY_HEAD = (
    *("model", "start", "split", "across", "a", "b", "same", "images", "groups", "agreement", "kappa", "flipped"),
    *("right in a alone", "right in b alone", "p", "p (Holm)", "largest score difference"),
    *(f"{name} b - a, {end}" for name in ("accuracy", "AUROC") for end in ("value", "low", "high")),
    "verdict",
)


def _tidy_table(group: Group, found: Sequence[Pair]) -> Table:
    """Every pair of the group with each number in a column of its own; empty where it is not defined."""
    rows = []
    for line in group.lines:
        of_line = [pair for pair in found if pair.line == line]
        rows += [_tidy_row(group, pair, p) for pair, p in zip(of_line, _corrected(of_line), strict=True)]
    return Table("Agreement", _TIDY_HEAD, tuple(rows))


def _tidy_row(group: Group, pair: Pair, corrected: float) -> tuple[str, ...]:
    one = pair.found
    numbers = (one.p, corrected, one.largest, *dataclasses.astuple(one.accuracy), *dataclasses.astuple(one.auroc))
    return (
        *(pair.line.title, pair.line.start, estimates.split_of(group), pair.across, pair.a, pair.b, pair.same),
        *map(str, (pair.images, pair.groups)),
        f"{one.agreement:.3f}",
        "" if math.isnan(one.kappa) else f"{one.kappa:.3f}",
        *map(str, (len(one.flipped), one.only_a, one.only_b)),
        *("" if math.isnan(number) else f"{number:.6g}" for number in numbers),
        one.verdict,
    )
