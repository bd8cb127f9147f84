"""Logs on their way home: packed into one file on the machine that measured, added to a results folder at home.

The machine counted its lines from one, since it had no other logs. At home they are counted on, so that they come after
what was there before; nothing else of a line changes, and no line that is there is touched or added a second time.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bcdl.errors import UsageError
from bcdl.records import disk, log, runs
from bcdl.records.line import schema_of

_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}", re.ASCII)
_SEQUENCE = re.compile(r'("sequence":\s*)[0-9]{1,10}(?=\s*[,}])')
# No run's log is nearly so long; what is longer is no log, and would fill the memory.
_MOST_BYTES = 256 * 2**20


@dataclasses.dataclass
class Unpacked:
    """What became of an archive's lines.

    Attributes:
        added: lines added, by the path of their file in the results folder.
        known: lines that were there already.
        torn: lines that were cut off, since their writer was ended.
        ignored: names of members that are no logs of ours.
    """

    added: Counter[str] = dataclasses.field(default_factory=Counter)
    known: int = 0
    torn: int = 0
    ignored: list[str] = dataclasses.field(default_factory=list)


def pack(results: Path, archive: Path) -> Path:
    """Write all logs of the results folder into the archive, in one step: a reader finds the old one or the new."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in log.LOGS:
            for file in sorted((results / name).glob("*/*.jsonl")):
                tar.add(file, file.relative_to(results).as_posix(), recursive=False)
    return disk.replace(archive, content.getvalue())


def unpack(archive: Path, results: Path) -> Unpacked:
    """Add the lines of the archive's logs that are not there yet to those of the results folder.

    Raises UsageError if the archive can't be read, or if the results can't be written.
    """
    done = Unpacked()
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if _place(member) is None:
                    done.ignored += [] if member.isdir() else [member.name]
                    continue
                stream = tar.extractfile(member)
                _add(stream.read() if stream else b"", PurePosixPath(member.name), results, done)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UsageError(f"{archive} can't be read as an archive of records ({error}); bring it home again") from error
    return done


def _place(member: tarfile.TarInfo) -> tuple[str, str, str] | None:
    """The log, machine and run whose file the member is; None if it is none: nothing else is ever written."""
    parts = PurePosixPath(member.name).parts
    if not member.isreg() or len(parts) != 3 or not 0 < member.size <= _MOST_BYTES:
        return None
    name, machine, file = parts
    run = file.removesuffix(".jsonl")
    is_ours = name in log.LOGS and _MACHINE.fullmatch(machine) and file != run and runs.is_run_id(run)
    return (name, machine, run) if is_ours else None


def _add(content: bytes, place: PurePosixPath, results: Path, done: Unpacked) -> None:
    """Add those of a run's lines that its file in the results folder lacks."""
    name, machine, run = place.parts[0], place.parts[1], place.stem
    there = log.file_of(results, name, machine, run)
    known = Counter(map(_uncounted, _lines(there.read_bytes()))) if there.is_file() else Counter()
    for line in _lines(content):
        if not _is_whole(line, run):
            done.torn += 1
        elif known[_uncounted(line)]:
            known[_uncounted(line)] -= 1
            done.known += 1
        else:
            log.append(results, name, machine, run, functools.partial(_counted, line))
            done.added[place.as_posix()] += 1


def _lines(content: bytes) -> Iterator[str]:
    return (line for line in content.decode("utf-8", errors="replace").split("\n") if line)


def _is_whole(line: str, run: str) -> bool:
    """Whether it is a whole line of that run."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and schema_of(values) > 0 and values.get("run") == run


def _uncounted(line: str) -> str:
    return _SEQUENCE.sub(r"\g<1>0", line, count=1)


def _counted(line: str, count: int) -> str:
    return _SEQUENCE.sub(rf"\g<1>{count}", line, count=1)
