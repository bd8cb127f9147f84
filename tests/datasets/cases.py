"""Small folders of the kinds that people really have: each builder writes one, and says with what options it is read.

Benign images are brighter than malignant ones, so that a network can learn them. Pixels are whole numbers drawn from a
seed of each image's own: no two are alike, and every machine writes the same ones.
"""

from __future__ import annotations

import csv
import io
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bcdl.datasets import LABELS, LabelsTable, Request

SIDE = 24  # pixels; of smaller images the leak search can't tell near-identical ones
COUNT = 20  # images a class, if a builder does not say otherwise
PATIENT = 4  # images of one patient
IDC_CLASSES = "0=benign,1=malignant"
# A builder writes its images into a folder that does not exist yet, and returns what a request of them needs.
Builder = Callable[[Path], dict[str, Any] | None]

CASES: dict[str, Builder] = {}  # by the name of their folder


def case(build: Builder) -> Builder:
    CASES[build.__name__.replace("_", "-")] = build
    return build


def write(name: str, into: Path) -> Request:
    """Write a case as a folder of its name; how it is read, at 32 pixels."""
    folder = into / name
    return Request(str(folder), 32, **(CASES[name](folder) or {}))


# What most folders are made of.


def picture(label: int, number: int, bits: int = 8) -> np.ndarray:
    """Grey pixels [24, 24], uint8 or (over 8 bits) uint16, of the full range of that depth."""
    levels = 110 - 60 * label + np.random.default_rng([label, number]).integers(-40, 41, (SIDE, SIDE))
    return levels.astype(np.uint8) if bits == 8 else (levels << (bits - 8)).astype(np.uint16)


def put(file: Path, pixels: np.ndarray | Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file)


def each(count: int = COUNT) -> Iterator[tuple[str, int, int]]:
    """Class, label and number of so many images a class; numbers start at 1, as Windows names files."""
    return ((kind, label, number) for kind, label in LABELS.items() for number in range(1, count + 1))


def plain(folder: Path, count: int = COUNT, name: str = "{kind} ({number}).png") -> None:
    """`benign/` and `malignant/`, with files named as those of BUSI."""
    for kind, label, number in each(count):
        put(folder / kind / name.format(kind=kind, number=number), picture(label, number))


def patient(kind: str, number: int) -> str:
    return f"{kind[0]}P{(number - 1) // PATIENT}"


