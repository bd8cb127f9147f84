"""Logs on their way home: packed into one file on the machine that measured, added to a results folder at home.

The machine counted its lines from one, since it had no other logs. At home they are counted on, in the machine's order,
so that they come after what was there before; nothing else of a line changes, and no line that is there is touched or
added a second time. Of an archive that is not whole nothing is added. Logs of whole folders come home in the same way
(`bcdl.records.other_folder`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import itertools
import json
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.records import disk, experiment, log, runs, schema
from bcdl.records.claims import BusyError
from bcdl.records.experiment import Experiment
from bcdl.records.identity import Distinct, Entry, LogLine
from bcdl.records.line import MOST_COUNT, schema_of
from bcdl.records.log import Problem
from bcdl.records.record import Record

_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}", re.ASCII)
_NAME = re.compile(r'[\s,]*("(?:[^"\\]|\\.)*")\s*:\s*')  # of a field of a JSON object, up to its value
# No machine's logs are nearly so long; what is longer is no log, and would fill the memory.
MOST_BYTES = 256 * 2**20
_CHUNK = 2**20
_MOST_TOLD = 10  # lines that are left out, by name
_LOCK = "add"  # the lock that is held from the look at what is there to the last line added


@dataclasses.dataclass(frozen=True)
class Reader:
    """How the lines of a log are read; `parse` and `schema` are as in `log.read`."""

    parse: Callable[[str], Entry]
    schema: int


READERS = {
    log.RECORDS: Reader(Record.from_json, schema.SCHEMA),
    log.EXPERIMENTS: Reader(Experiment.from_json, experiment.SCHEMA),
}


class Place(NamedTuple):
    """The file of a run's lines in a results folder."""

    log: str
    machine: str
    run: str

    def __str__(self) -> str:
        return f"{self.log}/{self.machine}/{self.run}.jsonl"


@dataclasses.dataclass
class Contents:
    """What an archive or a folder holds.

    Attributes:
        logs: the content of each log.
        ignored: names of members or files that are no logs of ours.
        name: what messages put before a log's path; empty for nothing.
    """

    logs: dict[Place, bytes] = dataclasses.field(default_factory=dict)
    ignored: list[str] = dataclasses.field(default_factory=list)
    name: str = ""

    def shown(self, place: Place) -> str:
        """The log's path, for messages."""
        return f"{self.name}/{place}" if self.name else str(place)


@dataclasses.dataclass
class Unpacked:
    """What became of the lines of an archive, or of a folder.

    Attributes:
        added: lines added, by the path of their file in the results folder.
        known: lines that were there already, under whatever name of a machine, or that have come twice.
        left_out: lines that no reader takes, for instance since their writer was ended midway, and those that
            contradict others.
        ignored: names of members or files that are no logs of ours.
        moved: lines added that say that they are of another machine than that whose folder they stand in.
    """

    added: Counter[str] = dataclasses.field(default_factory=Counter)
    known: int = 0
    left_out: list[Problem] = dataclasses.field(default_factory=list)
    ignored: list[str] = dataclasses.field(default_factory=list)
    moved: int = 0

    def told(self, source: Path, results: Path) -> list[str]:
        """Lines for people; the first ones say what was added to the folder of which machine."""
        by_folder: dict[PurePosixPath, list[int]] = {}
        for name, number in self.added.items():
            by_folder.setdefault(PurePosixPath(name).parent, []).append(number)
        lines = [f"{results / folder}: {sum(of)} lines added, of {len(of)} runs" for folder, of in by_folder.items()]
        lines.append(f"{source}: {self.added.total()} lines added, {self.known} were there already")
        if self.left_out:
            lines.append(f"note: {len(self.left_out)} lines are left out, the first: {self.left_out[0]}")
            lines += [f"note: left out, too: {problem}" for problem in self.left_out[1:_MOST_TOLD]]
        if self.ignored:
            lines.append(f"note: {len(self.ignored)} files are no logs of bcdl, {self.ignored[0]} for one; left out")
        if self.moved:
            lines.append(f"note: {self.moved} lines {ELSEWHERE}")
        return lines


