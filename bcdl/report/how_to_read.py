"""The page that says how to read the results: what all sections have in common stands there once.

A part is known by its title; sections link to it.
"""

from __future__ import annotations

from bcdl.evaluation import metrics
from bcdl.evaluation.agreement import MARGIN
from bcdl.report import formats
from bcdl.report.section import Section, anchor
from bcdl.statistics import bootstrap
from bcdl.statistics.ranking import AS_GOOD_AS_EQUAL
from bcdl.statistics.steadiness import STEADY, STEADY_OF_FEW

PAGE = "how-to-read"
RATES, MARKS, WINNERS = "Rates", "Marks", "Winners"
QUALITY, AGREEMENT, SETTLED = "Figures of quality", "Two models on the same images", "Settled batch norms"
SEARCH, ONE_SETTING = "Settings on validation images", "What one setting changes"
FAULTS, STARTS, PUBLISHED = "Faults of the source study", "Pretrained and random weights", "Published figures"
PREMIUM, PHASES, LIMIT, TURNS = "The leakage premium", "Phases of a cell", "The device's limit", "Measured in turn"
EXPERIMENTS, BEST, POWER, PARITY = "Tables of experiments", "The best of several settings", "What is found", "Parity"

_CONFIDENCE = formats.percent(bootstrap.CONFIDENCE)
_WITHIN = formats.plain(MARGIN)

