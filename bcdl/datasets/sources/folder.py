"""A folder of class folders, in one of the layouts that `bcdl.datasets.layouts` recognises.

BreaKHis file names give patient and magnification; a `groups.csv` (path, class, group) gives groups. No path in it is
opened: its rows count only for images that are in the folder. Links that lead out of the folder are left out, and
counted.
"""

from __future__ import annotations

import collections
import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bcdl.datasets import class_map, layouts, tree
from bcdl.datasets.dataset import Request
from bcdl.datasets.decode import decode, read_fingerprints, survey
from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.pixels import Depth
from bcdl.datasets.pool import GROUPS_FILE, LABELS, Pool
from bcdl.datasets.tree import Found
from bcdl.errors import UsageError
from bcdl.text import encodable

READS = "a folder of class folders (benign, malignant)"
RULES = 2  # raise when other images are read, or other groups are given to them: it counts in a data set's checksum
# SOB_<B|M>_<subtype>-<year>-<patient>-<magnification>-<sequence>.png (Spanhol et al. 2016, IEEE TBME 63(7)).
BREAKHIS = re.compile(r"SOB_[BM]_[A-Z]+-(?P<patient>\d+-\w+)-(?P<magnification>\d+)-\d+", re.ASCII)
_MOST_TABLE_BYTES = 64 * 2**20  # half a million images
_LONGEST_GROUP = 200  # letters; all names are kept at the length of the longest


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
    walked = tree.walk(root, stated)
    layout = layouts.recognise(walked, stated)
    files, kept = _keep_magnification(layout.files, request.magnification)
    groups, grouped, dropped = _groups(_place_of_groups(root, layout.base), files)
    left_out = layout.left_out + _unused(walked.tables, layout.base)
    notices = [*layout.notices, *tree.tell(left_out), *kept, *dropped]
    everything = files
    pairs = [(file, group) for file, group in zip(files, groups, strict=True) if group is not None]
    files = [file for file, _ in pairs]
    if not files:
        raise UsageError(f"data set {walked.called} has no images left to use: {'; '.join(notices) or 'it is empty'}")
    names = [file.name for file in files]
    seen = survey([file.path for file in everything], [file.name for file in everything], request.grey_bits)
    notices += seen.notices
    images, readable = decode(
        [file.path for file in files], names, request.image_size, request.skip_unreadable, seen.depth
    )
    if len(readable) < len(files):
        notices.append(f"{len(files) - len(readable)} unreadable images skipped")
    given = np.array([file.given or "" for file in files])[readable]
    return Pool(
        name=name_of(request.data),
        synthetic=False,
        images=images,
        labels=np.array([file.label for file in files], dtype=np.int64)[readable],
        groups=np.array([group for _, group in pairs])[readable],
        names=np.array(names)[readable],
        given=given if given.any() else None,
        known=np.full(len(readable), grouped),
        notices=tuple(notices),
        rules=RULES,
        facts={
            **seen.facts,
            "layout": layout.name,
            **({"class_map": class_map.facts(stated)} if stated else {}),
            **({"left_out": dict(sorted(left_out.items()))} if left_out else {}),
        },
        fingerprints=lambda: _fingerprints(everything, seen.depth),
    )


def _place_of_groups(root: Path, base: Path) -> Path:
    """The folder whose table of groups counts: that of the class folders, or the one that was named."""
    return base if (base / GROUPS_FILE).is_file() else root


def _unused(tables: Sequence[Found], base: Path) -> collections.Counter[str]:
    """How many tables say nothing that is read."""
    return +collections.Counter({tree.TABLES: sum(table.path != base / GROUPS_FILE for table in tables)})


def _fingerprints(files: list[ImageFile], depth: Depth) -> Fingerprints:
    fingerprints, readable = read_fingerprints([file.path for file in files], depth)
    names = np.array([file.name for file in files])
    return Fingerprints(fingerprints, names[readable], np.array([file.label for file in files])[readable])


def image_files(root: Path) -> list[Path]:
    """Every image under the folder, of whatever class, in a fixed order."""
    return [found.path for found in tree.walk(root).images]


def _keep_magnification(files: list[ImageFile], wanted: int) -> tuple[list[ImageFile], list[str]]:
    if not wanted:
        return files, []
    matches = [(file, BREAKHIS.match(file.path.name)) for file in files]
    kept = [file for file, match in matches if match and int(match["magnification"]) == wanted]
    if not kept:
        there = sorted({int(match["magnification"]) for _, match in matches if match})
        raise UsageError(
            f"no image has magnification {wanted}; "
            + (f"there are {', '.join(map(str, there))}" if there else "the file names are not BreaKHis names")
        )
    return kept, [f"{len(files) - len(kept)} images of other magnifications than {wanted}X left out"]


def _groups(root: Path, files: list[ImageFile]) -> tuple[list[str | None], bool, list[str]]:
    """Each file's group (None: drop the file), whether groups are known, and notices."""
    if (root / GROUPS_FILE).is_file():
        return _groups_from_csv(root / GROUPS_FILE, files)
    matches = [BREAKHIS.match(file.path.name) for file in files]
    if any(matches):
        return [m["patient"] if m else file.name for m, file in zip(matches, files, strict=True)], True, []
    return [file.name for file in files], False, []


def read_table(table: Path) -> list[dict[str, str]]:
    """The rows of a table of groups, each with path, class and group; UsageError if it is none."""
    if table.stat().st_size > _MOST_TABLE_BYTES:
        raise UsageError(
            f"{table.name} has {table.stat().st_size} bytes, more than {_MOST_TABLE_BYTES}; split the data"
        )
    try:
        with table.open(newline="", encoding="utf-8") as lines:
            rows = [
                {"path": row["path"], "class": row["class"].lower(), "group": row["group"]}
                for row in csv.DictReader(lines)
            ]
        long = next((row["group"] for row in rows if len(row["group"]) > _LONGEST_GROUP), None)
    except (KeyError, AttributeError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{table.name} is not a table with the columns path, class and group ({error!r})") from error
    if long:
        raise UsageError(f"{table.name} has a group of {len(long)} letters, {long[:20]!r}...; shorten it")
    return rows


def _groups_from_csv(table: Path, files: list[ImageFile]) -> tuple[list[str | None], bool, list[str]]:
    rows = read_table(table)
    listed = {row["path"]: row["group"] for row in rows}
    classes = collections.defaultdict(set)
    for row in rows:
        classes[row["group"]].add(row["class"])
    mixed = {group for group, kinds in classes.items() if len(kinds & LABELS.keys()) > 1}
    groups = [listed.get(file.name, file.name) for file in files]
    dropped = sum(group in mixed for group in groups)
    unlisted = sum(file.name not in listed for file in files)
    strange = len(listed.keys() - {file.name for file in files})
    notices = []
    if strange:
        notices.append(f"{strange} rows of {table.name} name no image that is used here: ignored")
    if mixed:
        notices.append(f"{len(mixed)} groups of {table.name} that mix benign and malignant dropped ({dropped} images)")
    if unlisted:
        notices.append(f"{unlisted} images are not in {table.name}: each is a group of its own")
    return [None if group in mixed else group for group in groups], True, notices
