"""The summary for the page of a CI job: the answer, comparisons in turn, what runs gave, parity, failures, doubts.

It is Markdown of tables and words alone: there a link to a file beside it leads nowhere, and a picture shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bcdl.parity.verdicts import Verdicts, group_findings
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report import answer, doubt_lines, formats, run_table
from bcdl.report.sections import sides_in_turn
from bcdl.report.sections.parity import verdicts_table
from bcdl.report.sections.sides_in_turn import SidesInTurn
from bcdl.report.sources import Sources
from bcdl.statistics import doubts
from bcdl.statistics.comparison import RATES
from bcdl.text import escape

# GitHub takes so much of a step's summary, and shows nothing of a longer one
# (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits).
MOST_BYTES = 2**20
_ROOM_FOR_NOTICE = 200
_Pairs = Sequence[tuple[str, Record]]


def markdown(sources: Sources) -> str:
    """The summary of what a results folder holds, at most `MOST_BYTES`; what is left out for that is said."""
    records, verdicts = sources.records, Verdicts(sources.findings)
    comparisons = sides_in_turn.read(records)
    apart = [(machine, record) for machine, record in records if not record.block]
    blocks = [
        *_answers(comparisons, verdicts),
        *(block for run in comparisons for block in _comparison(run, verdicts)),
        *_runs(apart),
        *_parity(sources),
        *_listed("Cells that are not ok", map(_failure, _failed(apart, comparisons))),
        *_listed("Doubts about what was measured in turn", _doubts(comparisons)),
        *_listed("Lines that could not be read", map(str, sources.unread)),
    ]
    return _within_limit(blocks or ["There are no records."])


def _answers(comparisons: Sequence[SidesInTurn], verdicts: Verdicts) -> Iterator[str]:
    """For each machine, which backend is the fastest, of what was measured in turn."""
    for machine in dict.fromkeys(run.machine for run in comparisons):
        rows = answer.rows([run for run in comparisons if run.machine == machine], verdicts)
        if rows:
            yield f"## Which backend is the fastest on {escape(machine)}?\n\n{answer.table(rows).to_markdown()}"
            yield _lines(filter(None, (row.sentence for row in rows)))


def _comparison(run: SidesInTurn, verdicts: Verdicts) -> Iterator[str]:
    """Every two sides of a comparison, and what has regressed."""
    yield f"## Sides in turn, {escape(run.run)}\n\n{_lines(sides_in_turn.side_lines(run))}"
    regressions = []
    for pair in sides_in_turn.pairs(run):
        if pair.comparisons:
            yield sides_in_turn.table_of(pair, run, verdicts).to_markdown()
        if pair.failure:
            yield _lines([f"not compared: {pair.failure}"])
        regressions += sides_in_turn.regressions(run, pair)
    if regressions:
        yield _lines(f"REGRESSION: {line}" for line in regressions)


def _runs(apart: _Pairs) -> Iterator[str]:
    """The tables of cells that were measured one after another, as a run shows them at its end, by machine."""
    for group in group_records(apart):
        for table in run_table.run_tables(group.records):
            yield f"## One after another on {escape(group.machine)}\n\n{table.to_markdown()}"


def _parity(sources: Sources) -> Iterator[str]:
    """Whether the backends compute the same, a table for each precision and machine."""
    for group in group_findings(sources.findings):
        yield f"## Parity on {escape(group.machine)}: {escape(group.title)}\n\n{verdicts_table(group).to_markdown()}"


def _failed(apart: _Pairs, comparisons: Sequence[SidesInTurn]) -> Iterator[Record]:
    """The records that are not ok: of cells measured one after another if none since is, of rounds all."""
    for group in group_records(apart):
        yield from group.failures
    yield from (record for run in comparisons for record in run.records if not record.ok)


def _failure(record: Record) -> str:
    side = f"side {record.side}, " if record.side else ""
    return f"{side}{record.cell.title}: {record.status}: {record.reason}"


def _doubts(comparisons: Sequence[SidesInTurn]) -> list[str]:
    """What makes rates of rounds doubtful, a line for each kind of doubt."""
    doubted: dict[str, list[Sequence[doubts.Doubt]]] = {}
    for record in (record for run in comparisons for record in run.records if record.ok):
        for regime in RATES:
            place = f"side {record.side}, {record.cell.title}, {regime}"
            doubted.setdefault(place, []).append(doubts.every(record, regime))
    return doubt_lines.lines(doubted)


def _listed(heading: str, lines: Iterable[str]) -> Iterator[str]:
    if listed := _lines(lines):
        yield f"## {heading}\n\n{listed}"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _within_limit(blocks: Sequence[str]) -> str:
    """The blocks, of which none is cut: those for which there is no room are left out, and counted in a line."""
    kept: list[str] = []
    room = MOST_BYTES - _ROOM_FOR_NOTICE
    for block in blocks:
        room -= len(block.encode()) + 2
        if room < 0:
            break
        kept.append(block)
    if left := len(blocks) - len(kept):
        limit = f"a summary takes {formats.grouped(MOST_BYTES)} bytes"
        kept.append(f"{left} more tables and lists are left out, since {limit}; `bcdl report` shows them all.")
    return "\n\n".join(kept) + "\n"
