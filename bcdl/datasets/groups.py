"""Groups: whose patient each image of a folder is, as a table, the folders or the files' names say.

One source counts for all images of a data set, the first of these that there is: a column of the table of labels, a
`groups.csv`, folders of patients, names of files. So a patient never has two ids. An image of which the source says
nothing is a group of its own, and is counted: the data set is not called grouped then.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from bcdl.datasets import file_names, rows, tables
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.pool import GROUPS_FILE, LABELS
from bcdl.errors import UsageError
from bcdl.text import legible

_COLUMNS = ("path", "class", "group")
_LONGEST = 200  # letters; all groups are kept at the length of the longest
# What people and programs write into a cell that has nothing to say.
_NOTHING = frozenset({"", "-", "?", "nan", "na", "n/a", "#n/a", "none", "null", "unknown"})


@dataclasses.dataclass(frozen=True)
class Groups:
    """The groups of a list of images.

    Attributes:
        ids: the group of each image; its own name if none is known.
        known: whether the group of each image is known.
        source: what says so, in words, as records hold it; empty if nothing does.
        notices: what a person should know of it.
    """

    ids: list[str]
    known: list[bool]
    source: str
    notices: tuple[str, ...] = ()


def find(root: Path, files: Sequence[ImageFile], every: Sequence[str]) -> Groups:
    """The groups of the images of a folder.

    Args:
        root: the folder.
        files: the images that are used.
        every: the names of all images in the folder, used or not.

    Raises:
        UsageError: `groups.csv` is no table of groups, names none of the images, or contradicts itself.
    """
    if (root / GROUPS_FILE).is_file():
        return _of_table(root / GROUPS_FILE, files, every)
    if any(file.patient for file in files):
        return _of_folders(files)
    return _of_names(files)


def of_column(table_name: str, files: Sequence[ImageFile], said: Sequence[str], source: str) -> Groups:
    """The groups that a column of a table says, one text for each image.

    Raises:
        UsageError: a group has more than 200 letters.
    """
    long = next((text for text in said if len(text) > _LONGEST), None)
    if long:
        raise UsageError(f"{table_name} has a group of {len(long)} letters, {legible(long[:20])!r}...; shorten it")
    known = [_key(text) not in _NOTHING for text in said]
    spelled: dict[str, str] = {}  # the first spelling of each group
    for text in said:
        spelled.setdefault(_key(text), unicodedata.normalize("NFC", text))
    ids = [spelled[_key(text)] if is_known else file.name for file, text, is_known in zip(files, said, known, strict=True)]
    notices = []
    spellings = {unicodedata.normalize("NFC", text) for text, is_known in zip(said, known, strict=True) if is_known}
    if several := [key for key, count in collections.Counter(map(_key, spellings)).items() if count > 1]:
        notices.append(
            f"{len(several)} groups of {table_name} are written in several ways that differ in case or blanks alone, "
            f"as {legible(spelled[several[0]])!r}: each is taken as one"
        )
    return Groups(ids, known, source, tuple(notices))


def read_table(file: Path) -> tuple[tables.Table, list[str], list[str], list[str]]:
    """A table of groups and, for each row, its path, class and group; the class is empty if there is no such column.

    Raises:
        UsageError: it is no such table.
    """
    table = tables.read(file, _COLUMNS)
    places = {name: table.places([name]) for name in _COLUMNS}
    if not places["path"] or not places["group"] or any(len(found) > 1 for found in places.values()):
        raise UsageError(
            f"{table.name} is not a table with the columns path, class and group, each once (class may be missing): "
            f"its header reads {table.shown_header}"
        )
    paths, classes, groups = (
        table.texts(table.rows, places[name][0]) if places[name] else [""] * len(table.rows) for name in _COLUMNS
    )
    return table, paths, classes, groups


def _of_table(file: Path, files: Sequence[ImageFile], every: Sequence[str]) -> Groups:
    table, paths, classes, said = read_table(file)
    labels = [LABELS.get(text.casefold()) for text in classes]
    label_of = {image.name: image.label for image in files}

    def fits(row: int, name: str) -> bool:
        return labels[row] is None or label_of.get(name, labels[row]) == labels[row]

    statements = [(_key(group), text.casefold()) for group, text in zip(said, classes, strict=True)]
    matched = rows.match(table, paths, statements, every, fits)
    names = [image.name for image in files]
    of_image = matched.places(names)
    groups = of_column(table.name, files, ["" if row is None else said[row] for row in of_image], table.name)
    unlisted = of_image.count(None)
    notices = [
        *table.notices,
        *matched.notices(names),
        *groups.notices,
        *_contradictions(table.name, files, [None if row is None else labels[row] for row in of_image]),
    ]
    if unlisted:
        notices.append(f"{unlisted} images are not in {table.name}: each is a group of its own")
    if empty := groups.known.count(False) - unlisted:
        notices.append(f"{empty} images have no group in {table.name}: each is a group of its own")
    return dataclasses.replace(groups, notices=tuple(notices))


def _contradictions(name: str, files: Sequence[ImageFile], labels: Sequence[int | None]) -> Iterable[str]:
    """A notice if labels say something else of the images than their folders do."""
    wrong = [file.name for file, label in zip(files, labels, strict=True) if label not in (None, file.label)]
    if wrong:
        yield (
            f"{len(wrong)} images have another class in {name} than their folder says, as {legible(wrong[0])!r}: "
            "the folder counts"
        )


def _of_folders(files: Sequence[ImageFile]) -> Groups:
    known = [bool(file.patient) for file in files]
    return _counted(files, [file.patient or file.name for file in files], known, "the names of their folders")


def _of_names(files: Sequence[ImageFile]) -> Groups:
    read = [file_names.read(file.path.name) for file in files]
    if not any(read):
        return Groups([file.name for file in files], [False] * len(files), "")
    data_sets = " and ".join(dict.fromkeys(named.data_set for named in read if named))
    ids = [named.patient if named else file.name for file, named in zip(files, read, strict=True)]
    groups = _counted(files, ids, [bool(named) for named in read], f"file names, as in {data_sets}")
    of_names = _contradictions("their file names", files, [named.label if named else None for named in read])
    return dataclasses.replace(groups, notices=(*groups.notices, *of_names))


def _counted(files: Sequence[ImageFile], ids: list[str], known: list[bool], source: str) -> Groups:
    """The groups, with notices that count the patients and the images without one: what names say is a guess."""
    patients = len({group for group, is_known in zip(ids, known, strict=True) if is_known})
    notices = [f"{patients} patients of {sum(known)} images are read from {source}"]
    if unknown := known.count(False):
        notices.append(f"{unknown} images of {len(files)} name no patient: each is a group of its own")
    return Groups(ids, known, source, tuple(notices))


def _key(group: str) -> str:
    """A group as it is compared: two that differ in case or blanks alone are one, so that no patient is cut by a typo."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", group).casefold()).strip()
