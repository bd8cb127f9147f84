"""A folder of images, whose classes its folders say, in a layout of `bcdl.datasets.layouts`, or a table (`--labels`).

Patients are those that a table, folders or names of files say (`bcdl.datasets.groups`). No path in a table is opened:
its rows count only for images that are in the folder.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bcdl.datasets import class_map, contradictions, groups, labels, layouts, tree
from bcdl.datasets.dataset import Request
from bcdl.datasets.decode import decode, read_fingerprints, survey
from bcdl.datasets.duplicates import Duplicates, find
from bcdl.datasets.file_names import BREAKHIS
from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.groups import Groups
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.pixels import Depth
from bcdl.datasets.pool import GROUPS_FILE, Pool
from bcdl.datasets.tree import Tree
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
    except OSError as error:  # a name that is too long, or a folder above it that may not be searched
        raise UsageError(f"--data {quoted(data)}: {error.strerror}; name another folder") from error


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


class _Chosen(NamedTuple):
    """The images of the two classes, their groups, what is left out by kind, and facts and notices of how that came."""

    files: list[ImageFile]
    groups: Groups
    left_out: collections.Counter[str]
    facts: dict[str, Any]
    notices: list[str]


def read(request: Request) -> Pool:
    stated = class_map.parse(request.class_map)
    walked = tree.walk(Path(request.data), stated)
    choose = _by_table if request.labels else _by_folders
    files, of_images, left_out, facts, notices = choose(request, walked, stated)
    everything = [file.path for file in files]
    seen = survey(everything, [file.name for file in files], request.grey_bits)
    duplicates = _duplicates(files, request.skip_unreadable, seen.depth)
    notices += [*tree.tell(left_out), *seen.notices, *contradictions.notices(duplicates)]
    dropped = contradictions.names(duplicates)
    left = [place for place, file in enumerate(files) if file.name not in dropped]
    if not left:
        raise UsageError(f"data set {walked.called} has no images left to use: {'; '.join(notices)}")
    names = [files[place].name for place in left]
    paths = [files[place].path for place in left]
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
        facts=_facts(stated, of_images, left_out) | facts | seen.facts,
        duplicates=duplicates,
    )


def _by_folders(request: Request, walked: Tree, stated: Mapping[str, int]) -> _Chosen:
    """The images of which folders say the class."""
    layout = layouts.recognise(walked, stated)
    places, kept = _of_magnification(layout.files, request.magnification)
    files = [layout.files[place] for place in places]
    in_base = (layout.base / GROUPS_FILE).exists()
    of_images = groups.find(layout.base if in_base else walked.root, files, layout.every, stated)
    of_patients = layout.of_patients if of_images.source in ("", groups.FOLDERS) else []
    return _Chosen(
        files,
        of_images,
        layout.left_out + _unread_tables(walked, layout.base / GROUPS_FILE),
        {"layout": layout.name},
        [*layout.notices, *of_patients, *kept, *of_images.notices],
    )


def _by_table(request: Request, walked: Tree, stated: Mapping[str, int]) -> _Chosen:
    """The images of which the table of labels says the class."""
    assert request.labels
    read = labels.read(request.labels, walked, stated)
    places, kept = _of_magnification(read.files, request.magnification)
    files = [read.files[place] for place in places]
    if read.groups:
        of_images = dataclasses.replace(
            read.groups,
            ids=[read.groups.ids[place] for place in places],
            known=[read.groups.known[place] for place in places],
        )
    else:
        of_images = groups.find(walked.root, files, [image.name for image in walked.images], stated)
    return _Chosen(
        files,
        of_images,
        walked.left_out + read.left_out + _unread_tables(walked, Path(request.labels.file)),
        {"layout": "table", "labels": read.facts},
        [*walked.notices, *read.notices, *kept, *of_images.notices],
    )


def _unread_tables(walked: Tree, read: Path) -> collections.Counter[str]:
    """How many tables say nothing that counts: all but the one that is read and a table of groups at the top."""
    used = {path.resolve() for path in (read, walked.root / GROUPS_FILE)}
    return +collections.Counter({tree.TABLES: sum(table.path.resolve() not in used for table in walked.tables)})


def _of_magnification(files: list[ImageFile], wanted: int) -> tuple[list[int], list[str]]:
    """The places of the images of a BreaKHis magnification, of all if it is 0, and notices."""
    if not wanted:
        return list(range(len(files))), []
    matches = [BREAKHIS.search(file.path.name) for file in files]
    places = [place for place, match in enumerate(matches) if match and int(match["magnification"]) == wanted]
    if not places:
        there = sorted({int(match["magnification"]) for match in matches if match})
        raise UsageError(
            f"no image has magnification {wanted}; "
            + (f"there are {', '.join(map(str, there))}" if there else "the file names are not BreaKHis names")
        )
    return places, [f"{len(files) - len(places)} images of other magnifications than {wanted}X left out"]


def _duplicates(files: list[ImageFile], skip_unreadable: bool, depth: Depth) -> Duplicates:
    """The duplicates among all images that can be read.

    If some can't be, and may not be skipped, none are looked for, since the images will be refused in a moment.
    """
    fingerprints, readable = read_fingerprints([file.path for file in files], depth)
    if len(readable) < len(files) and not skip_unreadable:
        fingerprints, readable = fingerprints[:0], readable[:0]
    names, of_image = np.array([file.name for file in files]), np.array([file.label for file in files])
    return find(Fingerprints(fingerprints, names[readable], of_image[readable]))


def _facts(stated: Mapping[str, int], of_images: Groups, left_out: collections.Counter[str]) -> dict[str, Any]:
    """What a record holds of how the folder was read; only what there is something to say of."""
    facts = {
        "groups_from": of_images.source,
        "class_map": class_map.facts(stated),
        "left_out": dict(sorted(left_out.items())),
    }
    return {name: fact for name, fact in facts.items() if fact}