# What people are told of lines in the folder of another machine.
ELSEWHERE = (
    "name another machine than their folder does; tables are by folder, so give records of each machine their own"
)


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line that has come, and where it belongs and stands.

    Attributes:
        text: the line as it came.
        place: the file that it belongs to.
        file: the file that it stands in, for messages.
        number: of the line in that file.
        sequence: its count on the machine.
        entry: what it was parsed to; None if a newer bcdl wrote it.
        source: number of the archive or folder that it came in.
    """

    text: str
    place: Place
    file: str
    number: int
    sequence: int
    entry: Entry | None
    source: int

    def counted(self, count: int) -> str:
        return _counted(self.text, count)

    @property
    def is_moved(self) -> bool:
        """Whether it says that it is of another machine than that whose folder it stands in."""
        return self.entry is not None and hardware.is_of_another_machine(self.place.machine, self.entry.environment)


def pack(results: Path, archive: Path) -> Path:
    """Write all logs of the results folder into the archive, in one step: a reader finds the old one or the new.

    A log that vanishes meanwhile, as one does that another process sets aside, is left out.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in log.LOGS:
            for file in sorted((results / name).glob("*/*.jsonl")):
                with contextlib.suppress(FileNotFoundError):
                    tar.add(file, file.relative_to(results).as_posix(), recursive=False)
    return disk.replace(archive, content.getvalue())


def unpack(archive: Path, results: Path, readers: Mapping[str, Reader] = READERS) -> Unpacked:
    """Add the lines of an archive to the results folder, as `read` and `add` do."""
    return add(read(archive), results, readers)


def read(archive: Path) -> Contents:
    """What the archive holds; UsageError if it is none, or not whole."""
    try:
        with archive.open("rb") as file, gzip.open(file) as stream:
            while stream.read(_CHUNK):  # to its end, where its checksum is
                pass
            stream.seek(0)
            return _members(archive, stream)
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{archive} can't be read as an archive of records ({reason}); bring it home again, nothing of it was added"
        ) from error


def _members(archive: Path, stream: gzip.GzipFile) -> Contents:
    contents = Contents()
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if (place := _place(member)) is None:
                contents.ignored += [] if member.isdir() else [member.name]
                continue
            if place in contents.logs:
                raise UsageError(f"{archive} holds {place} twice; unpack an archive as run.sh or bcdl sprint made it")
            if sum(map(len, contents.logs.values())) + member.size > MOST_BYTES:
                raise UsageError(
                    f"{archive} holds more than {MOST_BYTES} bytes of logs; unpack its parts by themselves"
                )
            content = tar.extractfile(member)
            contents.logs[place] = content.read() if content else b""
        _check_end(stream, tar.offset)
    return contents


def _check_end(stream: gzip.GzipFile, offset: int) -> None:
    """TarError if the list of members does not end there: at a damaged one tarfile stops without a word."""
    stream.seek(offset)
    first = stream.read(tarfile.BLOCKSIZE)
    rest = itertools.chain([first], iter(lambda: stream.read(_CHUNK), b""))
    if len(first) < tarfile.BLOCKSIZE or any(block.strip(b"\0") for block in rest):
        raise tarfile.ReadError(f"its list of files is damaged at byte {offset}")


def _place(member: tarfile.TarInfo) -> Place | None:
    """The file that the member is; None if it is no log: nothing else is ever written."""
    parts = PurePosixPath(member.name).parts
    is_log = member.isreg() and len(parts) == 3 and 0 < member.size <= MOST_BYTES
    return place_of(*parts) if is_log else None


def place_of(name: str, machine: str, file: str) -> Place | None:
    """The place of the file of that name, in the folder of that machine of that log; None if that is no log of ours."""
    run = file.removesuffix(".jsonl")
    is_ours = name in log.LOGS and _MACHINE.fullmatch(machine) and file != run and runs.is_run_id(run)
    return Place(name, machine, run) if is_ours else None


