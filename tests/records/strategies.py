"""Lines of logs that Hypothesis builds field by field from the rows: valid ones of extreme values, and odd ones.

A valid line has any value that its rows allow, the least and the largest above all, in any field, or lacks the field if
readers must do without it. An odd one has in some places what no row allows.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import random
import re
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from bcdl.parity import findings
from bcdl.parity.findings import Exchange, Finding
from bcdl.records import checks, experiment, identity, schema
from bcdl.records.experiment import Experiment
from bcdl.records.fields import MOMENT, Field, of, part_of
from bcdl.records.record import DIVERGED, FAILED, OK, Record
from bcdl.records.shapes import KEYS
from bcdl.settings.cell import Cell
from bcdl.settings.setting import Setting
from tests.factory import EXPERIMENT, record
from tests.faults.mutation import HOSTILE

Line = dict[str, Any]
Made = Callable[[random.Random], Any]  # makes a value

TEXTS = (
    "",
    "a",
    "cpu",
    "x" * 5000,
    "../../../etc/passwd",
    "a|b\n<script>alert(1)</script>",
    "$\\frac{1}{0}$ [red]`*_",
    "\x00\x1b[2J\u202egnp.exe\u2028",
    "名前 \U0001f600",
)
MOMENTS = ("2026-01-01T00:00:00+00:00", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00")
NUMBERS = (-1, -0.5, -5e-324, 5e-324, 0, 0.5, 1.5, 7, 1e308, 2**60, float("nan"), float("inf"))
ODD = (*HOSTILE, -5e-324, 2**60, [-5, 7], {"a": 2}, [{"a": 2}], [5e-324], "2026-01-01")


def records() -> st.SearchStrategy[Line]:
    """A valid record."""
    return _seeded(_record)


def of_one_table() -> st.SearchStrategy[Line]:
    """A valid record that stands in one table, and in one drawing, with the others."""
    return records().map(_in_one_table)


def experiments() -> st.SearchStrategy[Line]:
    """A valid experiment."""
    return _seeded(_experiment)


def parity_findings() -> st.SearchStrategy[Line]:
    """A valid finding of parity."""
    return _seeded(_finding)


def odd(lines: st.SearchStrategy[Line]) -> st.SearchStrategy[Line]:
    """One of the lines with one to three values that no row allows, or that are missing."""
    return st.builds(spoiled, lines, st.integers(0, 2**32))


def sealed(line: Line) -> str:
    """The record's line with the digest of what it now holds, as if that had been measured."""
    values = {name: value for name, value in line.items() if name not in (identity.SEQUENCE, identity.SHA256)}
    count = {identity.SEQUENCE: line[identity.SEQUENCE]} if identity.SEQUENCE in line else {}
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()
    return json.dumps({**values, **count, identity.SHA256: digest})


def _seeded(made: Made) -> st.SearchStrategy[Line]:
    """What `made` makes; by one number, since a line has hundreds of values, which take long to draw one by one."""
    return st.integers(0, 2**32).map(lambda seed: made(random.Random(seed)))


def spoiled(line: Line, seed: int) -> Line:
    source, spoiled = random.Random(seed), copy.deepcopy(line)
    for _ in range(source.randint(1, 3)):
        place, key = _place_in(spoiled, source)
        if source.random() < 0.1:
            del place[key]
        else:
            place[key] = copy.deepcopy(source.choice(_odd_for(place[key], source)))
    return spoiled


def _odd_for(value: Any, source: random.Random) -> typing.Sequence[Any]:
    """Values to put in its place: mostly of its own type, so that only what they say is wrong."""
    if type(value) in (int, float) and source.random() < 0.7:
        return NUMBERS
    return TEXTS if isinstance(value, str) and source.random() < 0.7 else ODD


def _place_in(line: Line, source: random.Random) -> tuple[Any, Any]:
    """A container in the line and a key of it, at any depth."""
    place: Any = line
    key: Any = source.choice([name for name in line if name != "schema"])
    while isinstance(place[key], (dict, list)) and place[key] and source.random() < 0.8:
        place = place[key]
        key = source.choice(list(place)) if isinstance(place, dict) else source.randrange(len(place))
    return place, key


