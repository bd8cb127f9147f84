"""Layouts: how the folders of a data set say of which class, split and patient each image is.

One depth of the tree is that of the class folders. Above it may be folders of splits and of patients, below it folders
of splits, of patients, and others, which mean nothing; `patient_folders` says which are of patients. BreaKHis and IDC
as they are published, and folders around all of these, are cases of that.
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bcdl.datasets import class_map as classes
from bcdl.datasets import patient_folders
from bcdl.datasets.patient_folders import Patients, Place
from bcdl.datasets.pool import CLASSES, LABELS, SPLITS
from bcdl.datasets.tree import LINKS_OUT, Found, Tree, remedy
from bcdl.errors import UsageError
from bcdl.text import comparable, encodable, listed, quoted

_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validierung", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}
_EVALUATION = {"eval", "evaluation"}  # validation, if there is a test; else nobody knows
_SPLIT = re.compile(r"(?:\d+[ _.-]+)?(?P<split>[a-z]+?)(?:[ _-]*(?:set|data|images|split))?")
# Of an IDC patch: 8863_idx5_x51_y1251_class0.png (Janowczyk and Madabhushi 2016, J Pathol Inform 7:29).
_IDC_FILE = re.compile(r".+_class(?P<label>[01])")
_OTHER_CLASS = "images of class "
_SHOWN = 5  # folders that a message names


class ImageFile(NamedTuple):
    """One image of the two classes.

    Attributes:
        path: of the file.
        name: within the data set, with forward slashes, as UTF-8 can hold it.
        label: 0 benign, 1 malignant.
        given: train, val or test, if the folders say so.
        patient: the name of the patient's folder, if the layout has one.
    """

    path: Path
    name: str
    label: int
    given: str | None = None
    patient: str | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """A tree as it was understood.

    Attributes:
        base: the folder that names of images are relative to: the one that was asked for, or one inside it.
        files: the images of the two classes, in a fixed order.
        every: the names of all images under `base`, of whatever class.
        name: what was recognised, for records: the levels of folders, outermost first.
        left_out: by kind, how many files are not among `files`; tables are not counted.
        notices: what a person should know, `left_out` apart.
        of_patients: the same of patients, if nothing else says them better.
    """

    base: Path
    files: list[ImageFile]
    every: list[str]
    name: str
    left_out: collections.Counter[str]
    notices: list[str]
    of_patients: list[str]


class _Image(NamedTuple):
    """An image in a class folder: its folders, its label, and the split that they say."""

    found: Found
    folders: tuple[str, ...]
    label: int
    given: str | None = None


class _Levels(NamedTuple):
    """Depths of folders under the data folder: how many stand around everything, those of classes and of splits."""

    around: int
    label: int
    split: int | None


def recognise(tree: Tree, stated: Mapping[str, int]) -> Layout:
    """The layout of a tree; `stated` is the label by name of folder, as `class_map.parse` gives it.

    Raises:
        UsageError: no layout is recognised, a class has no images, folders or names contradict each other, or `stated`
            names a folder that is not there. It names folders that are there, and what would be understood.
    """
    said = [(found, _labels(found, stated)) for found in tree.images]
    depth = _class_depth([labels for _, labels in said])
    images = [_Image(found, found.folders, label) for found, labels in said if (label := labels.get(depth)) is not None]
    _check_stated(tree, stated, {image.folders[depth] for image in images})
    _check_both(tree, images, stated)
    _check_agreement(tree, images, depth, stated)
    levels = _Levels(_around(images, depth), depth, None)
    levels = levels._replace(split=_split_depth(images, levels))
    images, outside = _with_splits(images, levels)
    _check_names(images, levels)
    _check_splits(tree, images, outside, levels)
    patients = patient_folders.find([_place(image, levels) for image in images])
    around = images[0].folders[: levels.around]
    return Layout(
        base=tree.root.joinpath(*around),
        files=[
            ImageFile(image.found.path, _name(image.found, levels), image.label, image.given, patient)
            for image, patient in zip(images, patients.ids, strict=True)
        ],
        every=[_name(found, levels) for found in tree.images if found.folders[: levels.around] == around],
        name=_describe(images, levels, patients),
        left_out=tree.left_out + _others(tree, [*images, *outside], levels, stated) + _outside(outside),
        notices=[
            *tree.notices,
            *_tell_around(around),
            *_tell_splits(images, levels),
            *_tell_outside(outside, levels),
            *_tell_classes(images, levels),
            *_tell_resembling(tree, images, levels),
        ],
        of_patients=patients.notices,
    )


def kinds(tree: Tree) -> dict[str, str]:
    """The class of every image of a tree, by its name: benign or malignant, or else the name of its folder."""
    said = [(found, _labels(found, {})) for found in tree.images]
    depth = _class_depth([labels for _, labels in said])
    return {
        found.name: CLASSES[labels[depth]] if depth in labels else comparable(found.path.parent.name)
        for found, labels in said
    }


def base_of(tree: Tree) -> Path:
    """The folder in which the class folders of a tree stand, with those of splits and patients; its root if none do."""
    said = [(found, _labels(found, {})) for found in tree.images]
    depth = _class_depth([labels for _, labels in said])
    images = [_Image(found, found.folders, labels[depth]) for found, labels in said if depth in labels]
    return tree.root.joinpath(*images[0].folders[: _around(images, depth)]) if images else tree.root


def _labels(found: Found, stated: Mapping[str, int]) -> dict[int, int]:
    """The labels that the folders of an image say, by depth."""
    said = {depth: _label(folder, found.stem, stated) for depth, folder in enumerate(found.folders)}
    return {depth: label for depth, label in said.items() if label is not None}


def _label(folder: str, stem: str, stated: Mapping[str, int]) -> int | None:
    """What a folder says; that of an IDC patch is a number that its file has, too."""
    label = classes.class_of(folder, stated)
    idc = _IDC_FILE.fullmatch(stem) if label is None and folder in {"0", "1"} else None
    return int(folder) if idc and idc["label"] == folder else label


def _class_depth(said: Iterable[Mapping[int, int]]) -> int:
    """The depth at which folders say most: both classes, then of most images, then the outermost; 0 if none does."""
    labels: dict[int, list[int]] = collections.defaultdict(list)
    for by_depth in said:
        for depth, label in by_depth.items():
            labels[depth].append(label)
    return max(labels, key=lambda depth: (len(set(labels[depth])), len(labels[depth]), -depth), default=0)


def _around(images: Sequence[_Image], depth: int) -> int:
    """How many folders all images share, above those of classes."""
    levels = zip(*(image.folders[:depth] for image in images), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda folders: len(set(folders)) == 1, levels))


def split_of(folder: str) -> str | None:
    """The split that the name of a folder means."""
    return _SPLIT_WORDS.get(_split_word(folder))


def _split_word(folder: str) -> str:
    match = _SPLIT.fullmatch(comparable(folder))
    return match["split"] if match else ""


def _splits_of(folders: Collection[str]) -> dict[str, str]:
    """The splits that folders mean which stand beside each other: evaluation is validation if nothing else can be."""
    meant = {folder: split for folder in folders if (split := split_of(folder))}
    if set(meant.values()) == {"train", "test"}:
        meant |= {folder: "val" for folder in folders if _split_word(folder) in _EVALUATION}
    return meant


def _split_depth(images: Sequence[_Image], levels: _Levels) -> int | None:
    """The depth of the folders of splits; None if there are none, or if all images are of one split.

    Above the class folders an image without a split may be left out; below them all must have one.
    """
    folders: dict[int, list[str]] = collections.defaultdict(list)
    for image in images:
        for depth, folder in enumerate(image.folders):
            if depth >= levels.around and depth != levels.label:
                folders[depth].append(folder)
    meant = {depth: _splits_of(set(names)) for depth, names in folders.items()}
    splits = {depth: [meant[depth][name] for name in names if name in meant[depth]] for depth, names in folders.items()}
    splits = {depth: of_images for depth, of_images in splits.items() if of_images}

    def counts(depth: int) -> bool:
        every = len(splits[depth]) == len(images)
        return len(set(splits[depth])) > 1 if every else depth < levels.label

    return max(filter(counts, splits), key=lambda depth: (len(splits[depth]), -depth), default=None)


def _with_splits(images: Sequence[_Image], levels: _Levels) -> tuple[list[_Image], list[_Image]]:
    """The images with their splits, and those that are in none, although there are splits."""
    if levels.split is None:
        return list(images), []
    meant = _splits_of({image.folders[levels.split] for image in images})
    given = [image._replace(given=meant.get(image.folders[levels.split])) for image in images]
    return [image for image in given if image.given], [image for image in given if not image.given]


def _name(found: Found, levels: _Levels) -> str:
    return encodable("/".join(found.parts[levels.around :])) if levels.around else found.name


def _place(image: _Image, levels: _Levels) -> Place:
    above, inside = (
        tuple(image.folders[depth] for depth in depths if depth != levels.split)
        for depths in (range(levels.around, levels.label), range(levels.label + 1, len(image.folders)))
    )
    return Place(image.found.path.name, image.label, above, inside)


def _describe(images: Sequence[_Image], levels: _Levels, patients: Patients) -> str:
    """The levels that mean something, outermost first."""
    if patients.level == patient_folders.BREAKHIS:
        return "BreaKHis as published" if levels.split is None else "split / BreaKHis as published"
    at = {"class": float(levels.label)}
    if levels.split is not None:
        at["split"] = levels.split
    if patients.level:
        at["patient"] = levels.label + (0.5 if patients.level == patient_folders.INSIDE else -0.5)
    idc = all(_IDC_FILE.fullmatch(image.found.stem) for image in images)
    return ("IDC: " if idc else "") + " / ".join(sorted(at, key=lambda level: at[level]))


def _others(
    tree: Tree, images: Sequence[_Image], levels: _Levels, stated: Mapping[str, int]
) -> collections.Counter[str]:
    """By kind, how many images are in no class folder of the two classes."""
    in_classes = {image.found for image in images}
    around = images[0].folders[: levels.around]
    kinds: collections.Counter[str] = collections.Counter()
    for found in tree.images:
        if found not in in_classes:
            kinds[_other(found, around, levels, stated)] += 1
    return _few(kinds)


def _other(found: Found, around: tuple[str, ...], levels: _Levels, stated: Mapping[str, int]) -> str:
    if any(classes.class_of(folder, stated) is not None for folder in found.folders):
        return "images in class folders of another depth"
    if found.folders[: levels.around] != around or len(found.folders) <= levels.label:
        return "images outside class folders"
    return f"{_OTHER_CLASS}{quoted(found.folders[levels.label])}"


def _few(kinds: collections.Counter[str]) -> collections.Counter[str]:
    """The same kinds, but of other classes the largest alone; the rest are one kind."""
    others = [kind for kind, _ in kinds.most_common() if kind.startswith(_OTHER_CLASS)]
    rest = others[_SHOWN:]
    few = collections.Counter({kind: count for kind, count in kinds.items() if kind not in rest})
    few[f"images of {len(rest)} more classes"] += sum(kinds[kind] for kind in rest)
    return +few


def _outside(images: Sequence[_Image]) -> collections.Counter[str]:
    return +collections.Counter({f"images outside the folders of {', '.join(SPLITS)}": len(images)})


def _tell_around(around: tuple[str, ...]) -> list[str]:
    if not around:
        return []
    return [f"{len(around)} folders down is what is read: {quoted(encodable('/'.join(around)))}"]


def _tell_splits(images: Sequence[_Image], levels: _Levels) -> list[str]:
    """Which names of folders mean which split, unless each split has the one folder that is named as it is."""
    if levels.split is None:
        return _tell_no_split(images, levels)
    return _tell_meanings(
        {(image.folders[levels.split], image.given or "") for image in images}, "the split", dict.fromkeys(SPLITS)
    )


def _tell_no_split(images: Sequence[_Image], levels: _Levels) -> list[str]:
    named = [image for image in images if any(split_of(folder) for folder in image.folders)]
    if not named:
        return []
    return [f"{len(named)} images are in folders named as splits, but not all, or of one split: no split is taken"]


def _tell_outside(outside: Sequence[_Image], levels: _Levels) -> list[str]:
    names = sorted({image.folders[levels.split] for image in outside if levels.split is not None})
    told = f"{len(names)} folders beside those of splits are of no split: {listed(names)}"
    return [f"{told}; to read them, call them {' or '.join(SPLITS)}"] if names else []


def _tell_classes(images: Sequence[_Image], levels: _Levels) -> list[str]:
    """Which names of folders mean which class, unless each class has the one name that is its own."""
    meanings = {(image.folders[levels.label], CLASSES[image.label]) for image in images}
    return _tell_meanings(meanings, "class", LABELS)


def _tell_meanings(meanings: set[tuple[str, str]], kind: str, plain: Iterable[str]) -> list[str]:
    """A notice for each class or split that other names of folders mean than its own, in whatever case."""
    told = []
    for meaning in plain:
        names = sorted(name for name, meant in meanings if meant == meaning)
        if len(names) > 1 or any(comparable(name) != meaning for name in names):
            told.append(f"{len(names)} names of folders mean {kind} {meaning}: {listed(names)}")
    return told


def _tell_resembling(tree: Tree, images: Sequence[_Image], levels: _Levels) -> list[str]:
    """Which folders that are left out have names that resemble a class."""
    used = {image.found for image in images}
    names = {
        found.folders[levels.label] for found in tree.images if found not in used and len(found.folders) > levels.label
    }
    alike = sorted(name for name in names if classes.class_of(name, {}) is None and classes.resembles(name))
    if not alike:
        return []
    advice = classes.advise(alike, list(LABELS.values()))
    return [f"{len(alike)} folders that are left out resemble a class: {listed(alike)}; to read them, use {advice}"]


def _check_stated(tree: Tree, stated: Mapping[str, int], used: set[str]) -> None:
    unused = sorted(stated.keys() - {comparable(folder) for folder in used})
    if unused:
        there = {comparable(folder) for found in tree.images for folder in found.folders}
        near = difflib.get_close_matches(unused[0], sorted(there), 1)
        raise UsageError(
            f"--class-map names {listed(unused)}, but no class folder of data set {tree.called} is called so; "
            f"{_found(tree)}{f'; did you mean {quoted(near[0])}?' if near else ''}"
        )


def _check_both(tree: Tree, images: Sequence[_Image], stated: Mapping[str, int]) -> None:
    missing = [label for label in LABELS.values() if all(image.label != label for image in images)]
    if missing:
        named = " and no ".join(CLASSES[label] for label in missing)
        raise UsageError(
            f"data set folder {tree.called} has no {named} images; it needs folders benign/ and malignant/ of "
            "images (.png, .jpg, .tif, .dcm and others), at its top or under train/, val/ and test/, and no links out "
            f"of it; {_found(tree)}; {_remedy(tree, missing, stated)}"
        )


def _found(tree: Tree) -> str:
    """What is there, in a few words: the folders at the top, those in them, and what is left out."""
    tops = collections.Counter(dict.fromkeys(tree.folders, 0))
    tops.update(found.folders[0] for found in tree.images if found.folders)
    inner = sorted({found.folders[1] for found in tree.images if len(found.folders) > 1})
    bare = sum(not found.folders for found in tree.images)
    shown = [f"{quoted(encodable(name))} ({count} images)" for name, count in list(tops.items())[:_SHOWN]]
    parts = [", ".join(shown) + (f" and {len(tops) - _SHOWN} more" if len(tops) > _SHOWN else "")] if shown else []
    parts += [f"in them {listed(inner)}"] if inner else []
    parts += [f"{bare} images in no folder"] if bare else []
    parts += [f"{count} {kind}" for kind, count in sorted(tree.left_out.items())]
    return f"found: {'; '.join(parts) or 'nothing'}"


def _remedy(tree: Tree, missing: Sequence[int], stated: Mapping[str, int]) -> str:
    """What to do about missing classes: the nearest that would be understood."""
    if classes.class_of(tree.root.resolve().name, stated) is not None:
        return "name the folder above it, which holds both classes"
    folders = collections.Counter(folder for found in tree.images for folder in found.folders)
    folders.update(tree.folders)
    names = [name for name, _ in folders.most_common() if classes.class_of(name, stated) is None and not split_of(name)]
    advice = classes.advise(names, missing)
    if (cure := _cure(tree)) and not (tree.images and advice):
        return cure
    if advice:
        return f"if these folders mean the classes, use {advice}"
    if tree.images and not any(found.folders for found in tree.images):
        return "if a table says the classes, use --labels FILE"
    return "say which folder means which class: --class-map NAME=benign,NAME=malignant"


def _cure(tree: Tree) -> str:
    """What to do about files that are left out, if images are missing because of them; or empty."""
    kinds = [kind for kind, _ in tree.left_out.most_common() if kind == LINKS_OUT or not tree.images]
    return next((f"{kind}: {cure}" for kind in kinds if (cure := remedy(kind))), "")


def _check_agreement(tree: Tree, images: Sequence[_Image], depth: int, stated: Mapping[str, int]) -> None:
    """No image is in folders of both classes, and the name of no IDC patch says another class than its folder."""
    for image in images:
        for folder in image.folders:
            if classes.class_of(folder, {}) not in (None, image.label) and comparable(folder) not in stated:
                both = listed([image.folders[depth], folder])
                raise UsageError(f"{quoted(image.found.name)} is in a folder of each class, {both}; move it into one")
    by_number = {image.folders[depth] for image in images} <= {"0", "1"} and not stated
    for found in tree.images if by_number else ():
        idc = _IDC_FILE.fullmatch(found.stem)
        if idc and found.folders[depth : depth + 1] in {("0",), ("1",)} and found.folders[depth] != idc["label"]:
            raise UsageError(f"{quoted(found.name)} is named for another class than its folder; move it, or rename it")


def _check_names(images: Sequence[_Image], levels: _Levels) -> None:
    """No two images have one name, as those whose names differ in bytes that are no UTF-8 might."""
    names = collections.Counter(_name(image.found, levels) for image in images)
    if twice := [name for name, count in names.most_common(1) if count > 1]:
        raise UsageError(f"two images have the name {quoted(twice[0])} once it is legible; rename one")


def _check_splits(tree: Tree, images: Sequence[_Image], outside: Sequence[_Image], levels: _Levels) -> None:
    """If there are splits, train and test are among them."""
    there = {image.given for image in images}
    missing = [] if levels.split is None else [split for split in ("train", "test") if split not in there]
    if not missing:
        return
    others = sorted({image.folders[levels.split] for image in outside if levels.split is not None})
    near = [name for name in others if difflib.get_close_matches(comparable(name), missing, 1)]
    near += [name for name in others if missing == ["test"] and _split_word(name) in _EVALUATION]
    remedy = f"did you mean {missing[0]} by {quoted(near[0])}?" if near else "bring both, or put all images in no split"
    raise UsageError(
        f"data set folder {tree.called} has no folder of split {' and '.join(missing)} with class folders in it, "
        f"but one of {' and '.join(sorted(filter(None, there)))}; {_found(tree)}; {remedy}"
    )
