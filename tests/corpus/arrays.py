"""Hostile `.npz` files in the layout of MedMNIST. Those that must be read hold `arrays()`."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from tests.corpus import Hostile, archive, flagged, link, unpackable

_SPLITS = ("train", "val", "test")
FIRST = "train_images"


def arrays() -> dict[str, np.ndarray]:
    """Images [12, 28, 28] uint8 and labels [12, 1] uint8 of each split."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    labels = np.arange(12, dtype=np.uint8)[:, None] % 2
    return {f"{split}_{kind}": part for split in _SPLITS for kind, part in (("images", pixels), ("labels", labels))}


def npy(values: np.ndarray, version: tuple[int, int] | None = None, pickles: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=version, allow_pickle=pickles)
    return stream.getvalue()


def headed(header: bytes, data: bytes, version: bytes = b"\x01\x00") -> bytes:
    """An .npy file with a header of one's own."""
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + data


def npz(changed: Mapping[str, bytes | None], packed: bool = False) -> bytes:
    """The arrays as an .npz, of which some members are others, or missing if they are None."""
    members = {f"{name}.npy": npy(part) for name, part in arrays().items()} | changed
    return archive([(name, content) for name, content in members.items() if content is not None], packed)


def pickles(sprung: str) -> Iterator[Hostile]:
    """Archives that hold pickles, which would make `sprung` if they were loaded."""
    call = b"cos\nmkdir\n(V" + sprung.encode() + b"\ntR."
    described = b"{'descr': '|O', 'fortran_order': False, 'shape': (12, 28, 28), }\n"
    yield Hostile("objects.npz", npz({f"{FIRST}.npy": npy(np.array([{}] * 12, object), pickles=True)}))
    yield Hostile("objects-that-call.npz", npz({f"{FIRST}.npy": headed(described, call)}))
    yield Hostile("member-a-pickle.npz", npz({f"{FIRST}.npy": b"\x80\x04" + call}))
    yield Hostile("member-of-no-suffix-a-pickle.npz", npz({f"{FIRST}.npy": None, FIRST: b"\x80\x04" + call}))
    yield Hostile("another-member-a-pickle.npz", npz({"more.pkl": b"\x80\x04" + call}))
    yield Hostile("pickle.npz", b"\x80\x04" + call)
    yield Hostile("old-pickle.npz", call)
    nested = b"{'descr': [('a', '|O'), ('b', '|u1')], 'fortran_order': False, 'shape': (12, 28, 28), }\n"
    yield Hostile("objects-in-a-structure.npz", npz({f"{FIRST}.npy": headed(nested, call)}))
    code = b"__import__('os').mkdir(" + repr(sprung).encode() + b")"
    yield Hostile("header-that-calls.npz", npz({f"{FIRST}.npy": headed(code, bytes(9408))}))
    shape = b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + code + b",), }\n"
    yield Hostile("shape-that-calls.npz", npz({f"{FIRST}.npy": headed(shape, bytes(9408))}))


def claims() -> Iterator[Hostile]:
    """Archives whose headers are odd, or claim what is not there."""
    data = arrays()[FIRST].tobytes()

    def header(**changed: str) -> bytes:
        stated = {"descr": "'|u1'", "fortran_order": "False", "shape": "(12, 28, 28)"} | changed
        return ("{" + ", ".join(f"'{name}': {value}" for name, value in stated.items()) + "}\n").encode()

    for name, head in {
        "negative-shape": header(shape="(-12, 28, 28)"),
        "two-negative-sides": header(shape="(-12, -28, 28)"),
        "shape-of-2^63": header(shape="(9223372036854775808, 28, 28)"),
        "shape-of-2^64-plus-12": header(shape="(18446744073709551628, 28, 28)"),
        "shape-of-fractions": header(shape="(12.0, 28, 28)"),
        "shape-of-truths": header(shape="(True, 9408)"),
        "shape-a-number": header(shape="9408"),
        "shape-of-70-sides": header(shape="(" + "1, " * 69 + "9408)"),
        "no-such-type": header(descr="'|z9'"),
        "type-of-no-bytes": header(descr="'|V0'"),
        "type-of-2-GiB": header(descr="'|S2147483647'"),
        "type-nested": header(descr="[" * 50 + "]" * 50),
        "order-a-word": header(fortran_order="'no'"),
        "more-keys": header(more="1"),
        "fewer-keys": b"{'descr': '|u1'}\n",
        "no-dictionary": b"[1, 2]\n",
        "no-python": b"{'descr': \n",
        "nested-60000-deep": b"(" * 60_000,
        "nested-5000-deep": b"(" * 5_000 + b")" * 5_000,
        "negated-9000-times": b"-" * 9_000 + b"1",
        "number-of-60000-digits": header(shape="(" + "9" * 60_000 + ",)"),
        "empty-header": b"",
    }.items():
        yield Hostile(f"{name}.npz", npz({f"{FIRST}.npy": headed(head, data)}))
    yield Hostile("header-of-4-GiB.npz", npz({f"{FIRST}.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'"}))
    yield Hostile("header-of-30-MiB.npz", npz({f"{FIRST}.npy": headed(b" " * (30 * 2**20), data, b"\x02\x00")}, True))
    yield Hostile("version-9.npz", npz({f"{FIRST}.npy": headed(header(), data, b"\x09\x00")}))
    yield Hostile("magic-alone.npz", npz({f"{FIRST}.npy": b"\x93NUMPY"}))
    yield Hostile("no-bytes.npz", npz({f"{FIRST}.npy": b""}))
    yield Hostile("fewer-bytes.npz", npz({f"{FIRST}.npy": headed(header(), data[:-1])}))
    yield Hostile("more-bytes.npz", npz({f"{FIRST}.npy": headed(header(), data + b"a")}))
    for version in ((2, 0), (3, 0)):
        yield Hostile(f"version-{version[0]}.npz", npz({f"{FIRST}.npy": npy(arrays()[FIRST], version)}), True)
    yield Hostile("fortran-order.npz", npz({f"{FIRST}.npy": npy(np.asfortranarray(arrays()[FIRST]))}), True)
    yield Hostile("packed.npz", npz({}, packed=True), True)


