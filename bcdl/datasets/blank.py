"""Images that show nothing: of one value alone, of next to none, or near black beside others that are not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bcdl.datasets.mapped import release
from bcdl.datasets.pool import LABELS, SPLITS
from bcdl.errors import UsageError

_AT_ONCE_BYTES = 2**22  # of images, whose pages of a mapped file are given back together
_LEAST_SPAN = 32  # of 256 levels: what all images of a set together have, if anything is to be seen on them
# By how many times the greatest level of an image lies below that of the set, so that it is near black. The first (an
# image of 2 bits less) is told if it sets classes or splits apart, the second (3 bits) always.
_DARK, _DARKER = 4, 8
_FAR, _FEWEST = 0.5, 3  # shares of images that set classes or splits apart, if there are so many such images

_Parts = list[dict[str, np.ndarray]]  # for classes and for splits: the images [N] bool of each, by its name


def check(images: Iterable[np.ndarray], what: str) -> None:
    """UsageError if every pixel of all these images, each [S, S, 3] uint8, is the same; `what` names them."""
    count, value = 0, None
    for image in images:
        value = image[0, 0] if value is None else value
        if not _is_flat(image) or (image[0, 0] != value).any():
            return
        count += 1
    if value is not None:
        raise _refusal(count, _words(value), what)


def check_levels(levels: np.ndarray, what: str) -> None:
    """The same of images by their levels [N] int: that of an image of one level, -1 of any other."""
    if len(levels) and levels[0] >= 0 and (levels == levels[0]).all():
        raise _refusal(len(levels), str(levels[0]), what)


def _refusal(count: int, value: str, what: str) -> UsageError:
    return UsageError(
        f"every pixel of all {count} images of {what} is {value}; look at one of the files in a viewer: it "
        "may be damaged or empty, or its grey levels need --grey-bits"
    )


def notices(images: np.ndarray, labels: np.ndarray, given: np.ndarray | None) -> list[str]:
    """What a person should know of images that show nothing, or that are near black beside the others.

    Args:
        images: [N, S, S, 3] uint8.
        labels: [N] int64, 0 benign and 1 malignant.
        given: [N] str, the split that the source itself assigns to each; None if it assigns none.
    """
    if not len(images):
        return []
    flat, low, high = np.zeros(len(images), bool), 255, np.zeros(len(images), np.uint8)
    step = max(1, _AT_ONCE_BYTES // images[0].nbytes)
    for start in range(0, len(images), step):
        some = images[start : start + step]
        # Of one colour are only images whose first and last pixel are equal.
        perhaps = np.flatnonzero((some[:, 0, 0] == some[:, -1, -1]).all(axis=1))
        flat[start + perhaps] = [_is_flat(some[place]) for place in perhaps]
        low, high[start : start + step] = min(low, int(some.min())), some.max(axis=(1, 2, 3))
        release(images)
    parts = _parts(labels, given)
    found = []
    if flat.any():
        where = f" ({_counts(flat, parts)})" if _differ(flat, parts) else ""
        found.append(f"{np.count_nonzero(flat)} images are of one colour, and show nothing{where}")
    brightest = int(high.max())
    if brightest - low < _LEAST_SPAN:
        found.append(
            f"{len(images)} images, all of them, have levels from {low} to {brightest} of 0 to 255 alone: look at one"
        )
    return found + _dark_notices(high, flat, parts)


def _dark_notices(high: np.ndarray, flat: np.ndarray, parts: _Parts) -> list[str]:
    """A notice if images are near black beside the brightest; `high` [N] uint8 has the greatest level of each.

    They are measured by the others, so that a set that is dark as a whole has none.
    """
    brightest = int(high[~flat].max(initial=0))
    dark, darker = (~flat & (high <= round(brightest / share)) for share in (_DARK, _DARKER))
    differs = _differ(dark, parts)
    told = dark if differs else darker
    if not told.any():
        return []
    what = (
        f"{np.count_nonzero(told)} of {len(high)} images have no level above {high[told].max()} of 255, others have "
        f"{brightest} ({_counts(told, parts)})"
    )
    if not differs:
        return [f"{what}: they may be of another depth; look at some"]
    return [f"DARK: {what}: figures would tell of that, not of the disease; save all with one depth"]


def _parts(labels: np.ndarray, given: np.ndarray | None) -> _Parts:
    """The images of each class, and those of each split that the source assigns, under their names."""
    of_class = {kind: labels == label for kind, label in LABELS.items()}
    of_split = {} if given is None else {split: given == split for split in SPLITS}
    return [{name: which for name, which in kind.items() if which.any()} for kind in (of_class, of_split)]


def _differ(chosen: np.ndarray, parts: _Parts) -> bool:
    """Whether some images are chosen far more often in one class than in the other, or in one split than in another."""
    shares = [[chosen[which].mean() for which in kind.values()] for kind in parts if kind]
    return bool(chosen.sum() >= _FEWEST and any(max(kind) - min(kind) >= _FAR for kind in shares))


def _counts(chosen: np.ndarray, parts: _Parts) -> str:
    """How many images are chosen of each class and split."""
    return ", ".join(
        f"{np.count_nonzero(chosen & which)} of {np.count_nonzero(which)} {name}"
        for kind in parts
        for name, which in kind.items()
    )


def _is_flat(image: np.ndarray) -> bool:
    """Whether every pixel of an image is the same: then each byte is the one of the pixel before."""
    values = image.reshape(-1)
    return bool(np.array_equal(values[3:], values[:-3]))


def _words(value: np.ndarray) -> str:
    levels = [int(level) for level in value]
    return str(levels[0]) if len(set(levels)) == 1 else f"{tuple(levels)}"
