"""The caption of a plot: what was run on which machine, what is not shown and why, and which rates are unsure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bcdl.parity.verdicts import MISMATCH, NO_FINDINGS, UNMEASURED
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report import formats, titles
from bcdl.report.doubt_lines import lines
from bcdl.report.plots.style import footer
from bcdl.statistics import doubts
from bcdl.statistics.steadiness import is_unstable


def caption(figure: Figure, group: Group, title: str, regimes: Sequence[str] = (), split: str = "") -> None:
    """Write the title, and below the plot what was run on which machine, which cells are missing and why, and which
    rates of the `regimes` shown are unsteady or not proven to be of the same model.

    If figures of quality are shown, `split` is that of their images: the title says on how little they rest.
    """
    marked = titles.of_quality(group, title, split) if split else f"{group.mark}{title}"
    footer(figure, marked, f"{group.title}. Machine: {group.machine}.", *sentences(group, regimes))


def sentences(group: Group, regimes: Sequence[str]) -> list[str]:
    """Which cells a plot does not show and why, and which of the rates are unsteady or may be of another model."""
    failed = [f"{_name(group, r)} ({formats.status(r.status)})" for r in group.failures]
    notes = {
        "Not shown": [*failed, *(f"{name} (not run)" for name in group.not_run), *_without_rate(group, regimes)],
        "Crossed out, never steady": [
            f"{_name(group, r)}, {regime}"
            for regime in regimes
            for *_, r in group.ran()
            if is_unstable(r, f"{regime}_s")
        ],
        **(_parity_notes(group) if regimes else {}),
    }
    said = [f"{what}: {', '.join(names)}." for what, names in notes.items() if names]
    return [*said, *(f"{doubts.MARK} {line}." for line in _doubts(group, regimes))]


def _doubts(group: Group, regimes: Sequence[str]) -> list[str]:
    """A line for each kind of doubt about the rates shown, beside that some were never steady."""
    shown = [(f"{_name(group, r)}, {regime}", r, regime) for regime in regimes for *_, r in group.ran()]
    return lines({place: [doubts.beside_unsteady(record, regime)] for place, record, regime in shown})


def _name(group: Group, record: Record) -> str:
    cell, line = record.cell, Line.of(record.cell)
    draw = f", {cell.draw}" if len(group.draws(line)) > 1 else ""
    return f"{group.label(line)} on {cell.backend}{draw}"


def _without_rate(group: Group, regimes: Sequence[str]) -> list[str]:
    return [
        f"{_name(group, record)}, {regime} (not measured)"
        for regime in regimes
        for *_, record in group.ran()
        if not record.value(f"{regime}_images_per_s") > 0
    ]


def _parity_notes(group: Group) -> dict[str, list[str]]:
    """The lines and backends whose rates are of another model than another backend's, or may be."""
    notes: dict[str, list[str]] = {"Parity fails": [], "Parity not measured": []}
    verdicts = group.verdicts or NO_FINDINGS
    for line in group.lines:
        ran = group.ok_records(line)
        for backend in group.backends:
            mark = verdicts.mark(group.machine, group.of(line, backend), ran)
            kind = {MISMATCH: "Parity fails", UNMEASURED: "Parity not measured"}.get(mark)
            if kind and any(record.cell.backend == backend for record in ran):
                notes[kind].append(f"{group.label(line)} on {backend}")
    return notes