def add(contents: Contents, results: Path, readers: Mapping[str, Reader] = READERS) -> Unpacked:
    """Add the lines that are not there yet to the logs of the results folder, in the order of their counts.

    Args:
        contents: of an archive.
        results: the results folder.
        readers: by the name of the log; a log without one is ignored.

    Raises:
        UsageError: something in the results folder can't be read, or not be written, or another process is at it.
    """
    (done,) = add_all([contents], results, readers, newer=True)
    return done


def add_all(
    sources: Sequence[Contents], results: Path, readers: Mapping[str, Reader] = READERS, newer: bool = False
) -> list[Unpacked]:
    """As `add`, of several sources at once; what became of the lines of each.

    Lines that a newer bcdl wrote, which this one can't check, are left out unless `newer`. Two lines that contradict
    each other are both left out, whichever sources they come in. Those of a later source count as newer than those of
    one before.
    """
    done = [Unpacked(ignored=[*each.ignored, *_without_reader(each, readers)]) for each in sources]
    places = {place: None for each in sources for place in each.logs if place.log in readers}
    if not places:
        return done
    with _alone(results, places):
        there = {place: _texts(results, place) for place in places}
        lines = list(_lines(sources, readers, newer, done))
        missing = [line for name in readers for line in _missing(results / name, name, lines, readers[name], done)]
        missing += _missing_of_newer([line for line in lines if line.entry is None], there, done)
        seen = {name: log.highest_count(results / name) for name in readers}
        for place, following in itertools.groupby(sorted(missing, key=_order), key=_place_in):
            of_place = list(following)
            with runs.adopt(results, place.run):
                log.append_all(results, *place, [line.counted for line in of_place], seen[place.log])
            seen[place.log] += len(of_place)
            for line in of_place:
                done[line.source].added[str(place)] += 1
                done[line.source].moved += line.is_moved
    return done


def _order(line: _Line) -> tuple[object, ...]:
    """Lines are added in this order: those of a source in the order in which their machine counted them."""
    return line.source, line.sequence, line.place.run, line.place.machine


def _place_in(line: _Line) -> Place:
    return line.place


def _without_reader(contents: Contents, readers: Mapping[str, Reader]) -> list[str]:
    return [contents.shown(place) for place in contents.logs if place.log not in readers]


@contextlib.contextmanager
def _alone(results: Path, places: Iterable[Place]) -> Iterator[None]:
    """A block in which no other process adds lines that come from elsewhere; what one left half done is mended first.

    UsageError if one of the files is of a run that is under way. No more than one is claimed at a time: a cluster's run
    has a file for each cell, and a process may have some thousand files open.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(runs.one_at_a_time(results, _LOCK))
        except BusyError as error:
            raise UsageError(f"nothing was added: {error}; give the command again when it has ended") from error
        for place in places:
            with runs.adopt(results, place.run):
                log.mend(log.file_of(results, *place))
        yield


def _texts(results: Path, place: Place) -> set[str]:
    """The file's lines that are there, as if not counted; UsageError if it can't be read, or not be added to."""
    file = log.file_of(results, *place)
    try:
        for part in (file.parent, file):
            if part.is_symlink():
                raise UsageError(f"{part} is a link, and would be written through; put what it leads to in its place")
        if file.parent.exists() and not file.parent.is_dir():
            raise UsageError(
                f"{file.parent} is no folder, and one is needed there; move it away, then give the command again"
            )
        if not file.exists():
            return set()
        if not file.is_file():
            raise UsageError(f"{file} is no file, and lines belong there; move it away, then give the command again")
        lines = file.read_bytes().decode("utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UsageError(
            f"{file} can't be read ({error.strerror or error}); see to its permissions, then give the command again"
        ) from error
    return {_counted(line, 0) for line in lines}


def _lines(
    sources: Sequence[Contents], readers: Mapping[str, Reader], newer: bool, done: Sequence[Unpacked]
) -> Iterator[_Line]:
    """The lines of all sources that a reader takes, or that a `newer` bcdl wrote; the others are left out."""
    for number, contents in enumerate(sources):
        for place, content in contents.logs.items():
            if place.log in readers:
                file = contents.shown(place)
                yield from _lines_of(content, place, file, number, readers[place.log], newer, done[number].left_out)


def _lines_of(
    content: bytes, place: Place, file: str, source: int, reader: Reader, newer: bool, left_out: list[Problem]
) -> Iterator[_Line]:
    """The lines of a run's file that its reader takes; the others are added to those left out."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        try:
            text, sequence, entry = _read_line(line, place, reader, newer)
            yield _Line(text, place, file, number, sequence, entry, source)
        except UnicodeDecodeError:
            left_out.append(Problem(file, number, "holds bytes that are no UTF-8"))
        except (ValueError, RecursionError) as error:
            left_out.append(Problem(file, number, str(error)))


