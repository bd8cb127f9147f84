"""Logs on their way home: packed into one file on the machine that measured, added to a results folder at home.

The machine counted its lines from one, since it had no other logs. At home they are counted on, in the machine's order,
so that they come after what was there before; nothing else of a line changes, and no line that is there is touched or
added a second time. Of an archive that is not whole nothing is added.
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bcdl.errors import UsageError
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
_MOST_BYTES = 256 * 2**20
_CHUNK = 2**20
_LOCK = "unpack"  # the lock that is held from the look at what is there to the last line added


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
    """What an archive holds.

    Attributes:
        logs: the content of each log.
        ignored: names of members that are no logs of ours.
    """

    logs: dict[Place, bytes] = dataclasses.field(default_factory=dict)
    ignored: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Unpacked:
    """What became of an archive's lines.

    Attributes:
        added: lines added, by the path of their file in the results folder.
        known: lines that were there already, under whatever name of a machine, or that the archive has twice.
        left_out: lines that no reader takes, for instance since their writer was ended midway.
        ignored: names of members that are no logs of ours.
    """

    added: Counter[str] = dataclasses.field(default_factory=Counter)
    known: int = 0
    left_out: list[Problem] = dataclasses.field(default_factory=list)
    ignored: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line from an archive, and where it belongs and stands.

    Attributes:
        text: the line as it came.
        place: the file that it belongs to.
        number: of the line in that file of the archive.
        sequence: its count on the machine.
        entry: what it was parsed to; None if a newer bcdl wrote it.
    """

    text: str
    place: Place
    number: int
    sequence: int
    entry: Entry | None

    def counted(self, count: int) -> str:
        return _counted(self.text, count)


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
            if sum(map(len, contents.logs.values())) + member.size > _MOST_BYTES:
                raise UsageError(
                    f"{archive} holds more than {_MOST_BYTES} bytes of logs; unpack its parts by themselves"
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
    if not member.isreg() or len(parts) != 3 or not 0 < member.size <= _MOST_BYTES:
        return None
    name, machine, file = parts
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
    logs = {place: content for place, content in contents.logs.items() if place.log in readers}
    done = Unpacked(ignored=contents.ignored + [str(place) for place in contents.logs if place not in logs])
    if not logs:
        return done
    with _alone(results, logs):
        there = {place: _texts(results, place) for place in logs}
        lines = [line for place in logs for line in _lines(place, logs[place], readers[place.log], done)]
        missing = [line for name in readers for line in _missing(results / name, name, lines, readers[name], done)]
        missing += _missing_of_newer([line for line in lines if line.entry is None], there, done)
        for line in sorted(missing, key=lambda line: (line.sequence, line.place.run, line.place.machine)):
            log.append(results, *line.place, line.counted)
            done.added[str(line.place)] += 1
    return done


@contextlib.contextmanager
def _alone(results: Path, places: Iterable[Place]) -> Iterator[None]:
    """A block in which no other process adds lines to these files; what one left half done there is mended first."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(runs.one_at_a_time(results, _LOCK))
        except BusyError as error:
            raise UsageError(f"nothing was unpacked: {error}; unpack again when it has ended") from error
        for run in dict.fromkeys(place.run for place in places):
            stack.enter_context(runs.adopt(results, run))
        for place in places:
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
            raise UsageError(f"{file.parent} is no folder, and one is needed there; move it away, then unpack again")
        if not file.exists():
            return set()
        if not file.is_file():
            raise UsageError(f"{file} is no file, and lines belong there; move it away, then unpack again")
        lines = file.read_bytes().decode("utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UsageError(
            f"{file} can't be read ({error.strerror or error}); see to its permissions, then unpack again"
        ) from error
    return {_counted(line, 0) for line in lines}


def _lines(place: Place, content: bytes, reader: Reader, done: Unpacked) -> Iterator[_Line]:
    """The lines of a run's file in the archive that a reader takes; the others are left out."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        try:
            yield _read_line(line, place, number, reader)
        except UnicodeDecodeError:
            done.left_out.append(Problem(str(place), number, "holds bytes that are no UTF-8"))
        except (ValueError, RecursionError) as error:
            done.left_out.append(Problem(str(place), number, str(error)))


def _missing(folder: Path, name: str, lines: list[_Line], reader: Reader, done: Unpacked) -> list[_Line]:
    """The lines for the log of that name whose entries are not there yet; those that contradict any are left out."""
    come = {
        LogLine(str(line.place), line.number, line.place.machine, line.entry): line
        for line in lines
        if line.place.log == name and line.entry is not None
    }
    if not come:
        return []
    there, _ = log.read_lines(folder, reader.parse, reader.schema)
    distinct = Distinct([*there, *come])
    done.known += sum(copy in come for copy, _ in distinct.copies)
    contradictions = distinct.contradictions.items()
    done.left_out += [Problem(line.file, line.number, reason) for line, reason in contradictions if line in come]
    return [come[line] for line in distinct.kept if line in come]


def _missing_of_newer(lines: list[_Line], there: Mapping[Place, set[str]], done: Unpacked) -> Iterator[_Line]:
    """The lines that a newer bcdl wrote, as they stand, that are not among the texts of their places yet."""
    for line in lines:
        text = line.counted(0)
        if text in there[line.place]:
            done.known += 1
        else:
            there[line.place].add(text)
            yield line


def _read_line(content: bytes, place: Place, number: int, reader: Reader) -> _Line:
    """The line; ValueError, with the reason, if it is not one of that run that a reader of its log takes."""
    text, entry = content.decode(), None
    try:
        entry = reader.parse(text)
        is_of_run, sequence = entry.run == place.run, entry.sequence
    except (ValueError, RecursionError):
        if (values := _of_newer(text, reader.schema)) is None:
            raise
        is_of_run, sequence = values.get("run") == place.run, _count_of_newer(values)
    if not is_of_run:
        raise ValueError("a line of another run than its file's")
    return _Line(text, place, number, sequence, entry)


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
