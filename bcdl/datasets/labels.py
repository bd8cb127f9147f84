"""Labels by a table: the images of a folder, in any tree, that a table (`--labels`) says the class of."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from bcdl.datasets import class_map, groups, matching, patient_folders, rows, tables
from bcdl.datasets.dataset import LabelsTable
from bcdl.datasets.groups import Groups
from bcdl.datasets.layouts import ImageFile, split_of
from bcdl.datasets.pool import GROUPS_FILE, LABELS
from bcdl.datasets.tables import Table
from bcdl.datasets.tree import Tree
from bcdl.errors import UsageError
from bcdl.text import comparable, listed, quoted

# The headers that a column usually has, if none is named.
IMAGE = ("image", "image_name", "image_id", "image_path", "image_file", "file", "file_name", "filename", "path")
LABEL = ("label", "class", "diagnosis", "pathology", "target")
GROUP = (
    *("patient", "patient_id", "patient_nr", "patient_no", "patient_number", "pid", "patienten_id", "patienten_nr"),
    *("patientennummer", "numéro_patient", "case", "case_id", "group", "group_id", "subject", "subject_id"),
)
LESION = ("lesion", "lesion_id")  # for want of the patient
_PERHAPS_PATIENT = ("patien", "subject", "lesion")
_NO_GROUP = "none"  # as --group-column
_MOST_KINDS = 10  # labels of images that are left out, each counted
_LETTERS = {"b": 0, "m": 1}  # as breast data sets write classes in tables; a folder named so could be anything


@dataclasses.dataclass(frozen=True)
class Labelled:
    """The images that a table gives a class.

    Attributes:
        files: the images of the two classes, in a fixed order.
        every: the names of all images in the folder.
        said: what the table's column of groups says of each of `files`, by name; None if it has none.
        left_out: by kind, how many images are not among `files`.
        notices: what a person should know, `left_out` apart.
        facts: what a record holds of the table: its name, its SHA-256 and the headers of its columns.
        of_patients: notices of patients by folders, if nothing else says them better.
    """

    files: list[ImageFile]
    every: list[str]
    said: dict[str, str] | None
    left_out: collections.Counter[str]
    notices: list[str]
    facts: dict[str, str]
    of_patients: list[str]

    def groups_of(self, files: Sequence[ImageFile]) -> Groups | None:
        """The groups of these of the images, by the table; None if it has no column of them."""
        if self.said is None:
            return None
        name = self.facts["name"]
        column = quoted(self.facts["group"])
        of_files = groups.of_column(name, files, [self.said[file.name] for file in files], column)
        unknown = of_files.known.count(False)
        notice = (f"{unknown} images have no group in {name}: each is a group of its own",) if unknown else ()
        return dataclasses.replace(of_files, notices=(of_files.counted("groups"), *of_files.notices, *notice))


@dataclasses.dataclass(frozen=True)
class _Columns:
    """The columns of a table that are read, by their places."""

    image: int
    label: int
    group: int | None

    def facts(self, table: Table) -> dict[str, str]:
        places = {"image": self.image, "label": self.label, "group": self.group}
        headers = {part: table.header[place] for part, place in places.items() if place is not None}
        return {"name": table.name, "sha256": table.sha256, **headers}


def read(given: LabelsTable, tree: Tree, stated: Mapping[str, int]) -> Labelled:
    """The images of a tree that the table gives a class.

    Args:
        given: the table.
        tree: the folder of the images.
        stated: the class of labels that do not say it themselves, as `class_map.parse` gives it.

    Raises:
        UsageError: the table can't be read, lacks a column, names no image or contradicts itself, or a class has no
            images.
    """
    asked = [given.image_column, given.label_column, given.group_column]
    table = tables.read(Path(given.file), [*IMAGE, *LABEL, *GROUP, *LESION, *filter(None, asked)])
    columns = _columns(given, table)
    paths, texts = (table.texts(table.rows, place) for place in (columns.image, columns.label))
    said = table.texts(table.rows, columns.group) if columns.group is not None else [""] * len(table.rows)
    statements = [(comparable(text), groups.key(group)) for text, group in zip(texts, said, strict=True)]
    every = [image.name for image in tree.images]
    if not every:
        raise UsageError(f"data set {tree.called} has no images; name the folder that has them")
    matched = rows.match(table, paths, statements, every)
    files, of_group, left_out = _sorted(tree, table, matched, texts, said, stated)
    _check(table, files, texts, stated)
    told_groups: list[str] = []
    if columns.group is None:
        told_groups = _tell_no_group(table, given.group_column)
    elif len(files) > 1 and len(set(map(groups.key, of_group.values()))) == 1:
        header, text = quoted(table.header[columns.group]), quoted(next(iter(of_group.values())))
        told_groups = [f"{len(files)} images have {text} in column {header}, all the same: it is taken for none"]
        columns = dataclasses.replace(columns, group=None)
    has_groups = columns.group is not None
    files, of_patients = _patients_of_folders(files)
    headers = columns.facts(table)
    notices = [
        *table.notices,
        f"{len(files)} images have their class from {table.name}, column {quoted(headers['label'])}, by column "
        f"{quoted(headers['image'])}" + (f", their group from {quoted(headers['group'])}" if has_groups else ""),
        *told_groups,
        *matched.notices(every),
        *_split_notices(tree),
    ]
    if has_groups and groups.tables_of(tree.root, tree.root) and Path(given.file).name != GROUPS_FILE:
        notices.append(f"{GROUPS_FILE} is not used: {table.name} gives the groups")
    return Labelled(files, every, of_group if has_groups else None, left_out, notices, headers, of_patients)


def _sorted(
    tree: Tree, table: Table, matched: rows.Rows, texts: Sequence[str], said: Sequence[str], stated: Mapping[str, int]
) -> tuple[list[ImageFile], dict[str, str], collections.Counter[str]]:
    """The images of the two classes, what the table says of each one's group, and by kind how many are left out."""
    left_out: collections.Counter[str] = collections.Counter()
    files, of_group = [], {}
    for image, row in zip(tree.images, matched.places([image.name for image in tree.images]), strict=True):
        label = None if row is None else _label(texts[row], stated)
        if row is None or label is None:
            left_out[_why(table.name, None if row is None else texts[row])] += 1
        else:
            files.append(ImageFile(image.path, image.name, label, patient=patient_folders.first_named(image.folders)))
            of_group[image.name] = said[row]
    return files, of_group, _few(left_out)


