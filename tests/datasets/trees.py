"""Folders made up by Hypothesis: any layout, spelling, table and kind of pixels that people have, and what is true."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from bcdl.datasets import Request

SIDE = 8  # pixels
_MAP = {"benign cases": "benign", "malignant cases": "malignant", "0": "benign", "1": "malignant"}
CLASS_FOLDERS = (
    ("benign", "malignant"),
    ("Benign", "MALIGNANT"),
    ("benign cases", "malignant cases"),
    ("0", "1"),
)
SPLIT_FOLDERS = {
    "train": ("train", "Train", "TRAIN"),
    "val": ("val", "valid", "Validation"),
    "test": ("test", "Test"),
}
# What makes an image file of grey levels [8, 8] uint8, by its extension.
PIXELS: dict[str, tuple[str, Callable[[np.ndarray], Image.Image]]] = {
    "grey": (".png", Image.fromarray),
    "colour": (".PNG", lambda levels: Image.fromarray(np.dstack([levels] * 3))),
    "palette": (".png", lambda levels: Image.fromarray(levels).convert("P")),
    "opaque": (".png", lambda levels: Image.fromarray(levels).convert("RGBA")),
    "bitmap": (".bmp", Image.fromarray),
    "tiff": (".tif", Image.fromarray),
    "webp": (".webp", lambda levels: Image.fromarray(np.dstack([levels] * 3))),
    **{
        f"{bits} bits": (".png", lambda levels, bits=bits: Image.fromarray(levels.astype(np.uint16) << (bits - 8)))
        for bits in (10, 12, 14, 16)
    },
}


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image of the set: file, class, true patient (None: nothing says it), split (None: not split) and number."""

    path: str
    label: int
    patient: str | None
    split: str | None
    number: int

    @property
    def levels(self) -> np.ndarray:
        """Grey pixels [8, 8] uint8, none like those of another number."""
        noise = np.random.default_rng(self.number).integers(0, 41, (SIDE, SIDE))
        return (150 - 60 * self.label - noise).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Tree:
    """A folder, and what is true of it.

    Attributes:
        pictures: the images of the two classes.
        beside: other files, by path; None for an image.
        table: the bytes of `groups.csv`, or None if there is none.
        class_map: as the option takes it.
        pixels: which of `PIXELS` its images are.
    """

    pictures: tuple[Picture, ...]
    beside: dict[str, bytes | None]
    table: bytes | None
    class_map: str
    pixels: str

    @property
    def grouped(self) -> bool:
        return all(picture.patient for picture in self.pictures)

    @property
    def cut(self) -> bool:
        """Whether the split that the folder brings has a patient on two sides."""
        placed = {(picture.patient, picture.split) for picture in self.pictures if picture.patient}
        return len(placed) > len({patient for patient, _ in placed})

    def write(self, folder: Path) -> Request:
        """Write it; how it is read."""
        for picture in self.pictures:
            _put(folder / picture.path, PIXELS[self.pixels][1](picture.levels))
        for number, (path, content) in enumerate(self.beside.items()):
            if content is None:
                _put(folder / path, Image.fromarray(np.full((SIDE, SIDE), 7 + number, np.uint8)))
            else:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
        if self.table is not None:
            (folder / "groups.csv").write_bytes(self.table)
        return Request(str(folder), SIDE, class_map=self.class_map)


