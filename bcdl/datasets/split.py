"""Train, validation and test: no group cut, each with its share of images and of each class, whatever the backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from bcdl.datasets.balance import deal
from bcdl.datasets.dataset import Request
from bcdl.datasets.pool import FEW, LABELS, SPLITS, Pool
from bcdl.errors import UsageError

# One fold in five is the test set; of the rest, one in eight validates: 70, 10 and 20 percent.
TEST_FOLDS = 5
VAL_FOLDS = 8
# A share is told of if it is further off the one asked for than so much of all, or, if that is less, of itself.
TOLERANCE = (Fraction(3, 100), Fraction(3, 10))

_Parts = dict[str, np.ndarray]


def split(pool: Pool, request: Request) -> tuple[_Parts, list[str]]:
    """The indices of each split's images in the pool, and notices.

    A pool that its source has split is used as it is, unless folds or a split by image are asked for; if it lacks a
    validation split, one is taken from train, by group. The order of the pool's images does not matter.

    Raises:
        UsageError: a class or a split is missing, or a class has too few groups.
    """
    _check_classes(pool)
    if pool.given is not None and request.by_group and not request.folds:
        parts, notices = _complete(pool, request.split_seed)
    else:
        units = pool.groups if request.by_group else pool.names  # what is never cut
        parts = _fold(pool, units, request) if request.folds else _single(pool, units, request.split_seed)
        notices = [*_notices(pool, request), *_off(pool, units, parts, _weights(request.folds or TEST_FOLDS))]
    return parts, [*notices, *_few(pool, parts)]


def _weights(folds: int) -> dict[str, int]:
    """The shares of the splits if one fold of so many is the test set, as whole numbers."""
    return {"train": (folds - 1) * (VAL_FOLDS - 1), "val": folds - 1, "test": VAL_FOLDS}


def _single(pool: Pool, units: np.ndarray, seed: int) -> _Parts:
    return _dealt(pool, units, np.arange(len(pool.labels)), _weights(TEST_FOLDS), [seed])


def _fold(pool: Pool, units: np.ndarray, request: Request) -> _Parts:
    """The splits of one fold: every image is tested in one of them, whichever fold is asked for."""
    everything = np.arange(len(pool.labels))
    numbers = [str(fold) for fold in range(request.folds)]
    least = 2 if request.folds == 2 else 1  # one fold alone is left to train and to validate on
    folds = _dealt(pool, units, everything, dict.fromkeys(numbers, 1), [request.split_seed, request.folds], least)
    rest = np.sort(np.concatenate([folds[number] for number in numbers if number != str(request.fold)]))
    seed = [request.split_seed, request.folds, request.fold]
    return {**_dealt(pool, units, rest, _CARVED, seed), "test": folds[str(request.fold)]}


_CARVED = {"train": VAL_FOLDS - 1, "val": 1}


def _complete(pool: Pool, seed: int) -> tuple[_Parts, list[str]]:
    """The splits that the source gives, with a validation split if it has none."""
    parts = {name: np.flatnonzero(pool.given == name) for name in SPLITS}
    for name in ("train", "test"):
        counts = _counts(pool, parts[name])
        if not counts.all():
            raise UsageError(
                f"data set {pool.name} has a split {name} of {_by_class(counts)} images; give it both classes"
            )
    notices = []
    if not len(parts["val"]):
        carved = _dealt(pool, pool.groups, parts["train"], _CARVED, [seed])
        parts = {**carved, "test": parts["test"]}
        notices = [
            f"no validation split: {len(carved['val'])} images carved from train, by group",
            *_off(pool, pool.groups, carved, _CARVED),
        ]
    if not pool.groups_known().any():
        notices.append("no patients or groups are known: whether the given split cuts one can't be checked")
    return parts, notices


def _dealt(
    pool: Pool,
    units: np.ndarray,
    chosen: np.ndarray,
    weights: Mapping[str, int],
    seed: Sequence[int],
    least: int = 1,
) -> _Parts:
    """The images `chosen` in parts of these weights, each with both classes; no unit is cut."""
    _, place, counts = _table(pool, units, chosen)
    needed = least * len(weights)
    groups = (counts > 0).sum(axis=0)
    if groups.min() < needed:
        raise UsageError(
            f"data set {pool.name} has too few groups to split: {_by_class(groups)} ones left, and {needed} of each "
            "are needed (a group is a patient, or an image of no known patient; one may count for both classes)"
        )
    dealt = deal(counts, list(weights.values()), seed, least)[place]
    return {name: chosen[dealt == number] for number, name in enumerate(weights)}


def _table(pool: Pool, units: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The units of these images by name [G], the place of each image's [N], and the images of each by class [G, 2]."""
    names, place = np.unique(units[chosen], return_inverse=True)
    counts = np.zeros((len(names), len(LABELS)), np.int64)
    np.add.at(counts, (place, pool.labels[chosen]), 1)
    return names, place, counts