def table(
    folder: Path,
    path: Callable[[str, int], str] = lambda kind, number: f"{kind}/{kind} ({number}).png",
    group: Callable[[str, int], str] = patient,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    line_end: str = "\n",
) -> None:
    """`groups.csv` with a row for each image of `plain`."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    rows.writerow(["path", "class", "group"])
    rows.writerows([path(kind, number), kind, group(kind, number)] for kind, _, number in each())
    (folder / "groups.csv").write_bytes(text.getvalue().encode(encoding))


# Patients: in names of files, and in tables as spreadsheets write them.


@case
def breakhis_prefixed(folder: Path) -> None:
    """BreaKHis names of which most have a prefix, as some copies of the set do."""
    for kind, label, number in each(32):
        subtype, person = ("B_A", "M_DC")[label], (number - 1) // PATIENT
        prefix = "" if person == 0 else "100X_"
        name = f"{prefix}SOB_{subtype}-14-{2200 + person}{subtype[0]}-100-{number:03d}.png"
        put(folder / kind / name, picture(label, number))


@case
def breakhis_half_named(folder: Path) -> None:
    """BreaKHis names, and in the same folders files that say no patient."""
    for kind, label, number in each(32):
        subtype, person = ("B_A", "M_DC")[label], (number - 1) // PATIENT
        named = f"SOB_{subtype}-14-{2200 + person}{subtype[0]}-100-{number:03d}.png"
        put(folder / kind / (named if number > 8 else f"extra {number}.png"), picture(label, number))


@case
def csv_backslash(folder: Path) -> None:
    plain(folder)
    table(folder, lambda kind, number: f"{kind}\\{kind} ({number}).png")


@case
def csv_base_names(folder: Path) -> None:
    plain(folder)
    table(folder, lambda kind, number: f"{kind} ({number}).png")


@case
def csv_trailing_space(folder: Path) -> None:
    plain(folder)
    table(folder, group=lambda kind, number: patient(kind, number) + " " * (number % 2))


@case
def csv_bom(folder: Path) -> None:
    plain(folder)
    table(folder, encoding="utf-8-sig")


@case
def csv_semicolon(folder: Path) -> None:
    plain(folder)
    table(folder, delimiter=";", line_end="\r\n")


@case
def csv_matches_nothing(folder: Path) -> None:
    plain(folder)
    table(folder, lambda kind, number: f"scans/{number}.png")


@case
def decomposed_names(folder: Path) -> None:
    """Files as macOS writes their names, and a table that is composed, as Windows and Linux write it."""
    plain(folder, name=unicodedata.normalize("NFD", "Würfel {number}.png"))
    table(folder, lambda kind, number: unicodedata.normalize("NFC", f"{kind}/Würfel {number}.png"))


@case
def patient_then_class(folder: Path) -> dict[str, Any]:
    """A folder a patient, both classes inside, as the IDC patches come."""
    for person in range(10):
        for _, label, number in each(PATIENT):
            name = f"{9000 + person}_idx5_x{50 * number}_y1_class{label}.png"
            put(folder / f"{9000 + person}" / f"{label}" / name, picture(label, PATIENT * person + number))
    return {"class_map": IDC_CLASSES}


# Files that are no images of the set.


@case
def masks(folder: Path) -> None:
    """BUSI as published: beside each image a mask, and beside one of them two."""
    plain(folder)
    for kind, label, number in each():
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2 : 3 + number, 2 + label : 12] = 255
        put(folder / kind / f"{kind} ({number})_mask.png", mask)
    put(folder / "benign" / "benign (3)_mask_1.png", np.zeros((SIDE, SIDE), np.uint8))


@case
def notebook_leftovers(folder: Path) -> None:
    """Copies that Jupyter keeps of files that were opened in it."""
    plain(folder)
    for kind, _, number in each(6):
        kept = folder / kind / ".ipynb_checkpoints" / f"{kind} ({number})-checkpoint.png"
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(folder / kind / f"{kind} ({number}).png", kept)


@case
def apple_leftovers(folder: Path) -> None:
    """What macOS keeps of each file on a disk that has no place for it."""
    plain(folder)
    for kind, _, number in each():
        beside = folder / kind / f"._{kind} ({number}).png"
        beside.write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(180))


# Pixels.


@case
def grey_12_of_16_bits(folder: Path) -> None:
    for kind, label, number in each():
        put(folder / kind / f"{number}.png", picture(label, number, bits=12))


@case
def grey_8_of_16_bits(folder: Path) -> None:
    for kind, label, number in each():
        put(folder / kind / f"{number}.png", picture(label, number).astype(np.uint16))


# Splits.


@case
def three_malignant(folder: Path) -> None:
    for number in range(1, 298):
        put(folder / "benign" / f"{number}.png", picture(0, number))
    for number in range(1, 4):
        put(folder / "malignant" / f"{number}.png", picture(1, number))


@case
def valid_not_val(folder: Path) -> None:
    for first, (part, count) in enumerate((("train", 20), ("valid", 8), ("test", 8))):
        for kind, label, number in each(count):
            put(folder / part / kind / f"{number}.png", picture(label, 100 * first + number))


# Sets as they are published or come from a clinic, that every backend trains on.


@case
def busi(folder: Path) -> None:
    """BUSI as its archive has it: three classes, a folder above, masks beside images."""
    inner = folder / "Dataset_BUSI_with_GT"
    masks(inner)
    for number in range(1, 5):
        put(inner / "normal" / f"normal ({number}).png", picture(0, 500 + number))
        put(inner / "normal" / f"normal ({number})_mask.png", np.zeros((SIDE, SIDE), np.uint8))


@case
def breakhis(folder: Path) -> None:
    """The published tree of BreaKHis, in noise."""
    kinds = {"benign": ("B", "adenosis", "A"), "malignant": ("M", "ductal_carcinoma", "DC")}
    for kind, label, number in each(32):
        letter, subtype, short = kinds[kind]
        person, magnification = (number - 1) // PATIENT, (40, 100, 200, 400)[number % 4]
        who = f"14-{2200 + person}{letter}{'CD'[label]}"
        above = breast(folder) / kind / "SOB" / subtype / f"SOB_{letter}_{short}_{who}" / f"{magnification}X"
        name = f"SOB_{letter}_{short}-{who}-{magnification}-{number:03d}.png"
        put(above / name, np.dstack([picture(label, number)] * 3))


def breast(folder: Path) -> Path:
    """The folder of both classes in the published tree of BreaKHis."""
    return folder / "BreaKHis_v1" / "histology_slides" / "breast"


def breakhis_of(sample: Path, folder: Path) -> None:
    """The published tree of BreaKHis, with real images of a folder that has them under their published names."""
    subtypes = {"A": "adenosis", "F": "fibroadenoma", "PT": "phyllodes_tumor", "TA": "tubular_adenoma"}
    subtypes |= {"DC": "ductal_carcinoma", "LC": "lobular_carcinoma", "MC": "mucinous_carcinoma"}
    subtypes |= {"PC": "papillary_carcinoma"}
    for file in sorted(sample.glob("*/SOB_*.png")):
        kind, year, slide, magnification, _ = file.stem.split("-")
        subtype = subtypes[kind.split("_")[2]]
        above = breast(folder) / file.parent.name / "SOB" / subtype / f"{kind}_{year}-{slide}" / f"{magnification}X"
        above.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, above / file.name)


@case
def idc(folder: Path) -> dict[str, Any]:
    return patient_then_class(folder) or {}


@case
def grey_12_bits(folder: Path) -> None:
    """Patients by a table, and 12 bits of grey in files of 16."""
    plain(folder, count=0)
    for kind, label, number in each():
        put(folder / kind / f"{kind} ({number}).png", picture(label, number, bits=12))
    table(folder)


@case
def dicom(folder: Path) -> None:
    """Class folders of DICOM files of 12 bits, which say their patient."""
    for kind, label, number in each():
        put_dicom(folder / kind / f"{number}.dcm", picture(label, number, bits=12), patient(kind, number))


@case
def csv_labelled(folder: Path) -> dict[str, Any]:
    """All images in one folder, and a table beside it that says class and patient of each."""
    rows = [(f"{number + COUNT * label:03d}.png", kind, patient(kind, number)) for kind, label, number in each()]
    for (name, _, _), (_, label, number) in zip(rows, each(), strict=True):
        put(folder / "images" / name, picture(label, number))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([("image", "diagnosis", "patient"), *rows])
    columns = {"image_column": "image", "label_column": "diagnosis", "group_column": "patient"}
    return {"labels": LabelsTable(str(folder / "labels.csv"), **columns)}


REFUSED = ("csv-matches-nothing",)
PUBLISHED = ("busi", "breakhis", "idc", "grey-12-bits", "dicom", "csv-labelled")


def put_dicom(file: Path, pixels: np.ndarray, patient_id: str, **changes: Any) -> None:
    """An uncompressed DICOM file of one frame of 12 bits, with attributes changed."""
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{int.from_bytes(file.stem.encode())}"
    dataset = pydicom.dataset.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    values = {
        "PatientID": patient_id,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    for keyword, value in {**values, **changes}.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)
