"""How well the models of a group tell malignant from benign, with intervals: tables and text. Never imports Keras.

What an interval says: the models held as they are, how far each figure could have come out otherwise on as many other
patients like these. It leaves out what another training would have given; that is the spread over seeds, which has
columns of its own. What test sets of the usual size can tell is not much: of n independent images of which a share p is
named right, the interval reaches 1.96 sqrt(p (1 - p) / n) to either side, at p = 0.8 some 0.07 for 127 images and 0.03
for 647. Patients with several images make that wider. So 127 images tell a model from the majority class only where it
is better by more than about 0.07, and hardly ever one good model from another; the comparison of the same images in
`bcdl.evaluation.agreement` sees more.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bcdl.evaluation import metrics, scored
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report.tables import Table
from bcdl.statistics import bootstrap

LEAST_IMAGES = 30  # that a plot is drawn of


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A metric of one model on one backend.

    Attributes:
        value: mean over seeds; NaN where it is not defined.
        low, high: its interval over patients, 95 percent; NaN where there is none.
        seeds: each seed's value.
        undefined: resamples in which it was not defined, and which the interval leaves out.
    """

    value: float
    low: float
    high: float
    seeds: tuple[float, ...]
    undefined: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        if math.isnan(self.low):
            return f"{self.value:.3f} (no interval)"
        left_out = f"; {self.undefined} of {bootstrap.RESAMPLES} undefined" if self.undefined else ""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}{left_out})"


@dataclasses.dataclass(frozen=True)
class Result:
    """One model on one backend.

    Attributes:
        line, backend: which.
        records: its records, those that are not ok among them.
        seeds: what the models of each seed said.
        estimates: its metrics by name.
        reference: what the majority class gives of each metric.
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


def results(group: Group, rows: Sequence[Metric] = metrics.METRICS) -> list[Result]:
    """The metrics of each model and backend that has predictions, in the order of the tables."""
    found = []
    for line in group.lines:
        for backend in group.backends:
            records = group.of(line, backend)
            if seeds := scored.by_seed(records):
                every = list(seeds.values())
                constant = majority(max(every, key=len))
                reference = {metric.name: metric.value(constant) for metric in rows}
                found.append(Result(line, backend, records, seeds, estimates(every, rows), reference))
    return found


def worth_drawing(group: Group, rows: Sequence[Metric]) -> list[Result]:
    """As `results`, or nothing where there are so few test images that a plot would show chance alone."""
    found = results(group, rows)
    return found if found and len(found[0].largest) >= LEAST_IMAGES else []


def estimates(seeds: Sequence[Scored], rows: Sequence[Metric] = metrics.METRICS) -> dict[str, Estimate]:
    """Each metric by name: its mean over seeds, with an interval from resamples of groups, the same for all seeds."""
    drawn = resampled(seeds, rows)
    return {metric.name: _estimate(metric, seeds, drawn[metric.name]) for metric in rows}


def resampled(seeds: Sequence[Scored], rows: Sequence[Metric]) -> dict[str, np.ndarray]:
    """Each metric by name, the mean over seeds, in every resample: [R], NaN where it is not defined."""
    drawn: dict[str, list[np.ndarray]] = {metric.name: [] for metric in rows}
    for weights in scored.resamples(seeds):
        for metric in rows:
            of_seeds = [metric.resampled(one, w) for one, w in zip(seeds, weights, strict=True)]
            drawn[metric.name].append(np.mean(of_seeds, axis=0))
    return {name: np.concatenate(blocks) for name, blocks in drawn.items()}


def _estimate(metric: Metric, seeds: Sequence[Scored], drawn: np.ndarray) -> Estimate:
    values = tuple(metric.value(one) for one in seeds)
    value = float(np.mean(values))
    evidence = min(metric.evidence(one) for one in seeds)
    low, high = bootstrap.interval(value, drawn, evidence, metric.share, metric.inflated)
    return Estimate(value, low, high, values, int(np.isnan(drawn).sum()))


def majority(of: Scored) -> Scored:
    """The same images, each given the share of malignant ones as its score: always the more frequent class.

    What every metric must be held against; scikit-learn calls it the prior strategy.
    """
    share = float(np.mean(of.labels))
    outputs = np.tile([1 - share, share], (len(of), 1))
    return dataclasses.replace(of, outputs=outputs, called=np.full(len(of), share > 0.5))


def split_of(group: Group) -> str:
    """How the group's data was split, for tables that programs read."""
    return "by image (LEAKY)" if group.mark else "by group"


