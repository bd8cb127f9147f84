"""The append-only log: `<log>/<machine>/<run>.jsonl` under a results folder, one JSON object a line.

Records, parity findings and experiments have such a log each. A run writes one new file, so that two runs never
conflict, on a disk or in git. The file has the run's id as its name. Each line names its `schema`, an integer, and its
`run`. Each also has a count, `sequence`, one more than the highest that its writer saw in the log, so that the order of
lines does not depend on clocks (L. Lamport, Time, Clocks, and the Ordering of Events in a Distributed System, 1978);
lines of older schemas have none, and come first. A file with such a name and such a line is ours; any other is neither
read nor changed. No lock is needed to add a line: only its own run writes a file, on whatever host.

The last line may lack its end, if its writer was killed or the disk failed. If nothing else is missing, it counts like
any other. If it is torn, it is reported, and the next run on its host sets it aside (`repair`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bcdl.machine import hardware
from bcdl.records import disk, runs
from bcdl.records.claims import BusyError
from bcdl.records.identity import Distinct, Entry, LogLine
from bcdl.records.line import MOST_COUNT, schema_of
from bcdl.text import listed

RECORDS, PARITY, EXPERIMENTS = LOGS = ("records", "parity", "experiments")
# The ending of the file beside a log to which `repair` moves a torn line; no reader takes it for a log.
TORN = ".torn"
_LOCK = "repair"  # the lock that is held while files are repaired
_SEQUENCE = re.compile(
    rb'"sequence":\s*([0-9]{1,10})\s*[,}]'
)  # as no text in a line can have it: its quotes are escaped
_START = b'{"schema": '  # how every line begins that this project ever wrote; schema and run follow


# What is said of a file without a byte that nobody writes, unless its only line was torn and set aside.
_EMPTY = "it is empty: its writer was ended before its first line, or the disk lost what it held; remove it"

T = TypeVar("T", bound=Entry)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something in a log that was not read, or not counted.

    Attributes:
        file: the file or folder, relative to the results folder: `records/<machine>/<run>.jsonl`.
        line: number of the line, from 1; None if the file as a whole could not be read.
        reason: why it could not be read, and what to do.
        newer: whether a newer bcdl wrote it, so that this one can't say what it holds.
        foreign: whether no record is missing: bcdl did not write the file, or its writer is at that line.
        copies: how many lines are copies of lines that count, so that nothing is missing either; 0 if it is no copies.
    """

    file: str
    line: int | None
    reason: str
    newer: bool = False
    foreign: bool = False
    copies: int = 0

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.reason}"

    @property
    def is_loss(self) -> bool:
        """Whether something that bcdl wrote does not count because of it."""
        return not self.foreign and not self.copies

    @property
    def notice(self) -> str:
        """A line for people."""
        return f"{'not read' if self.is_loss else 'note'}: {self}"


def file_of(results: Path, log: str, machine: str, run: str) -> Path:
    """The path of the file of a run's lines."""
    return results / log / machine / f"{run}.jsonl"


def append(
    results: Path, log: str, machine: str, run: str, line_of: Callable[[int], str], seen: int | None = None
) -> Path:
    """Add a line to its run's file, as `append_all` does with several; `line_of` gives it by its count."""
    return append_all(results, log, machine, run, [line_of], seen)


def append_all(
    results: Path,
    log: str,
    machine: str,
    run: str,
    lines: Sequence[Callable[[int], str]],
    seen: int | None = None,
) -> Path:
    """Add lines to their run's file, whose path it returns, all or none; they are then on the disk.

    Processes at once, each with a run of its own, need not wait for each other. Two that see the same lines give equal
    counts; then the ids of their runs decide the order.

    Args:
        results: the results folder.
        log: one of `LOGS`.
        machine: the folder of the log.
        run: the run's id.
        lines: each gives a line by its count.
        seen: the highest count that the writer saw in the log; if not given, it looks now.

    Raises:
        UsageError: they can't be written, or another process has the run; the file is then as it was.
    """
    file = file_of(results, log, machine, run)
    runs.check_free(results, run)
    first = 1 + (highest_count(results / log) if seen is None else seen)
    counted = (line_of(min(MOST_COUNT, count)) for count, line_of in enumerate(lines, start=first))
    disk.append_line(file, "\n".join(counted))
    return file