def _put(file: Path, image: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any folder of these kinds, with enough patients of each class for a split."""
    layout = draw(st.sampled_from(("classes", "splits", "patients")))
    says_patient = "folders" if layout == "patients" else draw(st.sampled_from(("table", "names", "nothing")))
    classes = draw(st.sampled_from(CLASS_FOLDERS))
    pixels = draw(st.sampled_from(sorted(PIXELS)))
    spelling = {split: draw(st.sampled_from(names)) for split, names in SPLIT_FOLDERS.items()}
    splits = ("train", "val", "test") if layout == "splits" else (None,)
    form = draw(st.sampled_from(("NFC", "NFD")))
    pictures = []
    numbers = itertools.count(1)
    for patient, counts, split, known in draw(_patients(splits, says_patient)):
        for label, count in enumerate(counts):
            for number in itertools.islice(numbers, count):
                name = _name(says_patient, known, patient, label, number) + PIXELS[pixels][0]
                above = [spelling[split]] if split else [f"case {patient}"] if layout == "patients" else []
                path = unicodedata.normalize(form, "/".join([*above, classes[label], name]))
                pictures.append(Picture(path, label, patient if known else None, split, number))
    return Tree(
        pictures=tuple(pictures),
        beside=draw(_beside(pictures)),
        table=draw(tables(pictures)) if says_patient == "table" and any(p.patient for p in pictures) else None,
        class_map=",".join(f"{name}={_MAP[name]}" for name in classes if name in _MAP),
        pixels=pixels,
    )


@st.composite
def _patients(
    draw: st.DrawFn, splits: tuple[str | None, ...], says_patient: str
) -> list[tuple[str, tuple[int, int], str | None, bool]]:
    """Patients: name, images of each class, split, and whether something says who it is; each split has both classes.

    A patient may have both classes, and may stand in two splits if the folder brings them.
    """
    each = 2 if len(splits) > 1 else 6
    few = st.integers(1, 2)
    made: list[tuple[tuple[int, int], str | None]] = []
    for split in splits:
        made += [((draw(few), 0), split) for _ in range(each)] + [((0, draw(few)), split) for _ in range(each)]
        made += [((draw(few), draw(few)), split) for _ in range(draw(st.integers(0, 2)))]
    always = {"folders": True, "nothing": False}.get(says_patient)
    unknown = draw(st.sampled_from((0, 1, 4))) if always is None else 0
    patients = []
    for number, (counts, split) in enumerate(made):
        known = number >= unknown if always is None else always
        patients.append((f"{1000 + number}", counts, split, known))
    if len(splits) > 1 and draw(st.booleans()):
        name, _, _, known = patients[-1]
        patients.append((name, (1, 0), "train", known))
    return patients


def _name(says_patient: str, known: bool, patient: str, label: int, number: int) -> str:
    if says_patient == "names" and known:
        return f"SOB_{'BM'[label]}_{('A', 'DC')[label]}-14-{patient}A-40-{number:03d}"
    return f"Würfel ({number})"


@st.composite
def _beside(draw: st.DrawFn, pictures: list[Picture]) -> dict[str, bytes | None]:
    """Files that people and programs leave in such folders, and that are no images of the set."""
    picture = draw(st.sampled_from(pictures))
    folder, _, name = picture.path.rpartition("/")
    stem, _, extension = name.rpartition(".")
    there = {
        f"{folder}/{stem}_mask.png": None,
        f"{folder}/._{name}": b"\0\5\x16\7",
        f"{folder}/.ipynb_checkpoints/{stem}-checkpoint.{extension}": b"a copy",
        f"{folder}/Thumbs.db": b"a preview",
        "__MACOSX/._x.png": b"\0\5\x16\7",
        ".DS_Store": b"\0\0\0\1Bud1",
        "notes.txt": b"seen by two readers",
        f"{folder}/notes.pdf": b"%PDF-1.7",
    }
    return {path: there[path] for path in draw(st.lists(st.sampled_from(sorted(there)), unique=True, max_size=4))}


@st.composite
def tables(draw: st.DrawFn, pictures: list[Picture]) -> bytes:
    """`groups.csv` in any form that a spreadsheet writes; a picture of no known patient has no row, or no group."""
    spell = draw(st.sampled_from((_as_it_is, _with_backslashes, _base_name, _composed, _decomposed, _in_capitals)))
    blank = draw(st.booleans())
    kinds = draw(st.sampled_from((("benign", "malignant"), ("Benign", "MALIGNANT"))))
    rows = [
        [spell(picture.path), kinds[picture.label], picture.patient or ""]
        for picture in pictures
        if picture.patient or blank
    ]
    rows = draw(st.permutations(rows))
    if draw(st.booleans()):
        rows.append(rows[0])  # once more, and in agreement
    if draw(st.booleans()):
        rows.append(["gone.png", "benign", "9999"])
    padding = draw(st.sampled_from(("", " ")))
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t")),
        lineterminator=draw(st.sampled_from(("\n", "\r\n"))),
        quoting=draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))),
    )
    writer.writerow(draw(st.sampled_from((("path", "class", "group"), ("Path", "Class", "Group")))))
    writer.writerows([f"{cell}{padding}" for cell in row] for row in rows)
    return text.getvalue().encode(draw(st.sampled_from(("utf-8", "utf-8-sig"))))


def _as_it_is(path: str) -> str:
    return path


def _with_backslashes(path: str) -> str:
    return path.replace("/", "\\")


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _decomposed(path: str) -> str:
    return unicodedata.normalize("NFD", path)


def _in_capitals(path: str) -> str:
    return path.upper()
