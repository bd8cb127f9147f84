"""The tables of experiments; a run of one shows the first of them on the screen, so that nothing here draws."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bcdl.records.experiment import SECONDS, Experiment
from bcdl.report import formats
from bcdl.report.tables import Entry, Table, absent, count, figures, number, significant, word, words
from bcdl.statistics.effects import Effect
from bcdl.statistics.experiments import Best, Outcome, Place, best_settings, corrected
from bcdl.statistics.power_analysis import ROUNDS, PowerAnalysis
from bcdl.text import safe_name

SHARED = " (shared)"  # stands behind a first way that several others were compared with


def experiment_table(name: str, experiments: Sequence[Experiment]) -> Table:
    """One line an experiment: medians of both ways, their ratio with its interval, the p-values, when and from what.

    Of times, by how many seconds the second way is longer, too. All experiments have one unit.
    """
    unit = experiments[0].unit if experiments else ""
    columns = (
        *map(words, ("subject", "a", "b")),
        *map(figures, ("a, median", "b, median", "b / a", "95% interval", "b / a, HL")),
        *([figures("b - a")] if unit == SECONDS else []),
        *map(figures, ("p", "p, Holm", "rounds", "warm-up rounds")),
        *map(words, ("sample", "measured", "commit")),
    )
    outcomes = list(map(Outcome, experiments))
    rows = (_row(outcome, p, outcomes) for outcome, p in zip(outcomes, corrected(outcomes), strict=True))
    return Table(f"{name} ({unit})", columns, tuple(rows))


def _row(outcome: Outcome, p: float, outcomes: Sequence[Outcome]) -> tuple[Entry, ...]:
    experiment, effect = outcome.experiment, outcome.effect
    first, second = experiment.ways
    return (
        word(experiment.subject),
        Entry(first, flag=SHARED if _shares_the_first_way(experiment, outcomes) else ""),
        word(second),
        *(number(median, 1) for median in effect.medians),
        *_ratio(outcome),
        *([_difference(outcome)] if experiment.unit == SECONDS else []),
        significant(effect.p, 2),
        significant(p, 2),
        count(len(outcome.a)),
        count(outcome.warm_up),
        *map(word, (experiment.sample, experiment.day, experiment.commit)),
    )


def _shares_the_first_way(experiment: Experiment, outcomes: Sequence[Outcome]) -> bool:
    """Whether other ways of the subject were compared with the same rounds of the first."""
    compared = [(outcome.experiment.subject, outcome.experiment.a) for outcome in outcomes]
    return compared.count((experiment.subject, experiment.a)) > 1


def _ratio(outcome: Outcome) -> tuple[Entry, Entry, Entry]:
    """The ratio, its interval, and that of Hodges and Lehmann; of rounds in two regimes, the ratio of each alone."""
    if outcome.regimes:
        return Entry(outcome.regimes, functools.partial(formats.unstable, digits=3)), absent(), absent()
    effect = outcome.effect
    return number(effect.ratio, 3), interval(effect), number(effect.hodges_lehmann, 3)


def file_stem(place: Place) -> str:
    """What the names of all files of experiments made in one place begin with."""
    return safe_name("-".join(filter(None, ("experiment", place.machine, place.digest))))


def interval(effect: Effect) -> Entry:
    """The interval of an effect's ratio; nothing if there is none."""
    return Entry((effect.low, effect.high), lambda ends: formats.interval(*ends))


def _difference(outcome: Outcome) -> Entry:
    return Entry(outcome.difference, functools.partial(formats.difference, digits=2))


def best_table(searched: Sequence[Experiment]) -> Table:
    """For each subject, the fastest of the settings that beat the default although they were picked among others."""
    columns = (
        *map(words, ("subject", "setting", "default", "best")),
        *map(figures, ("best / default", "95% interval of the best", "HL", "others tried")),
        words("unstable"),
        *map(figures, ("rounds", "warm-up rounds")),
        words("sample"),
    )
    return Table("Best settings", columns, tuple(map(_best_row, best_settings(searched))))


def _best_row(setting: Best) -> tuple[Entry, ...]:
    default, best = setting.default, setting.best
    return (
        *map(word, (default.subject, default.name, default.ways[0])),
        *_best_entries(setting),
        count(setting.tried),
        word(", ".join(setting.unstable)),
        *((count(len(best.a)), count(best.warm_up)) if best else (count(len(default.a)), absent())),
        word(default.sample),
    )


def _best_entries(setting: Best) -> tuple[Entry, ...]:
    """The best of the settings, its ratio to the default, the interval of that, and the ratio of Hodges and Lehmann."""
    if setting.best is None:
        return word("the default" if setting.enough_rounds else "too few rounds"), count(1), absent(), absent()
    ends = Entry((setting.low, setting.high), lambda ends: formats.interval(*ends))
    effect = setting.best.effect
    return word(setting.best.experiment.ways[1]), number(effect.ratio, 3), ends, number(effect.hodges_lehmann, 3)


def power_table(analyses: Sequence[PowerAnalysis]) -> Table:
    """One line a subject: power by slow-down, false alarms, noise, and the smallest slow-down that is found."""
    shares = sorted({share for analysis in analyses for share in analysis.powers if share})
    columns = (
        words("subject"),
        *map(figures, ("rounds", "noise", "threshold", "comparisons", "false alarms")),
        *(figures(f"slower by {formats.percent(share)}") for share in shares),
        figures("smallest found"),
    )
    rows = tuple(_power_row(analysis, shares) for analysis in analyses)
    return Table(f"What a comparison of {ROUNDS} rounds finds", columns, rows)


def _power_row(analysis: PowerAnalysis, shares: Sequence[float]) -> tuple[Entry, ...]:
    return (
        word(analysis.subject),
        count(analysis.rounds),
        *(Entry(share, lambda share: formats.percent(share, 1)) for share in (analysis.noise, analysis.threshold)),
        count(analysis.comparisons),
        *(Entry(analysis.powers.get(share), formats.percent_estimate) for share in (0.0, *shares)),
        Entry(analysis.smallest_detected, lambda share: formats.percent(share, missing="none")),
    )
