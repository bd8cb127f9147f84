"""Experiments as lines: every schema there was is read, and what is no experiment is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.records.experiment import SCHEMA, Experiment, ExperimentError

EXAMPLES = Path(__file__).parent / "experiments"
LINES = [
    pytest.param(line, id=f"{file.stem}-{number}")
    for file in sorted(EXAMPLES.glob("*.jsonl"))
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
]


def lines_of(schema: int) -> list[Experiment]:
    text = (EXAMPLES / f"{schema}.jsonl").read_text(encoding="utf-8")
    return [Experiment.from_json(line) for line in text.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_every_schema_there_was_is_read(line: str) -> None:
    experiment = Experiment.from_json(line)
    assert json.loads(experiment.to_json())["schema"] == SCHEMA
    assert Experiment.from_json(experiment.to_json()) == experiment
    kept = {"run", "subject", "ways", "a", "b", "unit", "environment"}
    assert {key: json.loads(experiment.to_json())[key] for key in kept} == {key: json.loads(line)[key] for key in kept}


def test_there_is_an_example_of_every_schema() -> None:
    for schema in range(1, SCHEMA + 1):
        text = (EXAMPLES / f"{schema}.jsonl").read_text(encoding="utf-8")
        assert {json.loads(line)["schema"] for line in text.splitlines()} == {schema}


def test_how_much_slower_a_way_was_made_is_taken_from_the_words_of_older_schemas_once() -> None:
    assert [experiment.slowdown for experiment in lines_of(1)] == [0.0, 0.05, None]
    assert [experiment.slowdown for experiment in lines_of(3)] == [0.05]


def test_an_experiment_under_its_former_name_is_shown_under_the_new_one() -> None:
    (later,) = lines_of(2)
    assert lines_of(1)[-1].name == later.name == "What a batch callback costs"


VALUES = json.loads(LINES[-1].values[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": None},
        {"schema": True},
        {"schema": 0},
        {"a": []},
        {"a": [0.0] * 7},
        {"a": [1.0]},
        {"b": [float("nan")] * 7},
        {"b": ["fast"] * 7},
        {"ways": ["one"]},
        {"ways": "ab"},
        {"ways": [1, 2]},
        {"slowdown": "5%"},
        {"slowdown": -0.1},
        {"subject": None},
        {"searches": "no"},
        {"cell": []},
        {"environment": None},
        {"environment": {"versions": ["keras"]}},
        {"more": 1},
        {"name": "half of a pair: \ud800"},
    ],
)
def test_fields_of_another_shape_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ExperimentError):
        Experiment.from_json(json.dumps({**VALUES, **changes}))


def test_a_newer_schema_says_what_to_do() -> None:
    with pytest.raises(ExperimentError, match=f"schema 99 is newer than this bcdl reads \\({SCHEMA}\\); update bcdl"):
        Experiment.from_json(json.dumps({**VALUES, "schema": 99}))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(schema=st.integers(1, SCHEMA), key=st.sampled_from(sorted(VALUES)), value=ANYTHING, is_missing=st.booleans())
def test_a_line_is_read_whole_or_refused(schema: int, key: str, value: Any, is_missing: bool) -> None:
    (first, *_) = (EXAMPLES / f"{schema}.jsonl").read_text(encoding="utf-8").splitlines()
    values = {**json.loads(first), key: value}
    if is_missing:
        del values[key]
    try:
        experiment = Experiment.from_json(json.dumps(values))
    except ExperimentError:
        return
    assert len(experiment.a) == len(experiment.b) > 0
    assert min(*experiment.a, *experiment.b) > 0
    assert experiment.commit
    assert experiment.day
