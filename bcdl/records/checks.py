"""Whether a JSON value is what its shape and rows say: of its types, within its ranges. See `bcdl.records.fields`.

A line that passes holds nothing that a reader need fear: what is of another type, not finite, out of range or nested
too deeply is named, with its place, and the line is left out.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
import reprlib
import types
import typing
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from bcdl.records.fields import LARGEST_WHOLE, MOMENT, Field, Range, of, part_of
from bcdl.records.line import REMEMBERED
from bcdl.records.shapes import KEYS
from bcdl.settings.setting import bound_in_words
from bcdl.text import legible

Check = Callable[[Any], None]  # raises MisfitError if a value is not what it should be

_SHOWN = 60  # letters of a value in a message
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = _SHOWN
_DEPTH = 20  # levels of what no row describes; code that walks a value calls itself for each
_SIMPLE = {str, int, float, bool, types.NoneType}


class MisfitError(ValueError):
    """A value that is not what its row says; the message begins with its place in the line.

    Attributes:
        path: the names that lead to it.
        problem: the value, and what it should be.
    """

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{'.'.join(legible(name, _SHOWN) for name in path)} {problem}".strip())

    def within(self, name: str) -> MisfitError:
        """The same of a value that holds the value by that name."""
        return MisfitError(self.problem, (name, *self.path))


def _not(value: Any, wanted: str) -> MisfitError:
    return MisfitError(f"is {legible(_SHORT.repr(value), _SHOWN)}, not {wanted}")


def check_parts(parts: Mapping[str, Check], values: Mapping[str, Any]) -> None:
    """MisfitError if a value fails the check of its name; names without a check are left alone."""
    for name, check in parts.items():
        if name in values:
            try:
                check(values[name])
            except MisfitError as misfit:
                raise misfit.within(name) from None


def check_shape(shape: Any, value: Any) -> None:
    """MisfitError if the value is not of the shape, a TypedDict, or a part of it is not what its row says."""
    _of_parts(shape)(value)


def remembering(check: Check) -> Check:
    """The check without those of the last objects that passed it, which nobody changes: lines share them."""
    passed: deque[Any] = deque(maxlen=REMEMBERED)

    def check_new(value: Any) -> None:
        if not any(value is known for known in passed):
            check(value)
            passed.append(value)

    return check_new


@functools.cache
def of_shape(shape: Any) -> Mapping[str, Check]:
    """The check of each field of a shape, a TypedDict or a data class, by its name."""
    return {name: _of(hint, field) for name, (hint, field) in of(shape).items()}


def _of(hint: Any, field: Field) -> Check:
    """The check of a value of the type, to whose numbers and texts the row applies."""
    if hint is Any:
        return _check_depth
    if dataclasses.is_dataclass(hint) or typing.is_typeddict(hint):
        return _of_parts(hint)
    origin = typing.get_origin(hint)
    if origin is list:
        return _of_list(typing.get_args(hint)[0], field)
    if origin is tuple:
        return _of_tuple(typing.get_args(hint), field)
    if origin is dict:
        return _of_dict(typing.get_args(hint)[1], field)
    if isinstance(hint, types.UnionType) and part_of(hint):
        inner = _of(part_of(hint), field)
        return lambda value: None if value is None else inner(value)
    return _of_simple_value(hint, field)


def _of_parts(shape: Any) -> Check:
    parts = of_shape(shape)
    required: frozenset[str] = getattr(shape, "__required_keys__", frozenset())

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise _not(value, "an object")
        if not required <= value.keys():
            raise MisfitError(f"lacks {', '.join(sorted(required - value.keys()))}")
        check_parts(parts, value)
        for name in value.keys() - parts.keys():
            check_parts({name: _check_depth}, value)

    return check


def _of_list(hint: Any, field: Field) -> Check:
    each = _of_each(hint, field)

    def check(value: Any) -> None:
        if not isinstance(value, list):
            raise _not(value, "a list")
        each(value)

    return check


def _of_tuple(hints: tuple[Any, ...], field: Field) -> Check:
    checks = [_of(hint, field) for hint in hints]

    def check(value: Any) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != len(checks):
            raise _not(value, f"a list of {len(checks)}")
        for part, check_part in zip(value, checks, strict=True):
            check_part(part)

    return check


def _of_dict(hint: Any, field: Field) -> Check:
    each = _of_each(hint, field)
    of_entry = _of_entries(hint, field)

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise _not(value, "an object")
        if of_entry is None:
            try:
                return each(value.values())
            except MisfitError:
                pass  # the loop below says whose value it is
        check_entry = of_entry or (lambda name: _of(hint, field))
        for name in value:
            check_parts({name: check_entry(name)}, value)
        return None

    return check


def _of_entries(hint: Any, field: Field) -> Callable[[str], Check] | None:
    """The check of an entry by its name, if a dict has rows for its entries."""
    if not field.entries:
        return None
    return functools.lru_cache(maxsize=1000)(lambda name: _of(hint, entry_of(field, name)))


def entry_of(field: Field, name: str) -> Field:
    """The row of the entry of that name; that of the whole if none describes it."""
    for described, entry in field.entries.items():
        if matched := _pattern(described).fullmatch(name):
            return entry if "figure" not in matched.groupdict() else entry_of(field, matched["figure"])
    return field


@functools.cache
def _pattern(described: str) -> re.Pattern[str]:
    """A pattern of the names that a described name stands for."""

    def known(key: re.Match[str]) -> str:
        return f"(?P<{key[1]}>{'|'.join(map(re.escape, KEYS[key[1]][1])) or '.+'})"

    return re.compile(re.sub(r"<(\w+)>", known, described))


def _of_each(hint: Any, field: Field) -> Callable[[Collection[Any]], None]:
    """A check of all values of a collection, which are of one type; without a call for each simple value."""
    if _simple_types(hint):
        return _of_simple_values(hint, field)
    check = _of(hint, field)
    flat = _of_flat(hint, field)

    def check_each(values: Collection[Any]) -> None:
        if flat(values):
            return  # the loop below says which is no such value
        for place, value in enumerate(values, start=1):
            try:
                check(value)
            except MisfitError as misfit:
                raise misfit.within(f"[{place}]") from None

    return check_each


def _of_flat(hint: Any, field: Field) -> Callable[[Collection[Any]], bool]:
    """Whether all values are what they should be, if they are tuples of one simple type: all their parts at once."""
    parts = typing.get_args(hint) if typing.get_origin(hint) is tuple else ()
    if len(set(parts)) != 1 or not _simple_types(parts[0]):
        return lambda values: False
    check_parts_of_all = _of_simple_values(parts[0], field)

    def are_right(values: Collection[Any]) -> bool:
        if not ({list, tuple}.issuperset(map(type, values)) and {len(parts)}.issuperset(map(len, values))):
            return False
        try:
            check_parts_of_all(list(itertools.chain.from_iterable(values)))
        except MisfitError:
            return False
        return True

    return are_right


def _of_simple_value(hint: Any, field: Field) -> Check:
    """As `_of_simple_values`, of one value: most of a line's are of the right type and in range."""
    check_all = _of_simple_values(hint, field)
    kinds, (least, most) = _simple_types(hint), range_of(hint, field)
    is_free = not field.choices and field.unit != MOMENT
    numbers = kinds & {int, float} if is_free else frozenset()
    others = kinds - {int, float} if is_free else frozenset()

    def check(value: Any) -> None:
        kind = type(value)
        if not (kind in others or (kind in numbers and least <= value <= most)):
            check_all((value,))

    return check