_PARTS = {
    RATES: """
Each section holds what may be compared: one machine, one data set (by checksum), one set of settings. Cells of accuracy
alone may come from several machines, which their page names. Rates are medians
of the samples in the records. **Fit** is what a user of `model.fit` gets, input pipeline included, validation and
compilation left out; **step** is the rate with the batch already on the device: the device's own, or that at which the
framework launches kernels, if that is lower; **predict** and **latency** are the same pair for inference. The **first
step** includes tracing and compilation, from a cold cache. Peak memory is the worker's peak resident memory on a CPU;
on a GPU the allocator's peak in training and in inference, and the worker's on the host. If a figure is of several
seeds and folds, it is their median, and in brackets are the least and the largest of them. The rules are in
[the methodology](../../docs/methodology.md), each with the experiment behind it.

The runs of a section were made one after another, not interleaved, so that ratios between backends on a shared machine
are partly its noise; a matrix product in each worker shows when its speed changed by much. What was measured in turn
has [a part of its own](#measured-in-turn).
""",
    MARKS: """
- A figure is **unstable** if its samples never settled: beside it stands what their first and then their second half
  gives, or, if they have no trend but differ widely, from where to where they spread.
- `!` marks a rate that is **doubtful**: of one sample, bounded by its input pipeline, or timed while something
  disturbed the machine; the lines below its table say which
  ([the rule](../../docs/methodology.md#when-a-figure-is-a-figure)).
- `*` marks a figure from a tree with uncommitted changes, or whose code changed while it ran.
- `†` marks a rate on a backend whose parity with another was never measured, `‡` one whose parity failed.
- Accuracy, AUROC and loss of a **smoke test** come from so few test images that they show that a model can be trained
  and tested, and nothing of how good it is ([the rule](../../docs/evaluation.md#when-a-test-is-a-smoke-test)).
- A figure that **rests on** few images or groups of a class says so in its title: few in the test, in validation, which
  chooses the epoch that is kept, or in training
  ([the rule](../../docs/evaluation.md#when-a-class-has-few-images)).
""",
    WINNERS: f"""
A backend is **fastest** at a model only if all were measured in turn, and every other is slower beyond doubt: the
{_CONFIDENCE} interval of its ratio to the first, wide enough for all pairs of backends at once, lies below 1. A **tie**
is shown only if such an interval lies within {formats.percent(AS_GOOD_AS_EQUAL)}; that two can't be told apart is
**undecided**. Rates that were measured **one after another** may not be compared: part of their ratio is how busy the
machine was at the time. The **same answers** are given if every two backends of the row compute the same within
rounding, and *not known* if that was not measured with these versions, or could not be judged. The first page is about
the machine with the newest rate, and each row shows the newest measurement; one of profile `smoke` takes the place of
no other.
""",
    QUALITY: f"""
In brackets is the {_CONFIDENCE} interval, the percentiles of {bootstrap.RESAMPLES} resamples of groups (patients), or
of images if no patients are known: how far a figure could have come out otherwise on as many others like them, the
trained models held as they are. Backends share their images, so that intervals which overlap do not make them equal:
pairs are compared [in tables of their own](#two-models-on-the-same-images).

- **Majority class** always names the more frequent class, with the share of malignant images as its score.
- Figures of one threshold take 0.5, or, where they say so, the score with the largest sensitivity + specificity on
  validation; of several the lowest.
- **Not defined** is what lacks a class or a validation split. There is **no interval** with fewer than
  {bootstrap.LEAST_GROUPS} groups (of the rarer class, where both count) or where all resamples give the same; with some
  dozens it is still too narrow.
- The calibration error has {metrics.CALIBRATION_BINS} bins of equal width. Chance alone raises it; its interval takes
  out as much as resampling adds.
- Over seeds a figure is the mean, and its interval resamples the same groups for all of them; the columns of seeds show
  the least and the largest, which is what another start and order of training does.
- Of a cross-validation, every fold's test images are put together, each scored by the model that never saw it: one
  figure of all images. What compares scores with each other (AUROC, AUPRC, sensitivity at 90% specificity) is taken
  within each fold and averaged, since the scores of different models have no common scale.
- **Intervals of a cross-validation are too narrow**: they take the folds for independent, but each image that tests one
  fold's model trained or validated those of the others, and p does, too. What they estimate is the error of such
  trainings on average, not that of one model (Bates, Hastie and Tibshirani 2021, *Cross-validation: what does it
  estimate and how well does it do it?*, arXiv 2104.00673).
""",
    AGREEMENT: f"""
Each backend's model started from the same weights and saw the same batches; rows of two seeds on one backend show what
another start and order alone does, and rows of two machines what it does to train one cell again elsewhere: sums are
rounded otherwise, which training enlarges. A row *on different machines* compares models that were not trained on one.
Differences are b less a on the same images, in brackets the {_CONFIDENCE} interval, by resampling patients.

- **p by image** is McNemar's, exact: that neither names more images right. It takes the images of a patient for
  independent. **p by patient** is the exact one of exchanging the two models for all images of a patient at once; both
  are the same if no patient has several flips. It is corrected by Holm's method over the pairs of backends of a model,
  and over those of seeds and of machines. A large p shows nothing.
- **Verdict**: *no difference larger than {_WITHIN}* where the whole interval of accuracy lies within that margin, which
  was fixed beforehand. *Not shown* does not say that there is a difference: few images show little. The verdict on a
  pair is one on two trained models. Another seed gives two others, which may differ more, or the other way round.
- **Over seeds**, the same two backends: the mean of the seeds' differences. The interval over seeds is Student's, of 95
  percent, on as many degrees of freedom as there are seeds, less one: other seeds on these test images. That over seeds
  and patients, of 95 percent, too, joins it with the one by resampling patients (Zou and Donner 2008), and decides the
  verdict: two one-sided tests, of 2.5 percent each, that the difference lies within {_WITHIN}. Two or three seeds show
  little.
""",
    SEARCH: """
Each row is a way of training that was judged on validation images alone: no model of that page was shown a test image
(`--no-test`). The largest AUROC stands first. That of the best of many is too large: it was picked for what chance had
added to it, too. What a setting is worth, test images say, of which that page knows nothing.
""",
    ONE_SETTING: f"""
Two ways of training, a and b, that differ in one setting alone, on the same backend, from the same seeds, judged on the
same images: of a cross-validation, those of the folds that both ran. Differences are b less a, in brackets the
{_CONFIDENCE} interval by resampling patients, the trained models held as they are: another training may differ
otherwise. Of twenty such intervals, one misses the truth by chance.
""",
    STARTS: """
The same model from pretrained and from random weights, each trained in its own way, which the columns say: what is best
for one need not be best for the other. A difference whose whole interval lies above 0 says that the pretrained model is
better on these images, trained like this, and not that it would be on others.
""",
    FAULTS: """
What each fault of the source study does, switched on alone in a training without it: same seeds, same images, same
backend, but for *split by image*, whose models were trained on other splits of the same images. The columns with and
without it are of the same folds. The study's own figures come from other data, and from a split by image, so that its
validation images are of patients whose other images it had learnt: they show what was claimed, and can't be compared
with these.
""",
    PUBLISHED: """
What others published of the same data set, known by its name, beside what the records hold. A figure of a split by
image, or of images whose near-duplicates were left in, is no goal for one by group: the same model may look better by
the leak alone. Data, share, size of images, training and choice of the epoch differ, so that a difference between two
rows has many causes, and an overlap of intervals proves no agreement.
""",
    PREMIUM: """
The same images, models and seeds, cross-validated twice: once with every group (patient) on one side of each split,
once split by image. The difference is what the usual, leaky way would have claimed more; its interval resamples groups,
and holds the trained models, of so many seeds, as they are. *No detectable premium* is a valid answer: so few images
show only one that is large.
""",
    SETTLED: """
The same training images, not augmented, are scored twice after the last epoch: in training mode (normalised by the
batch's own statistics, dropout active) and in inference mode (normalised by moving averages). If the second lies far
below the first, the moving averages have not settled in so few steps, and the test figures are those of stale
statistics rather than of the weights. The source study's curves show the same fault.
""",
    PHASES: """
Every second of a cell belongs to one phase, from the start of its worker to its end; a figure is the mean over seeds
and folds, so that what one of them compiles for the others counts. The last line is the share of the time in which a
published figure of speed is measured; the rest trains the head, settles batch norms, validates, tests, keeps weights,
and starts and ends the worker.
""",
    LIMIT: """
The model's own operations (convolutions and dense layers, counted from its graph: two for each multiplication and
addition) in a second, as a share of the most that this machine gave in a large matrix product or convolution
([why](../../docs/methodology.md#what-a-model-costs-and-what-the-device-could-give)).
""",
    TURNS: """
All sides of a cell run by whole processes, in turn, round after round (`nox -s bench-ab`): the machine's drift meets
all alike, so that these ratios may be quoted, for cells of this size and batch and the settings named; the rate beside
a ratio is of its moment. B / A is a geometric mean; **HL**, that of Hodges and Lehmann (1963), which a few wild rounds
hardly move, stands beside it. A significant slow-down beyond the **threshold**, 3 percent or three times the standard
error of its own ratio, is a regression. No p is smaller than 2 / 2^rounds.
""",
    EXPERIMENTS: f"""
One thing is measured two ways in turn, round after round: what the rules of measurement rest on. Ratios are geometric
means with bootstrap intervals; beside them stands **HL**, the ratio of Hodges and Lehmann (1963), the median of the
means of every two rounds, which a few wild rounds hardly move. p is that of a permutation within rounds, none smaller
than 2 / 2^rounds or 0.0001; beside it, corrected by Holm's method over the ways of a subject. Several ways whose first
way is *shared* were compared with the same rounds of it: a slow one among them is in each of their rows, and their
tests are not independent.

If the sample is a window, all rounds ran in one process, and p and interval are of that process: another may differ.
Its **warm-up rounds** are left out of all figures: those up to the last one, within the first third, whose ratio is
more than {formats.percent(STEADY_OF_FEW)} off the median of the second half, if the rounds after them are one figure.
Its ratio is **unstable** if as many as a third of the first half's rounds are that far off, and not in the first third
alone; if both halves are apart and their medians differ by more than {formats.percent(STEADY)}; or, of fewer than six
rounds, if any two differ by more than {formats.percent(STEADY_OF_FEW)}. Then the medians of both halves stand in its
place. Only b / a within a row may be compared: rows and tables were measured at different times, and the machine's
speed differed.
""",
    BEST: """
What a user could choose instead of the default, by its rate of steps alone: another batch size is another training,
whose accuracy was not measured. The best of several is flattered by having been picked, so that its interval is wider
than that of an experiment: Student's, at a level divided by the number of others tried (Bonferroni), it holds for all
of them at once. If it does not lie above 1, the default stands. Settings whose ratio is unstable are named, and can't
be the best.
""",
    POWER: """
How small a slow-down a comparison finds: shares of comparisons, their rounds drawn from those that were measured, that
are judged a regression; of equal sides that is the rate of false alarms. Each comparison is judged as `bcdl compare`
judges it: by the noise of its own rounds, beyond 3 percent or three times the standard error of its ratio, whichever is
more. The noise in the table is that of all rounds of equal sides, and the threshold what it would give. `bcdl compare`
corrects p over the cells and regimes of a command: rows of several show what is found if it compares so many. In
brackets are 95% intervals over rounds.
""",
    PARITY: """
Whether the backends compute the same model. Each starts from the same weights (NumPy draws) and is given the same
bytes; dropout is off. The reference is the same model in float64 on a backend whose float64 agrees with NumPy, layer
type by layer type. What rounding may do is measured on the reference: every weight and pixel is moved by some units in
the last place of the precision, up or down at random, and the largest change of several draws (or that many unit
roundoffs, if that is larger) is the tolerance. A backend within it is within rounding; one beyond it differs, and the
first layer beyond its own tolerance is named. Differences are Euclidean norms, as a share of the reference's. A
tolerance that is too large (marked *) could hide a fault; the whole then proves nothing. Its layers are judged one by
one, as far as rounding hides none of them, and the gradient with batch norms frozen stands in for the gradient.
""",
}


def section() -> Section:
    """The page."""
    parts = [f"## {title}\n\n{text.strip()}" for title, text in _PARTS.items()]
    return Section("\n\n".join(["# How to read the results", *parts]) + "\n", page=PAGE)


def link(part: str, folder: str = "") -> str:
    """A sentence that leads to a part of the page; `folder` is the way to the pages, empty from one of them."""
    if part not in _PARTS:
        raise ValueError(f"the page has no part {part!r}")
    return f"[How to read this]({folder}{PAGE}.md#{anchor(part)})."
