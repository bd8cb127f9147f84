"""The cache: what was computed from data, in files of the user's cache folder, each under a key.

A key is a digest of all that an entry was made of, in order: the files' contents, and the version of the rules. An
entry is a header and the bytes of one array. The header holds the key, dtype and shape, and a digest of the bytes; it
is never parsed. Whoever reads an entry hashes its bytes and writes the header that must stand before them; if another
one does, by a single bit, there is no entry, and what is computed anew replaces it.

That protects from accidents: an entry that is empty, torn, of a failing disk, edited, or copied to another name. It
does not protect from somebody who writes a whole entry on purpose, so that entries which belong to another user, or
which others may write to, are not used either. Nothing in an entry is ever run.

    key = cache.key_of(rules, *digests)
    cache.read(key, dtype, row)             an array [N, *row], mapped to memory; None if there is none
    cache.write(key, array)
    cache.read_facts(key)                   JSON values; None if there are none
    cache.write_facts(key, values)
    with cache.Rows(dtype, row, most) as rows: rows.append(chunk); array = rows.finish(key)
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from bcdl.machine import places
from bcdl.machine.places import NoPlaceError
from bcdl.screen import warn

# All entries together; the least recently used go first. Of 224 pixels, 140,000 images take so much.
MOST_BYTES = 20 * 2**30
_VERSION = 2
_HEADER_BYTES = 1024  # a multiple of what any dtype must be aligned to
_CHUNK_BYTES = 2**20
_SUFFIX = ".entry"
# Also those of version 1, which nothing reads any more: they are used least.
_ENTRY = re.compile(rf"[0-9a-f]{{64}}({re.escape(_SUFFIX)}|\.npy)")
_PART = "part-"
_OLD_PART_S = 86_400.0  # no process writes an entry for a day: it was killed


def key_of(*parts: str | bytes) -> str:
    """The key of what is made of these parts, in this order: 64 letters."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()


def folder() -> Path:
    """The folder of all entries; it may not exist yet.

    Raises:
        NoPlaceError: the user has no cache folder.
    """
    return places.cache() / "decoded"


