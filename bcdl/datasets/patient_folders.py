"""Folders of patients: which level of the folders of a data set names them, if one does.

A level counts by the names of its folders, never by its place alone: folders of views, scanners, years or copies stand
at the same places. If two levels could be meant, or the files speak against it, no folder is taken for a patient.
"""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bcdl.datasets import file_names
from bcdl.datasets.pool import LABELS
from bcdl.text import comparable, encodable, listed, quoted

ABOVE, INSIDE = "above", "inside"  # the class folders
BREAKHIS = "BreaKHis"
# Of a patient in BreaKHis as it is published: SOB_B_A_14-22549AB (Spanhol et al. 2016, IEEE TBME 63(7)); copies have
# something after it.
_BREAKHIS_FOLDER = re.compile(
    r"SOB_[BM]_[A-Z]+[_-](?P<patient>\d+-[A-Z0-9]+)(?:[^A-Z0-9].*)?", re.ASCII | re.IGNORECASE | re.DOTALL
)
# A name or a number of four digits and more; what stands after it, if anything, may be a part of the patient's id.
_PATIENT = re.compile(
    r"(?:patient(?:in)?|pat|pt|subject|subj|sub|case|pid|id|p)[ _.#-]*(?P<count>\d+)[\w .-]*"
    r"|(?P<number>\d{4,})"
)
# After the patient: P0_CC, case 3 left, id7_slice12, P0_L_MLO_2.
_TAIL = re.compile(
    r"(?:(?:[ _.-]+|(?<=\d))(?:[lr]?cc|[lr]?mlo|[lr]ml|xccl?|l|r|lt|rt|left|right|slice|img)[ _.-]*\d*)+\Z",
    re.IGNORECASE,
)
# Folders between or around others that name no patient: magnifications, formats, views, sides, devices and the like.
_NEUTRAL = re.compile(
    r"(?:.*[ _-])?\d+ ?x|(?:fold|part|batch)[ _-]*\d*"
    r"|images?|imgs?|pictures?|photos?|data|dataset|originals?|raw|png|jpe?g|tiff?|bmp"
    r"|cc|mlo|ml|xccl?|l|r|lt|rt|left|right|us|mg|mri?|ct"
)
# A year, a month of one or a day: 2019, 2019-01, 20190111, 11.01.2019. A level is of dates if all its names are.
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"{_YEAR}(?:[ _.-]{_MONTH}(?:[ _.-]{_DAY})?)?|{_YEAR}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])?"
    rf"|{_DAY}[ _.-]{_MONTH}[ _.-]{_YEAR}|{_MONTH}[ _.-]{_DAY}[ _.-]{_YEAR}"
)
# The words of names that only count the files of a folder, as `img_01` does.
_COUNTING = re.compile(
    r"(?:images?|img|im|pictures?|pics?|photos?|dsc[nf]?|slices?|frames?|views?|scans?|series|crops?|patch(?:es)?|tiles?"
    r"|rois?|lesions?|tumou?rs?|mass(?:es)?|nodules?|findings?|benign|malignant|us|mg|mri?|ct|cc|mlo|ml|l|r|left|right"
    r"|[\W_]|\d{1,4}(?!\d))+"
)


class Place(NamedTuple):
    """What is known of an image before its patient is.

    Attributes:
        file: the base name.
        label: 0 benign, 1 malignant.
        above: the folders between those around everything and the class folder, without that of a split.
        inside: the folders inside the class folder, without that of a split.
    """

    file: str
    label: int
    above: tuple[str, ...]
    inside: tuple[str, ...]


class Patients(NamedTuple):
    """The patient of each image, if its folders say one; the level that says it, or empty; what to tell of that."""

    ids: list[str | None]
    level: str
    notices: list[str]


class _Level(NamedTuple):
    """One depth of folders: where it is, and of each image the folder and the patient it names, None if neither."""

    where: str
    folders: list[str | None]
    patients: list[str | None]

    @property
    def names(self) -> list[str]:
        return sorted({folder for folder in self.folders if folder})

    @property
    def is_of_patients(self) -> bool:
        """Whether all its folders are named as patients are."""
        return bool(self.names) and all(map(bool, map(_patient, self.names)))


def find(places: Sequence[Place]) -> Patients:
    """The patients that folders name: those of BreaKHis, or the folders of the one level that is of patients."""
    breakhis = [next(filter(None, map(_breakhis, (*place.above, *place.inside))), None) for place in places]
    if any(breakhis):
        count = len(set(filter(None, breakhis)))
        return Patients(breakhis, BREAKHIS, [f"{count} folders of BreaKHis are taken for patients"])
    levels = [level for where in (ABOVE, INSIDE) for level in _levels(places, where)]
    named = [level for level in levels if level.is_of_patients]
    doubt = "several levels could be meant" if len(named) > 1 else _doubt(named[0].patients, places) if named else ""
    if named and not doubt:
        return Patients(named[0].patients, named[0].where, _tell(named[0]))
    told = [_tell_none(places, levels, where, doubt) for where in (ABOVE, INSIDE)]
    return Patients([None] * len(places), "", list(filter(None, told)))


