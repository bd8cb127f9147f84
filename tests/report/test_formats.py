"""How numbers become text, and that nobody else writes them."""

from __future__ import annotations

import ast
import doctest
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.report import formats, tables, titles
from tests.conftest import ROOT

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)


@pytest.mark.parametrize("module", [formats, tables, titles])
def test_the_examples_of_the_docstrings_hold(module: Any) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


@given(NUMBERS, st.integers(0, 6))
def test_a_fixed_number_is_as_near_as_its_decimals(value: float, digits: int) -> None:
    text = formats.fixed(value, digits)
    assert abs(float(text) - value) <= 0.5 * 10**-digits + 1e-9 * abs(value)
    assert len(text.partition(".")[2]) == digits


@given(NUMBERS, st.integers(0, 6))
def test_a_signed_number_always_has_its_sign(value: float, digits: int) -> None:
    assert formats.signed(value, digits)[0] in "+-"
    assert formats.signed(value, digits).lstrip("+-") == formats.fixed(value, digits).lstrip("-")


@given(st.floats(0, 1))
def test_no_p_value_is_written_as_0(p: float) -> None:
    text = formats.p_value(p)
    assert text == "< 0.001" if p < 0.001 else abs(float(text) - p) <= 0.0005 + 1e-9


@pytest.mark.parametrize(
    "write",
    [
        lambda value: formats.fixed(value, 1),
        lambda value: formats.signed(value, 1),
        lambda value: formats.significant(value, 3),
        lambda value: formats.scientific(value, 1),
        formats.percent,
        formats.p_value,
    ],
)
def test_what_is_undefined_is_never_written_as_a_number(write: Any) -> None:
    assert write(None) == write(math.nan) == ""


@given(st.lists(NUMBERS, min_size=1, max_size=9), st.integers(1, 12))
def test_a_median_names_its_range_and_what_lacks(values: list[float], wanted: int) -> None:
    text = formats.median(values, 3, wanted)
    assert ("(" in text) == (len(values) > 1)
    assert text.endswith(f"{len(values)} of {wanted}") == (len(values) < wanted)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_an_estimate_shows_its_value_and_both_ends(value: float, low: float, high: float) -> None:
    row = SimpleNamespace(value=value, low=low, high=high, undefined=0)
    shown = re.findall(r"-?[0-9]+\.[0-9]{3}", formats.estimate(row))
    assert shown == [formats.fixed(number, 3) for number in (value, low, high)]
    signs = re.findall(r"[+-][0-9]+\.[0-9]{3}", formats.difference(row))
    assert signs == [formats.signed(number, 3) for number in (value, low, high)]


# Files that may decide on digits themselves, by the reason.
ALLOWED = {
    "bcdl/report/formats.py": "the formatter",
    "bcdl/records/store.py": "the id of a run is a date, not a measured number",
    "bcdl/statistics/comparison.py": "an error's text, of a p that no comparison can reach",
}
PACKAGES = ("report", "evaluation", "statistics", "records")
# A type that writes a number (d, f, e, g, % ...), a precision, a sign or groups of digits.
NUMERIC = re.compile(r"[+,]|\.[0-9{]|[dfegnFEG%]$")
TEMPLATE = re.compile(r"\{\w*:[^{}]+\}")  # of `str.format`


def number_formats(file: Path) -> Iterator[int]:
    """The lines of `file` that format a number: in f-strings, by `format`, `round` and `%`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FormattedValue):
            formats_number = NUMERIC.search(specification(node)) is not None
        elif isinstance(node, ast.Call):
            formats_number = getattr(node.func, "id", "") in ("format", "round")
        elif isinstance(node, ast.BinOp):
            formats_number = isinstance(node.op, ast.Mod) and isinstance(getattr(node.left, "value", None), str)
        else:
            text = getattr(node, "value", None)
            formats_number = isinstance(text, str) and TEMPLATE.search(text) is not None
        if formats_number:
            yield node.lineno


def specification(node: ast.FormattedValue) -> str:
    """What stands behind the colon, `{` for each value in it."""
    parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{" for part in parts)


def test_the_contract_sees_every_way_to_format(tmp_path: Path) -> None:
    lines = ['f"{x:.3f}"', 'f"{x:+.{d}f}"', 'f"{x:,}"', 'f"{x:.0%}"', '"{a:.0%}".format(a=x)', '"%.3f" % x']
    lines += ['format(x, ".3f")', "round(x, 3)", 'f"{x:g}"']
    file = tmp_path / "module.py"
    file.write_text("\n".join([*lines, 'f"{x}"', 'f"{name:>12}"', '"{a}".format(a=x)', 'f"{x!r}"', "x % 3"]))
    assert sorted(number_formats(file)) == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("package", PACKAGES)
def test_only_the_formatter_decides_on_digits(package: str) -> None:
    files = {file.relative_to(ROOT).as_posix(): file for file in (ROOT / "bcdl" / package).rglob("*.py")}
    assert files
    offenders = [
        f"{name}:{line}" for name, file in files.items() if name not in ALLOWED for line in number_formats(file)
    ]
    assert offenders == [], "write these by bcdl.report.formats"
