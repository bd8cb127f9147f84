"""Lines are read as `json.loads` reads them, and what many of them have in common is read and checked once."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bcdl.records import checks, identity, line
from bcdl.records.record import SCHEMA, Record, RecordError
from tests.factory import record
from tests.predictions import predicted, split

PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*line.SHARED, "metrics", "run", "status", "Odd name", 'q"'])


def outcome(read: Any, text: str) -> str:
    """What reading the text gives: the value, as text, so that NaN is NaN; or the error."""
    try:
        return repr(read(text))
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


@given(st.dictionaries(NAMES, PARTS, max_size=6), st.text(max_size=3), st.integers(0, 400))
@example({"model": {"a": 1}}, "", 400)
@example({"model": {"a": 1}}, "}", 400)
@example({"model": {}, "weights": {}}, '"', 27)
def test_a_line_is_read_as_json_is(values: dict[str, Any], inserted: str, place: int) -> None:
    """Twice, so that parts are remembered, and with letters put in anywhere."""
    whole = json.dumps({"schema": SCHEMA, **values})
    for text in (whole, whole, whole[:place] + inserted + whole[place:], whole[:place]):
        assert outcome(lambda text: line._sharing(text, SCHEMA), text) == outcome(json.loads, text)


@pytest.mark.parametrize("values", ['"model": {}, "model": {"a": 1}', '"model": {"a": NaN}, "x": 1e400', '"a":1'])
def test_doubled_names_and_numbers_that_are_none_are_as_json_has_them(values: str) -> None:
    text = f'{{"schema": {SCHEMA}, {values}}}'
    assert outcome(lambda text: line._sharing(text, SCHEMA), text) == outcome(json.loads, text)


def test_what_records_have_in_common_is_one_object() -> None:
    images = split([0.2, 0.8] * 4, [0, 1] * 4)
    first, second = (Record.from_json(predicted(images, seed=seed).to_json()) for seed in (0, 1))
    assert first != second
    for name in line.SHARED:
        assert getattr(first, name) is getattr(second, name)
    for name in ("names", "groups", "labels"):
        assert first.predictions["test"][name] is second.predictions["test"][name]


def test_a_part_of_another_value_is_another_object_and_is_checked() -> None:
    good = record()
    Record.from_json(good.to_json())
    values = json.loads(good.to_json())
    values["environment"]["cpu_cores"] = -1
    text = {name: value for name, value in values.items() if name not in (identity.SEQUENCE, identity.SHA256)}
    for _ in range(2):  # what failed once is not remembered as good
        with pytest.raises(RecordError, match=r"environment\.cpu_cores is -1"):
            Record.from_json(identity.sealed(text, 0))


def test_a_part_that_passed_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    check = checks.remembering(checked.append)
    parts = [{"a": 1}, {"a": 1}]
    for part in (parts[0], parts[0], parts[1], parts[0]):
        check(part)
    assert len(checked) == 2  # equal ones are two objects


def test_the_digest_of_a_line_as_it_stands_spares_that_of_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    digests: list[Any] = []
    monkeypatch.setattr(identity, "_digest_of", lambda values: digests.append(values) or "")
    text = record().to_json()
    Record.from_json(text)
    assert not digests
    with pytest.raises(RecordError, match="edited since it was written"):
        Record.from_json(text.replace('"status": "ok"', '"status":  "ok"'))
    assert len(digests) == 1


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_read() -> None:
    text = f'{{"schema": {SCHEMA}, "run": "\\ud83d\\ude00 \\u00b0"}}'
    assert line.parse_object(text, SCHEMA, "a record")["run"] == "\N{GRINNING FACE} °"
    with pytest.raises(ValueError, match="do not fit schema"):
        line.parse_object(text.replace("\\ude00", ""), SCHEMA, "a record")


@pytest.mark.parametrize("outputs", [[[0.1, 0.9], [0.5, math.nan]], [[0.1, 0.9], [0.5]], [[0.1, 0.9], "ab"], [1, 2]])
def test_a_pair_that_is_none_is_named_by_its_place(outputs: list[Any]) -> None:
    from bcdl.records.shapes import Predictions

    columns = {"outputs": outputs, "scores": [0.5, 0.5], "labels": [0, 1], "groups": ["a", "b"], "names": ["a", "b"]}
    place = next(place for place, pair in enumerate(outputs, 1) if pair != [0.1, 0.9])
    with pytest.raises(checks.MisfitError, match=rf"outputs\.\[{place}\]"):
        checks.check_shape(Predictions, columns)
