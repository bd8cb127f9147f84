"""Which image of a folder a path in a table means, however the path was written.

A table comes from another machine: with that machine's separators and folders above, in another Unicode form, with
another extension, or with no folder at all. Nothing is opened: paths are compared as text. A path that may mean two
images is never guessed.
"""

from __future__ import annotations

import collections
import enum
import posixpath
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

# What a table may write at the end of an image's name, whether or not it is read here.
_EXTENSION = re.compile(
    r"\.(?:png|jpe?g|jpe|jfif|jp2|tiff?|bmp|dib|webp|gif|p[bgnp]m|dcm|dicom|ima|mha|nii|npy|svs|heic)$", re.IGNORECASE
)
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:///?|[?#][^/]*$")  # how an address begins and ends


class Kind(enum.IntEnum):
    """How sure it is that a path means an image, surest first.

    Attributes:
        SAME: it is the image's path within the data set, but for separators and Unicode form.
        INSIDE: one is the end of the other.
        LOOSE: so, but for case or extension.
        NAME: both have other folders above, and only their ends agree, perhaps but for case or extension.
        AMBIGUOUS: it may mean several images.
        NONE: it means no image.
    """

    SAME = enum.auto()
    INSIDE = enum.auto()
    LOOSE = enum.auto()
    NAME = enum.auto()
    AMBIGUOUS = enum.auto()
    NONE = enum.auto()


class Match(NamedTuple):
    """How a path was matched, and the places of the images that it may mean: one, unless it is ambiguous or none."""

    kind: Kind
    places: tuple[int, ...] = ()


class Images:
    """The images of a folder, to be found by paths.

    Args:
        names: of all images in the folder, relative and with forward slashes: those too that are not used, so that a
            path that may mean one of them is not taken for another.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._parts = [_parts(name) for name in names]
        self._places = {name: place for place, name in enumerate(names)}
        self._whole = _index(("/".join(parts), place) for place, parts in enumerate(self._parts))
        self._ends: dict[str, list[int]] | None = None
        within = {tuple(parts[:-1]): frozenset(map(_caseless, parts[:-1])) for parts in self._parts}
        self._folders = [within[tuple(parts[:-1])] for parts in self._parts]
        self._all_folders = frozenset().union(*within.values())

    def find(self, path: str, fits: Callable[[int], bool] = lambda place: True) -> Match:
        """The image that a path means.

        Args:
            path: as a table has it.
            fits: whether the image of a place may be meant by what else the table says; not asked if the path is the
                image's own. An image is not meant, either, if a folder of the path is one of the data set in which
                the image is not.
        """
        if path in self._places:
            return Match(Kind.SAME, (self._places[path],))
        parts = _parts(path)
        if same := self._whole.get("/".join(parts)):
            return Match(Kind.SAME if len(same) == 1 else Kind.AMBIGUOUS, tuple(same))
        for length in range(len(parts), 0, -1):
            end = parts[-length:]
            elsewhere = self._all_folders & set(map(_caseless, parts[:-length]))  # the folders that are there
            fitting = [place for place in self._with_end(_loose(end)) if elsewhere <= self._folders[place]]
            fitting = list(filter(fits, fitting))
            if fitting:
                return self._best(fitting, end, length == len(parts))
        return Match(Kind.NONE)

    def _with_end(self, end: str) -> list[int]:
        """The images whose path ends so, loosely; the index of all ends is made when a table first needs it."""
        if self._ends is None:
            self._ends = _index(
                (_loose(parts[-length:]), place)
                for place, parts in enumerate(self._parts)
                for length in range(1, len(parts) + 1)
            )
        return self._ends.get(end, [])

    def _best(self, places: list[int], end: list[str], whole: bool) -> Match:
        """Of images that all end as the path does, loosely, those that do so most closely."""
        closeness = {place: _closeness(self._parts[place][-len(end) :], end) for place in places}
        least = min(closeness.values())
        best = tuple(place for place, how_unlike in closeness.items() if how_unlike == least)
        if len(best) > 1:
            return Match(Kind.AMBIGUOUS, best)
        if not whole and len(end) < len(self._parts[best[0]]):
            return Match(Kind.NAME, best)
        return Match(Kind.LOOSE if least else Kind.INSIDE, best)


def names_image(text: str) -> bool:
    """Whether a text ends as the name of an image does."""
    return bool(_EXTENSION.search(text))


def folders_above(path: str, name: str) -> tuple[str, str]:
    """The folders of a path in a table and of an image's name, above those that both end in."""
    parts, others = _parts(path)[:-1], _parts(name)[:-1]
    while parts and others and _caseless(parts[-1]) == _caseless(others[-1]):
        parts, others = parts[:-1], others[:-1]
    return "/".join(parts), "/".join(others)


def _index(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """The places by their keys."""
    places: dict[str, list[int]] = collections.defaultdict(list)
    for key, place in pairs:
        places[key].append(place)
    return dict(places)


def _parts(path: str) -> list[str]:
    """The folders and the name in a path, in one Unicode form; `.` and `..` are resolved, as far as that goes."""
    if _ADDRESS.match(path):
        path = urllib.parse.unquote(_ADDRESS.sub("", path))
    normal = posixpath.normpath(unicodedata.normalize("NFC", path).replace("\\", "/"))
    return [part for part in normal.split("/") if part not in ("", ".", "..")]


def _loose(parts: Sequence[str]) -> str:
    """A path in which case and extension do not count."""
    return _EXTENSION.sub("", _caseless("/".join(parts)))


def _caseless(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def _closeness(parts: Sequence[str], others: Sequence[str]) -> int:
    """How unlike two paths are that are loosely the same: 0 not at all, 1 in case, 2 in extension, 3 in both."""
    first, second = "/".join(parts), "/".join(others)
    if first == second:
        return 0
    if _caseless(first) == _caseless(second):
        return 1
    return 2 if _EXTENSION.sub("", first) == _EXTENSION.sub("", second) else 3