def _record(source: random.Random) -> Line:
    usual = json.loads(record(status=source.choice((OK, OK, OK, FAILED, DIVERGED, "melted"))).to_json())
    line = {
        name: usual[name] if source.random() < 0.5 and usual[name] != {} else _value(hint, field, source)
        for name, (hint, field) in of(Record).items()
        if name != "cell"
    }
    line |= {"schema": schema.SCHEMA, "cell": _cell(source), "status": usual["status"]}
    line["run"], line["sequence"] = usual["run"], source.randrange(1000)
    if source.random() < 0.3:
        line["block"], line["side"] = "in turn/0", source.choice("ab")
    if source.random() < 0.3:
        line["predictions"] = {split: _many_predictions(source) for split in ("val", "test")}
        line["dataset"] = {**usual["dataset"], "synthetic": False} if usual["dataset"] else {}
    line["started"], line["ended"] = sorted((line["started"], line["ended"]), key=datetime.fromisoformat)
    _make_counts_fit(line["dataset"])
    for part in (line["history"], *line["predictions"].values()):
        _make_lengths_equal(part)
    if not line["cell"]["test"]:
        _forget_the_test(line)
    return line


_APART = ("identity", "cpu_cores_allowed", "cpu_quota_cores", "variables")  # facts that set machines apart


def _in_one_table(line: Line) -> Line:
    """The record, of the usual cell and data on the usual machine."""
    number = line["sequence"]
    usual = record().cell.to_dict() | {"seed": number % 5, "model": ("cnn", "mobilenet")[number % 2]}
    environment = {name: value for name, value in line["environment"].items() if name not in _APART}
    dataset = line["dataset"] and {**line["dataset"], "checksum": "c", "synthetic": False}
    return {**line, "cell": usual, "environment": environment, "dataset": dataset, "block": ""}


def _cell(source: random.Random) -> Line:
    """A usual cell, but for a few settings, so that some records share a table."""
    changes = source.sample(list(Cell.rows().values()), source.choice((0, 0, 1, 2)))
    cell = record().cell.to_dict() | {row.name: _setting(row, source) for row in changes}
    cell["fold"] = source.randrange(max(1, cell["folds"]))
    return cell


def _setting(row: Setting, source: random.Random) -> Any:
    if row.kind is str:
        return source.choice((*row.choices, *TEXTS))
    if row.kind is bool:
        return source.random() < 0.5
    if row.choices:
        return source.choice(row.choices)
    least = row.least or 0
    return row.kind(source.choice((least, 1, 10**6 if row.most is None else row.most)))


def _many_predictions(source: random.Random) -> Line:
    """Predictions of enough images for every figure, of which most may be alike or at an end of the range."""
    outputs = [[source.choice((0, 5e-324, 1e-30, 0.5, 1 - 2**-53, 1)) for _ in range(2)] for _ in range(24)]
    groups = [source.choice(TEXTS) for _ in outputs]
    labels = [source.choice((0, 1)) for _ in outputs]
    return {
        "outputs": outputs,
        "scores": [source.random() for _ in outputs],
        "labels": labels,
        "groups": groups,
        "names": [f"{place} {group}" for place, group in enumerate(groups)],
    }


def _make_counts_fit(dataset: Line) -> None:
    for part, whole in (("malignant", "images"), ("benign_groups", "groups"), ("malignant_groups", "groups")):
        for split in dataset.get(part, {}):
            dataset[part][split] = min(dataset[part][split], dataset.get(whole, {}).get(split, 2**53))


def _make_lengths_equal(columns: Line) -> None:
    shortest = min(map(len, columns.values()), default=0)
    for name in columns:
        columns[name] = columns[name][:shortest]


def _forget_the_test(line: Line) -> None:
    """A cell that is not tested says nothing of the test images."""
    line["metrics"] = {name: value for name, value in line["metrics"].items() if not name.startswith("test_")}
    line["predictions"].pop("test", None)


