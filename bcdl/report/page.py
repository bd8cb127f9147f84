"""The report: page, tables, plots and cards, built from records alone, or checked against them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bcdl.errors import BcdlError
from bcdl.parity.findings import read_findings
from bcdl.parity.verdicts import Verdicts, group_findings
from bcdl.records import experiment, store
from bcdl.records.groups import group_records
from bcdl.report.check import PAGE, differences, generated
from bcdl.report.section import Section
from bcdl.report.sections import experiments, group, parity, premium, sides_in_turn
from bcdl.text import escape

_INTRODUCTION = """\
# Results

This page, `tables/` and `plots/` are generated from `records/` by `python -m bcdl.report`; edit nothing here by hand.

How to read it. Each section holds what may be compared: one machine, one data set (by checksum), one set of settings.
Models go down, backends across. Rates are medians of the samples in the records. **Fit** is what a user of `model.fit`
gets, input pipeline included, validation and compilation left out; **step** is the device's own rate, the batch already
on the device; the **first step** includes tracing and compilation, from a cold cache. Peak memory is the framework's
allocator peak on a GPU and the worker's peak resident memory on a CPU. The rules are in
[the methodology](../docs/methodology.md), each with the experiment behind it.

A figure is **unstable** if its samples never settled; beside it stands what their first and second half would give.
`*` marks a figure from a tree with uncommitted changes; `†` a rate on a backend whose parity with another was never
measured, `‡` one whose parity failed (see the parity sections). The runs of a section were made one after another, not
interleaved, so ratios between backends on a shared machine are partly its noise; a matrix product in each worker shows
when its speed changed by much. Two sides in turn have a section of their own.
"""


def build(results: Path) -> list[str]:
    """Write README.md, tables/, plots/ and cards/ under `results`; lines that say what was written.

    UsageError if they can't be written.
    """
    with store.one_at_a_time(results, "report"), store.writing(results):
        return _build(results, results)


def check(results: Path) -> list[str]:
    """A line that says that README.md, tables/, plots/ and cards/ follow from the records; writes nothing.

    BcdlError if they do not, naming each file.
    """
    with tempfile.TemporaryDirectory(prefix="bcdl-report-") as folder:
        _build(results, Path(folder))
        differing = list(differences(results, Path(folder)))
    if differing:
        lines = "\n".join(f"  {line}" for line in differing)
        raise BcdlError(
            f"{len(differing)} files of {results} do not follow from its records:\n{lines}\n"
            f"rebuild them with python -m bcdl.report --results {results}"
        )
    return [f"README.md, tables and plots of {results} follow from its records"]


def _build(results: Path, into: Path) -> list[str]:
    """Write everything that the records under `results` give, under `into`; what was written."""
    records, problems = store.read_all(results)
    sections = _sections(results)
    files = {PAGE: _page(sections, problems).encode()}
    for section in sections:
        files.update(section.files())
    for path, content in files.items():
        store.replace(into / path, content)
    _remove_stale(into, {into / path for path in files})
    counts = Counter(path.partition("/")[0] for path in files if path != PAGE)
    made = "".join(f", {counts[folder]} {folder}" for folder in sorted(counts))
    findings = read_findings(results)
    parity = f" and {len(findings)} parity findings" if findings else ""
    summary = f"{len(records)} records{parity}: {PAGE}{made} in {results}"
    return [summary, *(f"not read: {problem}" for problem in problems)]


def _sections(results: Path) -> list[Section]:
    records, _ = store.read_all(results)
    findings = read_findings(results)
    # The rounds of two sides in turn have a section of their own: here each would stand for the cell.
    shown = [(machine, record) for machine, record in records if not record.block]
    verdicts = Verdicts(findings)
    groups = group_records(shown, verdicts)
    whole = (sides_in_turn.section(records, verdicts), experiments.section(experiment.read_all(results)))
    return [
        *map(group.section, groups),
        *premium.sections(groups),
        *map(parity.section, group_findings(findings)),
        *filter(None, whole),
    ]


def _page(sections: Sequence[Section], unread: Sequence[str]) -> str:
    parts = [_INTRODUCTION, _contents(sections), *_numbered(sections)]
    if unread:
        lines = "\n".join(f"- {escape(problem)}" for problem in unread)
        parts.append(f"## Lines that could not be read\n\n{lines}\n")
    return "\n".join(parts)


def _contents(sections: Sequence[Section]) -> str:
    lines = [f"- [{section.title}](#section-{number})\n" for number, section in enumerate(sections, start=1)]
    return "".join(lines) or "There are no records yet.\n"


def _numbered(sections: Iterable[Section]) -> list[str]:
    return [f'<a id="section-{number}"></a>\n\n{section.text}' for number, section in enumerate(sections, start=1)]


def _remove_stale(into: Path, kept: set[Path]) -> None:
    """Delete generated tables and plots that no record asks for any more."""
    for file in generated(into) - kept:
        file.unlink()
    for folder in (into / "plots").glob("*/"):
        if not any(folder.iterdir()):
            folder.rmdir()