def section(group: Group) -> tuple[str, list[Table]]:
    """The group's part of the page, in Markdown, and the same figures as tables for programs, one a metric.

    Nothing where no record holds predictions.
    """
    found = results(group)
    if not found:
        return "", []
    lines = [line for line in group.lines if any(result.line == line for result in found)]
    shown = [_line_table(group, line, [r for r in found if r.line == line]).to_markdown() for line in lines]
    text = part(group, "How good, and how sure?", [_text(group, found), *shown])
    return text, tidy_tables(group, found)


def part(group: Group, title: str, paragraphs: Sequence[str]) -> str:
    """A part of the page under its title; folded up where it is of drawings, which say nothing of a model's worth."""
    body = "\n\n".join(paragraphs)
    if group.synthetic:
        body = f"<details><summary>Of drawings: a test of the harness alone</summary>\n\n{body}\n\n</details>"
    return f"### {group.mark}{title}\n\n{body}"


_TEXT = """\
In brackets is the {confidence:.0%} interval, the percentiles of {resamples} resamples of {who}: how far a figure could
have come out otherwise on as many others like them, the trained models held as they are.
{width}
Backends share their images, so that intervals which overlap do not make them equal: pairs are compared below.

- **Majority class** always names the more frequent class, with the share of malignant images as its score.
- Figures of one threshold take 0.5, or, where they say so, the score with the largest sensitivity + specificity on
  validation; of several the lowest.
- **Not defined** is what lacks a class or a validation split. There is **no interval** with fewer than {least} groups
  (of the rarer class, where both count) or where all resamples give the same; with some dozens it is still too narrow.
- The calibration error has {bins} bins of equal width. Chance alone raises it; its interval takes out as much as
  resampling adds.
"""


def _text(group: Group, found: Sequence[Result]) -> str:
    largest = max((result.largest for result in found), key=len)
    who = f"{largest.group_count} groups (patients)" if largest.grouped else "single images, as no patients are known"
    text = _TEXT.format(
        confidence=bootstrap.CONFIDENCE,
        resamples=bootstrap.RESAMPLES,
        who=who,
        width=_width(largest),
        least=bootstrap.LEAST_GROUPS,
        bins=metrics.CALIBRATION_BINS,
    )
    notes = [
        (_LEAKY_TEXT, bool(group.mark)),
        (_SEEDS_TEXT, any(len(result.seeds) > 1 for result in found)),
        (_FOLDS_TEXT, group.first.cell.folds > 1),
    ]
    return "\n\n".join([text.strip(), *(note.strip() for note, applies in notes if applies)])


def _width(of: Scored) -> str:
    """What so few images can tell, in a sentence."""
    reach = 1.96 * math.sqrt(0.8 * 0.2 / of.group_count)
    groups = f" of {of.group_count} groups" if of.grouped else ""
    return f"So {len(of)} test images{groups} can't tell an accuracy of 0.8 from one {reach:.2f} away."


_LEAKY_TEXT = """\
**LEAKY**: the split was by image, so that a model was tested on patients whose other images it was trained on. These
figures say nothing of new patients; they are here to show what the wrong way would have said.
"""

_SEEDS_TEXT = """\
A figure is the mean over seeds, and its interval resamples the same groups for all of them; the columns of seeds show
the least and the largest, which is what another start and order of training does.
"""

