"""Groups: whose patient each image of a folder is, as a table, the folders or the files' names say.

One source counts for all images of a data set, the first of these that there is: a column of the table of labels, a
`groups.csv`, the PatientID of DICOM files, folders of patients, names of files. So a patient never has two ids. An
image of which the source says nothing is a group of its own, and is counted: the data set is not called grouped then.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bcdl.datasets import class_map, dicom, file_names, matching, rows, tables
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.pool import GROUPS_FILE
from bcdl.errors import UsageError
from bcdl.text import comparable, encodable, quoted

_COLUMNS = ("path", "class", "group")
FOLDERS = "the names of folders"  # if they are the source of groups
_DICOM = "the PatientID of DICOM files"
_DASHES = "\u2010-\u2015\u2212\ufe58"  # as spreadsheets make of a hyphen
# Of CBIS-DDSM, whose PatientID names an image: Mass-Training_P_00001_LEFT_CC_1 (Lee et al. 2017, Scientific Data 4).
_CBIS = re.compile(r"^(?:mass|calc)-(?:training|test)_(?=p_\d)|_(?:left|right)_(?:cc|mlo)(?:_\d+)?$")
_LONGEST = 200  # letters; all groups are kept at the length of the longest


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

    def counted(self, what: str) -> str:
        """A notice of how many groups, called `what`, are known of how many images."""
        groups = {group for group, is_known in zip(self.ids, self.known, strict=True) if is_known}
        return f"{len(groups)} {what} of {sum(self.known)} images are read from {self.source}"


@dataclasses.dataclass(frozen=True)
class GroupsTable:
    """A table of groups: of each row its path, its class (empty if there is no such column) and its group."""

    table: tables.Table
    paths: list[str]
    classes: list[str]
    groups: list[str]


def tables_of(root: Path, base: Path) -> list[Path]:
    """What is called `groups.csv`, in any case, in a folder and on the way down to `base`: the first counts."""
    levels = [folder for folder in (base, *base.parents) if folder.is_relative_to(root)]
    return [
        entry
        for folder in levels
        for entry in sorted(folder.iterdir(), key=lambda entry: (entry.name != GROUPS_FILE, entry.name))
        if entry.name.casefold() == GROUPS_FILE
    ]


def tell_others(found: Sequence[Path], root: Path) -> list[str]:
    """A notice of the tables of groups that `tables_of` has found and that do not count."""
    if len(found) < 2:
        return []
    others = quoted(encodable(found[1].relative_to(root).as_posix()))
    used = quoted(encodable(found[0].relative_to(root).as_posix()))
    return [f"{len(found) - 1} other tables of groups are not used, as {others}: {used} counts"]


def find(table: Path | None, files: Sequence[ImageFile], every: Sequence[str], stated: Mapping[str, int]) -> Groups:
    """The groups of the images of a folder.

    Args:
        table: the `groups.csv` that counts, if there is one.
        files: the images that are used.
        every: the names of all images in the folder, used or not.
        stated: what `--class-map` says, as `class_map.parse` gives it.

    Raises:
        UsageError: `groups.csv` is no table of groups, names none of the images, or contradicts itself.
    """
    if table:
        return _of_table(read_table(table), files, every, stated)
    patients = dicom.patient_ids([file.path for file in files])
    if len(set(map(key, patients)) - {""}) > 1:
        return _of_dicom(files, patients)
    found = _of_folders(files) if any(file.patient for file in files) else _of_names(files)
    if any(patients):
        count = len(files) - patients.count("")
        notice = f"{count} DICOM images, all that have a PatientID, have the same: it is taken for none"
        found = dataclasses.replace(found, notices=(*found.notices, notice))
    return found


def of_column(source: str, files: Sequence[ImageFile], said: Sequence[str], column: str, shown: bool = True) -> Groups:
    """The groups that one text for each image says, however each is spelled.

    Args:
        source: what says so, in words.
        files: the images.
        said: the text of each.
        column: what of the source, for the question whether it means the patient.
        shown: whether a notice may show the texts.

    Raises:
        UsageError: a group has more than 200 letters.
    """
    if long := next((text for text in said if len(text) > _LONGEST), None):
        raise UsageError(f"{source} has a group of {len(long)} letters, {quoted(long, 40)}; shorten it")
    keys = list(map(key, said))
    spellings: dict[str, dict[str, None]] = collections.defaultdict(dict)  # of each group, in their order
    for group, text in zip(keys, said, strict=True):
        if group:
            spellings[group].setdefault(unicodedata.normalize("NFC", text))
    ids = [next(iter(spellings[group])) if group else file.name for file, group in zip(files, keys, strict=True)]
    notices = []
    if len(spellings) == len(files) > 1:
        notices.append(
            f"{len(files)} groups for {len(files)} images: each image is a group of its own; is {column} the patient?"
        )
    if several := [of_one for of_one in spellings.values() if len(of_one) > 1]:
        example = ", as " + " and ".join(quoted(text, 40) for text in list(several[0])[:2]) if shown else ""
        notices.append(f"{len(several)} groups of {source} are spelled in several ways{example}: each counts as one")
    return Groups(ids, [bool(group) for group in keys], source, tuple(notices))


def read_table(file: Path) -> GroupsTable:
    """The table of groups in a file.

    Raises:
        UsageError: it is no such table.
    """
    table = tables.read(file, _COLUMNS)
    places = {name: table.places([name]) for name in _COLUMNS}
    if not places["path"] or not places["group"] or any(len(several) > 1 for several in places.values()):
        raise UsageError(
            f"{table.name} is not a table with the columns path, class and group (class may be missing): its header "
            f"reads {table.shown_header}; name them so, each once"
            + ("; it seems to have no header" if any(map(matching.names_image, table.header)) else "")
        )
    paths, classes, groups = (
        table.texts(table.rows, places[name][0]) if places[name] else [""] * len(table.rows) for name in _COLUMNS
    )
    return GroupsTable(table, paths, classes, groups)


def match(
    said: GroupsTable, labels: Mapping[str, int], every: Sequence[str], stated: Mapping[str, int]
) -> tuple[rows.Rows, list[int | None]]:
    """Which image each row of a table of groups speaks of, and the label that its class means, None if none.

    Args:
        said: the table.
        labels: the label of each image that is used, by name.
        every: the names of all images in the folder.
        stated: what `--class-map` says.
    """
    of_row = [class_map.class_of(text, stated) for text in said.classes]

    def fits(row: int, name: str) -> bool:
        return of_row[row] is None or name not in labels or labels[name] == of_row[row]

    statements = [(key(group), comparable(text)) for group, text in zip(said.groups, said.classes, strict=True)]
    return rows.match(said.table, said.paths, statements, every, fits), of_row


def _of_table(said: GroupsTable, files: Sequence[ImageFile], every: Sequence[str], stated: Mapping[str, int]) -> Groups:
    matched, labels = match(said, {file.name: file.label for file in files}, every, stated)
    names, table = [file.name for file in files], said.table.name
    of_image = matched.places(names)
    groups = of_column(table, files, ["" if row is None else said.groups[row] for row in of_image], "'group'")
    unlisted = of_image.count(None)
    notices = [
        *said.table.notices,
        *matched.notices(names),
        groups.counted("groups"),
        *groups.notices,
        *_contradictions(table, files, [None if row is None else labels[row] for row in of_image]),
    ]
    if unlisted:
        notices.append(f"{unlisted} images are not in {table}: each is a group of its own")
    if empty := groups.known.count(False) - unlisted:
        notices.append(f"{empty} images have no group in {table}: each is a group of its own")
    return dataclasses.replace(groups, notices=tuple(notices))


def _contradictions(name: str, files: Sequence[ImageFile], labels: Sequence[int | None]) -> Iterable[str]:
    """A notice if labels say something else of the images than what they are used as."""
    wrong = [file.name for file, label in zip(files, labels, strict=True) if label not in (None, file.label)]
    if wrong:
        yield f"{len(wrong)} images have another class by {name}, as {quoted(wrong[0])}: it does not count"


def _of_dicom(files: Sequence[ImageFile], patients: Sequence[str]) -> Groups:
    groups = of_column(_DICOM, files, patients, "PatientID", shown=False)
    names = dicom.digests(list(map(key, patients)))
    ids = [name or file.name for file, name in zip(files, names, strict=True)]
    return _guessed(dataclasses.replace(groups, ids=ids))


def _of_folders(files: Sequence[ImageFile]) -> Groups:
    groups = _guessed(of_column(FOLDERS, files, [file.patient or "" for file in files], "the folder"))
    return dataclasses.replace(groups, notices=groups.notices[1:])  # the layout says which folders


def _of_names(files: Sequence[ImageFile]) -> Groups:
    read = [file_names.read(file.path.name) for file in files]
    if not any(read):
        return Groups([file.name for file in files], [False] * len(files), "")
    data_sets = " and ".join(dict.fromkeys(named.data_set for named in read if named))
    patients = [named.patient if named else "" for named in read]
    groups = _guessed(of_column(f"the names of files, as in {data_sets}", files, patients, "what they name"))
    contradictions = _contradictions("the name of its file", files, [named and named.label for named in read])
    return dataclasses.replace(groups, notices=(*groups.notices, *contradictions))


def _guessed(groups: Groups) -> Groups:
    """The same, with notices that count the patients and the images without one: what names say is a guess."""
    unknown = groups.known.count(False)
    told = [f"{unknown} images of {len(groups.known)} name no patient: each is a group of its own"] if unknown else []
    return dataclasses.replace(groups, notices=(groups.counted("patients"), *told, *groups.notices))


def key(group: str) -> str:
    """A group as it is compared; empty if it says nothing.

    A patient spelled in two ways is not cut: case, kinds of dashes and blanks, zeros before a number and after its
    point, blanks and dashes between letters and digits do not count. What differs in digits is never one.
    """
    if tables.says_nothing(group):
        return ""
    text = unicodedata.normalize("NFKC", comparable(unicodedata.normalize("NFKC", group)))
    text = _CBIS.sub("", re.sub(f"[{_DASHES}]", "-", text))
    if number := re.fullmatch(r"(\d+)[.,]0*", text):
        text = number[1]
    text = re.sub(r"[\s_-]+", "-", text)
    text = re.sub(r"(?<=[^\W\d_])-(?=\d)|(?<=\d)-(?=[^\W\d_])", "", text)
    return re.sub(r"(?<!\d)(?<!\d[.,])0+(?=\d)", "", text)
