"""Makes the folder of a pack, whole or not at all, over nothing but an unused pack of before.

`source/` has the committed files that run and measure, `wheels/` the packages that the machine lacks, `parity/` the
references that were added, and `run.sh` the command.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bcdl.errors import BcdlError, UsageError
from bcdl.machine import provenance
from bcdl.machine.hardware import MIB
from bcdl.machine.provenance import PACK_FILE, Pack
from bcdl.pack import wheels

MOST_BYTES = 64 * MIB
RUN, SOURCE, WHEELS, PARITY = "run.sh", "source", "wheels", "parity"
# What of a checkout runs and measures; tests, documents and results stay.
_TAKEN = ("backends", "bcdl", "benchmarks", "pyproject.toml", "LICENSE")
# What a run makes beside what was packed, and makes anew: it may go with an old pack.
_MADE = ("site", "__pycache__")
_CHECKOUT = provenance.ROOT


def make(folder: Path, tag: str, more: Sequence[str] = (), references: Sequence[Path] = ()) -> int:
    """Make the pack, or put it in an older one's place; its size in bytes.

    Args:
        folder: where it will be.
        tag: the tag of the machine's Python, `cp312` for 3.12.
        more: names of further packages that the machine lacks.
        references: files of parity references that the machine judges its dumps by.

    Raises:
        UsageError: there is no checkout to pack, a package is not pinned, a reference is no file, or the folder holds
            something else than a pack.
        BcdlError: the wheels can't be had, or the pack is larger than `MOST_BYTES`.
    """
    version = wheels.python_version(tag)
    if not provenance.commit()["commit"]:
        raise UsageError("bcdl pack takes the files of a git checkout, and this is none; clone the repository")
    requirements = wheels.pins(_CHECKOUT, (*wheels.NAMES, *more), version)
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as made_in:
        new = Path(made_in) / "new"
        new.mkdir(mode=0o755)
        _pack_source(new / SOURCE)
        shutil.copy(Path(__file__).with_name(RUN), new / RUN)
        _pack_references(references, new / PARITY)
        wheels.download(requirements, version, new / WHEELS)
        size = sum(file.stat().st_size for file in _files(new))
        if size > MOST_BYTES:
            raise BcdlError(
                f"the pack would have {size / MIB:.1f} MiB, and at most {MOST_BYTES / MIB:.0f} can be carried; leave "
                "references or packages out"
            )
        if folder.exists():
            os.replace(folder, Path(made_in) / "old")
        os.replace(new, folder)
    return size


def check_place(folder: Path) -> None:
    """Raise UsageError if something is there that is no pack, or holds what somebody put beside what was packed."""
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder} is there and is no folder; give another one with --out")
    packed = provenance.read_pack(folder / SOURCE)
    if packed is None and any(folder.iterdir()):
        raise UsageError(f"{folder} holds something that bcdl pack did not write; give another folder with --out")
    names = (file.relative_to(folder).as_posix() for file in _files(folder))
    foreign = [name for name in names if not _is_of_pack(name, packed)]
    if foreign:
        raise UsageError(
            f"{folder} holds what was not packed, {foreign[0]} for one; bring it home with bcdl unpack or move it "
            "away, then pack again"
        )


def _is_of_pack(name: str, packed: Pack | None) -> bool:
    """Whether a file, by its path from the pack's folder, was packed, or is made anew by the next run."""
    top, _, below = name.partition("/")
    if any(part in _MADE for part in name.split("/")):
        return True
    if top == SOURCE and packed:
        return below in packed.files or below == PACK_FILE
    return name == RUN or top in (WHEELS, PARITY)


def _pack_source(source: Path) -> None:
    """Copy the tracked files that are taken, as they are now, and say beside them which commit they are of."""
    code, names = provenance.commit(), provenance.tracked_files(*_TAKEN)
    hashes = {}
    for name in names:
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_CHECKOUT / name, file)
        hashes[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    Pack(code["commit"], bool(code["dirty"]), hashes).write(source)


def _pack_references(references: Sequence[Path], folder: Path) -> None:
    for file in references:
        if not file.is_file():
            raise UsageError(f"--parity {file} is no file; `bcdl parity reference` makes one")
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder / file.name)


def _files(folder: Path) -> Iterator[Path]:
    """All files and links under the folder; no link is followed."""
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
        yield from (path for path in (Path(parent, name) for name in folders) if path.is_symlink())
