"""The row of a setting: all that is known of one field of the cell. Options, checks, upgrades and words follow."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from typing import Any, Literal

Within = Literal["same", "line", "column", "draw"]

# The names of a group's files hold a digest of all settings up to this schema of records. A setting that came later
# counts in it only if it has another value than the records from before it, so that it renames no file of theirs.
LAST_SCHEMA_OF_FULL_NAMES = 5


@dataclasses.dataclass(frozen=True)
class Words:
    """The words for a setting in a title, a line or a card.

    Attributes:
        place: words of a lower place come first.
        text: makes the words, from the whole cell, since they may name several settings; empty if they name none.
    """

    place: int
    text: Callable[[Any], str]


SILENT = Words(0, lambda cell: "")
LAST = 1000  # place of the words of settings that do not say theirs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A row: all that is known of one field of the cell.

    Attributes:
        help: what the setting means, for `--help` and the README; names of values stand between backticks.
        within_table: whether cells of one table may differ in it: `same`, they may not; `line`, it makes a line of
            every table; `column`, it makes a column, as the backend does; `draw`, chance decides it, as a seed.
        given_by: who gives the value: an `option` named after the field; the `profile` alone; or the `command`, which
            has an option or argument of its own for it.
        aliases: other names of the option.
        metavar: what stands for the value in `--help`; empty if it follows from the kind of value.
        default: the value if neither option nor profile gives one; None if every profile gives one.
        choices: all values that an option or a profile may give; empty if there is no such list.
        least, most: the least and the greatest value of a number, which has both unless it has choices.
        same_model: whether cells that differ in it train the same model, from other weights or on other images: if no
            speed is measured, one process builds and compiles it for all of them.
        several: whether the option takes several values, separated by commas, each of which makes a cell.
        wrong: what a message says of a wrong value, after the value; empty if it follows from choices and bounds.
        words: its words in titles (`same`), lines of tables (`line`) or draws (`draw`); None for its name and value,
            if the value is not the usual one.
        card: its words in the model card's item on training; None for those of `words`.
        since: the first schema of records whose cells have the setting.
        before: the value that cells of older schemas had.
        name: that of the field; `rows` fills it in.
        kind: type of the value; `rows` fills it in.
    """

    help: str
    within_table: Within = "same"
    given_by: Literal["option", "profile", "command"] = "option"
    aliases: tuple[str, ...] = ()
    metavar: str = ""
    default: Any = None
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    same_model: bool = False
    several: bool = False
    wrong: str = ""
    words: Words | None = None
    card: Words | None = None
    since: int = 1
    before: Any = None
    name: str = ""
    kind: type = str

    @property
    def option(self) -> str:
        """The option's name, as messages give it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def usual(self) -> Any:
        """The value that needs no words: that of records from before the setting, or, without any, the default."""
        return self.before if self.since > 1 else self.default

    @property
    def new(self) -> bool:
        """Whether the setting came after `LAST_SCHEMA_OF_FULL_NAMES`."""
        return self.since > LAST_SCHEMA_OF_FULL_NAMES

    def read(self, value: object) -> Any:
        """`value`, of the setting's kind or the text of such a value, as that kind.

        It need not be one of the choices: a record may hold a word that this version does not know.

        Raises:
            ValueError: the value is of another kind or out of range. The message begins with the value: whoever catches
                it puts the name of the setting or of its option before it.
        """
        try:
            result = _typed(self.kind, value)
        except (ValueError, KeyError, OverflowError) as error:
            raise self._error(value) from error
        self.check(result, value)
        return result

    def choose(self, value: object) -> Any:
        """As `read`, for what an option or a profile asks for: ValueError also if it is none of the choices."""
        result = self.read(value)
        if self.choices and result not in self.choices:
            raise self._error(value)
        return result

    def check(self, value: Any, source: object = None) -> None:
        """Raise ValueError if `value`, of the right kind, is out of range; it names the `source`, if one was read."""
        too_small = self.least is not None and value < self.least
        too_large = self.most is not None and value > self.most
        if too_small or too_large:
            raise self._error(value if source is None else source)

    def choose_all(self, value: object) -> tuple[Any, ...]:
        """The values, each once, of a setting that takes several: from a text with commas, or a profile's tuple."""
        parts: typing.Iterable[object] = value if isinstance(value, tuple) else str(value).split(",")
        return tuple(dict.fromkeys(self.choose(part.strip() if isinstance(part, str) else part) for part in parts))

    def _error(self, value: object) -> ValueError:
        return ValueError(f"{str(value)[:40]!r} {self.wrong or self._wrong()}")

    def _wrong(self) -> str:
        if self.choices:
            return f"is unknown; use {', '.join(map(str, self.choices))}"
        noun = {int: "a whole number", float: "a number", bool: "True or False"}.get(self.kind, "a text")
        if self.least is None:
            return f"is not {noun}"
        if self.most is None:
            return f"is not {noun} of {bound_in_words(self.least)} or more"
        return f"is not {noun} from {bound_in_words(self.least)} to {bound_in_words(self.most)}"


def bound_in_words(number: float) -> str:
    """The least or most that a number may be, for the message about one that is not."""
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def rows(cell_type: type) -> dict[str, Setting]:
    """The rows of a cell's class by the names of its fields, in their order.

    Raises:
        TypeError: a field has no row.
    """
    return _rows(cell_type)


@functools.cache
def _rows(cell_type: type) -> dict[str, Setting]:
    hints = typing.get_type_hints(cell_type, include_extras=True)
    return {field.name: _row(field.name, hints[field.name]) for field in dataclasses.fields(cell_type)}


def _row(name: str, hint: Any) -> Setting:
    for part in typing.get_args(hint)[1:]:
        if isinstance(part, Setting):
            return dataclasses.replace(part, name=name, kind=typing.get_args(hint)[0])
    raise TypeError(f"{name} has no row; write it as {name}: Annotated[TYPE, Setting(...)]")


def _typed(kind: type, value: object) -> Any:
    """`value`, of that kind or the text of such a value, as that kind; an integer counts as a float.

    Raises:
        ValueError, KeyError, OverflowError: it is of another kind.
    """
    if kind is bool and isinstance(value, str):
        return {"True": True, "False": False}[value]
    accepted = (int, float, str) if kind is float else (kind, str)
    if not isinstance(value, accepted) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(value)
    result = kind(value)
    if kind in (int, float) and not math.isfinite(result):
        raise ValueError(value)
    return result
