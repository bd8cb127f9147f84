"""A folder of images, whose classes folders say (`bcdl.datasets.layouts`) or a table (`bcdl.datasets.labels`).

Their patients are found by `bcdl.datasets.groups`. No path in a table is opened: its rows count only for images that
are in the folder. Links that lead out of the folder are left out, and counted.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bcdl.datasets import blank, class_map, contradictions, groups, labels, layouts, tree
from bcdl.datasets.dataset import LabelsTable, Request
from bcdl.datasets.decode import decode, read_fingerprints, survey
from bcdl.datasets.duplicates import find
from bcdl.datasets.file_names import BREAKHIS
from bcdl.datasets.fingerprint import FINGERPRINT, Fingerprinted, Fingerprints
from bcdl.datasets.groups import Groups
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.pixels import Depth
from bcdl.datasets.pool import Pool
from bcdl.datasets.private import Private
from bcdl.datasets.tree import Found, Tree
from bcdl.errors import UsageError
from bcdl.text import encodable, quoted

READS = "a folder of class folders (benign, malignant)"
# It counts in a data set's checksum: raise it when other images are read, or other groups are given to them.
# 2: more layouts are read; masks, previews and hidden files are no images; a patient with both classes stays whole;
# images that are the same under both labels are left out.
RULES = 2


def accepts(data: str) -> bool:
    try:
        return Path(data).is_dir()
    except OSError as error:  # of a name that is too long, for one
        raise UsageError(f"--data {quoted(data)}: {error.strerror}; name another path") from error


def is_name(data: str) -> bool:
    return False


def name_of(data: str) -> str:
    return encodable(Path(data).resolve().name)


def example(folder: Path) -> str:
    """A folder of 24 tiny noise images: two a patient, under BreaKHis names."""
    generator = np.random.default_rng(0)
    for kind, letter in (("benign", "B_A"), ("malignant", "M_DC")):
        (folder / "example" / kind).mkdir(parents=True, exist_ok=True)
        for index in range(12):
            pixels = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            name = f"SOB_{letter}-14-{letter[0]}{index // 2}-400-{index:03d}.png"
            Image.fromarray(pixels).save(folder / "example" / kind / name)
    return str(folder / "example")


def read(request: Request) -> Pool:
    stated = class_map.parse(request.class_map)
    walked = tree.walk(Path(request.data), stated)
    chosen = _by_table(request.labels, walked, stated) if request.labels else _by_folders(walked, stated)
    files, kept = _keep_magnification(chosen.files, request.magnification)
    of_images = chosen.groups_of(files)
    seen = survey([file.path for file in files], [file.name for file in files], request.grey_bits)
    fingerprints = _fingerprints(files, seen.depth, request.skip_unreadable)
    _check_not_blank(walked.called, files, fingerprints)
    duplicates = find(fingerprints)
    dropped = contradictions.names(duplicates)
    left = [place for place, file in enumerate(files) if file.name not in dropped]
    notices = [*chosen.tell(of_images), *kept, *of_images.notices, *seen.notices, *contradictions.notices(duplicates)]
    if not left:
        raise UsageError(f"data set {walked.called} has no images left to use: {'; '.join(notices) or 'it is empty'}")
    paths, names = [files[place].path for place in left], [files[place].name for place in left]
    images, readable = decode(paths, names, request.image_size, request.skip_unreadable, seen.depth)
    if len(readable) < len(left):
        notices.append(f"{len(left) - len(readable)} unreadable images skipped")
    used = np.array(left)[readable]
    given = np.array([file.given or "" for file in files])[used]
    return Pool(
        name=name_of(request.data),
        synthetic=False,
        images=images,
        labels=np.array([file.label for file in files], dtype=np.int64)[used],
        groups=np.array(of_images.ids)[used],
        names=np.array([file.name for file in files])[used],
        given=given if given.any() else None,
        known=np.array(of_images.known)[used],
        notices=tuple(notices),
        rules=RULES,
        facts={
            **seen.facts,
            **chosen.facts,
            **_left_out(chosen, len(files), len(left), len(readable)),
            **({"class_map": class_map.facts(stated)} if stated else {}),
            **({"groups_from": of_images.source} if of_images.source else {}),
        },
        duplicates=duplicates,
        private=_private(request, files, of_images, fingerprints),
    )


def _private(request: Request, files: Sequence[ImageFile], of_images: Groups, fingerprints: Fingerprints) -> Private:
    """Hides the names of files and groups; not what options name."""
    sha256 = (mark.tobytes() for mark in fingerprints.images.marks["sha256"])
    asked = [*class_map.facts(class_map.parse(request.class_map))]
    if request.labels:
        columns = (request.labels.image_column, request.labels.label_column, request.labels.group_column)
        asked += [Path(request.labels.file).name, *columns]
    names = [*(file.name for file in files), *of_images.ids]
    return Private.of(zip(fingerprints.names.tolist(), sha256, strict=True), names, asked)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The images of the two classes, and what is known of how they were chosen.

    Attributes:
        files: the images.
        groups_of: finds the groups of these of the images.
        left_out: by kind, how many files are none of them.
        notices, facts: as in `Pool`.
        of_patients: notices of patients by folders, if nothing else says them better.
    """

    files: list[ImageFile]
    groups_of: Callable[[Sequence[ImageFile]], Groups]
    left_out: collections.Counter[str]
    notices: list[str]
    facts: dict[str, Any]
    of_patients: Sequence[str] = ()

    def tell(self, of_images: Groups) -> list[str]:
        """The notices, those of patients by folders if these groups are of nothing better."""
        return [*self.notices, *(self.of_patients if of_images.source in ("", groups.FOLDERS) else ())]


