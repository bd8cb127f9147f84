"""DICOM files (mammograms, ultrasounds) as 8-bit images, and their patients; needs the extra `dicom`.

What a viewer shows at first is read: the first frame, with rescale (or modality look-up table) and the first window (or
VOI look-up table) applied, MONOCHROME1 inverted, colours as RGB. Text that is burnt into the pixels stays there.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import importlib.metadata
import io
import itertools
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from bcdl.datasets import pixels, tables
from bcdl.errors import UsageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EXTENSIONS = frozenset({".dcm", ".dicom"})
_PERHAPS = frozenset({"", ".ima"})  # a file of such a name is DICOM if it begins so
_INDEX = "DICOMDIR"  # the table of contents of a medium; it has no pixels
_MAGIC_AT, _MAGIC = 128, b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # the syntax of a file that is packed as a whole
_HEAD_BYTES = 4096  # in which what stands before the elements of the image ends, and says the syntax
_META, _COMMAND = b"\x02\x00", b"\x00\x00"  # the groups of what stands before, and of what only networks transfer
_LONG_KINDS = frozenset({b"OB", b"UN"})  # of elements before, whose length takes four bytes
# What is packed shrinks by less than that, if it is no bomb; and no image has so many elements, each of which takes
# pydicom some microseconds.
_MOST_EXPANSION, _FREE_BYTES, _MOST_ELEMENTS = 100, 2**20, 5_000
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_DECODERS = ("pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg")
_RLE = "1.2.840.10008.1.2.5"  # pydicom decodes it by itself
# Of the parts of a dataset that hold a frame's own window and rescale, in files of several frames.
_FRAME_PARTS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_PATIENT_LETTERS = 16
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom's decoder makes all of them RGB


def is_dicom(file: Path) -> bool:
    """Whether the file is DICOM by its name's end, or, if that says nothing, by its beginning.

    A number is no suffix: many files are named after an identifier such as 1.2.840.113619.
    """
    suffix = file.suffix.lower()
    if suffix in EXTENSIONS:
        return True
    if not (suffix in _PERHAPS or suffix[1:].isdecimal()) or file.name.upper() == _INDEX:
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


@functools.cache
def versions() -> str:
    """The versions of what decodes DICOM here, for the cache of decoded images; empty if it is not installed."""
    names = ("pydicom", *_DECODERS)
    return "".join(f"{name} {importlib.metadata.version(name)} " for name in names if _is_installed(name))


def look(content: bytes) -> np.ndarray:
    """What of a file's content decides how its set is read, as an array of no dimensions and dtype `pixels.LOOK`.

    Its pixels are decoded only if neither a window nor the bits that it stores say which of them are black and white.
    """
    dataset = _open(io.BytesIO(content), stop_before_pixels=True)
    seen = np.zeros((), pixels.LOOK)
    seen["greatest"] = seen["deep_colour"] = -1
    seen["dicom"] = True
    seen["frames"] = _frames(dataset)
    seen["no_window"] = _is_grey(dataset) and not _has_window(dataset)
    seen["white_is_zero"] = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    seen["says_burnt_in"] = dataset.get("BurnedInAnnotation") == "YES"
    if seen["no_window"] and dataset.get("BitsAllocated", 0) > 8 and not dataset.get("ModalityLUTSequence"):
        span = _span(_stored(_open(io.BytesIO(content))))
        seen["greatest"], seen["stated"], seen["pixels"] = span.max(), _stated_bits(dataset), span.size
        seen["above"] = [np.count_nonzero(span >= 2**bits) for bits in pixels.USUAL_DEPTHS]
    return seen


def read(content: bytes, depth: pixels.Depth = pixels.OWN_DEPTH, most_pixels: int | None = None) -> Image.Image:
    """The first frame of a file as 8-bit RGB.

    Args:
        content: of the DICOM file.
        depth: if it is given, it stands for the stored bits of grey images that have no window.
        most_pixels: the most that it may have.

    Raises:
        UsageError: the extra `dicom` is not installed.
        ValueError: it has no pixels, or too many.
        Exception: whatever decoders raise on broken bytes.
    """
    dataset = _open(io.BytesIO(content))
    if "PixelData" not in dataset:
        kind = getattr(dataset.get("SOPClassUID"), "name", "") or "unknown"
        raise ValueError(f"no pixels are in this DICOM file (its kind is {kind})")
    if most_pixels and dataset.Rows * dataset.Columns > most_pixels:
        raise ValueError(f"{dataset.Columns}x{dataset.Rows} pixels, over the limit of {most_pixels:,}")
    if _is_grey(dataset):
        return Image.fromarray(_grey(dataset, depth)).convert("RGB")
    return Image.fromarray(_colour(dataset))


def patient_ids(files: Sequence[Path]) -> list[str]:
    """The PatientID of each file; empty if it has none that means a patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements that break a rule of DICOM
        return [_patient_id(file) for file in files]