def _experiment(source: random.Random) -> Line:
    line = {name: _value(hint, field, source) for name, (hint, field) in of(Experiment).items()}
    line["ways"], line["run"] = list(line["ways"]), EXPERIMENT.run
    rounds = source.randint(1, 4)
    for side in ("a", "b"):
        line[side] = [_number(checks.range_of(float, of(Experiment)[side][1]), False, source) for _ in range(rounds)]
    return {"schema": experiment.SCHEMA, **line}


def _finding(source: random.Random) -> Line:
    line = {name: _value(hint, field, source) for name, (hint, field) in of(Finding).items()}
    names = sorted(source.sample(("jax", "tensorflow", "torch", TEXTS[5]), source.randint(0, 3)))
    shapes = {name: of(Finding)[name] for name in ("backends", "pairs")}
    of_backend, of_pair = (typing.get_args(hint)[1] for hint, _ in shapes.values())
    line["backends"] = {name: _value(of_backend, shapes["backends"][1], source) for name in names}
    pairs = [findings.pair_name(a, b) for a in names for b in names if a < b]
    line["pairs"] = {name: _value(of_pair, shapes["pairs"][1], source) for name in pairs}
    for loaders in line["checkpoints"].values():
        for exchange in loaders.values():
            if exchange.keys() < Exchange.__annotations__.keys() - {"error"}:
                exchange["error"] = "it could not be loaded"
    for backend in line["backends"].values():
        if backend["determinism"].keys() < findings.Determinism.__annotations__.keys():
            backend["determinism"] = {}
    return {"schema": findings.SCHEMA, **line, "run": EXPERIMENT.run}


def _value(hint: Any, field: Field, source: random.Random) -> Any:
    """Any value of the type that the row allows."""
    if hint is Any:
        return source.choice((None, True, -1, 1e308, "text", [], {"a": [[]]}))
    if typing.is_typeddict(hint) or dataclasses.is_dataclass(hint):
        return _parts(hint, source)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return [_value(arguments[0], field, source) for _ in range(source.choice((0, 1, 2, 5)))]
    if origin is tuple:
        return [_value(argument, field, source) for argument in arguments]
    if origin is dict:
        return _entries(arguments[1], field, source)
    if isinstance(hint, types.UnionType) and part_of(hint):
        return source.choice((None, _parts(part_of(hint), source)))
    return _simple(hint, field, source)


def _parts(shape: Any, source: random.Random) -> Line:
    required = getattr(shape, "__required_keys__", None)
    parts = of(shape)
    if shape is Cell:
        return source.choice(({}, _cell(source)))
    names = [name for name in parts if required is None or name in required or source.random() < 0.4]
    return {name: _value(*parts[name], source) for name in names}


def _entries(hint: Any, field: Field, source: random.Random) -> Line:
    names = [*field.entries, "unheard-of"] if field.entries else [f"<{key}>" for key in field.keys[:1]] or ["a"]
    named = {_name(name, source) for name in names for _ in range(3) if source.random() < 0.4}
    return {name: _value(hint, checks.entry_of(field, name), source) for name in sorted(named)}


def _name(described: str, source: random.Random) -> str:
    """A name that the described one stands for."""

    def any_key(key: re.Match[str]) -> str:
        return source.choice(KEYS[key[1]][1] or TEXTS[1:])

    return re.sub(r"<(\w+)>", any_key, described)


def _simple(hint: Any, field: Field, source: random.Random) -> Any:
    kinds = set(typing.get_args(hint)) or {hint}
    if types.NoneType in kinds and source.random() < 0.2:
        return None
    if bool in kinds:
        return source.random() < 0.5
    if kinds & {int, float}:
        return _number(checks.range_of(hint, field), float not in kinds, source)
    return source.choice(field.choices or (MOMENTS if field.unit == MOMENT else TEXTS))


def _number(allowed: checks.Range, whole: bool, source: random.Random) -> float:
    least, most = allowed
    within = (5e-324, 1e-300, 0.5, 1.0, 3, source.uniform(least, most))
    number = source.choice((least, most, *(each for each in within if least <= each <= most)))
    return min(int(most), max(int(least), int(number))) if whole else number