def _missing(folder: Path, name: str, lines: list[_Line], reader: Reader, done: Sequence[Unpacked]) -> list[_Line]:
    """The lines for the log of that name whose entries are not there yet; those that contradict any are left out."""
    come = {
        LogLine(line.file, line.number, line.place.machine, line.entry): line
        for line in lines
        if line.place.log == name and line.entry is not None
    }
    if not come:
        return []
    there, _ = log.read_lines(folder, reader.parse, reader.schema)
    # Of copies that have come, the one in its own machine's folder is added, unless one is there already.
    distinct = Distinct([*there, *come], lambda line: (line in come, *log.distance_from_home(line)))
    for copy, _ in distinct.copies:
        if copy in come:
            done[come[copy].source].known += 1
    for line, reason in distinct.contradictions.items():
        if line in come:
            done[come[line].source].left_out.append(Problem(line.file, line.number, reason))
    return [come[line] for line in distinct.kept if line in come]


def _missing_of_newer(lines: list[_Line], there: Mapping[Place, set[str]], done: Sequence[Unpacked]) -> Iterator[_Line]:
    """The lines that a newer bcdl wrote, as they stand, that are not among the texts of their places yet."""
    for line in lines:
        text = line.counted(0)
        if text in there[line.place]:
            done[line.source].known += 1
        else:
            there[line.place].add(text)
            yield line


def _read_line(content: bytes, place: Place, reader: Reader, newer: bool) -> tuple[str, int, Entry | None]:
    """The line's text, its count and its entry, as `_Line` has them.

    Raises:
        ValueError, RecursionError: it is not one of that run that a reader of its log takes.
    """
    text, entry = content.decode(), None
    try:
        entry = reader.parse(text)
        is_of_run, sequence = entry.run == place.run, entry.sequence
    except (ValueError, RecursionError):
        if not newer or (values := _of_newer(text, reader.schema)) is None:
            raise
        is_of_run, sequence = values.get("run") == place.run, _count_of_newer(values)
    if not is_of_run:
        raise ValueError("a line of another run than its file's")
    return text, sequence, entry


def _of_newer(text: str, newest: int) -> dict[str, Any] | None:
    """The line's values if a newer bcdl wrote it, else None."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and schema_of(values) > newest else None


def _count_of_newer(values: dict[str, Any]) -> int:
    """The count of a line that a newer bcdl wrote; ValueError if it is none."""
    sequence = values.get("sequence", 0)
    if type(sequence) is not int or not 0 <= sequence <= MOST_COUNT:
        raise ValueError(f"its sequence is not a count: {str(sequence)[:20]}")
    return sequence


def _counted(line: str, count: int) -> str:
    """The line with that count in place of its own; as it is if it has none."""
    start, end = _own_count(line)
    return f"{line[:start]}{count}{line[end:]}" if start else line


def _own_count(line: str) -> tuple[int, int]:
    """Where the line's own sequence begins and ends, not that of a part of it; zeros if it has none."""
    decode, found = json.JSONDecoder().raw_decode, (0, 0)
    try:
        end = line.index("{") + 1
        while name := _NAME.match(line, end):
            _, end = decode(line, name.end())
            found = (name.end(), end) if json.loads(name[1]) == "sequence" else found
    except (ValueError, RecursionError):
        return 0, 0
    return found