def digests(patients: Sequence[str]) -> list[str]:
    """A name for the patient of each image of a set, equal for equal ones; empty if there is none.

    It is keyed by all patients of the set: it is the same wherever the set lies, and who does not know the other
    patients can't find out whose it is by trying numbers.
    """
    key = hashlib.sha256("\n".join(sorted(set(patients) - {""})).encode()).digest()

    def name(patient: str) -> str:
        return hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:_PATIENT_LETTERS]

    return [patient and name(patient) for patient in patients]


def _patient_id(file: Path) -> str:
    """The PatientID of a file; empty if it has none or can't be read, of which reading its pixels tells more."""
    if not is_dicom(file):
        return ""
    try:
        with file.open("rb") as stream:
            dataset = _open(stream, stop_before_pixels=True, only=["PatientID"])
        patient = str(dataset.get("PatientID") or "").strip()
        return "" if tables.says_nothing(patient) or re.fullmatch("0+", patient) else patient
    except UsageError:
        raise
    except Exception:  # as decoders, parsers raise all kinds of errors on broken bytes
        return ""


def _open(stream: BinaryIO, stop_before_pixels: bool = False, only: list[str] | None = None) -> Dataset:
    """The elements of a file, or `only` those of these names; ValueError if they are far more than an image has."""
    if not _is_installed("pydicom"):
        raise UsageError("DICOM images can't be read here: that needs the extra dicom (pip install bcdl[dicom])")
    from pydicom.filereader import read_partial  # here: few need it
    from pydicom.tag import Tag

    _check_start(stream)
    count = itertools.count(1)

    def stop(tag: int, kind: str | None, length: int) -> bool:
        if next(count) > _MOST_ELEMENTS:
            raise ValueError(f"not a readable image (it has more than {_MOST_ELEMENTS:,} elements, as none has)")
        return stop_before_pixels and tag in _PIXEL_TAGS

    # Old files lack the mark at the beginning; what is no DICOM at all has no pixels, then, and is told.
    return read_partial(stream, stop, force=True, specific_tags=None if only is None else list(map(Tag, only)))


def _check_start(stream: BinaryIO) -> None:
    """ValueError if the file unpacks to far more bytes than it has, or begins with commands: pydicom reads all of it.

    So a file of zeros is refused: each eight of them are a command.
    """
    head = stream.read(_HEAD_BYTES)
    start = _start(head)
    first = head[start : start + len(_COMMAND)]
    if _DEFLATED in head[:start]:
        stream.seek(start)
        first = _unpacked(stream.read())[: len(_COMMAND)]
    if first == _COMMAND:
        raise ValueError("not a readable image (it begins with a command, as no DICOM file of an image does)")
    stream.seek(0)


def _start(head: bytes) -> int:
    """Where the elements of the image begin, behind those that say how they are written."""
    place = _MAGIC_AT + len(_MAGIC) if head[_MAGIC_AT:].startswith(_MAGIC) else 0
    while head[place : place + 2] == _META:
        is_long = head[place + 4 : place + 6] in _LONG_KINDS
        length = head[place + 8 : place + 12] if is_long else head[place + 6 : place + 8]
        place += (12 if is_long else 8) + int.from_bytes(length, "little")
    return place


def _unpacked(packed: bytes) -> bytes:
    """What packed elements unpack to, nothing if they can't be, as pydicom says; ValueError if it is far more."""
    most = _MOST_EXPANSION * len(packed) + _FREE_BYTES
    try:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most + 1)
    except zlib.error:
        return b""
    if len(unpacked) > most:
        raise ValueError(f"not a readable image (its {len(packed):,} packed bytes would take more than {most:,})")
    return unpacked


@functools.cache
def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _is_grey(dataset: Dataset) -> bool:
    return str(dataset.get("PhotometricInterpretation", "")).startswith("MONOCHROME")