def types() -> Iterator[Hostile]:
    """Archives of arrays of other types and values."""
    images, labels = arrays()[FIRST], arrays()["test_labels"]
    for name, values in {
        "big-endian": images.astype(">u2"),
        "wide": images.astype(np.uint16),
        "signed": images.astype(np.int8),
        "complex": images.astype(np.complex64),
        "dates": images.astype("M8[s]"),
        "truths": images > 9,
        "texts": images.astype("U3"),
        "bytes": images.astype("S3"),
        "structured": images.view([("a", "u1")]),
        "one-number": np.array(7, np.uint8),
        "one-row": images[0, 0],
    }.items():
        yield Hostile(f"images-{name}.npz", npz({f"{FIRST}.npy": npy(values)}))
    for name, values in {
        "not-numbers": np.full(12, np.nan),
        "halves": np.full(12, 0.5),
        "negative": np.full(12, -1),
        "large": np.full(12, 2**63, np.uint64),
        "texts": np.full(12, "benign"),
        "too-many": np.zeros(99, np.uint8),
        "several": np.zeros((12, 14), np.uint8),
    }.items():
        yield Hostile(f"labels-{name}.npz", npz({"test_labels.npy": npy(values)}))
    yield Hostile("labels-big-endian.npz", npz({"test_labels.npy": npy(labels.astype(">i8"))}), True)


def archives() -> Iterator[Hostile]:
    """Archives that two readers may read in two ways."""
    sound = npz({})
    with_other = npz({f"{FIRST}.npy": npy(255 - arrays()[FIRST])})
    yield Hostile("two-directories.npz", with_other + sound, None)
    yield Hostile("behind-a-program.npz", b"#!/bin/sh\nexit\n" + sound, None)
    yield Hostile("garbage-behind.npz", sound + b"garbage" * 9_999)
    yield Hostile("no-directory.npz", sound[:-22])
    yield Hostile("directory-outside.npz", sound[:-6] + b"\xff\xff\xff\x7f" + sound[-2:])
    yield Hostile("no-members.npz", b"PK\x05\x06" + bytes(18))
    yield Hostile("65535-members-claimed.npz", sound[:-14] + b"\xff\xff\xff\xff" + sound[-10:], None)
    yield Hostile("other-names-within.npz", sound.replace(FIRST.encode(), b"other_images", 1))
    yield Hostile("encrypted.npz", flagged(sound, 1))
    yield Hostile("packed-by-no-way.npz", unpackable(sound))
    twice = archive([(f"{FIRST}.npy", npy(255 - arrays()[FIRST]))], after=sound)
    yield Hostile("members-twice.npz", twice, says="several times")
    outside = npz({"../../slipped.npy": npy(arrays()[FIRST]), "/slipped.npy": npy(arrays()[FIRST])})
    yield Hostile("members-outside.npz", outside, None)
    linked = archive([(link(f"{FIRST}.npy"), b"/etc/passwd")], after=npz({f"{FIRST}.npy": None}))
    yield Hostile("member-a-link.npz", linked)
    yield Hostile("a-checksum-wrong.npz", sound[:500] + bytes([sound[500] ^ 1]) + sound[501:])
    yield Hostile("bomb.npz", _bomb())


def _bomb() -> bytes:
    """An archive of some kilobytes that claims to unpack to 2 GiB."""
    header = headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (2097152, 32, 32), }\n", b"")
    made = archive([(f"{FIRST}.npy", header + bytes(16 * 2**20))], packed=True)
    real, claimed = struct.pack("<I", len(header) + 16 * 2**20), struct.pack("<I", len(header) + 2**31)
    return made.replace(real, claimed)
