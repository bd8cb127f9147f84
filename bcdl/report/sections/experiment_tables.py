"""The tables of experiments; a run of one shows the first of them on the screen, so that nothing here draws."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bcdl.records.experiment import SECONDS, Experiment
from bcdl.report import formats
from bcdl.report.tables import Entry, Table, absent, count, figures, number, significant, word, words
from bcdl.statistics.effects import Effect
from bcdl.statistics.experiments import Best, Outcome, Place, best_settings
from bcdl.statistics.power_analysis import ROUNDS, PowerAnalysis
from bcdl.text import safe_name


def experiment_table(name: str, experiments: Sequence[Experiment]) -> Table:
    """One line an experiment: medians of both ways, their ratio with its interval, the p-value, when and from what.

    Of times, by how many seconds the second way is longer, too. All experiments have one unit.
    """
    unit = experiments[0].unit if experiments else ""
    columns = (
        *map(words, ("subject", "a", "b")),
        *map(figures, ("a, median", "b, median", "b / a", "95% interval")),
        *([figures("b - a")] if unit == SECONDS else []),
        *map(figures, ("p", "rounds")),
        *map(words, ("sample", "measured", "commit")),
    )
    return Table(f"{name} ({unit})", columns, tuple(_row(Outcome(experiment), unit) for experiment in experiments))


def _row(outcome: Outcome, unit: str) -> tuple[Entry, ...]:
    experiment, effect = outcome.experiment, outcome.effect
    return (
        *map(word, (experiment.subject, *experiment.ways)),
        *(number(median, 1) for median in effect.medians),
        number(effect.ratio, 3),
        interval(effect),
        *([_difference(outcome)] if unit == SECONDS else []),
        significant(effect.p, 2),
        count(len(experiment.a)),
        *map(word, (experiment.sample, experiment.day, experiment.commit)),
    )


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
        *map(figures, ("best / default", "95% interval of the best", "others tried", "rounds")),
        words("sample"),
    )
    return Table("Best settings", columns, tuple(map(_best_row, best_settings(searched))))


def _best_row(setting: Best) -> tuple[Entry, ...]:
    default = setting.default
    return (
        *map(word, (default.subject, default.name, default.ways[0])),
        *_best_entries(setting),
        count(setting.tried),
        count(len(default.a)),
        word(default.sample),
    )


def _best_entries(setting: Best) -> tuple[Entry, Entry, Entry]:
    """The best of the settings, its ratio to the default, and the interval of that."""
    if setting.best is None:
        return word("the default" if setting.enough_rounds else "too few rounds"), count(1), absent()
    ends = Entry((setting.low, setting.high), lambda ends: formats.interval(*ends))
    return word(setting.best.experiment.ways[1]), number(setting.best.effect.ratio, 3), ends


def power_table(analyses: Sequence[PowerAnalysis]) -> Table:
    """One line a subject: power by slow-down, false alarms, noise, and the smallest slow-down that is found."""
    shares = sorted({share for analysis in analyses for share in analysis.powers if share})
    columns = (
        words("subject"),
        *map(figures, ("rounds", "noise", "threshold", "false alarms")),
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
        *(Entry(analysis.powers.get(share), formats.percent_estimate) for share in (0.0, *shares)),
        Entry(analysis.smallest_detected, lambda share: formats.percent(share, missing="none")),
    )