def highest_count(folder: Path) -> int:
    """The highest count of a line in a log; 0 if no line is counted."""
    counts = [0]
    for file in folder.glob("*/*.jsonl"):
        with contextlib.suppress(OSError):  # a report says what can't be read
            state = file.stat()
            counts.append(_count_in(file, state.st_size, state.st_mtime_ns) if runs.is_run_id(file.stem) else 0)
    return max(counts)


@functools.lru_cache(maxsize=4096)
def _count_in(file: Path, size: int, changed_ns: int) -> int:
    """The highest count in a file, which is read again only if its size or the time of its last change is another."""
    counts = map(int, _SEQUENCE.findall(_regular_content(file)))
    return max((count for count in counts if count <= MOST_COUNT), default=0)


def read(folder: Path, parse: Callable[[str], T], schema: int) -> tuple[list[tuple[str, T]], list[Problem]]:
    """Every entry of a log with its machine, each once, oldest first; and what was not read or not counted.

    Entries are in the order of their counts; those of one count, or of none, in that of their runs' ids, which begin
    with the time. Of several copies of a line, that in the folder of the machine that it is of is kept.

    Args:
        folder: that of the log, for instance `records/`; it may be missing.
        parse: parses a line; ValueError, with the reason, or RecursionError if it can't.
        schema: the newest that `parse` reads.
    """
    lines, problems = read_lines(folder, parse, schema)
    distinct = Distinct(lines, distance_from_home)
    problems = [_copy_of_a_file(problem, folder.parent, distinct, parse, schema) or problem for problem in problems]
    problems += [*_contradictions(distinct), *_copies(distinct)]
    kept = sorted(distinct.kept, key=lambda line: line.entry.sequence)
    return [(line.machine, line.entry) for line in kept], problems


def read_lines(folder: Path, parse: Callable[[str], T], schema: int) -> tuple[list[LogLine[T]], list[Problem]]:
    """Every line of a log, copies too, in the order of the runs' ids; arguments and problems as in `read`."""
    lines: list[LogLine[T]] = []
    files, problems = _files(folder)
    for file in files:
        lines_here, problems_here = _read_ours(file, parse, schema)
        lines += lines_here
        problems += problems_here
    return lines, problems


def distance_from_home(line: LogLine[T]) -> tuple[bool, int]:
    """The smaller, the likelier is the line's folder that of the machine that it is of."""
    return not hardware.is_name_of(line.machine, line.entry.environment), len(line.machine)


def _contradictions(distinct: Distinct[T]) -> list[Problem]:
    return [Problem(line.file, line.number, reason) for line, reason in distinct.contradictions.items()]


def _copies(distinct: Distinct[T]) -> list[Problem]:
    """A problem for each file with lines that are copies of others."""
    of_files: dict[str, list[LogLine[T]]] = {}
    for line, kept in distinct.copies:
        of_files.setdefault(line.file, []).append(kept)
    return [Problem(file, None, _copied(kept), copies=len(kept)) for file, kept in of_files.items()]


def _copied(kept: Sequence[LogLine[T]]) -> str:
    """What is said of a file with copies of these lines."""
    lines = "a line that is a copy" if len(kept) == 1 else f"{len(kept)} lines that are copies"
    return f"it has {lines} of others ({kept[0]}{', ...' if len(kept) > 1 else ''}); each counts once"


def _copy_of_a_file(
    problem: Problem, results: Path, distinct: Distinct[T], parse: Callable[[str], T], schema: int
) -> Problem | None:
    """What stands for the problem if its file, which no reader takes, has nothing but copies of lines that count."""
    if problem.line is not None or not problem.is_loss or not (results / problem.file).is_file():
        return None
    lines, unread = read_file(results / problem.file, parse, schema)
    kept = [like for line in lines if (like := distinct.like(line.entry)) and like not in distinct.contradictions]
    if unread or not kept or len(kept) < len(lines):
        return None
    return Problem(problem.file, None, _copied(kept), copies=len(kept))


