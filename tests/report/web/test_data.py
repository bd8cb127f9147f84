"""What the page to explore is given: ratios of sides in turn alone, seeds as one row, words that are inert."""

from __future__ import annotations

import json

import pytest

from bcdl.report.sources import Sources
from bcdl.report.web import data
from tests import factory
from tests.report.web import made


def rows_of(values: data.Values, measured: str) -> list[data.Values]:
    return [row for row in values["rows"] if row["measured"] == measured]


def read(*records: object, machine: str = "m") -> data.Values:
    return data.read(Sources([(machine, record) for record in records], [], [], []))  # type: ignore[misc]


def test_every_ratio_of_sides_in_turn_is_there_in_both_directions_with_its_interval() -> None:
    rows = {row["side"]: row for row in read(*made.in_turn())["rows"]}
    assert {side: set(row["ratios"]) for side, row in rows.items()} == {
        side: set(made.RATES) - {side} for side in made.RATES
    }
    ratio, inverse = rows["torch"]["ratios"]["jax"]["step"], rows["jax"]["ratios"]["torch"]["step"]
    assert ratio["value"] == pytest.approx(0.25, rel=0.01)
    assert ratio["low"] <= ratio["value"] <= ratio["high"]
    assert (inverse["low"], inverse["high"]) == pytest.approx((1 / ratio["high"], 1 / ratio["low"]), rel=1e-3)
    assert (ratio["verdict"], inverse["verdict"], ratio["rounds"]) == ("slower", "faster", made.ROUNDS)


def test_runs_one_after_another_have_no_ratio_and_say_so() -> None:
    (row,) = read(factory.record())["rows"]
    assert row["ratios"] == {}
    assert "one after another" in row["no_ratio"]


def test_sides_that_may_not_be_compared_have_no_ratio_and_the_reason() -> None:
    """They differ in more than an axis: backend, and precision."""
    other = made.in_turn(precision="tf32")
    mixed = [record for record in made.in_turn() if record.side == "a"] + [r for r in other if r.side == "b"]
    rows = read(*mixed)["rows"]
    assert len(rows) == 2
    assert all(row["ratios"] == {} and "differ in" in row["no_ratio"] for row in rows)


def test_two_sides_of_one_backend_are_told_apart() -> None:
    records = [record for record in made.in_turn() if record.side == "a"]
    other = [factory.dataclasses.replace(record, side="b") for record in records]
    assert {row["side"] for row in read(*records, *other)["rows"]} == {"jax (A)", "jax (B)"}


def test_seeds_are_one_row_that_says_of_how_many_records_it_is() -> None:
    (row,) = read(*(factory.record(seed=seed) for seed in range(20)))["rows"]
    assert row["records"] == 20
    assert "of 20 seeds and folds" in row["circumstances"][0]


def test_the_row_of_two_machines_can_be_chosen() -> None:
    """The page offers the machines that it is given, and no other."""
    records = [(machine, factory.record(timing=False, seed=seed)) for seed, machine in enumerate("mn")]
    values = data.read(Sources(records, [], [], []))
    (row,) = values["rows"]
    assert row["machine"] == "m and n"
    assert row["machine"] in values["machines"]


def test_the_page_opens_with_a_machine_that_timed_something() -> None:
    """Before, with the machine of the newest record, whatever it had measured."""
    trained = factory.record(timing=False, run="20270101T000000Z-0000")
    quality = {name: value for name, value in trained.metrics.items() if not name.endswith("images_per_s")}
    records = [("m", factory.record()), ("n", factory.dataclasses.replace(trained, metrics=quality))]
    assert data.read(Sources(records, [], [], []))["machines"] == ["m", "n"]


def test_the_page_opens_with_a_machine_that_measured_more_than_a_smoke_test() -> None:
    records = [
        ("m", factory.record(profile="quick")),
        ("n", factory.dataclasses.replace(factory.record(profile="smoke"), started="2027-01-01T00:00:00.000+00:00")),
    ]
    assert data.read(Sources(records, [], [], []))["machines"] == ["m", "n"]


def test_a_failure_is_a_row_with_its_reason() -> None:
    (row,) = read(factory.record(status="failed"))["rows"]
    assert row["status"] == "failed: it was made to fail"
    assert row["rates"] == {}


def test_curves_are_capped_and_keep_their_first_and_last_epoch() -> None:
    (row,) = read(factory.record(epochs=500))["rows"]
    curve = row["curves"]["loss"]
    assert len(curve) <= data.MOST_EPOCHS + 1
    assert (curve[0][0], curve[-1][0]) == (1, 500)


def test_names_from_records_are_short_and_turn_nothing() -> None:
    values = read(factory.record(model="\u202e" + "x" * 500), machine="a\u2066b")
    text = json.dumps(values, ensure_ascii=False)
    assert text.isprintable()
    assert "\\u202e" in values["rows"][0]["model"]
    assert len(values["rows"][0]["model"]) <= data.LONGEST_NAME


def test_what_the_page_shows_is_all_there_and_is_json() -> None:
    values = data.read(made.sources())
    json.dumps(values, allow_nan=False)
    apart = rows_of(values, data.APART)
    assert any(row["roc"] for row in apart)
    assert any(row["roofline"] for row in apart)
    assert values["roofs"]
    assert values["pairs"]
    assert {error["quantity"] for error in values["errors"]} >= {"outputs", "gradient"}


def test_shortened_values_say_what_they_lack() -> None:
    values = data.read(made.sources())
    short = data.shortened(values, 2)
    assert len(short["rows"]) == 2
    assert short["left_out"] == sum(len(values[name]) - 2 for name in ("rows", "roofs", "pairs", "errors"))
    assert data.shortened(values, 10**6)["left_out"] == 0
