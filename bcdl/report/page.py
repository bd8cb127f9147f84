"""The report: pages, tables, plots and cards, built from records alone, or checked against them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bcdl.errors import BcdlError
from bcdl.parity.verdicts import group_findings
from bcdl.records import git_ignore, runs
from bcdl.records.claims import BusyError, Claim
from bcdl.records.log import Problem
from bcdl.records.store import PAGE, PAGE_START, check_folder
from bcdl.report import artefacts, group_sections, how_to_read, readme
from bcdl.report.check import differences
from bcdl.report.readme import Known
from bcdl.report.section import Section, anchor, figure_path, headings, page_path
from bcdl.report.sections import experiments, parity, precisions, premium, published, sides_in_turn, variants
from bcdl.report.sources import Sources
from bcdl.report.web import file as web
from bcdl.text import escape


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
    """Write README.md, pages/, tables/, plots/ and cards/ under `results`.

    Returns lines that say what was written, and what was not. UsageError if they can't be written.
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
    """A line that says that README.md, pages/, tables/, plots/ and cards/ follow from the records; writes nothing.

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
    return [*sources.notices, f"README.md, pages, tables and plots of {results} follow from its records"]


def _files(sources: Sources) -> dict[str, bytes]:
    """Everything that the report writes, by POSIX path relative to the results folder."""
    known = Known.of(sources)
    sections = _distinct([how_to_read.section(), *readme.machine_sections(known), *_sections(sources, known)])
    if listing := readme.all_pages(sections):
        sections.append(listing)
    text, drawn = readme.first_page(dataclasses.replace(known, sections=sections))
    whole = [
        (PAGE, "\n".join([PAGE_START, text, *_unread(sources.unread)]).encode()),
        *((figure_path(key), png) for key, png in drawn.items()),
        *((page_path(section.page), _page(section).encode()) for section in sections),
        *(file for section in sections for file in section.files().items()),
    ]
    files: dict[str, bytes] = {}
    for path, content in whole:
        if path in files:
            raise BcdlError(f"two sections of the report would write {path}; this is a fault of bcdl: report it")
        files[path] = content
    return files


def _sections(sources: Sources, known: Known) -> list[Section]:
    with group_sections.begun(known.groups) as of_groups:
        turned = sides_in_turn.section(sources.records, known.verdicts)
        others = [
            *precisions.sections(known.groups),
            *premium.sections(known.groups),
            *variants.sections(known.groups),
            *published.sections(known.groups),
            *map(parity.section, group_findings(sources.findings)),
            *experiments.sections(sources.experiments),
        ]
        # Of a search, the page that ranks all of it says most: those of its single sets of settings come last.
        made = list(zip(known.groups, of_groups, strict=True))
        tested = [section for group, section in made if group.first.cell.test]
        tried = [section for group, section in made if not group.first.cell.test]
        return [*([turned] if turned else []), *tested, *others, *tried]


def _distinct(sections: Iterable[Section]) -> list[Section]:
    """The sections with names, titles and headings that differ by more than a digit: those that do not get a letter."""
    names, titles = _Letters(), _Letters(_DIGITS)
    made = []
    for section in sections:
        title, _, text = section.text.partition("\n")
        parts = _Letters(_DIGITS)
        lines = [line + parts.of(line) if line.startswith("## ") else line for line in text.splitlines()]
        page = section.page + names.of(section.page, "-set-").lower()
        whole = "\n".join([title + titles.of(title), *lines]) + "\n"
        made.append(dataclasses.replace(section, text=whole, page=page))
    return made


_DIGITS = r"\d+"


class _Letters:
    """Gives a letter to each title that is like an earlier one, but for what is no difference."""

    def __init__(self, no_difference: str = "") -> None:
        """`no_difference` is a pattern of what does not set titles apart."""
        self._no_difference = no_difference
        self._known: Counter[str] = Counter()

    def of(self, title: str, before: str = ", set ") -> str:
        """What is to stand behind the title; empty if no earlier one is like it."""
        plain = re.sub(self._no_difference, "", title)
        self._known[plain] += 1
        place = self._known[plain]
        return f"{before}{_letter(place)}" if place > 1 else ""


def _letter(place: int) -> str:
    """The letter of a place, counted from 1; after Z come two.

    >>> [_letter(place) for place in (1, 2, 26, 27, 28)]
    ['A', 'B', 'Z', 'AA', 'AB']
    """
    before, last = divmod(place - 1, 26)
    return (_letter(before) if before else "") + chr(ord("A") + last)


def _page(section: Section) -> str:
    """The page of a section: its title, the way back, what is on it, and its text."""
    title, _, text = section.text.partition("\n")
    contents = "\n".join(f"- [{heading}](#{anchor(heading)})" for heading in headings(section.text))
    return "\n\n".join(filter(None, [title, artefacts.PAGE_MARK, contents, text.strip()])) + "\n"


def _unread(unread: Sequence[Problem]) -> list[str]:
    """What could not be read, a line each; nothing if all could."""
    if not unread:
        return []
    lines = "\n".join(f"- {escape(str(problem))}" for problem in unread)
    return [f"## Lines that could not be read\n\n{lines}\n"]


def _summary(sources: Sources, files: Iterable[str], results: Path) -> str:
    counts = Counter(path.partition("/")[0] for path in files if path != PAGE)
    made = "".join(f", {counts[folder]} {folder}" for folder in sorted(counts))
    parity = f" and {len(sources.findings)} parity findings" if sources.findings else ""
    return f"{len(sources.records)} records{parity}: {PAGE}{made} in {results}"