def read_file(
    file: Path, parse: Callable[[str], T], schema: int, name: str | None = None
) -> tuple[list[LogLine[T]], list[Problem]]:
    """The lines of one file, parsed, whatever the file is called; and what of it could not be read.

    `name` stands for the file in problems. `parse` and `schema` are as in `read`.
    """
    name = _shown(file) if name is None else name
    try:
        content = _regular_content(file)
    except OSError as error:
        return [], [_unreadable(name, error)]
    return _parse_lines(content, parse, schema, name, file.parent.name)


def repair(results: Path) -> list[str]:
    """Repair the last line of each of our files whose run has ended; a notice for each that was or must be repaired.

    A whole line gets the end that it lacks. A torn one is moved to a file beside it. A file whose run another host
    began is never changed, since that host may be at work on a copy that this one does not see.
    """
    files = [file for log in LOGS for file in _files(results / log)[0] if _lacks_its_end(file)]
    if not files:
        return []
    try:
        with runs.one_at_a_time(results, _LOCK):
            return [notice for file in files if (notice := _repair(results, file))]
    except BusyError as error:
        return [f"last lines that lack their ends are left to the next run: {error}"]


def _read_ours(file: Path, parse: Callable[[str], T], schema: int) -> tuple[list[LogLine[T]], list[Problem]]:
    """As `read_file`, of a file that bcdl may not have written."""
    name = _shown(file)
    try:
        content = _regular_content(file)
    except OSError as error:
        return [], [_unreadable(name, error)]
    if not content:
        is_known = file.with_suffix(TORN).exists() or runs.is_live(file.parent.parent.parent, file.stem)
        return [], [] if is_known else [Problem(name, None, _EMPTY, foreign=True)]
    lines, problems = _parse_lines(content, parse, schema, name, file.parent.name)
    problems = _with_line_in_the_making(file, content, problems)
    if runs.is_run_id(file.stem) and any(line.entry.run == file.stem for line in lines):
        return lines, problems
    if _is_ours(file, content):
        return lines, problems
    return [], [_not_ours(file, content)]


