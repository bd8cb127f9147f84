"""The experiments behind the methodology, place by place: machines, each as it was when they were made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from bcdl.records.experiment import Experiment
from bcdl.report import formats
from bcdl.report.section import Section
from bcdl.report.sections import power
from bcdl.report.sections.experiment_tables import best_table, experiment_table, file_stem
from bcdl.statistics.experiments import Place, by_place, newest
from bcdl.statistics.steadiness import STEADY, STEADY_OF_FEW
from bcdl.text import escape, safe_name

_TEXT = """\
One thing measured two ways in turn, round after round: what the rules of measurement rest on. Ratios are geometric
means with bootstrap intervals; beside them stands **HL**, the ratio of Hodges and Lehmann (1963), the median of the
means of every two rounds, which a few wild rounds hardly move. p is that of a permutation within rounds, none smaller
than 2 / 2^rounds or 0.0001; beside it, corrected by Holm's method over the ways of a subject. Several ways whose first
way is *shared* were compared with the same rounds of it: a slow one among them is in each of their rows, and their
tests are not independent.

If the sample is a window, all rounds ran in one process, and p and interval are of that process: another may differ.
Its **warm-up rounds** are left out of all figures: those up to the last one, within the first third, whose ratio is
more than {few} off the median of the second half, if the rounds after them are one figure. Its ratio is **unstable** if
as many as a third of the first half's rounds are that far off, and not in the first third alone; if both halves are
apart and their medians differ by more than {steady}; or, of fewer than six rounds, if any two differ by more than
{few}. Then the medians of both halves stand in its place. Only b / a within a row may be compared: rows and tables were
measured at different times, and the machine's speed differed.
"""

_BEST_TEXT = """\
What a user could choose instead of the default, by its rate of steps alone: another batch size is another training,
whose accuracy was not measured. The best of several is flattered by having been picked, so that its interval is wider
than above: Student's, at a level divided by the number of others tried (Bonferroni), it holds for all of them at once.
If it does not lie above 1, the default stands. Settings whose ratio is unstable are named, and can't be the best.
"""

_BEST_KEY = "best-settings"


def section(experiments: Sequence[tuple[str, Experiment]]) -> Section | None:
    """The newest of the experiments (oldest first, each with its machine); None if there are none."""
    if not experiments:
        return None
    steady, few = map(formats.percent, (STEADY, STEADY_OF_FEW))
    parts = [Section("## Experiments"), Section(_TEXT.format(steady=steady, few=few).strip())]
    for place, made in by_place(experiments).items():
        by_name = {name: group for (_, name), group in newest(made).items()}
        parts += filter(None, (_all(place, by_name), _power(place, by_name), _best(place, by_name)))
    return _joined(parts)


def _joined(parts: Iterable[Section]) -> Section:
    """One section of the parts, in their order."""
    whole = Section("")
    for part in parts:
        whole.tables.update(part.tables)
        whole.figures.update(part.figures)
    return Section("\n\n".join(part.text for part in parts) + "\n", whole.tables, whole.figures)


def _all(place: Place, by_name: dict[str, list[Experiment]]) -> Section:
    """A table for each experiment made in the place."""
    tables = {name: experiment_table(name, group) for name, group in by_name.items()}
    facts = _versions([experiment for group in by_name.values() for experiment in group])
    lines = "\n".join(f"- {escape(line)}" for line in facts)
    text = [f"### On {escape(place.title)}", lines, *(table.to_markdown() for table in tables.values())]
    keys = _keys(place, tables)
    return Section("\n\n".join(text), {keys[name]: (table,) for name, table in tables.items()})


def _power(place: Place, by_name: dict[str, list[Experiment]]) -> Section | None:
    return power.section(place, [experiment for group in by_name.values() for experiment in group])


def _best(place: Place, by_name: dict[str, list[Experiment]]) -> Section | None:
    """The best of the settings that were searched in the place."""
    searched = [experiment for group in by_name.values() for experiment in group if experiment.searches]
    if not searched:
        return None
    table = best_table(searched)
    text = f"{_BEST_TEXT.strip()}\n\n{table.to_markdown()}"
    return Section(text, {f"{file_stem(place)}-{_BEST_KEY}": (table,)})


def _keys(place: Place, names: Iterable[str]) -> dict[str, str]:
    """The key of each experiment's table; names that differ only in signs and capitals do not share one."""
    keys: dict[str, str] = {}
    for name in names:
        key = safe_name(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))
        is_taken = key in ("", power.KEY, _BEST_KEY, *keys.values())
        keys[name] = f"{key}-{hashlib.sha256(name.encode()).hexdigest()[:6]}" if is_taken else key
    return {name: f"{file_stem(place)}-{key}" for name, key in keys.items()}


def _versions(experiments: Sequence[Experiment]) -> list[str]:
    """Each set of versions that the experiments ran on, and when, a line each."""
    days: dict[str, list[str]] = {}
    for experiment in experiments:
        versions = experiment.environment.get("versions", {})
        line = ", ".join(f"{name} {version}" for name, version in versions.items())
        days.setdefault(line or "versions unknown", []).append(experiment.day)
    return [f"{line} ({_span(measured)})" for line, measured in days.items()]


def _span(days: Sequence[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"
