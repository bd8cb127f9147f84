"""Hostile DICOM files. Those that must be read show `LEVELS`, if nothing else is said of them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.corpus import Hostile
from tests.corpus.pictures import GREY as LEVELS

_HEIGHT, _WIDTH = LEVELS.shape


def dicom(syntax: str = ExplicitVRLittleEndian, **elements: Any) -> bytes:
    """The levels as a DICOM file, of which some elements are others, or missing if they are None."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    stated = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "SOPInstanceUID": "1.2.3.4",
        "Rows": _HEIGHT,
        "Columns": _WIDTH,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": LEVELS.tobytes(),
        **elements,
    }
    for name, value in stated.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if "PixelData" in dataset and syntax != ExplicitVRLittleEndian else "OW"
    stream = io.BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True, overwrite=True)
    return stream.getvalue()


def _nested(depth: int) -> Dataset:
    dataset = Dataset()
    dataset.PatientID = "deep"
    for _ in range(depth):
        outer = Dataset()
        outer.RequestAttributesSequence = Sequence([dataset])
        dataset = outer
    return dataset


def dicoms() -> Iterator[Hostile]:
    sound = dicom()
    yield Hostile("sound.dcm", sound, True)
    for share in (0.05, 0.3, 0.6, 0.95):
        yield Hostile(f"cut-at-{share}.dcm", sound[: int(share * len(sound))])
    yield Hostile("cut-in-its-pixels.dcm", sound[:-40])
    yield Hostile("magic-alone.dcm", bytes(128) + b"DICM")
    yield Hostile("nothing.dcm", b"")
    yield Hostile("zeros.dcm", bytes(4 * 2**20))
    meta = sound[: sound.index(b"\x08\x00\x16\x00")]
    yield Hostile("commands.dcm", meta + bytes(4 * 2**20))
    yield Hostile("commands-behind-an-odd-head.dcm", bytes(128) + b"DICM" + meta[144:] + bytes(4 * 2**20))
    yield Hostile("100000-elements.dcm", meta + struct.pack("<HH2sH", 9, 16, b"LO", 0) * 100_000)
    yield Hostile("text.dcm", b"patient,image\n1,2\n")
    yield Hostile("garbage.dcm", bytes(128) + b"DICM" + bytes(range(256)) * 20)
    for name, elements in {
        "no-pixels": {"PixelData": b""},
        "fewer-pixels": {"PixelData": LEVELS.tobytes()[:100]},
        "no-rows": {"Rows": 0},
        "no-columns": {"Columns": 0},
        "most-size": {"Rows": 65_535, "Columns": 65_535},
        "33-bits": {"BitsAllocated": 33, "BitsStored": 33, "HighBit": 32},
        "no-bits": {"BitsAllocated": 0, "BitsStored": 0, "HighBit": 0},
        "64-bits": {"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63, "PixelData": b"garbage!" * LEVELS.size},
        "7-samples": {"SamplesPerPixel": 7},
        "no-samples": {"SamplesPerPixel": 0},
        "no-such-colours": {"PhotometricInterpretation": "RAINBOW"},
        "no-such-sign": {"PixelRepresentation": 7},
        "palette-that-is-missing": {"PhotometricInterpretation": "PALETTE COLOR"},
        "window-of-no-width": {"WindowCenter": 100, "WindowWidth": 0},
        "rescaled-by-not-a-number": {"RescaleSlope": "nan", "RescaleIntercept": "nan"},
        "rescaled-to-infinity": {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
        "window-of-not-a-number": {"WindowCenter": "nan", "WindowWidth": "nan"},
        "several-windows-that-are-none": {"WindowCenter": ["nan", "10"], "WindowWidth": ["inf", "5"]},
        "frames-that-are-missing": {"NumberOfFrames": 9},
        "no-such-syntax": {"syntax": "1.2.3.4.5"},
        "pictures-that-are-none": {"syntax": JPEGBaseline8Bit, "PixelData": encapsulate([b"garbage" * 20])},
        "picture-of-no-bytes": {"syntax": JPEGBaseline8Bit, "PixelData": encapsulate([bytes(2)])},
        "runs-of-garbage": {"syntax": RLELossless, "PixelData": encapsulate([b"garbage" * 20])},
        "runs-of-no-length": {"syntax": RLELossless, "PixelData": encapsulate([bytes(64)])},
        "waves-of-garbage": {"syntax": JPEG2000, "PixelData": encapsulate([b"\xff\x4f\xff\x51" + b"garbage" * 20])},
        "film-that-is-none": {"syntax": MPEG2MPML, "PixelData": encapsulate([b"garbage" * 20])},
        "table-that-is-empty": {"VOILUTSequence": Sequence([Dataset()])},
        "levels-of-an-empty-table": {"ModalityLUTSequence": Sequence([Dataset()])},
    }.items():
        yield Hostile(f"{name}.dcm", dicom(**elements))
    yield from _odd()
    yield from _lying(sound)


def _odd() -> Iterator[Hostile]:
    """Files that are odd, and sound."""
    for name, elements in {
        "burnt-in": {"BurnedInAnnotation": "YES"},
        "2-frames": {"NumberOfFrames": 2, "PixelData": LEVELS.tobytes() + bytes(LEVELS.size)},
        "patient-with-control-characters": {"PatientID": "\x1b]0;title\x07\r\nerror: forged"},
        "patient-of-a-path": {"PatientID": "../../etc/passwd"},
        "deep": {"RequestAttributesSequence": Sequence([_nested(60)])},
        "many-windows": {"WindowCenter": ["127.5"] * 500, "WindowWidth": ["256"] * 500},
    }.items():
        yield Hostile(f"{name}.dcm", dicom(**elements), True)


def _lying(sound: bytes) -> Iterator[Hostile]:
    """Files whose lengths are not those of what follows."""
    pixels = sound.index(b"\xe0\x7f\x10\x00")
    yield Hostile("pixels-of-4-GiB.dcm", sound[: pixels + 8] + b"\xfe\xff\xff\xff" + sound[pixels + 12 :], None)
    yield Hostile("pixels-without-end.dcm", sound[: pixels + 8] + b"\xff" * 4 + sound[pixels + 12 :])
    text = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 2**32 - 2)
    yield Hostile("private-part-of-4-GiB.dcm", sound[:pixels] + text + sound[pixels:])
    item = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 2**32 - 1)
    begin = struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
    yield Hostile("20000-deep.dcm", sound[:pixels] + (item + begin) * 20_000 + sound[pixels:])
    yield Hostile("items-without-end.dcm", sound[:pixels] + item + begin * 50 + sound[pixels:])
    packed = zlib.compressobj(1, zlib.DEFLATED, -15)
    bomb = b"".join(packed.compress(bytes(2**20)) for _ in range(100)) + packed.flush()
    meta = dicom(DeflatedExplicitVRLittleEndian)
    end = 128 + 4 + 12 + int.from_bytes(meta[140:144], "little")
    yield Hostile("packed-bomb.dcm", meta[:end] + bomb)
    yield Hostile("packed-garbage.dcm", meta[:end] + b"garbage" * 20)
    yield Hostile("picture-not-in-parts.dcm", sound.replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.5\x00"))