def _patients_of_folders(files: list[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """The images, of no patient if there is but one: a folder around all images names none; and what to tell of it."""
    patients = {file.patient for file in files} - {None}
    if len(patients) > 1:
        return files, [f"{len(patients)} folders are taken for patients, by their names"]
    return [file._replace(patient=None) for file in files], []


def _split_notices(tree: Tree) -> list[str]:
    count = sum(any(map(split_of, image.folders)) for image in tree.images)
    told = f"{count} images are in folders named as splits: no split is taken, since a table gives the classes"
    return [told] if count else []


def _columns(given: LabelsTable, table: Table) -> _Columns:
    image = _place(table, given.image_column, "--image-column", IMAGE)
    label = _place(table, given.label_column, "--label-column", LABEL)
    group = _group_place(table, given.group_column)
    if image is None or label is None:
        option, what = ("--image-column", "path") if image is None else ("--label-column", "class")
        raise UsageError(
            f"{table.name} has no column that is known to hold each image's {what}: its header reads "
            f"{table.shown_header}; name the column with {option}"
            + ("; it seems to have no header" if any(map(matching.names_image, table.header)) else "")
        )
    return _Columns(image, label, group)


def _group_place(table: Table, asked: str) -> int | None:
    """The column of groups; None if there is none, or if none is asked for."""
    if comparable(asked) == _NO_GROUP and not table.places([asked]):
        return None
    place = _place(table, asked, "--group-column", GROUP)
    return _place(table, "", "--group-column", LESION) if place is None else place


def _tell_no_group(table: Table, asked: str) -> list[str]:
    """Which columns may name patients, although none is headed as usual."""
    headers = [header for header in table.header if any(word in comparable(header) for word in _PERHAPS_PATIENT)]
    return [] if asked else [f"column {quoted(header)} may name patients: --group-column" for header in headers]


def _place(table: Table, asked: str, option: str, usual: Sequence[str]) -> int | None:
    """The column that was asked for, or else the one that is usually headed so; None if there is none."""
    exact = [place for place, header in enumerate(table.header) if header == asked.strip()] if asked else []
    places = exact or table.places([asked] if asked else usual)
    if asked and not places:
        raise UsageError(f"{option}: {table.name} has no column {quoted(asked)}; its header reads {table.shown_header}")
    if len(places) > 1 and len({table.header[place] for place in places}) == 1:
        header = quoted(table.header[places[0]])
        raise UsageError(f"{table.name} has {len(places)} columns that are headed {header}; rename all but one")
    if len(places) > 1:
        headers = ", ".join(quoted(table.header[place]) for place in places)
        raise UsageError(f"{table.name} has several columns that may be meant: {headers}; name one with {option}")
    return places[0] if places else None


def _label(text: str, stated: Mapping[str, int]) -> int | None:
    label = class_map.class_of(text, stated)
    return _LETTERS.get(comparable(text)) if label is None else label


def _why(table: str, text: str | None) -> str:
    """The kind of images that are left out because of what the table says of them."""
    if text is None:
        return f"images without a row in {table}"
    return f"images labelled {quoted(comparable(text))}" if not tables.says_nothing(text) else "images without a label"


def _few(left_out: collections.Counter[str]) -> collections.Counter[str]:
    """The most frequent kinds, and the others together: a column may hold another word for each image."""
    if len(left_out) <= _MOST_KINDS:
        return left_out
    shown = dict(left_out.most_common(_MOST_KINDS - 1))
    others = len(left_out) - len(shown)
    return collections.Counter({**shown, f"images of {others} other labels": left_out.total() - sum(shown.values())})


def _check(table: Table, files: Sequence[ImageFile], texts: Sequence[str], stated: Mapping[str, int]) -> None:
    """Raise UsageError if a class has no images, or a name that `--class-map` states is no label of the table."""
    there = collections.Counter(map(comparable, texts))
    if strangers := [name for name in stated if name not in there]:
        raise UsageError(
            f"--class-map has {quoted(strangers[0])}, which is no label in {table.name}; its labels are {_shown(there)}"
        )
    missing = [label for label in LABELS.values() if all(file.label != label for file in files)]
    if missing:
        kinds = " and no ".join(name for name, label in LABELS.items() if label in missing)
        advice = class_map.advise([name for name, _ in there.most_common()], missing)
        raise UsageError(
            f"{table.name} gives no {kinds} images; its labels are {_shown(there)}; say what they mean, as with "
            f"{advice or '--class-map LABEL=benign,LABEL=malignant'}"
        )


def _shown(labels: collections.Counter[str]) -> str:
    return listed([label for label, _ in labels.most_common()])
