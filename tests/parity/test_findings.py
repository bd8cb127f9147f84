"""Findings: kept as lines, read from every schema there was, and refused if they are damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcdl.parity import findings
from bcdl.parity.findings import Finding, append_finding, read_findings
from bcdl.parity.verdicts import Verdicts, group_findings
from bcdl.report.sections import parity
from tests.factory import record
from tests.parity.dumps import judged, write, write_reference

SCHEMAS = Path(__file__).parent / "schemas"
LINES = {int(file.stem): file.read_text(encoding="utf-8").strip() for file in sorted(SCHEMAS.glob("*.json"))}


def test_a_finding_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    finding = judged(tmp_path)
    append_finding(tmp_path, "a-machine", finding)
    assert read_findings(tmp_path) == ([("a-machine", finding)], [])


def test_numbers_that_are_not_finite_are_kept_as_null(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": math.nan}, losses=[math.inf] * 20)
    write_reference(tmp_path)
    finding = Finding.from_json(judged(tmp_path).to_json())
    assert finding.errors["torch"]["outputs"] is None
    assert finding.backends["torch"]["losses"] == [None] * 20
    assert finding.pairs["jax-torch"]["outcome"] == findings.DIFFERS


def test_there_is_an_example_of_every_schema() -> None:
    assert set(LINES) == set(range(1, findings.SCHEMA + 1))
    assert all(json.loads(line)["schema"] == schema for schema, line in LINES.items())


@pytest.mark.parametrize("schema", LINES)
def test_every_schema_is_read_and_written_as_the_newest(schema: int) -> None:
    finding = Finding.from_json(LINES[schema])
    assert json.loads(finding.to_json())["schema"] == findings.SCHEMA
    assert Finding.from_json(finding.to_json()) == finding


def test_the_words_of_schema_1_are_upgraded_and_its_figures_stay() -> None:
    old, finding = json.loads(LINES[1]), Finding.from_json(LINES[1])
    assert finding.layer_checks == old["units"]
    assert finding.reference is not None
    assert finding.reference["worst_layer_check"] == old["reference"]["worst_unit"]
    assert finding.reference["gradient_check"] == old["reference"]["gradient_check"]
    for name, backend in finding.backends.items():
        assert backend["batches"] == old["backends"][name]["food"]
        assert backend["losses"] == old["backends"][name]["losses"]
    for name, pair in finding.pairs.items():
        assert pair["batches"] == old["pairs"][name]["food"]
        assert pair["outcome"] == findings.WITHIN_ROUNDING
        assert {**pair, "food": pair["batches"]}.items() >= old["pairs"][name].items()
    before, after = (backends["tensorflow"]["determinism"] for backends in (old["backends"], finding.backends))
    assert after["ratio"] == before["ratio"]
    assert after["steps_s"]["as_it_is"] == before["steps_s"]["as it is"]
    assert after["steps_s"]["deterministic"] == before["steps_s"]["deterministic"]
    assert (finding.tolerance, finding.errors, finding.chaos) == (old["tolerance"], old["errors"], old["chaos"])
    assert (finding.checkpoints, finding.plan.to_dict()) == (old["checkpoints"], old["plan"])


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ("identical", findings.IDENTICAL),
        ("within mixed_bfloat16 rounding", findings.WITHIN_ROUNDING),
        ("differs: batches", findings.DIFFERS),
        ("not judged: no float64 reference", findings.NOT_JUDGED),
    ],
)
def test_the_outcome_of_schema_1_is_that_of_its_verdict(verdict: str, outcome: str) -> None:
    values = json.loads(LINES[1])
    values["pairs"]["jax-torch"]["verdict"] = verdict
    assert Finding.from_json(json.dumps(values)).pairs["jax-torch"]["outcome"] == outcome


def test_an_unknown_verdict_of_schema_1_is_refused() -> None:
    values = json.loads(LINES[1])
    values["pairs"]["jax-torch"]["verdict"] = ""
    with pytest.raises(ValueError, match="do not fit schema 1"):
        Finding.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"schema": 1, "run"', "torn or edited"),
        ("[1, 2]", "without a schema number"),
        ('{"a": 1}', "without a schema number"),
        ('{"schema": true}', "without a schema number"),
        ('{"schema": 0}', "schema"),
        (json.dumps({"schema": findings.SCHEMA + 1}), "update bcdl"),
        (json.dumps({"schema": findings.SCHEMA}), "do not fit schema"),
        (json.dumps({"schema": 1, "run": "a", "plan": {}}), "do not fit schema 1"),
    ],
)
def test_a_line_that_is_no_finding_is_refused(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Finding.from_json(line)


def damaged(**changes: Any) -> str:
    """The example of the newest schema with a value replaced, by the path to it, its keys joined by two underscores."""
    values = json.loads(LINES[findings.SCHEMA])
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = values
        for key in parents:
            part = part[key]
        part[last] = value
    return json.dumps(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"plan__precision": "float8"},
        {"plan__image_size": 10**30},
        {"plan__draws": -1},
        {"plan__model": None},
        {"tolerance": []},
        {"tolerance__outputs": -1e-3},
        {"errors__jax__loss": "small"},
        {"pairs": {"jax-mxnet": json.loads(LINES[findings.SCHEMA])["pairs"]["jax-torch"]}},
        {"reference": {}},
        {"reference__sketch_length": 0},
        {"reference__sketch_length": 10**400},
        {"chaos": {}},
        {"checkpoints": {"jax": {"torch": {"same_state": True}}}},
        {"backends__jax__determinism": {"ratio": 1.0}},
        {"layer_checks__jax": None},
        {"dataset__checksum": 7},
        {"run": "\ud800"},
        {"more": 1},
        {"pairs__jax-torch__outcome": "perhaps"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_finding_with_a_damaged_field_is_refused(changes: dict[str, Any]) -> None:
    Finding.from_json(damaged())
    with pytest.raises(ValueError, match="do not fit schema"):
        Finding.from_json(damaged(**changes))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("x" * 300),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3),
    max_leaves=5,
)


def of_the_kind_of(value: Any) -> st.SearchStrategy[Any]:
    """Values that may well stand in place of this one."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(0, 2**40)
    if isinstance(value, float):
        return st.floats(min_value=0) | st.none()
    return st.text() if isinstance(value, str) else JSON


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every part of a JSON value."""
    if path:
        yield path
    parts = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A line of some schema of which some parts were varied, replaced, removed or renamed."""
    values = json.loads(LINES[draw(st.sampled_from(sorted(LINES)))])
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(sorted(places(values), key=str)))
        part = values
        for key in parents:
            part = part[key]
        change = draw(st.sampled_from(("vary", "vary", "replace", "remove", "rename")))
        if change == "replace":
            part[last] = draw(JSON)
        elif change == "vary":
            part[last] = draw(of_the_kind_of(part[last]))
        else:
            value = part.pop(last)
            if change == "rename" and isinstance(part, dict):
                part[draw(st.text(max_size=8))] = value
    return json.dumps(values)


def read(line: str) -> Finding | None:
    """The finding on the line, or None if it is refused as such a line must be."""
    try:
        return Finding.from_json(line)
    except ValueError:
        return None


@given(mutated())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_read_can_be_shown(line: str) -> None:
    finding = read(line)
    if finding is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity.pictures, "to_pngs", lambda folder, drawn, sources: {})
        for group in group_findings([("a-machine", finding)]):
            assert parity.section(group).files()
    records = [record(backend=backend) for backend in ("jax", "torch")]
    assert isinstance(Verdicts([("a-machine", finding)]).among("a-machine", records), str)


@given(mutated())
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_read_can_be_drawn(line: str) -> None:
    finding = read(line)
    for group in group_findings([("a-machine", finding)] if finding else []):
        assert all(png.startswith(b"\x89PNG") for png in parity.section(group).figures.values())
