"""Rows: which row of a table speaks of which image."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence

from bcdl.datasets.matching import Images, Kind, folders_above
from bcdl.datasets.tables import Table
from bcdl.errors import UsageError
from bcdl.text import legible

_SHOWN = 80  # letters of a path or of a row in a message


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a table by the images that they speak of.

    Attributes:
        table: its name.
        paths: of each row, as it stands there.
        of_image: the rows that speak of an image, by its name: several if they say the same.
        kinds: how sure that is, by the image's name.
        ambiguous: the rows whose path may mean several images, with the names of those.
        contested: the rows that may mean the image that others may mean, too, and say something else.
        scattered: the rows whose base name is an image's, if folders of the table do not become those of the data set
            in one way.
    """

    table: str
    paths: Sequence[str]
    of_image: dict[str, list[int]]
    kinds: dict[str, Kind]
    ambiguous: dict[int, list[str]]
    contested: list[int]
    scattered: dict[int, str]

    def places(self, names: Sequence[str]) -> list[int | None]:
        """The row of each of these images, None if there is none.

        Raises:
            UsageError: there is none for any of them.
        """
        places = [self.of_image[name][0] if name in self.of_image else None for name in names]
        if not self.paths:
            raise UsageError(f"{self.table} has a header and no rows; it needs one for each image")
        if all(place is None for place in places):
            raise UsageError(
                f"none of the {len(self.paths)} rows of {self.table} can be matched to one of the {len(names)} images: "
                f"the table has {_shown(self.paths[0])}, the folder {_shown(names[0])}; make its paths those of the "
                "folder"
            )
        return places

    def notices(self, used: Sequence[str]) -> list[str]:
        """What a person should know, a line each; `used` are the names of the images that are used."""
        matched = [name for name in used if name in self.of_image]
        others = [name for name in matched if self.kinds[name] != Kind.SAME]
        speaking = sum(len(self.of_image[name]) for name in matched)
        strange = len(self.paths) - speaking - len(self.ambiguous) - len(self.contested) - len(self.scattered)
        lines = []
        if others:
            path = self.paths[self.of_image[others[0]][0]]
            lines.append(
                f"{len(others)} images have another path in {self.table}, as {_shown(path)} for {_shown(others[0])}"
            )
        if strange:
            lines.append(f"{strange} rows of {self.table} name no image that is used here: ignored")
        if self.ambiguous:
            row, names = next(iter(self.ambiguous.items()))
            lines.append(
                f"{len(self.ambiguous)} rows of {self.table} may mean several images, as {_shown(self.paths[row])} for "
                f"{' or '.join(map(_shown, names[:2]))}: not used"
            )
        if self.contested:
            lines.append(
                f"{len(self.contested)} rows of {self.table} may mean one image as others that say something else, "
                f"as {_shown(self.paths[self.contested[0]])}: not used"
            )
        if self.scattered:
            row, name = next(iter(self.scattered.items()))
            lines.append(
                f"{len(self.scattered)} rows of {self.table} are in folders that are not those of the images of their "
                f"names, in no one way, as {_shown(self.paths[row])} for {_shown(name)}: not used"
            )
        return lines


def match(
    table: Table,
    paths: Sequence[str],
    said: Sequence[Hashable],
    every: Sequence[str],
    fits: Callable[[int, str], bool] = lambda row, name: True,
) -> Rows:
    """Find which row of a table speaks of which image.

    Args:
        table: the table.
        paths: of each of its rows.
        said: what each row says, to be compared with what others say of the same image.
        every: the names of all images in the folder, used or not.
        fits: whether a row may speak of the image of a name, by what else it says.

    Raises:
        UsageError: two rows that surely speak of one image contradict each other.
    """
    images = Images(every)
    ambiguous: dict[int, list[str]] = {}
    claims: dict[str, list[tuple[Kind, int]]] = collections.defaultdict(list)
    for row, path in enumerate(paths):
        kind, places = images.find(path, lambda place, row=row: fits(row, every[place]))  # type: ignore[misc]
        if kind == Kind.AMBIGUOUS:
            ambiguous[row] = [every[place] for place in places]
        elif kind != Kind.NONE:
            claims[every[places[0]]].append((kind, row))
    scattered = _scattered(paths, claims)
    of_image: dict[str, list[int]] = {}
    contested: list[int] = []
    for name, of_name in claims.items():
        of_name[:] = [(kind, row) for kind, row in of_name if row not in scattered]
        sure = [row for kind, row in of_name if kind <= Kind.LOOSE]
        exact = [row for kind, row in of_name if kind <= Kind.INSIDE] or sure
        if len({said[row] for row in exact}) > 1:
            raise UsageError(_contradiction(table, name, exact, said))
        speaking = [row for row in sure if said[row] == said[exact[0]]] or [row for _, row in of_name]
        contested += [row for row in sure if row not in speaking]
        if len({said[row] for row in speaking}) == 1:
            of_image[name] = speaking
        else:
            contested += speaking
    kinds = {name: min(kind for kind, _ in claims[name]) for name in of_image}
    return Rows(table.name, paths, of_image, kinds, ambiguous, contested, scattered)


def _scattered(paths: Sequence[str], claims: Mapping[str, Sequence[tuple[Kind, int]]]) -> dict[int, str]:
    """The rows that are matched by name alone, with the image's name, unless one folder always stands for another.

    One folder of the table may have become several, and several one: both at once is chance, not another place.
    """
    by_name = {row: name for name, of_name in claims.items() for kind, row in of_name if kind == Kind.NAME}
    moves = {folders_above(paths[row], name) for row, name in by_name.items()}
    sources, targets = (len(set(folders)) for folders in zip(*moves, strict=True)) if moves else (0, 0)
    return by_name if len(moves) > max(sources, targets) else {}


def _contradiction(table: Table, name: str, speaking: Sequence[int], said: Sequence[Hashable]) -> str:
    first = speaking[0]
    second = next(row for row in speaking if said[row] != said[first])
    shown = [
        f"line {table.rows[row].line}, {legible(' | '.join(table.rows[row].cells), _SHOWN)!r}"
        for row in (first, second)
    ]
    return f"{table.name} says two things of the image {_shown(name)}: {' and '.join(shown)}; keep one of them"


def _shown(path: str) -> str:
    return repr(legible(path, _SHOWN))
