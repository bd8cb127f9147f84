"""Where a pack may be put: over nothing but an older pack all of whose files can be made again."""

from __future__ import annotations

import base64
import csv
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.machine import provenance
from bcdl.machine.provenance import PACK_FILE, Pack

SOURCE = "source"
# What `run.sh` makes anew beside what was packed: packages, and in both folders what Python compiles.
_SITE, _COMPILED, _COMPILED_END = "site", "__pycache__", ".pyc"


def own_path(folder: Path) -> Path:
    """The path of the folder, free of links and dots; UsageError if no folder can be made or replaced there."""
    if folder.is_symlink():
        raise UsageError(f"{folder} is there and is no folder; give another one with --out")
    own = Path(os.path.realpath(folder))
    if Path.cwd().is_relative_to(own):
        raise UsageError(f"{folder} is the working folder or holds it; give a folder of its own with --out")
    if os.path.ismount(own):
        raise UsageError(f"{folder} is the top of a disk and can't be replaced; give a folder in it with --out")
    above = next(path for path in own.parents if path.exists() or path.is_symlink())
    if not above.is_dir():
        raise UsageError(f"{folder} can't be made, since {above} is no folder; give another one with --out")
    return own


def check(folder: Path) -> None:
    """Raise UsageError if something is there that is no pack, or that is not as it was packed or as `run.sh` made it.

    Args:
        folder: as `own_path` gives it.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is there and is no folder; give another one with --out")
    packed = provenance.read_pack(folder / SOURCE)
    if packed is None:
        if any(folder.iterdir()):
            raise UsageError(f"{folder} holds something that bcdl pack did not write; give another folder with --out")
        return
    if packed.beside is None:
        raise UsageError(
            f"{folder} was packed by an older bcdl, which can't tell its files from yours; move it away, then pack "
            "again"
        )
    _check_files(folder, packed)


def files_of(folder: Path) -> Iterator[Path]:
    """All files and links under the folder; no link is followed, and a folder that can't be read is an OSError."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        yield from (Path(parent, name) for name in names)
        yield from (path for path in (Path(parent, name) for name in folders) if path.is_symlink())


def _raise(error: OSError) -> None:
    raise error


def _check_files(folder: Path, packed: Pack) -> None:
    known: dict[str, str | None] = {f"{SOURCE}/{name}": digest for name, digest in packed.files.items()}
    known |= packed.beside or {}
    known |= {f"{_SITE}/{name}": digest for name, digest in _installed(folder / _SITE).items()}
    foreign = [file for file in files_of(folder) if not _is_as_made(file, file.relative_to(folder).as_posix(), known)]
    if foreign:
        raise UsageError(
            f"{folder} holds what is not as it was packed, {min(foreign).relative_to(folder).as_posix()} for one; "
            "bring results home with bcdl unpack, move what is yours away, then pack again"
        )


def _is_as_made(file: Path, name: str, known: Mapping[str, str | None]) -> bool:
    """Whether the file is as it was packed, or is made anew by the next run; `name` is its path from the pack."""
    if file.is_symlink() or not file.is_file():
        return False
    if _is_compiled(name) or name == f"{SOURCE}/{PACK_FILE}":
        return True
    return name in known and known[name] in (None, provenance.sha256(file))


def _is_compiled(name: str) -> bool:
    parts = name.split("/")
    return parts[0] in (SOURCE, _SITE) and parts[-2] == _COMPILED and parts[-1].endswith(_COMPILED_END)


def _installed(site: Path) -> dict[str, str | None]:
    """SHA-256 of the files that pip put there, by their paths from there; None for those of which it noted none."""
    listed: dict[str, str | None] = {}
    for record in sorted(site.glob("*.dist-info/RECORD")):
        try:
            rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
        except (OSError, ValueError, csv.Error):
            continue  # then its files count as somebody's
        # With --target, what goes beside packages in an environment, as programs do, goes in among them.
        listed |= {re.sub(r"^(\.\./)+", "", path): _hex_digest(digest) for path, digest, *_ in filter(_is_full, rows)}
    return listed


def _is_full(row: list[str]) -> bool:
    return len(row) > 1


def _hex_digest(text: str) -> str | None:
    """The digest of a row of RECORD, `sha256=` and base64 without its end, in hex digits; None if it has none."""
    kind, _, value = text.partition("=")
    try:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex() if kind == "sha256" else None
    except ValueError:
        return None
