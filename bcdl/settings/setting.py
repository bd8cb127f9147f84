"""One row a setting: what is known of a field of the cell. Options, checks, upgrades and words follow from it."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from typing import Any, Literal

Within = Literal["same", "line", "column", "draw"]

# The schema of the records from which on a setting must not rename the groups of records that do not have it: the names
# of older groups' files hold a digest of every setting that there was by then.
LAST_SCHEMA_OF_FULL_NAMES = 5


@dataclasses.dataclass(frozen=True)
class Words:
    """What a cell says of a setting in a title, a line or a card; the empty text if it says nothing.

    Attributes:
        place: words of a lower place come first.
        text: the words, made from the whole cell, since settings may be named together.
    """

    place: int
    text: Callable[[Any], str]


SILENT = Words(0, lambda cell: "")
LAST = 1000  # place of the words of settings that do not say theirs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A row: what is known of one field of the cell.

    Attributes:
        help: what the setting means, for `--help` and the README; names of values stand between backticks.
        within_table: whether cells of one table may differ in it: `same`, they may not; `line`, it makes a line of
            every table; `column`, it makes a column, as the backend does; `draw`, chance decides it, as a seed.
        given_by: who gives the value: an `option` named after the field; the `profile` alone; or the `command`, which
            has an option or argument of its own for it.
        aliases: other names of the option.
        metavar: what stands for the value in `--help`; empty for one that the kind of value gives.
        default: the value if neither option nor profile gives one; None if every profile gives one.
        choices: all values that an option or a profile may give; empty if there are others.
        least: the least value of a number.
        above: what a number must be greater than.
        most: the greatest value of a number; it has a `least`, too.
        several: whether the option takes several values, separated by commas, each of which makes a cell.
        wrong: what a message says of a wrong value, after the value; empty for what choices and bounds give.
        words: what titles (`same`), lines of tables (`line`) or draws (`draw`) say of it; None for its name and value
            if the value is not the usual one.
        card: what the model card's item on training says of it; None for the same as `words`.
        since: the first schema of records whose cells have the setting.
        before: the value that cells of older schemas had.
        name: of the field; filled in by `rows`.
        kind: type of the value; filled in by `rows`.
    """

    help: str
    within_table: Within = "same"
    given_by: Literal["option", "profile", "command"] = "option"
    aliases: tuple[str, ...] = ()
    metavar: str = ""
    default: Any = None
    choices: tuple[Any, ...] = ()
    least: int | None = None
    above: float | None = None
    most: float | None = None
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
        """The value of which nothing need be said: that of older records, which have no word for it, or the default."""
        return self.before if self.since > 1 else self.default

    @property
    def new(self) -> bool:
        """Whether the setting came when groups already had names, which it must not change."""
        return self.since > LAST_SCHEMA_OF_FULL_NAMES

    def read(self, value: object) -> Any:
        """`value` as the setting's kind, if it is one or the text of one; ValueError if it is not, or is out of range.

        It need not be one of the choices: a record may hold a word that this version does not know, and is kept. The
        message begins with the value: whoever catches it puts the name of the setting or of its option before it.
        """
        try:
            result = _typed(self.kind, value)
        except (ValueError, KeyError, OverflowError) as error:
            raise self._error(value) from error
        self.check(result, value)
        return result

    def choose(self, value: object) -> Any:
        """As `read`, and ValueError if it is none of the choices: what an option or a profile may ask for."""
        result = self.read(value)
        if self.choices and result not in self.choices:
            raise self._error(value)
        return result

    def check(self, value: Any, source: object = None) -> None:
        """ValueError if `value`, of the right kind, is out of range; it names `source` if it was made from that."""
        too_small = self.least is not None and value < self.least
        too_large = self.most is not None and value > self.most
        if too_small or too_large or (self.above is not None and value <= self.above):
            raise self._error(value if source is None else source)

    def choose_all(self, value: object) -> tuple[Any, ...]:
        """The values of a setting that takes several, of a text with commas or a profile's tuple; each of them once."""
        parts: typing.Iterable[object] = value if isinstance(value, tuple) else str(value).split(",")
        return tuple(dict.fromkeys(self.choose(part.strip() if isinstance(part, str) else part) for part in parts))

    def _error(self, value: object) -> ValueError:
        return ValueError(f"{str(value)[:40]!r} {self.wrong or self._wrong()}")

    def _wrong(self) -> str:
        if self.choices:
            return f"is unknown; use {', '.join(map(str, self.choices))}"
        noun = {int: "a whole number", float: "a number", bool: "True or False"}.get(self.kind, "a text")
        if self.most is not None:
            return f"is not {noun} from {self.least} to {self.most:g}"
        above = "" if self.above is None else f" above {self.above:g}"
        return f"is not {noun}{above}" + ("" if self.least is None else f" of {self.least} or more")


def rows(cell_type: type) -> dict[str, Setting]:
    """The rows of a cell's class by the names of its fields, in their order.

    Raises:
        TypeError: a field that has no row.
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
    """`value` as a `kind`, if it is one or the text of one; ValueError or KeyError if not. Floats may be integers."""
    if kind is bool and isinstance(value, str):
        return {"True": True, "False": False}[value]
    wanted = (int, float, str) if kind is float else (kind, str)
    if not isinstance(value, wanted) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(value)
    result = kind(value)
    if kind in (int, float) and not math.isfinite(result):
        raise ValueError(value)
    return result