def read(key: str, dtype: np.dtype, row: tuple[int, ...] = ()) -> np.ndarray | None:
    """The array [N, *row] of an entry, read-only and mapped to memory; None if there is none that can be trusted."""
    try:
        descriptor = os.open(_file(key), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # or a pipe would be waited for
    except (OSError, NoPlaceError):
        return None
    with open(descriptor, "rb", buffering=0) as file:
        doubt = _doubt(file, key, dtype, row)
        if doubt:
            _tell(f"an entry of the cache {doubt}: it is not used, and made anew")
            return None
        with contextlib.suppress(OSError):
            os.utime(file.fileno())  # so that it is among the last to go
        return _mapped(file, dtype, row)


def write(key: str, array: np.ndarray) -> None:
    """Keep an array [N, ...] as an entry; if that can't be done, it is said once, and the next run is slower."""
    with Rows(array.dtype, array.shape[1:], len(array)) as rows:
        if not rows.may_be_kept:
            return
        step = max(1, _CHUNK_BYTES // _row_bytes(array.dtype, array.shape[1:]))
        for start in range(0, len(array), step):
            rows.append(array[start : start + step])
        rows.publish(key)


def read_facts(key: str) -> Any:
    """The JSON values of an entry; None if there is none that can be trusted."""
    content = read(key, np.dtype(np.uint8))
    return None if content is None else json.loads(content.tobytes())


def write_facts(key: str, values: Any) -> None:
    """Keep JSON values as an entry, as `write` does."""
    write(key, np.frombuffer(json.dumps(values).encode(), np.uint8))


class Rows:
    """Rows [N, *row] that come one chunk after another: kept in a file as they come, in memory if there is no room.

    So an array that is larger than memory can be made, and one that is not needs no copy to become an entry.

    Args:
        dtype, row: of the rows.
        most: how many rows may come.
    """

    def __init__(self, dtype: np.dtype, row: tuple[int, ...], most: int) -> None:
        self._dtype, self._row, self._most = dtype, row, most
        self._count, self._digest = 0, hashlib.blake2b()
        self._memory: np.ndarray | None = None
        self._file, self._name = _open_part()
        if self._file is None:
            self._memory = np.empty((most, *row), dtype)

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *error: object) -> None:
        self._drop()

    @property
    def may_be_kept(self) -> bool:
        """Whether the rows lie in the cache's folder, and so can become an entry."""
        return self._name is not None

    def append(self, chunk: np.ndarray) -> None:
        """Add rows; `chunk` is [M, *row]."""
        if chunk.dtype != self._dtype or chunk.shape[1:] != self._row or self._count + len(chunk) > self._most:
            raise ValueError(f"{chunk.dtype}{list(chunk.shape)} are no rows of {self._dtype}{[self._most, *self._row]}")
        if self._file is not None:
            content = _bytes_of(np.ascontiguousarray(chunk))
            try:
                _write_all(self._file, content)
                self._digest.update(content)
            except OSError as error:
                self._take_into_memory(error)
        if self._memory is not None:
            self._memory[self._count : self._count + len(chunk)] = chunk
        self._count += len(chunk)

    def finish(self, key: str | None) -> np.ndarray:
        """All rows, read-only and mapped to memory if they lie in a file; they become an entry if a key is given."""
        if key is not None:
            self.publish(key)
        if self._memory is not None:
            return self._memory[: self._count]
        assert self._file is not None
        return _mapped(self._file, self._dtype, self._row)

    def publish(self, key: str) -> None:
        """Make the rows an entry, if they lie in the cache's folder."""
        if self._file is None or self._name is None:
            return
        try:
            header = _header(key, self._dtype, (self._count, *self._row), self._digest.hexdigest())
            self._file.seek(0)
            _write_all(self._file, header)
            os.replace(self._name, _file(key))
        except OSError as error:
            _tell_not_kept(error)
            return
        self._name = None
        _tidy(_file(key))

    def _take_into_memory(self, error: OSError) -> None:
        """Go on in memory, with the rows that were written before the file could take no more."""
        assert self._file is not None
        _tell_not_kept(error)
        self._memory = np.empty((self._most, *self._row), self._dtype)
        self._file.seek(_HEADER_BYTES)
        _read_into(self._file, self._memory[: self._count])
        self._drop()
        self._file = None

    def _drop(self) -> None:
        """Leave no file behind that is no entry; what is mapped to memory stays."""
        if self._name is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._name)
            self._name = None
        if self._file is not None:
            self._file.close()


def usage() -> tuple[int, int]:
    """How many entries there are, and how many bytes they take."""
    sizes = [status.st_size for _, status in _entries()]
    return len(sizes), sum(sizes)


def _file(key: str) -> Path:
    return folder() / f"{key}{_SUFFIX}"


def _header(key: str, dtype: np.dtype, shape: tuple[int, ...], digest: str) -> bytes:
    """The header that stands before the bytes of such an array."""
    facts = {"key": key, "dtype": np.lib.format.dtype_to_descr(dtype), "shape": shape, "blake2b": digest}
    header = f"bcdl cache {_VERSION}\n{json.dumps(facts)}\n".encode()
    if len(header) >= _HEADER_BYTES:
        raise ValueError(f"a header of {len(header)} bytes is too long")
    return header.ljust(_HEADER_BYTES - 1) + b"\n"


def _doubt(file: IO[bytes], key: str, dtype: np.dtype, row: tuple[int, ...]) -> str:
    """Why an open file is not the entry of that key; empty if it is."""
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            return "belongs to another user, or others may write to it"
        count, rest = divmod(status.st_size - _HEADER_BYTES, _row_bytes(dtype, row))
        if count < 0 or rest:
            return "is torn"
        header = file.read(_HEADER_BYTES)
        digest = _digest_of_rest(file)
    except OSError as error:
        return f"can't be read ({error.strerror or error})"
    return "" if header == _header(key, dtype, (count, *row), digest) else "is damaged"


