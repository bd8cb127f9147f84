"""Train, validation and test: stratified by class, no group cut, the same on every backend."""

from __future__ import annotations

import numpy as np

from bcdl.datasets.pool import LABELS, SPLITS, Pool
from bcdl.errors import UsageError

# One fold in five is the test set; of the rest, one in eight validates: about 70, 10 and 20 percent.
TEST_FOLDS = 5
VAL_FOLDS = 8


def split(pool: Pool, seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Indices of each split into the pool, and notices.

    A pool that comes split is used as it stands; a validation split it lacks is carved from train by
    group. Raises UsageError where a class or a split is missing, or a class has under three groups.
    """
    _check_classes(pool)
    if pool.given is not None:
        parts = {name: np.flatnonzero(pool.given == name) for name in SPLITS}
        return _complete(pool, parts, seed)
    rest, test = _carve(pool, np.arange(len(pool.labels)), TEST_FOLDS, seed)
    train, val = _carve(pool, rest, VAL_FOLDS, seed)
    notices = [] if pool.grouped else ["no patients or groups are known: the split is by image, and may leak"]
    return {"train": train, "val": val, "test": test}, notices


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
        parts["train"], parts["val"] = _carve(pool, parts["train"], VAL_FOLDS, seed)
        notices.append(f"no validation split: {len(parts['val'])} images carved from train, by group")
    if pool.grouped:
        notices += _leaks(pool, parts)
    else:
        notices.append("no patients or groups are known: whether the given split leaks can't be checked")
    return parts, notices


def _leaks(pool: Pool, parts: dict[str, np.ndarray]) -> list[str]:
    groups = {name: set(pool.groups[chosen]) for name, chosen in parts.items()}
    pairs = [("train", "val"), ("train", "test"), ("val", "test")]
    shared = {(a, b): sorted(groups[a] & groups[b]) for a, b in pairs}
    return [
        f"LEAK: {len(names)} groups are in both {a} and {b}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for (a, b), names in shared.items()
        if names
    ]


def _carve(pool: Pool, chosen: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`chosen` in two, about 1 / `folds` of it in the second, both classes in both."""
    labels, groups = pool.labels[chosen], pool.groups[chosen]
    fewest = min(len(np.unique(groups[labels == label])) for label in LABELS.values())
    if fewest < 2:
        raise UsageError(
            f"data set {pool.name} has too few groups to split: only {fewest} with images of one class left, where "
            "train, val and test need one each (a group is a patient, or an image where no patients are known)"
        )
    # Here, so that data which comes split needs no scikit-learn.
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    for rest, fold in splitter.split(chosen, labels, groups):
        if all(len(np.unique(labels[part])) == len(LABELS) for part in (rest, fold)):
            return chosen[rest], chosen[fold]
    raise UsageError(
        f"data set {pool.name} can't be split with both classes on both sides; try another --split-seed, or split it "
        "yourself into train/, val/ and test/ folders"
    )
