"""Train, validation and test: stratified by class, no group cut, the same on every backend."""

from __future__ import annotations

import numpy as np

from bcdl.datasets.dataset import Request
from bcdl.datasets.pool import LABELS, SPLITS, Pool
from bcdl.errors import UsageError

# One fold in five is the test set; of the rest, one in eight validates: about 70, 10 and 20 percent.
TEST_FOLDS = 5
VAL_FOLDS = 8


def split(pool: Pool, request: Request) -> tuple[dict[str, np.ndarray], list[str]]:
    """The indices of each split's images in the pool, and notices.

    A pool that its source has split is used as it is, unless folds or a split by image are asked for; if it lacks a
    validation split, one is taken from train, by group.

    Raises:
        UsageError: a class or a split is missing, or a class has too few groups.
    """
    _check_classes(pool)
    if pool.given is not None and request.by_group and not request.folds:
        parts = {name: np.flatnonzero(pool.given == name) for name in SPLITS}
        return _complete(pool, parts, request.split_seed)
    units = pool.groups if request.by_group else np.arange(len(pool.labels)).astype(str)
    everything = np.arange(len(pool.labels))
    fold = request.fold if request.folds else None
    rest, test = _carve(pool, units, everything, request.folds or TEST_FOLDS, request.split_seed, fold)
    train, val = _carve(pool, units, rest, VAL_FOLDS, request.split_seed)
    return {"train": train, "val": val, "test": test}, _notices(pool, request)


def _notices(pool: Pool, request: Request) -> list[str]:
    notices = []
    if pool.given is not None:
        notices.append("the split that the data set brings is not used: another was asked for")
    if request.folds:
        notices.append(f"cross-validated over {request.folds} folds; of the rest, one image in {VAL_FOLDS} validates")
    if not request.by_group:
        notices.append("LEAKY: split by image, as was asked for, so that one patient's images stand on both sides")
    elif not pool.groups_known().any():
        notices.append("no patients or groups are known: the split is by image, and may leak")
    return notices


def _check_classes(pool: Pool) -> None:
    for name, label in LABELS.items():
        if not (pool.labels == label).any():
            raise UsageError(f"data set {pool.name} has no {name} images; both classes are needed")


def _complete(pool: Pool, parts: dict[str, np.ndarray], seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
    for name in ("train", "test"):
        if len(np.unique(pool.labels[parts[name]])) < len(LABELS):
            raise UsageError(f"data set {pool.name} has a split {name} without both classes; give it both")
    notices = []
    if not len(parts["val"]):
        parts["train"], parts["val"] = _carve(pool, pool.groups, parts["train"], VAL_FOLDS, seed)
        notices.append(f"no validation split: {len(parts['val'])} images carved from train, by group")
    if not pool.groups_known().any():
        notices.append("no patients or groups are known: whether the given split cuts one can't be checked")
    return parts, notices


def _carve(
    pool: Pool, units: np.ndarray, chosen: np.ndarray, folds: int, seed: int, fold: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The indices `chosen` in two parts with both classes, the second about 1 / `folds` of all; no unit is cut.

    The second part is that `fold`, or, if that is None, the first fold that has both classes; then there are at most
    as many folds as the class with fewer units has units.
    """
    labels, groups = pool.labels[chosen], units[chosen]
    fewest = min(len(np.unique(groups[labels == label])) for label in LABELS.values())
    needed = 2 if fold is None else folds
    if fewest < needed:
        raise UsageError(
            f"data set {pool.name} has too few groups to split: only {fewest} with images of one class left, where "
            f"{needed} are needed (a group is a patient, or an image where no patients are known)"
        )
    # Here, so that data which comes split needs no scikit-learn.
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    for number, (rest, part) in enumerate(splitter.split(chosen, labels, groups)):
        if fold in (None, number) and all(len(np.unique(labels[side])) == len(LABELS) for side in (rest, part)):
            return chosen[rest], chosen[part]
    raise UsageError(
        f"data set {pool.name} can't be split with both classes on both sides; try another --split-seed, or split it "
        "yourself into train/, val/ and test/ folders"
    )
