"""Images that show nothing: of one value alone, or of next to none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bcdl.datasets.mapped import release
from bcdl.errors import UsageError

_AT_ONCE_BYTES = 2**22  # of images, whose pages of a mapped file are given back together
_LEAST_SPAN = 32  # of 256 levels: what all images of a set together have, if anything is to be seen on them


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


def notices(images: np.ndarray) -> list[str]:
    """What a person should know of images [N, S, S, 3] uint8 that show nothing."""
    if not len(images):
        return []
    flat, low, high = 0, 255, 0
    step = max(1, _AT_ONCE_BYTES // images[0].nbytes)
    for start in range(0, len(images), step):
        some = images[start : start + step]
        ends = some[:, 0, 0] == some[:, -1, -1]  # of one colour are only images whose first and last pixel are equal
        flat += sum(map(_is_flat, some[ends.all(axis=1)]))
        low, high = min(low, int(some.min())), max(high, int(some.max()))
        release(images)
    found = [f"{flat} images are of one colour, and show nothing"] if flat else []
    if high - low < _LEAST_SPAN:
        found.append(
            f"{len(images)} images, all of them, have levels from {low} to {high} of 0 to 255 alone: look at one"
        )
    return found


def _is_flat(image: np.ndarray) -> bool:
    """Whether every pixel of an image is the same: then each byte is the one of the pixel before."""
    values = image.reshape(-1)
    return bool(np.array_equal(values[3:], values[:-3]))


def _words(value: np.ndarray) -> str:
    levels = [int(level) for level in value]
    return str(levels[0]) if len(set(levels)) == 1 else f"{tuple(levels)}"
