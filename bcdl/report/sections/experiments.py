"""The experiments behind the methodology, place by place: machines, each as it was when they were made."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

from bcdl.records.experiment import Experiment
from bcdl.report import how_to_read
from bcdl.report.section import Section, page_name
from bcdl.report.sections import power
from bcdl.report.sections.experiment_tables import best_table, experiment_table, file_stem
from bcdl.statistics.experiments import Place, by_place, newest
from bcdl.text import escape, safe_name

BEST = "Best settings"
_BEST_KEY = "best-settings"


def sections(experiments: Sequence[tuple[str, Experiment]]) -> list[Section]:
    """A section for each place where experiments were made; these are the oldest first, each with its machine."""
    return [_of_place(place, made) for place, made in by_place(experiments).items()]


def _of_place(place: Place, made: Sequence[tuple[str, Experiment]]) -> Section:
    by_name = {name: group for (_, name), group in newest(made).items()}
    head = Section(f"# Experiments on {escape(place.title)}\n\n{how_to_read.link(how_to_read.EXPERIMENTS)}")
    parts = [head, _all(place, by_name), *filter(None, (_power(place, by_name), _best(place, by_name)))]
    return dataclasses.replace(_joined(parts), page=page_name("experiments on", place.title))


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
    shown = [f"## {escape(_heading(name))}\n\n{table.to_markdown()}" for name, table in tables.items()]
    text = [lines, *shown]
    keys = _keys(place, tables)
    return Section("\n\n".join(text), {keys[name]: (table,) for name, table in tables.items()})


def _heading(name: str) -> str:
    return name[:1].upper() + name[1:]


def _power(place: Place, by_name: dict[str, list[Experiment]]) -> Section | None:
    return power.section(place, [experiment for group in by_name.values() for experiment in group])


def _best(place: Place, by_name: dict[str, list[Experiment]]) -> Section | None:
    """The best of the settings that were searched in the place."""
    searched = [experiment for group in by_name.values() for experiment in group if experiment.searches]
    if not searched:
        return None
    table = best_table(searched)
    text = "\n\n".join([f"## {BEST}", how_to_read.link(how_to_read.BEST), table.to_markdown()])
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
