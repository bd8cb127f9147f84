"""Mutations of records, the same for one seed: what a disk, an editor or an enemy may make of a line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

NESTED: Any = []
for _ in range(200):
    NESTED = [NESTED]

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    0.0,
    -0.5,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "../../../etc/passwd",
    "/etc/passwd",
    "a|b\n<script>alert(1)</script>",
    "$\\frac{1}{0}$ [red]`*_",
    "\x00\x1b[2J\u202egnp.exe\u2028",
    "\ud800",
    [],
    {},
    [None],
    {"": {}},
    NESTED,
)


def mutated(lines: Sequence[str], count: int, seed: int) -> Iterator[bytes]:
    """`count` lines, each made from one of `lines` by one or two mutations of text and at times one of bytes."""
    source = random.Random(seed)
    for _ in range(count):
        text = source.choice(lines)
        for _ in range(source.randint(1, 2)):
            text = source.choice(_OF_TEXT)(text, source)
        line = text.encode("utf-8", errors="surrogatepass")
        if source.random() < 0.2:
            line = source.choice(_OF_BYTES)(line, source)
        yield line.replace(b"\n", b" ")


def _swap_values(text: str, source: random.Random) -> str:
    """Other values, wherever they fit in."""
    values = _parsed(text)
    for _ in range(source.randint(1, 2)):
        place = _random_place(values, source)
        if place:
            where, key = place
            where[key] = copy.deepcopy(source.choice(HOSTILE))
    return json.dumps(values)


def _remove_value(text: str, source: random.Random) -> str:
    values = _parsed(text)
    place = _random_place(values, source)
    if place:
        del place[0][place[1]]
    return json.dumps(values)


def _exchange_values(text: str, source: random.Random) -> str:
    """A value of the record in the place of another."""
    values = _parsed(text)
    place, other = _random_place(values, source), _random_place(values, source)
    if place and other:
        place[0][place[1]] = json.loads(json.dumps(other[0][other[1]]))
    return json.dumps(values)


def _other_schema(text: str, source: random.Random) -> str:
    values = _parsed(text)
    if isinstance(values, dict):
        values["schema"] = source.choice((-1, 0, 1, 2, 3, 4, 99, 10**30, 1.5, True, None, "3"))
    return json.dumps(values)


def _duplicate_key(text: str, source: random.Random) -> str:
    key = source.choice(("schema", "cell", "metrics", "status", "samples"))
    return f'{{"{key}": {json.dumps(source.choice(HOSTILE))}, {text.lstrip()[1:]}'


def _nest(text: str, source: random.Random) -> str:
    depth = source.choice((1, 50, 20_000))
    return "[" * depth + text + "]" * depth


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}


def _random_place(values: Any, source: random.Random) -> tuple[Any, Any] | None:
    """A container within `values` and a key of it, at any depth; the nearer the top the likelier."""
    place = None
    while isinstance(values, (dict, list)) and values:
        key = source.choice(list(values)) if isinstance(values, dict) else source.randrange(len(values))
        place = (values, key)
        if source.random() < 0.4:
            break
        values = values[key]
    return place


def _flip_bits(line: bytes, source: random.Random) -> bytes:
    changed = bytearray(line)
    for _ in range(source.randint(1, 4)):
        if changed:
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _cut(line: bytes, source: random.Random) -> bytes:
    return line[: source.randrange(len(line) + 1)]


def _insert_bytes(line: bytes, source: random.Random) -> bytes:
    place = source.randrange(len(line) + 1)
    return line[:place] + source.randbytes(source.randint(1, 20)) + line[place:]


_OF_TEXT: tuple[Callable[[str, random.Random], str], ...] = (
    _swap_values,
    _swap_values,
    _swap_values,
    _exchange_values,
    _remove_value,
    _other_schema,
    _duplicate_key,
    _nest,
)
_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip_bits, _cut, _insert_bytes)
