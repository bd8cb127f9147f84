"""Damaged and hostile files of every kind that bcdl reads, made by code: the same at each call, and none is committed.

Each module makes one kind of file. The commands that take them are tried on them in `tests/faults/test_corpus.py`,
and, as far as they need Keras, in `tests/faults/test_corpus_of_models.py`.
"""

from __future__ import annotations

import dataclasses
import io
import warnings
import zipfile
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A file as somebody may hand it over.

    Attributes:
        name: what is wrong with it, and the suffix of such files; no two files of a kind have the same.
        content: its bytes.
        reads: True if it must be read all the same, as what it means to a person; False if it must be refused; None if
            both are right, since decoders of other versions may differ.
        says: a part of the line that refuses it.
        options: further arguments of the command.
    """

    name: str
    content: bytes
    reads: bool | None = False
    says: str = ""
    options: tuple[str, ...] = ()


def archive(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], packed: bool = False, after: bytes = b"") -> bytes:
    """A zip archive of the members, in their order, as of one fixed date; `after` is an archive to which they come."""
    stream = io.BytesIO(after)
    way = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "a", way) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members:
            entry = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            made.writestr(entry, content, way, compresslevel=1)
    return stream.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    """What makes a member of an archive a symbolic link."""
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    return entry


def flagged(made: bytes, flag: int) -> bytes:
    """The archive, all members of which have this flag in both their headers; 1 says that they are encrypted."""
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        parts = made.split(signature)
        parts[1:] = [part[: place - 4] + bytes([part[place - 4] | flag]) + part[place - 3 :] for part in parts[1:]]
        made = signature.join(parts)
    return made


def unpackable(made: bytes) -> bytes:
    """The archive, whose directory says that its members are packed in a way that there is not."""
    parts = made.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:6] + b"\x63\x00" + part[8:] for part in parts[1:])])