_FOLDS_TEXT = """\
Every fold's test images are put together, each scored by the model that never saw it: one figure of all images. What
compares scores with each other (AUROC, AUPRC, sensitivity at 90% specificity) is taken within each fold and averaged,
since the scores of different models have no common scale.
"""


def _line_table(group: Group, line: Line, found: Sequence[Result]) -> Table:
    """Metrics down, backends across; then the images and seeds they are of."""
    of = {result.backend: result for result in found}
    reference = max(found, key=lambda result: len(result.largest)).reference
    several = [backend for backend in group.backends if backend in of and len(of[backend].seeds) > 1]
    rows = []
    for metric in _applicable(found):
        values = [_shown(of[backend], metric) if backend in of else "" for backend in group.backends]
        spread = [_spread(of[backend].estimates[metric.name]) for backend in several]
        rows.append((metric.title, _number(reference[metric.name]), *values, *spread))
    facts = {"Test images (groups)": _images, "Seeds": _seeds}
    for title, fact in facts.items():
        values = [fact(of[backend]) if backend in of else _status(group, line, backend) for backend in group.backends]
        rows.append((title, "", *values, *[""] * len(several)))
    head = ("quantity", "majority class", *group.backends, *(f"{backend}, seeds" for backend in several))
    return Table(f"{group.mark}{line.title}, start: {line.start}", head, tuple(rows))


def _applicable(found: Sequence[Result]) -> list[Metric]:
    grouped = any(result.largest.grouped for result in found)
    return [metric for metric in metrics.METRICS if grouped or not metric.by_patient]


def _shown(result: Result, metric: Metric) -> str:
    estimate = result.estimates[metric.name]
    return str(estimate) + ("*" if _dirty(result) and not math.isnan(estimate.value) else "")


def _dirty(result: Result) -> bool:
    return any(record.environment.get("dirty") for record in result.records)


def _spread(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not defined"
    return f"{min(estimate.seeds):.3f} to {max(estimate.seeds):.3f}"


def _images(result: Result) -> str:
    counts = {f"{len(one)} ({one.group_count})": None for one in result.seeds.values()}
    return ", ".join(counts)


def _seeds(result: Result) -> str:
    """The seeds there are; told where runs are missing from them."""
    failed = sum(not record.ok for record in result.records)
    missing = f" ({failed} {'run' if failed == 1 else 'runs'} not ok)" if failed else ""
    return ", ".join(map(str, result.seeds)) + missing


def _status(group: Group, line: Line, backend: str) -> str:
    records = group.of(line, backend)
    failed = [record.status.replace("_", " ") for record in records if not record.ok]
    return failed[0] if failed else "no predictions" if records else "not run"


_TIDY_HEAD = (
    *("model", "start", "backend", "split", "value", "low", "high", "majority class"),
    *("seeds", "seeds min", "seeds max", "images", "groups", "undefined resamples", "uncommitted changes"),
)


def tidy_tables(group: Group, found: Sequence[Result]) -> list[Table]:
    """One table a metric, every number in a column of its own; empty where it is not defined."""
    rows: dict[str, list[tuple[str, ...]]] = {metric.title: [] for metric in _applicable(found)}
    for result in found:
        for metric in _applicable(found):
            rows[metric.title].append(_tidy_row(group, result, metric))
    return [Table(title, _TIDY_HEAD, tuple(some)) for title, some in rows.items()]


def _tidy_row(group: Group, result: Result, metric: Metric) -> tuple[str, ...]:
    estimate = result.estimates[metric.name]
    numbers = (estimate.value, estimate.low, estimate.high, result.reference[metric.name])
    return (
        result.line.title,
        result.line.start,
        result.backend,
        split_of(group),
        *map(_number, numbers),
        str(len(result.seeds)),
        *map(_number, (min(estimate.seeds), max(estimate.seeds))),
        str(len(result.largest)),
        str(result.largest.group_count),
        str(estimate.undefined),
        "yes" if _dirty(result) else "no",
    )


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
