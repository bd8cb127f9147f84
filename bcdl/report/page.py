"""python -m bcdl.report: tables, plots and page, rebuilt from records alone, or checked against them.

Never imports Keras.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from bcdl.errors import BcdlError
from bcdl.parity.findings import read_findings
from bcdl.parity.verdicts import Verdicts, comparisons
from bcdl.records import experiment, store
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.check import PAGE, differences, generated
from bcdl.report.run_table import run_table
from bcdl.report.sections import interleaved, sections
from bcdl.report.sections.sections import Section
from bcdl.text import escape, legible

_INTRODUCTION = """\
# Results

This page, `tables/` and `plots/` are generated from `records/` by `python -m bcdl.report`; edit nothing here by hand.

How to read it. Each section holds what may be compared: one machine, one data set (by checksum), one set of settings.
Models go down, backends across. Rates are medians of the samples in the records. **Fit** is what a user of `model.fit`
gets, input pipeline included, validation and compilation left out; **step** is the device's own rate, the batch already
on the device; the **first step** includes tracing and compilation, from a cold cache. Peak memory is the framework's
allocator peak on a GPU and the worker's peak resident memory on a CPU. The rules are in
[the methodology](../docs/methodology.md), each with the experiment behind it.

**unstable** stands where samples never settled, with what their first and second half would give; `*` marks a figure
from a tree with uncommitted changes; `†` a rate on a backend whose parity with another was never measured, `‡` one
whose parity failed (see the parity sections). The runs of a section were made one after another, not interleaved, so
ratios between backends on a shared machine are partly its noise; a matrix product in each worker shows when its speed
changed by much. Two sides in turn have a section of their own.
"""


def build(results: Path) -> list[str]:
    """Write README.md, tables/ and plots/ under `results`; lines that say what was written.

    UsageError where they can't be written.
    """
    with store.one_at_a_time(results, "report"), store.writing(results):
        return _build(results, results)


def check(results: Path) -> list[str]:
    """A line that says that README.md, tables/ and plots/ follow from the records; writes nothing.

    BcdlError, naming each file, where they do not.
    """
    with tempfile.TemporaryDirectory(prefix="bcdl-report-") as folder:
        _build(results, Path(folder))
        found = list(differences(results, Path(folder)))
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise BcdlError(
            f"{len(found)} files of {results} do not follow from its records:\n{lines}\n"
            f"rebuild them with python -m bcdl.report --results {results}"
        )
    return [f"README.md, tables and plots of {results} follow from its records"]


def _build(results: Path, into: Path) -> list[str]:
    """Draw everything that the records under `results` give, under `into`; what was written."""
    records, problems = store.read_all(results)
    # The rounds of two sides in turn have a section of their own: here each would stand for the cell.
    shown = [(machine, record) for machine, record in records if not record.block]
    findings = read_findings(results)
    verdicts = Verdicts(findings)
    groups = group_records(shown, verdicts)
    found = [sections.of_group(into, group) for group in groups]
    found += sections.of_premiums(into, groups)
    found += [sections.of_parity(into, compared) for compared in comparisons(findings)]
    found += sections.of_interleaved(into, interleaved.read(records, verdicts))
    found += sections.of_experiments(into, experiment.newest(experiment.read_all(results)))
    sections.write(into / PAGE, _page(found, problems))
    _remove_stale(into, {file for section in found for file in section.files})
    counts = Counter(file.relative_to(into).parts[0] for section in found for file in section.files)
    made = ", ".join(f"{counts[folder]} {folder}" for folder in sorted(counts))
    parity = f" and {len(findings)} parity findings" if findings else ""
    summary = f"{len(records)} records{parity}: README.md{', ' if made else ''}{made} in {results}"
    return [summary, *(f"not read: {problem}" for problem in problems)]


def print_run(records: Iterable[Record], console: Console) -> None:
    """The table of one run's records, then the reason of each that is not ok."""
    records = list(records)
    console.print(run_table(records).to_rich())
    for record in records:
        if not record.ok:
            line = f"{record.cell.title}: {record.status}: {record.reason}"
            console.print(legible(line), markup=False, highlight=False, soft_wrap=True)


def _page(found: list[Section], problems: list[str]) -> str:
    contents = "\n".join(f"- [{section.title}](#section-{number})" for number, section in enumerate(found, start=1))
    texts = [f'<a id="section-{number}"></a>\n\n{section.text}' for number, section in enumerate(found, start=1)]
    parts = [_INTRODUCTION, f"{contents}\n" if found else "There are no records yet.\n", *texts]
    if problems:
        lines = "\n".join(f"- {escape(problem)}" for problem in problems)
        parts.append(f"## Lines that could not be read\n\n{lines}\n")
    return "\n".join(parts)


def _remove_stale(into: Path, kept: set[Path]) -> None:
    """Delete generated tables and plots that no record asks for any more."""
    for file in generated(into) - kept - {into / PAGE}:
        file.unlink()
    for folder in (into / "plots").glob("*/"):
        if not any(folder.iterdir()):
            folder.rmdir()