def _frames(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _has_window(dataset: Dataset) -> bool:
    _bring_up(dataset)
    return bool(dataset.get("VOILUTSequence")) or dataset.get("WindowCenter") not in (None, "")


def _bring_up(dataset: Dataset) -> None:
    """Put the first frame's own rescale and window to the top of the dataset, where files of one frame have them."""
    for shared in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for frame in (dataset.get(shared) or [])[:1]:
            for part in (frame.get(name) for name in _FRAME_PARTS):
                for element in part[0] if part else ():
                    if element.tag not in dataset:
                        dataset.add(element)


def _stored(dataset: Dataset) -> np.ndarray:
    """The first frame as it is stored, colours as RGB."""
    from pydicom.pixels import pixel_array

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_encapsulated:
        return pixel_array(dataset, index=0)
    # One decoder whatever else is installed: two differ by a level in what is compressed with loss.
    return pixel_array(dataset, index=0, decoding_plugin="pydicom" if syntax == _RLE else "pylibjpeg")


def _colour(dataset: Dataset) -> np.ndarray:
    """The first frame of a file in colour, [H, W, 3] uint8."""
    from pydicom.pixels import apply_color_lut

    stored = _stored(dataset)
    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
    elif dataset.PhotometricInterpretation not in _COLOURS:
        raise ValueError(f"colours as {dataset.PhotometricInterpretation} are not read; save it as RGB")
    return _to_bytes(stored, 0, 2**bits - 1)


def _grey(dataset: Dataset, depth: pixels.Depth) -> np.ndarray:
    """The first frame of a grey file, [H, W] uint8."""
    _bring_up(dataset)
    shown, black, white = _windowed(dataset) if _has_window(dataset) else _unwindowed(dataset, depth)
    grey = _to_bytes(shown, black, white)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _windowed(dataset: Dataset) -> tuple[np.ndarray, float, float]:
    """The frame's values after the first window or look-up table, and those that are black and white."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing

    shown = apply_voi_lut(apply_modality_lut(_stored(dataset), dataset), dataset, index=0)
    if dataset.get("VOILUTSequence"):
        return shown, 0, 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    with np.errstate(over="ignore"):
        black, white = apply_windowing(np.array([-1e12, 1e12]), dataset, index=0)
    return shown, float(black), float(white)


def _stated_bits(dataset: Dataset) -> int:
    """The bits that the file states to store; 0 if they are all that a pixel takes, which may be more than it uses."""
    bits = int(dataset.BitsStored)
    return bits if bits < dataset.BitsAllocated or bits <= 8 else 0


def _span(stored: np.ndarray) -> np.ndarray:
    """Stored values, or, of signed ones, the greatest without a sign that takes as many bits; int32.

    ValueError if that is more than 16.
    """
    levels = stored.astype(np.int64)
    if np.issubdtype(stored.dtype, np.signedinteger):
        levels = 2 * np.where(levels < 0, -levels - 1, levels) + 1
    return pixels.checked(levels)


def _unwindowed(dataset: Dataset, depth: pixels.Depth) -> tuple[np.ndarray, float, float]:
    """The frame's values after rescale, and those that the ends of its depth would have."""
    from pydicom.pixels import apply_modality_lut

    shown = apply_modality_lut(_stored(dataset), dataset)
    if dataset.get("ModalityLUTSequence"):
        return shown, 0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = _stated_bits(dataset)
    if dataset.BitsAllocated > 8 and (depth.given or not bits):
        greatest = int(_span(_stored(dataset)).max())
        bits = depth.bits or pixels.usual_depth(greatest)
        pixels.check_depth(greatest, bits)
    least = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
    ends = np.array([least, least + 2**bits - 1]) * float(dataset.get("RescaleSlope") or 1)
    ends = ends + float(dataset.get("RescaleIntercept") or 0)
    return shown, float(ends.min()), float(ends.max())


def _to_bytes(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """`values` as uint8, 0 at or below black and 255 at or above white; ValueError if not all of these are finite."""
    if not np.isfinite((black, white)).all() or not np.isfinite(values).all():
        raise ValueError("its rescale or its window gives no finite levels")
    if white <= black:
        raise ValueError(f"its window is empty, from {black} to {white}")
    share = (values.astype(np.float64) - black) / (white - black)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