def _digest_of_rest(file: IO[bytes]) -> str:
    """The digest of what an unbuffered file has from here on.

    It is read, not mapped: pages of a mapping would count as this process's memory.
    """
    digest, buffer = hashlib.blake2b(), bytearray(_CHUNK_BYTES)
    while got := file.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(memoryview(buffer)[:got])
    return digest.hexdigest()


def _mapped(file: IO[bytes], dtype: np.dtype, row: tuple[int, ...]) -> np.ndarray:
    count = (os.fstat(file.fileno()).st_size - _HEADER_BYTES) // _row_bytes(dtype, row)
    if count <= 0:  # nothing can't be mapped
        return np.empty((0, *row), dtype)
    return np.memmap(file, dtype, "r", _HEADER_BYTES, (count, *row))


def _row_bytes(dtype: np.dtype, row: tuple[int, ...]) -> int:
    if dtype.hasobject or not dtype.itemsize * math.prod(row):
        raise ValueError(f"rows {dtype}{list(row)} have no bytes that could be kept")
    return dtype.itemsize * math.prod(row)


def _open_part() -> tuple[IO[bytes] | None, str | None]:
    """A file to write rows to, behind room for a header, and its name if it can become an entry.

    Without a cache it is one without a name, so that rows take no memory all the same; None if there is no room for it.
    """
    with contextlib.suppress(OSError):
        try:
            place = folder()
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=_PART, dir=place)  # which only this user may read and write
        except (OSError, NoPlaceError) as error:
            _tell_not_kept(error)
            file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (`Rows` closes it)
            file.seek(_HEADER_BYTES)
            return file, None
        file = open(descriptor, "w+b", buffering=0)  # noqa: SIM115 (as above)
        file.seek(_HEADER_BYTES)
        return file, name
    return None, None


def _write_all(file: IO[bytes], content: bytes | memoryview) -> None:
    """Write all of it to an unbuffered file, which may take it in parts."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _read_into(file: IO[bytes], array: np.ndarray) -> None:
    """Fill the array from an unbuffered file; OSError if it ends before."""
    left = _bytes_of(array)
    while left:
        if not (got := file.readinto(left)):  # type: ignore[attr-defined]
            raise OSError(errno.EIO, "what was written can't be read again")
        left = left[got:]


def _bytes_of(array: np.ndarray) -> memoryview:
    """The bytes of a contiguous array of any dtype without objects, not copied."""
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _entries() -> Iterator[tuple[Path, os.stat_result]]:
    try:
        found = list(folder().iterdir())
    except (OSError, NoPlaceError):
        return
    for path in found:
        with contextlib.suppress(OSError):
            if _ENTRY.fullmatch(path.name) and stat.S_ISREG((status := path.lstat()).st_mode):
                yield path, status


def _tidy(newest: Path) -> None:
    """Remove the entries that were used least recently, so that all take at most `MOST_BYTES`, and old parts."""
    for part in newest.parent.glob(f"{_PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _OLD_PART_S:
                part.unlink()
    entries = sorted(_entries(), key=lambda entry: (entry[0] == newest, entry[1].st_mtime))
    total, removed, freed = sum(status.st_size for _, status in entries), 0, 0
    for path, status in entries[:-1]:
        if total - freed <= MOST_BYTES:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            removed, freed = removed + 1, freed + status.st_size
    if removed:
        warn(
            f"note: {removed} entries of the cache removed ({freed / 2**20:.0f} MiB), the least recently used: "
            f"all together may take {MOST_BYTES / 2**30:.0f} GiB"
        )


def _tell_not_kept(error: Exception) -> None:
    reason = getattr(error, "strerror", None) or str(error)
    _tell(f"what is computed from the data could not be cached ({reason}): the next run computes it again")


@functools.cache  # once a process
def _tell(message: str) -> None:
    warn(f"note: {message}")