def first_named(folders: Sequence[str]) -> str | None:
    """The patient of the first folder that is named as a patient's is; None if there is none."""
    names = [folder for folder in folders if not _is_neutral(folder) and not _DATE.fullmatch(comparable(folder))]
    return next((encodable(patient) for name in names if (patient := _patient(name))), None)


def _breakhis(folder: str) -> str | None:
    match = _BREAKHIS_FOLDER.fullmatch(folder)
    return match["patient"].upper() if match else None


def _levels(places: Sequence[Place], where: str) -> Iterable[_Level]:
    """The levels above or inside the class folders, outermost first; folders that mean nothing are not in them."""
    folders = [place.above if where == ABOVE else place.inside for place in places]
    for depth in range(max(map(len, folders), default=0)):
        at = [of_one[depth] if len(of_one) > depth else None for of_one in folders]
        is_of_dates = all(_DATE.fullmatch(comparable(folder)) for folder in at if folder)
        kept = [None if folder is None or is_of_dates or _is_neutral(folder) else encodable(folder) for folder in at]
        yield _Level(where, kept, [_patient(folder) if folder else None for folder in kept])


def _is_neutral(folder: str) -> bool:
    return bool(_NEUTRAL.fullmatch(comparable(folder)))


def _patient(folder: str) -> str | None:
    """The patient that a folder is named for, as it is spelled there, without a view, a side or a slice."""
    before = _before_tail(folder.strip())
    return before if _PATIENT.fullmatch(comparable(before)) else None


def _before_tail(name: str) -> str:
    tail = _TAIL.search(name)
    return name[: tail.start()] if tail and tail.start() else name


def _doubt(ids: Sequence[str | None], places: Sequence[Place]) -> str:
    """What speaks against it that these are the patients; empty if nothing does."""
    if _are_cut(ids, places):
        return "patients whom files name are in several of them"
    if alike := _alike(ids):
        return f"{quoted(alike[0])} and {quoted(alike[1])} may be one patient"
    if _repeat(ids, places):
        return "files of the same names are in several of them"
    return ""


def _are_cut(ids: Sequence[str | None], places: Sequence[Place]) -> bool:
    """Whether a patient whom names of files name is in several of the folders."""
    folders: dict[str, set[str]] = collections.defaultdict(set)
    for name, place in zip(ids, places, strict=True):
        if named := file_names.read(place.file):
            folders[comparable(named.patient)].add(comparable(name or ""))
    return any(len(several) > 1 for several in folders.values())


def _alike(ids: Iterable[str | None]) -> list[str]:
    """The first ids of one number, as P1_a and P1_b, P1 and P01, or P1 and patient 1; empty if there are none."""
    spelled = {comparable(name): name for name in ids if name}
    by_number: dict[int, list[str]] = collections.defaultdict(list)
    for name in sorted(spelled):
        if match := _PATIENT.fullmatch(name):
            by_number[int(match["count"] or match["number"])].append(spelled[name])
    return next((several for several in by_number.values() if len(several) > 1), [])


def _repeat(ids: Sequence[str | None], places: Sequence[Place]) -> bool:
    """Whether most names of files, which do more than count them, are in several of the folders, with one label.

    The folders are then of copies, views or devices, and hold the same patients.
    """
    folders: dict[tuple[int, str], set[str]] = collections.defaultdict(set)
    for name, place in zip(ids, places, strict=True):
        if name:
            folders[place.label, comparable(os.path.splitext(place.file)[0])].add(comparable(name))
    repeated = [stem for (_, stem), several in folders.items() if len(several) > 1 and not _only_counts(stem)]
    return 2 * len(repeated) > len(folders)


def _only_counts(stem: str) -> bool:
    return not re.search(r"\d", stem) or bool(_COUNTING.fullmatch(stem))


def _tell(level: _Level) -> list[str]:
    told = [
        f"{len(level.names)} folders {level.where} the class folders are taken for patients, by their names: "
        f"{listed(level.names)}"
    ]
    cut = [name for name in level.names if _before_tail(name.strip()) != name.strip()]
    if cut:
        told.append(
            f"{len(cut)} folders of patients end in a view, a side or a slice, which is left off, as {quoted(cut[0])}: "
            f"the patient is {quoted(_before_tail(cut[0].strip()))}"
        )
    return told


def _tell_none(places: Sequence[Place], levels: Sequence[_Level], where: str, doubt: str) -> str:
    """Which folders there are not taken for patients; empty if there are none, or too few to be of patients."""
    here = [level for level in levels if level.where == where]
    paths = ["/".join(filter(None, folders)) for folders in zip(*(level.folders for level in here), strict=True)]
    names = sorted(set(filter(None, paths)))
    pairs = {(place.label, path) for place, path in zip(places, paths, strict=False) if path}
    if not names or (where == INSIDE and len(pairs) <= len(LABELS)):
        return ""
    why = f", since {doubt}" if doubt and any(level.is_of_patients for level in here) else ""
    return (
        f"{len(names)} folders {where} the class folders are not taken for patients{why}: {listed(names)}; "
        "if they are, say so in a groups.csv"
    )