def _of_simple_values(hint: Any, field: Field) -> Callable[[Collection[Any]], None]:
    kinds = _simple_types(hint)
    allowed = range_of(hint, field)
    wanted = _in_words(kinds, field, allowed)
    is_number, is_moment = bool(kinds & {int, float}), str in kinds and field.unit == MOMENT

    def check(values: Collection[Any]) -> None:
        if not kinds.issuperset(map(type, values)):
            raise _not(next(value for value in values if type(value) not in kinds), wanted)
        if is_number:
            _check_range(values, allowed, wanted)
        if field.choices and not set(field.choices).issuperset(values):
            raise _not(next(value for value in values if value not in field.choices), wanted)
        if is_moment and not all(map(_is_moment, values)):
            raise _not(next(value for value in values if not _is_moment(value)), wanted)

    return check


def _check_range(values: Collection[Any], allowed: Range, wanted: str) -> None:
    numbers = [value for value in values if value is not None] if None in values else values
    if not numbers or (allowed.least <= min(numbers) and max(numbers) <= allowed.most and not math.isnan(sum(numbers))):
        return
    raise _not(next(number for number in numbers if not allowed.least <= number <= allowed.most), wanted)


def _simple_types(hint: Any) -> frozenset[type]:
    """The types that a simple JSON value may have to be of the type; empty if that is no simple type."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    integers: set[type] = {int} if float in parts else set()
    return frozenset(integers.union(parts)) if set(parts) <= _SIMPLE else frozenset()


_NOUNS = ((str, "a text"), (bool, "true or false"), (float, "a number"), (int, "a whole number"))


def range_of(hint: Any, field: Field) -> Range:
    """What a number of the type may be by its row."""
    least, most = field.range
    is_whole = float not in _simple_types(hint) and field.most is None
    return Range(least, min(most, LARGEST_WHOLE) if is_whole else most)


def _in_words(kinds: frozenset[type], field: Field, allowed: Range) -> str:
    """What a simple value should be."""
    if field.choices:
        return f"one of {', '.join(map(repr, field.choices))}"
    if field.unit == MOMENT:
        return "a moment in ISO 8601 with its time zone"
    noun = next(noun for kind, noun in _NOUNS if kind in kinds)
    bounds = " from " + " to ".join(map(bound_in_words, allowed)) if kinds & {int, float} else ""
    return noun + bounds + (" or null" if types.NoneType in kinds else "")


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _check_depth(value: Any, left: int = _DEPTH) -> None:
    """MisfitError if the value, which no row describes, is nested too deeply."""
    if not isinstance(value, (dict, list)):
        return
    if not left:
        raise MisfitError(f"is nested more than {_DEPTH} deep")
    for part in value.values() if isinstance(value, dict) else value:
        _check_depth(part, left - 1)
