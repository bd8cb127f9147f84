"""Records survive the way to disk and back, and what is no record is refused with advice."""

import dataclasses
import json

import pytest

from bcdl.record import SCHEMA, Record, RecordError
from tests.factory import record


def test_a_record_is_one_line_and_comes_back() -> None:
    one = record()
    line = one.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == one


def test_the_keys_that_other_tools_rely_on_are_there() -> None:
    values = json.loads(record().to_json())
    assert {"schema", "run", "status", "reason", "cell", "metrics"} <= values.keys()
    assert {"model", "backend"} <= values["cell"].keys()
    assert values["schema"] == SCHEMA


def test_nan_becomes_null() -> None:
    one = dataclasses.replace(record(), metrics={"test_loss": float("nan")}, history={"loss": [float("inf"), 1.0]})
    values = json.loads(one.to_json())
    assert values["metrics"] == {"test_loss": None}
    assert values["history"] == {"loss": [None, 1.0]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (record().to_json()[:100], "torn or edited"),
        ("[1, 2]", "without a schema number"),
        ('{"a": 1}', "without a schema number"),
        (json.dumps({"schema": SCHEMA + 1}), "update bcdl"),
        (json.dumps({"schema": SCHEMA}), "do not fit schema"),
        (json.dumps({**json.loads(record().to_json()), "cell": {"model": "cnn"}}), "do not fit schema"),
    ],
)
def test_what_is_no_record_is_refused_with_advice(line: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Record.from_json(line)
