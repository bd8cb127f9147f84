"""Look for images that a folder of class folders holds twice, and compare them with its groups.csv, if there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bcdl.datasets import class_map, groups, layouts
from bcdl.datasets.decode import read_fingerprints, survey
from bcdl.datasets.duplicates import Duplicates, Names, find, recover
from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.groups import GroupsTable
from bcdl.datasets.pool import CLASSES, GROUPS_FILE
from bcdl.datasets.tree import Tree, tell, walk
from bcdl.errors import UsageError, run_command
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.text import quoted


def main() -> int:
    parser = Parser("leaks", __doc__)
    parser.add_argument("folder", type=Path, help="folder of images, with or without a groups.csv")
    root = parser.parse_args().folder
    tree = walk(root) if root.is_dir() else None
    if not tree or not tree.images:
        raise UsageError(f"{quoted(str(root))} is no folder with images in it; name a folder of images")
    there = groups.tables_of(root, layouts.base_of(tree))
    said = groups.read_table(there[0]) if there else None  # before the images: it may be refused
    duplicates, kinds = _search(tree)
    say(f"{duplicates.images} images, {duplicates.compared} of them large enough to compare for near-identical ones")
    _print("identical", duplicates.identical)
    _print("near-identical", duplicates.near)
    _print("identical, with different labels", duplicates.conflicting)
    _print("near-identical, with different labels", duplicates.near_conflicting)
    if said:
        for notice in groups.tell_others(there, root):
            say(f"note: {notice}")
        _print_groups(said, duplicates, kinds)
    return 0


def _search(tree: Tree) -> tuple[Duplicates, dict[str, str]]:
    """The duplicates among all images of a folder, and the class of each that can be read, by its name."""
    paths, every = [image.path for image in tree.images], [image.name for image in tree.images]
    seen = survey(paths, every, grey_bits=0)
    for notice in [*tell(tree.left_out), *tree.notices, *seen.notices]:
        say(f"note: {notice}")
    fingerprints, readable = read_fingerprints(paths, seen.depth)
    if unreadable := len(tree.images) - len(readable):
        say(f"note: {unreadable} unreadable images left out")
    if not len(readable):
        raise UsageError(
            f"none of the {len(tree.images)} images in {quoted(str(tree.root))} can be read; name another folder"
        )
    names = np.array(every)[readable]
    kinds = layouts.kinds(tree)
    labels = np.array([kinds[name] for name in names.tolist()])
    return find(Fingerprints(fingerprints, names, labels)), dict(zip(names.tolist(), labels.tolist(), strict=True))


def _print_groups(said: GroupsTable, duplicates: Duplicates, kinds: Mapping[str, str]) -> None:
    """Print how well the lists agree with the groups of a table, in all images and in those of the two classes."""
    labels = {name: label for name, kind in kinds.items() if (label := class_map.class_of(kind, {})) is not None}
    matched, _ = groups.match(said, labels, list(kinds), {})
    of_image = dict(zip(kinds, matched.places(list(kinds)), strict=True))
    group_of = {name: groups.key(said.groups[row]) for name, row in of_image.items() if row is not None}
    known = {name: group for name, group in group_of.items() if group}
    say("")
    for notice in [*said.table.notices, *matched.notices(list(kinds))]:
        say(f"note: {notice}")
    if unknown := len(kinds) - len(known):
        say(f"note: {unknown} images have no group in {said.table.name}")
    _print_recovery("all classes", duplicates, known)
    _print_recovery(" and ".join(CLASSES), duplicates, {name: known[name] for name in known if name in labels})


def _print(title: str, lists: Sequence[Names]) -> None:
    say("")
    say(f"{title}: {len(lists)} lists, {sum(map(len, lists))} images")
    for names in lists:
        say(f"  {', '.join(names)}")


def _print_recovery(title: str, duplicates: Duplicates, group_of: Mapping[str, str]) -> None:
    """Print how many of these groups of groups.csv the detector has recovered, and which it has not."""
    recovery = recover(duplicates.clusters, group_of)
    whole = recovery.groups - len(recovery.missed)
    say("")
    say(f"{title}: of {recovery.groups} groups of two images or more in {GROUPS_FILE}, {whole} are in one list whole")
    _print("  groups that are not", recovery.missed)
    _print("  lists that hold several groups", recovery.merged)


if __name__ == "__main__":
    run_command(main)
