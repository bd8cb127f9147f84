"""Look for images that a folder of class folders holds twice, and compare them with its groups.csv, if there is one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bcdl.datasets.decode import read_fingerprints, survey
from bcdl.datasets.duplicates import Duplicates, Names, find, recover
from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.pool import GROUPS_FILE, LABELS
from bcdl.datasets.sources.folder import image_files, read_table
from bcdl.errors import UsageError, program, run_command
from bcdl.text import legible


def main() -> int:
    parser = argparse.ArgumentParser(prog=program("leaks"), description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of class folders, with or without a groups.csv")
    root = parser.parse_args().folder
    duplicates, names = _search(root)
    print(f"{duplicates.images} images, {duplicates.compared} of them large enough to compare for near-identical ones")
    _print("identical", duplicates.identical)
    _print("near-identical", duplicates.near)
    _print("identical, with different labels", duplicates.conflicting)
    _print("near-identical, with different labels", duplicates.near_conflicting)
    if (root / GROUPS_FILE).is_file():
        rows = [row for row in read_table(root / GROUPS_FILE) if row["path"] in names]
        _print_recovery("all classes", duplicates, rows)
        _print_recovery(" and ".join(LABELS), duplicates, [row for row in rows if row["class"] in LABELS])
    return 0


def _search(root: Path) -> tuple[Duplicates, set[str]]:
    """The duplicates among all images under the folder, and the names of the images that could be read."""
    files = image_files(root) if root.is_dir() else []
    if not files:
        raise UsageError(f"{str(root)!r} is no folder with images in it; name a folder of class folders")
    everything = [file.relative_to(root).as_posix() for file in files]
    seen = survey(files, everything, grey_bits=0)
    for notice in seen.notices:
        print(f"note: {notice}")
    fingerprints, readable = read_fingerprints(files, seen.depth)
    names = np.array(everything)[readable]
    labels = np.array([file.parent.name.lower() for file in files])[readable]
    if not len(names):
        raise UsageError(f"none of the {len(files)} images in {str(root)!r} can be read; name another folder")
    return find(Fingerprints(fingerprints, names, labels)), set(names.tolist())


def _print(title: str, lists: Sequence[Names]) -> None:
    print(f"\n{title}: {len(lists)} lists, {sum(map(len, lists))} images")
    for names in lists:
        print(f"  {', '.join(map(legible, names))}")


def _print_recovery(title: str, duplicates: Duplicates, rows: Sequence[Mapping[str, str]]) -> None:
    """Print how many of the groups in these rows of groups.csv the detector has recovered, and which it has not."""
    recovery = recover(duplicates.clusters, {row["path"]: row["group"] for row in rows})
    whole = recovery.groups - len(recovery.missed)
    print(
        f"\n{title}: of {recovery.groups} groups of two images or more in {GROUPS_FILE}, {whole} are in one list whole"
    )
    _print("  groups that are not", recovery.missed)
    _print("  lists that hold several groups", recovery.merged)


if __name__ == "__main__":
    run_command(main)