def _with_line_in_the_making(file: Path, content: bytes, problems: list[Problem]) -> list[Problem]:
    """The problems of a run's file; if its run lives, half a line at the end is the one that it is writing."""
    lines = content.split(b"\n")
    if not lines[-1] or not problems or problems[-1].line != len(lines) or _object(lines[-1]) is not None:
        return problems
    if not runs.is_live(file.parent.parent.parent, file.stem):
        return problems
    reason = f"half a line, of {len(lines[-1])} bytes: its run is alive and writes it; read it again in a moment"
    return [*problems[:-1], dataclasses.replace(problems[-1], reason=reason, foreign=True)]


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """A block or function without the search for cycles: JSON has none, and the search doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_collector_paused()
def _parse_lines(
    content: bytes, parse: Callable[[str], T], schema: int, name: str, machine: str
) -> tuple[list[LogLine[T]], list[Problem]]:
    parsed: list[LogLine[T]] = []
    problems: list[Problem] = []
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, last] if last else lines, start=1):
        try:
            parsed.append(LogLine(name, number, machine, parse(line.decode())))
        except UnicodeDecodeError:
            problems.append(Problem(name, number, "holds bytes that are no UTF-8; it was damaged or edited"))
        except (ValueError, RecursionError) as error:
            values = _object(line)
            newer = values is not None and schema_of(values) > schema
            problems.append(Problem(name, number, str(error), newer))
        if number > len(lines) and problems and problems[-1].line == number and _object(line) is None:
            reason = (
                f"a torn last line of {len(line)} bytes: its writer was ended midway, or is at it; "
                "the next run sets it aside"
            )
            problems[-1] = Problem(name, number, reason)
    return parsed, problems


def _is_ours(file: Path, content: bytes) -> bool:
    """Whether a file is a log of bcdl: its name is a run's id, and a line is of that run.

    If the file has a torn line and no other, that line need only begin as ours do.
    """
    if not runs.is_run_id(file.stem):
        return False
    *lines, last = content.split(b"\n")
    if any(_is_of(values, file.stem) for line in (*lines, last) if (values := _object(line)) is not None):
        return True
    return not lines and _object(last) is None and _begins_as_ours(last, file.stem)


def _begins_as_ours(line: bytes, run: str) -> bool:
    """Whether a torn line is, as far as it goes, the beginning of a line of that run."""
    schema = re.match(re.escape(_START) + b"[0-9]+", line)
    rest, expected = (line[schema.end() :], f', "run": "{run}"'.encode()) if schema else (line, _START)
    return rest.startswith(expected) or expected.startswith(rest)


def _not_ours(file: Path, content: bytes) -> Problem:
    """Why a file is not read. It is not foreign if it may hold lines of ours, which then are missing."""
    name = _shown(file)
    if file.name != f"{(run := runs.id_in(file.name))}.jsonl" and run:
        return _copy(file, content, run)
    written_by_us = any(
        schema_of(values) and isinstance(values.get("run"), str)
        for line in content.split(b"\n")
        if (values := _object(line)) is not None
    )
    if written_by_us:
        return Problem(name, None, "its lines are of bcdl, but it is not called after their run; give it back its name")
    if runs.is_run_id(file.stem):
        return Problem(
            name, None, "no line of it says that it is of this run; it was damaged, or is no log; left alone"
        )
    return Problem(name, None, "not a log of bcdl; left alone", foreign=True)


def _copy(file: Path, content: bytes, run: str) -> Problem:
    """What a file is whose name holds a run's id among other letters: sync tools leave such ones beside a log."""
    name, log = _shown(file), file.with_name(f"{run}.jsonl")
    if not log.is_file():
        return Problem(name, None, f"not read: it may be {log.name}, which is missing; give it back its name")
    known = set(_content_of(log).split(b"\n"))
    lines = [line for line in content.split(b"\n") if (values := _object(line)) is not None and _is_of(values, run)]
    if missing := len(set(lines) - known):
        what = f"a copy of {log.name}, as sync tools make, with {missing} of its lines that stand only here"
        return Problem(name, None, f"{what}; add the lines of the copy to {log.name}, then remove the copy")
    reason = f"a copy of {log.name}, as sync tools make, without any other line; left alone"
    return Problem(name, None, reason, foreign=not lines, copies=len(lines))


def _content_of(file: Path) -> bytes:
    """The content of a file; nothing if it can't be read, which is reported with the file itself."""
    try:
        return _regular_content(file)
    except OSError:
        return b""


def _object(line: bytes) -> dict[str, Any] | None:
    """The JSON object on the line; None if there is none."""
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _is_of(values: dict[str, Any], run: str) -> bool:
    """Whether it is a line of that run."""
    return schema_of(values) > 0 and values.get("run") == run


def _repair(results: Path, file: Path) -> str:
    """Repair the file's last line; a notice of what was done, empty if there was nothing to do."""
    writer = runs.holder(results, file.stem)
    if writer is not None and writer.alive:
        return ""
    if writer is not None and not writer.here:
        return (
            f"{_shown(file)}: its last line lacks its end, and another host wrote it; the next run there mends it. If "
            f"there is no such host any more, remove {runs.RUNS.as_posix()}/{file.stem}/{runs.OWNER_FILE}"
        )
    return mend(file)


def mend(file: Path) -> str:
    """Repair the last line of a file that nobody writes; a notice of what was done, empty if nothing was."""
    try:
        return _mend(file) if _lacks_its_end(file) else ""
    except OSError as error:
        return f"{_shown(file)}: its last line can't be mended ({error.strerror or error})"


def _lacks_its_end(file: Path) -> bool:
    """Whether it is a file with a run's id as its name, no link, whose last line lacks its end."""
    try:
        if not runs.is_run_id(file.stem) or file.parent.is_symlink() or not stat.S_ISREG(file.lstat().st_mode):
            return False
        with file.open("rb") as content:
            size = content.seek(0, os.SEEK_END)
            return size > 0 and content.seek(size - 1) == size - 1 and content.read(1) != b"\n"
    except OSError:  # a report says what can't be read
        return False


