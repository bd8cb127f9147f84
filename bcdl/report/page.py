"""The report: page, tables, plots and cards, built from records alone, or checked against them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bcdl.errors import BcdlError
from bcdl.parity.verdicts import Verdicts, group_findings
from bcdl.records import git_ignore, runs
from bcdl.records.claims import BusyError, Claim
from bcdl.records.groups import group_records
from bcdl.records.log import Problem
from bcdl.records.store import PAGE, PAGE_START, check_folder
from bcdl.report import artefacts
from bcdl.report.check import differences
from bcdl.report.section import Section
from bcdl.report.sections import experiments, group, parity, precisions, premium, sides_in_turn
from bcdl.report.sources import Sources
from bcdl.report.web import file as web
from bcdl.text import escape

_INTRODUCTION = """
How to read it. Each section holds what may be compared: one machine, one data set (by checksum), one set of settings.
Models go down, backends across. Rates are medians of the samples in the records. **Fit** is what a user of `model.fit`
gets, input pipeline included, validation and compilation left out; **step** is the rate with the batch already on
the device: the device's own, or that at which the framework launches kernels, if that is lower; the **first step**
includes tracing and compilation, from a cold cache. Peak memory is the worker's peak resident memory on a CPU; on a GPU
the allocator's peak in training and in inference, and the worker's on the host. The rules are in
[the methodology](../docs/methodology.md), each with the experiment behind it.

A figure is **unstable** if its samples never settled: beside it stands what their first and then their second half
gives, or, if they have no trend but differ widely, from where to where they spread. `!` marks a rate that is
**doubtful**: of one sample, bounded by its input pipeline, or timed while something disturbed the machine; the lines
below its table say which ([the rule](../docs/methodology.md#when-a-figure-is-a-figure)).
Accuracy, AUROC and loss of a **smoke test** come from so few test images that they show that a model can be trained and
tested, and nothing of how good it is ([the rule](../docs/evaluation.md#when-a-test-is-a-smoke-test)).
A figure that **rests on** few images or groups of a class says so in its title: few in the test, in validation, which
chooses the epoch that is kept, or in training ([the rule](../docs/evaluation.md#when-a-class-has-few-images)).
`*` marks a figure from a tree with uncommitted changes, or whose code changed while it ran; `†` a rate on a backend
whose parity with another was never measured, `‡` one whose parity failed (see the parity sections). The runs of a
section were made one after another, not interleaved, so ratios between backends on a shared machine are partly its
noise; a matrix product in each worker shows when its speed changed by much. Sides in turn have a section of their
own.
"""


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of a report.

    Attributes:
        lines: what was written and what could not be read, for people.
        failure: what was not done because something could not be read or another process is at it, and what to do;
            empty if all was done.
    """

    lines: list[str]
    failure: str


def build(results: Path) -> list[str]:
    """Write README.md, tables/, plots/ and cards/ under `results`; lines that say what was written, and what was not.

    UsageError if they can't be written.
    """
    report = write(results)
    return [*report.lines, *([report.failure] if report.failure else [])]


def write(results: Path) -> Report:
    """As `build`, with what could not be read apart, for a command that fails then."""
    check_folder(results)
    git_ignore.write(results)
    try:
        with runs.one_at_a_time(results, "report") as turn:
            return _write(results, turn)
    except BusyError as error:
        return Report([], _not_rebuilt(results, error))


def _not_rebuilt(results: Path, error: BusyError) -> str:
    what = f"the report of {results} was not rebuilt, but its records are all kept: {error}"
    return f"{what}; run python -m bcdl.report --results {results} when it has ended"


def _write(results: Path, turn: Claim) -> Report:
    """As `write`, by the one process whose turn it is."""
    sources = Sources.read(results)
    lines = sources.notices
    if not sources.obstacle:
        files = _files(sources)
        notices = artefacts.write(results, files, remove_stale=not sources.unread, check_turn=turn.check)
        turn.check()
        lines = [_summary(sources, files, results), *notices, *web.write(results, sources), *lines]
    return Report(lines, sources.failure(results))


def check(results: Path) -> list[str]:
    """A line that says that README.md, tables/, plots/ and cards/ follow from the records; writes nothing.

    BcdlError if they do not, naming each file, or if something can't be read, naming that.
    """
    sources = Sources.read(results)
    if sources.unread:
        raise BcdlError(sources.failure(results), (f"  {problem}" for problem in sources.unread))
    differing = list(differences(results, _files(sources)))
    if differing:
        raise BcdlError(
            f"{len(differing)} files of {results} do not follow from its records; rebuild them with "
            f"python -m bcdl.report --results {results}; they are:",
            (f"  {line}" for line in differing),
        )
    return [*sources.notices, f"README.md, tables and plots of {results} follow from its records"]


def _files(sources: Sources) -> dict[str, bytes]:
    """Everything that the report writes, by POSIX path relative to the results folder."""
    sections = _sections(sources)
    files = {PAGE: _page(sections, sources.unread).encode()}
    for section in sections:
        for path, content in section.files().items():
            if path in files:
                raise BcdlError(f"two sections of the report would write {path}; this is a fault of bcdl: report it")
            files[path] = content
    return files


def _sections(sources: Sources) -> list[Section]:
    # The rounds of sides in turn have a section of their own: here each would look like a seed of its cell.
    shown = [(machine, record) for machine, record in sources.records if not record.block]
    verdicts = Verdicts(sources.findings)
    groups = group_records(shown, verdicts)
    whole = (sides_in_turn.section(sources.records, verdicts), experiments.section(sources.experiments))
    return [
        *map(group.section, groups),
        *precisions.sections(groups),
        *premium.sections(groups),
        *map(parity.section, group_findings(sources.findings)),
        *filter(None, whole),
    ]


def _page(sections: Sequence[Section], unread: Sequence[Problem]) -> str:
    parts = [PAGE_START + _INTRODUCTION, _contents(sections), *_numbered(sections)]
    if unread:
        lines = "\n".join(f"- {escape(str(problem))}" for problem in unread)
        parts.append(f"## Lines that could not be read\n\n{lines}\n")
    return "\n".join(parts)


def _contents(sections: Sequence[Section]) -> str:
    lines = [f"- [{section.title}](#section-{number})\n" for number, section in enumerate(sections, start=1)]
    return "".join(lines) or "There are no records yet.\n"


def _numbered(sections: Iterable[Section]) -> list[str]:
    return [f'<a id="section-{number}"></a>\n\n{section.text}' for number, section in enumerate(sections, start=1)]


def _summary(sources: Sources, files: Iterable[str], results: Path) -> str:
    counts = Counter(path.partition("/")[0] for path in files if path != PAGE)
    made = "".join(f", {counts[folder]} {folder}" for folder in sorted(counts))
    parity = f" and {len(sources.findings)} parity findings" if sources.findings else ""
    return f"{len(sources.records)} records{parity}: {PAGE}{made} in {results}"