def _by_folders(walked: Tree, stated: Mapping[str, int]) -> _Chosen:
    """The images of which the folders say the class."""
    layout = layouts.recognise(walked, stated)
    there = groups.tables_of(walked.root, layout.base)
    left_out = layout.left_out + _unused(walked.tables, *there[:1])
    return _Chosen(
        layout.files,
        lambda files: groups.find(next(iter(there), None), files, layout.every, stated),
        left_out,
        [*layout.notices, *groups.tell_others(there, walked.root), *tree.tell(left_out)],
        {"layout": layout.name},
        layout.of_patients,
    )


def _by_table(given: LabelsTable, walked: Tree, stated: Mapping[str, int]) -> _Chosen:
    """The images of which a table says the class."""
    labelled = labels.read(given, walked, stated)
    there = groups.tables_of(walked.root, walked.root)
    left_out = walked.left_out + labelled.left_out + _unused(walked.tables, Path(given.file), *there[:1])
    return _Chosen(
        labelled.files,
        lambda files: labelled.groups_of(files) or groups.find(next(iter(there), None), files, labelled.every, stated),
        left_out,
        [*labelled.notices, *walked.notices, *tree.tell(left_out)],
        {"layout": "any, classes by a table", "labels": labelled.facts},
        labelled.of_patients,
    )


def _left_out(chosen: _Chosen, kept: int, left: int, readable: int) -> dict[str, dict[str, int]]:
    """What a record holds of what is left out, for whatever reason; nothing if nothing is.

    Of the chosen images `kept` have the magnification that was asked for, `left` of these one label, and `readable` of
    these can be read.
    """
    counts = chosen.left_out + collections.Counter(
        {
            "images of other magnifications": len(chosen.files) - kept,
            "images under both labels": kept - left,
            "unreadable images": left - readable,
        }
    )
    told = {kind: count for kind, count in sorted(counts.items()) if count}
    return {"left_out": told} if told else {}


def _unused(tables: Sequence[Found], *used: Path) -> collections.Counter[str]:
    """How many tables say nothing that is read."""
    read = {file.resolve() for file in used}
    return +collections.Counter({tree.TABLES: sum(table.path.resolve() not in read for table in tables)})


def _fingerprints(files: Sequence[ImageFile], depth: Depth, skip_unreadable: bool) -> Fingerprints:
    """The fingerprints of all images that can be read.

    If some can't be, and may not be skipped, there are none: they are refused when they are decoded.
    """
    fingerprints, readable = read_fingerprints([file.path for file in files], depth)
    if len(readable) < len(files) and not skip_unreadable:
        fingerprints, readable = Fingerprinted.of(np.empty(0, FINGERPRINT)), readable[:0]
    names, of_image = np.array([file.name for file in files]), np.array([file.label for file in files])
    return Fingerprints(fingerprints, names[readable], of_image[readable])


def _check_not_blank(called: str, files: Sequence[ImageFile], fingerprints: Fingerprints) -> None:
    """UsageError if all images, or those of a split, are of one value, before they are left out as identical ones."""
    given = {file.name: file.given for file in files}
    splits = np.array([given[str(name)] or "" for name in fingerprints.names])
    for split in ("", *sorted(set(splits) - {""})):
        what = f"split {split} of data set {called}" if split else f"data set {called}"
        blank.check_levels(fingerprints.images.marks["level"][(splits == split) | (split == "")], what)


def _keep_magnification(files: list[ImageFile], wanted: int) -> tuple[list[ImageFile], list[str]]:
    if not wanted:
        return files, []
    matches = [(file, BREAKHIS.search(file.path.name)) for file in files]
    kept = [file for file, match in matches if match and int(match["magnification"]) == wanted]
    if not kept:
        there = sorted({int(match["magnification"]) for _, match in matches if match})
        raise UsageError(
            f"no image has magnification {wanted}; "
            + (f"there are {', '.join(map(str, there))}" if there else "the file names are not BreaKHis names")
        )
    return kept, [f"{len(files) - len(kept)} images of other magnifications than {wanted}X left out"]
