"""Makes the folder of a pack, whole or not at all, over nothing but an unused pack of before.

`source/` has the committed files that run and measure, `wheels/` the packages that the machine lacks, `parity/` the
references that were added, and `run.sh` the command.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bcdl.errors import BcdlError, UsageError
from bcdl.machine import provenance
from bcdl.machine.hardware import MIB
from bcdl.machine.provenance import Pack
from bcdl.pack import carried, checkout, place, wheels
from bcdl.pack.place import SOURCE

MOST_BYTES = 64 * MIB
RUN, WHEELS, PARITY = "run.sh", "wheels", "parity"
# The disk, not the file that was read, is why a copy fails so.
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EROFS}


def make(folder: Path, tag: str, more: Sequence[str] = (), references: Sequence[Path] = ()) -> int:
    """Make the pack, or put it in an older one's place; its size in bytes.

    Args:
        folder: where it will be.
        tag: the tag of the machine's Python, `cp312` for 3.12.
        more: names of further packages that the machine lacks.
        references: files of parity references that the machine judges its dumps by.

    Raises:
        UsageError: there is no checkout to pack, a package is not pinned, a reference can't be used there, the folder
            holds something else than a pack, or its disk is full.
        BcdlError: the wheels can't be had, or the pack is larger than `MOST_BYTES`.
    """
    version = wheels.python_version(tag)
    names = checkout.files()
    requirements = wheels.pins(checkout.FOLDER, (*wheels.NAMES, *more), version)
    carried.check(references)
    folder = place.own_path(folder)
    place.check(folder)
    with _room_at(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as made_in:
            new = Path(made_in) / "new"
            new.mkdir(mode=0o755)
            _copy(names, references, new)
            wheels.download(requirements, version, new / WHEELS)
            _describe(new)
            size = _checked_size(new)
            place.check(folder)  # again, since pip may have taken minutes
            if folder.exists():
                os.replace(folder, Path(made_in) / "old")
            os.replace(new, folder)
    return size


@contextlib.contextmanager
def _room_at(folder: Path) -> Iterator[None]:
    """A block that writes the folder; UsageError, which names it, if its disk takes no more."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise UsageError(
            f"{folder} can't be written ({error.strerror}); make room on its disk, or give another folder with --out"
        ) from error


def _copy(names: Sequence[str], references: Sequence[Path], pack: Path) -> None:
    """Copy the files of the checkout, as they are now, the command and the references."""
    for name in names:
        file = pack / SOURCE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout.FOLDER / name, file)
    shutil.copy(Path(__file__).with_name(RUN), pack / RUN)
    for reference in references:
        (pack / PARITY).mkdir(exist_ok=True)
        shutil.copy(reference, pack / PARITY / reference.name)


def _describe(pack: Path) -> None:
    """Say in the source which commit it is of, and what each file was as it was packed."""
    digests = {file.relative_to(pack).as_posix(): provenance.sha256(file) for file in sorted(place.files_of(pack))}
    of_source = {name.removeprefix(f"{SOURCE}/") for name in digests if name.startswith(f"{SOURCE}/")}
    code = provenance.commit()
    Pack(
        code["commit"],
        bool(code["dirty"]),
        {name: digests.pop(f"{SOURCE}/{name}") for name in sorted(of_source)},
        digests,
    ).write(pack / SOURCE)


def _checked_size(pack: Path) -> int:
    """The bytes of the pack; BcdlError if they can't be carried."""
    size = sum(file.stat().st_size for file in place.files_of(pack))
    if size > MOST_BYTES:
        raise BcdlError(
            f"the pack would have {size / MIB:.1f} MiB, and at most {MOST_BYTES / MIB:.0f} can be carried; leave "
            "references or packages out"
        )
    return size
