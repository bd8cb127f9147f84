"""A folder of class folders, `benign/` and `malignant/`, with or without `train/`, `val/`, `test/` above.

BreaKHis file names give patient and magnification; a `groups.csv` (path, class, group) gives groups. No path in it is
opened: its rows count only for images that are in the folder. Links that lead out of the folder are left out, and
counted.
"""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bcdl.datasets import class_map, contradictions, groups, labels
from bcdl.datasets.dataset import Request
from bcdl.datasets.decode import EXTENSIONS, decode, read_fingerprints
from bcdl.datasets.duplicates import Duplicates, find
from bcdl.datasets.file_names import BREAKHIS
from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.groups import Groups
from bcdl.datasets.labels import Labelled
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.pool import CLASSES, GROUPS_FILE, LABELS, SPLITS, Pool
from bcdl.datasets.tree import Tree, tell, walk
from bcdl.errors import UsageError
from bcdl.text import comparable, encodable

READS = "a folder of class folders (benign, malignant)"
# 2: a patient with both classes stays whole; images that are the same under both labels are left out.
RULES = 2


def accepts(data: str) -> bool:
    return Path(data).is_dir()


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
    root = Path(request.data)
    stated = class_map.parse(request.class_map)
    tree = walk(root)
    of_table = labels.read(request.labels, tree, stated) if request.labels else None
    files, notices = (of_table.files, [*of_table.notices, *tell(of_table.left_out)]) if of_table else _list(root)
    files, kept = _keep_magnification(files, request.magnification)
    every = [image.name for image in tree.images]
    of_images = (of_table and of_table.groups) or groups.find(root, files, every, stated)
    duplicates = _duplicates(files, request.skip_unreadable)
    notices += [*kept, *of_images.notices, *contradictions.notices(duplicates)]
    dropped = contradictions.names(duplicates)
    left = [place for place, file in enumerate(files) if file.name not in dropped]
    if not left:
        raise UsageError(f"data set {root.name} has no images left to use: {'; '.join(notices)}")
    names = [files[place].name for place in left]
    paths = [files[place].path for place in left]
    images, readable = decode(paths, names, request.image_size, request.skip_unreadable)
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
        facts=_facts(of_images, of_table),
        duplicates=duplicates,
    )


def _facts(of_images: Groups, of_table: Labelled | None) -> dict[str, Any]:
    """What a record holds of how the folder was read; only what there is something to say of."""
    facts = {"groups_from": of_images.source, "labels": of_table and of_table.facts}
    return {name: fact for name, fact in facts.items() if fact}


def _duplicates(files: list[ImageFile], skip_unreadable: bool) -> Duplicates:
    """The duplicates among all images that can be read.

    If some can't be, and may not be skipped, none are looked for, since the images will be refused in a moment.
    """
    fingerprints, readable = read_fingerprints([file.path for file in files])
    if len(readable) < len(files) and not skip_unreadable:
        fingerprints, readable = fingerprints[:0], readable[:0]
    names, of_image = np.array([file.name for file in files]), np.array([file.label for file in files])
    return find(Fingerprints(fingerprints, names[readable], of_image[readable]))


def _list(root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images of the two classes in a fixed order, and notices of what else is there."""
    tops = _subfolders(root, root)
    splits = {name.lower(): folder for name, folder in tops.items() if name.lower() in SPLITS}
    parents: list[tuple[str | None, Path]] = [*splits.items()] or [(None, root)]
    class_folders = [(split, folder) for split, parent in parents for folder in _subfolders(root, parent).values()]
    listed: list[ImageFile] = []
    others: collections.Counter[str] = collections.Counter()
    for split, folder in class_folders:
        label = LABELS.get(folder.name.lower())
        images = sorted(p for p in _files(root, folder) if p.suffix.lower() in EXTENSIONS)
        if label is None:
            others[f"images of class {folder.name!r}"] += len(images)
        else:
            listed += [ImageFile(p, encodable(p.relative_to(root).as_posix()), label, split) for p in images]
    others["stray files"] = len(set(_files(root, root)) - {root / GROUPS_FILE}) - len(listed) - others.total()
    others["links out of the folder"] = sum(not _is_inside(root, path) for path in root.rglob("*"))
    missing = [name for name, label in LABELS.items() if all(file.label != label for file in listed)]
    if missing:
        raise UsageError(
            f"data set folder {root.name} has no {' and no '.join(missing)} images; it needs folders benign/ and "
            f"malignant/ of {', '.join(sorted(EXTENSIONS))} files, at its top or under train/, val/ and test/, "
            "and no links out of it"
        )
    return listed, [f"{count} {what} left out" for what, count in others.items() if count]


def kinds(tree: Tree) -> dict[str, str]:
    """The class of every image of a tree, by its name: benign or malignant, or else the name of its folder."""
    files = _list(tree.root)[0]
    return {image.name: comparable(image.path.parent.name) for image in tree.images} | {
        file.name: CLASSES[file.label] for file in files
    }


def _files(root: Path, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and _is_inside(root, path)]


def _subfolders(root: Path, folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and _is_inside(root, path)}


def _is_inside(root: Path, path: Path) -> bool:
    """Whether the path, links followed, lies in the data folder."""
    return path.resolve().is_relative_to(root.resolve())


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