def _counts(pool: Pool, chosen: np.ndarray) -> np.ndarray:
    return np.bincount(pool.labels[chosen], minlength=len(LABELS))


def _by_class(counts: np.ndarray) -> str:
    """The counts in words: `3 benign and 0 malignant`."""
    return " and ".join(f"{count} {name}" for name, count in zip(LABELS, counts, strict=True))


def _check_classes(pool: Pool) -> None:
    for name, label in LABELS.items():
        if not (pool.labels == label).any():
            raise UsageError(f"data set {pool.name} has no {name} images; both classes are needed")


# What a person should know


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


def _off(pool: Pool, units: np.ndarray, parts: _Parts, weights: Mapping[str, int]) -> Iterator[str]:
    """A notice for the images, and for those of each class, if the shares of parts are not near those asked for."""
    names = [name for name in parts if name in weights]
    asked = [Fraction(weights[name], sum(weights[name] for name in names)) for name in names]
    _, _, counts = _table(pool, units, np.concatenate([parts[name] for name in names]))
    held = np.stack([_counts(pool, parts[name]) for name in names])
    quantities = {"images": (held.sum(axis=1), counts.sum(axis=1))}
    quantities |= {f"{name} images": (held[:, label], counts[:, label]) for name, label in LABELS.items()}
    for what, (of_parts, of_units) in quantities.items():
        had = [Fraction(int(count), int(of_units.sum())) for count in of_parts]
        if any(abs(has - wanted) > _tolerance(wanted) for has, wanted in zip(had, asked, strict=True)):
            yield (
                f"{'/'.join(map(str, of_parts))} {what} in {'/'.join(names)}, {_percents(had)} percent instead of "
                f"{_percents(asked)}: {_reason(what, of_units)}"
            )


def _tolerance(wanted: Fraction) -> Fraction:
    of_all, of_itself = TOLERANCE
    return min(of_all, of_itself * wanted)


def _percents(shares: Sequence[Fraction]) -> str:
    return "/".join(str(round(100 * share)) for share in shares)


def _reason(what: str, of_units: np.ndarray) -> str:
    """Why the shares of what units hold so much of are not what was asked for."""
    groups, everything, most = int((of_units > 0).sum()), int(of_units.sum()), int(of_units.max())
    if most == 1:
        return f"there are only {everything} {what} in all"
    if 2 * most > everything:
        return f"one group alone has {most} of the {everything}, and is not cut"
    return f"the {everything} are of {groups} groups, the largest with {most}, and none is cut"


def _few(pool: Pool, parts: _Parts) -> Iterator[str]:
    """A notice for each split of few images or groups of a class."""
    for name, chosen in parts.items():
        _, _, counts = _table(pool, pool.groups, chosen)
        by_class = zip(LABELS, counts.sum(axis=0), (counts > 0).sum(axis=0), strict=True)
        listed = [few(int(images), int(groups), kind) for kind, images, groups in by_class if groups < FEW]
        if listed:
            yield f"the {name} split has {' and '.join(listed)}: {_RESTS[name]}"


def few(images: int, groups: int, kind: str) -> str:
    """In words how few images of a class there are.

    >>> few(0, 0, "benign"), few(1, 1, "benign"), few(9, 2, "malignant")
    ('no benign images', 'only 1 benign image', 'only 9 malignant images of 2 groups')
    """
    if not images:
        return f"no {kind} images"
    of = "" if images == groups else f" of {groups} {'group' if groups == 1 else 'groups'}"
    return f"only {images} {kind} {'image' if images == 1 else 'images'}{of}"


_RESTS = {
    "train": "every model learns from no more",
    "val": "what validation chooses, the epoch kept and a threshold, rests on that",
    "test": "every figure of it rests on that",
}