def _mend(file: Path) -> str:
    """As `_repair`, of a file whose last line lacks its end."""
    with file.open("r+b", buffering=0) as lines:
        content = lines.readall()
        if not _is_ours(file, content):
            return ""
        start = content.rfind(b"\n") + 1
        last = content[start:]
        values = _object(last)
        if values is not None and _is_of(values, file.stem):
            disk.append_whole(lines.fileno(), b"\n")
            return f"{file.name}: its last line lacked its end and has it now"
        aside = file.with_suffix(TORN)
        _set_aside(aside, last)
        os.ftruncate(lines.fileno(), start)
        os.fsync(lines.fileno())
        return f"{file.name}: a torn last line of {len(last)} bytes was set aside in {aside.name}"


def _set_aside(aside: Path, torn: bytes) -> None:
    """Append a torn line to the file `aside`; OSError if that is a link."""
    if aside.is_symlink():
        raise OSError(f"{aside.name} is a link")
    with aside.open("ab", buffering=0) as file:
        disk.append_whole(file.fileno(), torn + b"\n")


def _files(folder: Path) -> tuple[list[Path], list[Problem]]:
    """Every run's file in a log, oldest run first; folders that can't be read, and files of runs in a wrong place."""
    machines, problems = _entries(folder, folder.name)
    files, others = [], [entry for entry in machines if not entry.is_dir() and entry.suffix != ".jsonl"]
    problems += _misplaced(folder, machines)
    for machine in machines:
        if machine.is_dir():
            entries, unreadable = _entries(machine, f"{folder.name}/{machine.name}")
            files += [file for file in entries if file.suffix == ".jsonl"]
            beside = [file for file in entries if file.suffix != ".jsonl" and not file.is_dir()]
            problems += [_not_ours(file, _content_of(file)) for file in beside if _is_made_of_a_log(file)]
            others += [file for file in beside if not _is_made_of_a_log(file)]
            deeper = [file for entry in entries if entry.is_dir() for file in _below(entry)]
            problems += unreadable + _misplaced(folder, deeper)
    return sorted(files, key=lambda path: (path.stem, path)), problems + _left_alone(folder, others)


def _is_made_of_a_log(file: Path) -> bool:
    """Whether the name of a file that is no log is that of one with something added, as sync tools make them."""
    return ".jsonl" in file.name and runs.id_in(file.name) != ""


def _left_alone(folder: Path, others: Iterable[Path]) -> list[Problem]:
    """One problem that names all files in a log that are none, such as those that systems leave in any folder."""
    names = [file.name for file in others if file.suffix != TORN and not disk.is_part(file.name)]
    return [Problem(folder.name, None, f"left alone, since no logs: {listed(names)}", foreign=True)] if names else []


def _misplaced(folder: Path, files: Iterable[Path]) -> list[Problem]:
    """The files among these that are logs of ours, but lie in no machine's folder, so that no reader looks there."""
    return [
        Problem(
            file.relative_to(folder.parent).as_posix(),
            None,
            f"it lies in no machine's folder; move it to {folder.name}/MACHINE/{file.name}",
        )
        for file in files
        if file.suffix == ".jsonl" and file.is_file() and _holds_our_lines(file)
    ]


def _below(folder: Path) -> list[Path]:
    """All files under a folder, no link followed."""
    return sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def _holds_our_lines(file: Path) -> bool:
    try:
        return _is_ours(file, file.read_bytes())
    except OSError:
        return runs.is_run_id(file.stem)


def _entries(folder: Path, name: str) -> tuple[Sequence[Path], list[Problem]]:
    try:
        return sorted(folder.iterdir()), []
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [_unreadable(name, error)]


def _regular_content(file: Path) -> bytes:
    """The content of a file; OSError if it is something else: from a pipe, for instance, a reader waits for ever."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError("neither a file nor a folder")
    return file.read_bytes()


def _unreadable(name: str, error: OSError) -> Problem:
    return Problem(name, None, f"can't be read ({error.strerror or error})")


def _shown(file: Path) -> str:
    """The path of a log's file relative to the results folder, for messages."""
    return "/".join(file.parts[-3:])
