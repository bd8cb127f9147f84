"""The words for a cell's settings: in a group's title, a line of a table, a model card, the name of a draw."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from bcdl.settings.setting import LAST, Setting, Within, Words, rows

if TYPE_CHECKING:
    from bcdl.settings.cell import Cell


def title_words(cell: Cell) -> str:
    """The settings that all cells of a group have in common; without the data's name, which stands before them."""
    return ", ".join(_words(cell, "same"))


def line_words(cell: Cell) -> str:
    """How the model is trained, if not as usual; without model and weights, which have columns of their own."""
    return ", ".join(_words(cell, "line"))


def draw_words(cell: Cell) -> str:
    """The settings that chance decides: the seed, and the fold if there are several."""
    return ", ".join(_words(cell, "draw"))


def card_words(cell: Cell) -> list[str]:
    """How the model was trained, an item a setting; without seed, fold and what the card says elsewhere."""
    settings = [row for row in rows(type(cell)).values() if row.within_table in ("same", "line")]
    return _texts(cell, [row.card or row.words or _name_and_value(row) for row in settings])


def titles(cells: Iterable[Cell]) -> dict[Cell, str]:
    """The title of each cell; if several have the same, each says, too, the settings in which those differ."""
    alike: dict[str, list[Cell]] = {}
    for cell in dict.fromkeys(cells):
        alike.setdefault(cell.title, []).append(cell)
    apart = _apart(alike.values())
    return {
        cell: ", ".join([title, *(f"{name.replace('_', ' ')} {getattr(cell, name)}" for name in apart)])
        for title, same in alike.items()
        for cell in same
    }


def value_words(cell: Cell, names: Iterable[str]) -> str:
    """The values of the settings of these names, each with its name: `learning rate 0.0001, augment on`."""
    return ", ".join(f"{name.replace('_', ' ')} {value_word(cell, name)}" for name in names)


def value_word(cell: Cell, name: str) -> str:
    """The value of a setting as an option gives it."""
    value = getattr(cell, name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _apart(alike: Collection[Sequence[Cell]]) -> list[str]:
    """The settings, in order, in which cells of any of these differ that stand together."""
    differing = {
        name
        for same in alike
        if len(same) > 1
        for name in rows(type(same[0]))
        if len({getattr(cell, name) for cell in same}) > 1
    }
    return [name for name in rows(type(next(iter(alike))[0])) if name in differing] if differing else []


def _words(cell: Cell, within: Within) -> list[str]:
    """The words for the settings of one kind of `within_table`."""
    settings = [row for row in rows(type(cell)).values() if row.within_table == within]
    return _texts(cell, [row.words or _name_and_value(row) for row in settings])


def _texts(cell: Cell, words: list[Words]) -> list[str]:
    """The words in the order of their places, without empty ones."""
    return [text for each in sorted(words, key=lambda each: each.place) if (text := each.text(cell))]


def _name_and_value(row: Setting) -> Words:
    name = row.name.replace("_", " ")

    def text(cell: Cell) -> str:
        value = getattr(cell, row.name)
        return "" if value == row.usual else f"{name} {value:g}" if row.kind is float else f"{name} {value}"

    return Words(LAST, text)
