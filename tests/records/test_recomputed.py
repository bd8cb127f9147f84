"""A record whose figures do not follow from its own raw data is left out, with the name and both values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.records import store
from bcdl.records.record import Record, RecordError
from tests.conftest import ROOT

SCHEMAS = ROOT / "tests" / "records" / "schemas"
# A line of a time when lines named no digest, so that nothing but what follows says that it was edited.
OLDER = json.loads((SCHEMAS / "10.json").read_text(encoding="utf-8"))


def edited(change: Callable[[dict[str, Any]], Any]) -> str:
    values = json.loads(json.dumps(OLDER))
    change(values)
    return json.dumps(values)


def at(*path: Any, by: float = 1.05) -> Callable[[dict[str, Any]], Any]:
    """An edit of the number there, which becomes so many times as large."""

    def change(values: dict[str, Any]) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] *= by

    return change


def one_more(*path: Any) -> Callable[[dict[str, Any]], Any]:
    def change(values: dict[str, Any]) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] += 1

    return change


def median_sample(regime: str) -> Callable[[dict[str, Any]], Any]:
    def change(values: dict[str, Any]) -> None:
        values["samples"][regime] = [1.05 * seconds for seconds in values["samples"][regime]]

    return change


def larger_losses(values: dict[str, Any]) -> None:
    values["history"]["val_loss"] = [1.3 * loss for loss in values["history"]["val_loss"]]


def flipped(values: dict[str, Any]) -> None:
    labels = values["predictions"]["test"]["labels"]
    labels[0] = 1 - labels[0]


EDITS = [
    *((name, at("metrics", name)) for name in ("test_accuracy", "test_loss", "test_majority_accuracy")),
    ("test_auroc", at("metrics", "test_auroc", by=0.95)),
    *((f"{regime}_images_per_s", at("metrics", f"{regime}_images_per_s")) for regime in ("fit", "step", "predict")),
    *((f"{regime}_images_per_s", median_sample(f"{regime}_s")) for regime in ("fit", "step", "predict", "request")),
    ("latency_ms", at("metrics", "latency_ms")),
    ("step_warm_up_s", at("metrics", "step_warm_up_s")),
    ("predict_warm_up_s", at("samples", "predict_warm_up_s", 0)),
    ("score 1 of test", at("predictions", "test", "scores", 0)),
    ("score 3 of val", at("predictions", "val", "outputs", 2, 1, by=0.5)),
    ("dataset.malignant.test", flipped),
    ("dataset.images.test", one_more("dataset", "images", "test")),
    ("dataset.groups.val", one_more("dataset", "groups", "val")),
    ("dataset.benign_groups.test", one_more("dataset", "benign_groups", "test")),
    ("kept_epoch", one_more("metrics", "kept_epoch")),
    ("history.val_loss of epoch", larger_losses),
    ("epochs of history.loss", lambda values: values["cell"].update(epochs=values["cell"]["epochs"] + 1)),
    ("its samples take", lambda values: values["samples"].update(fit_warm_up_s=[1e6])),
    ("its phases take", at("phases", "training", by=1e4)),
]


@pytest.mark.parametrize(("name", "change"), EDITS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(EDITS)])
def test_a_figure_that_does_not_follow_is_named_with_both_values(
    name: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    Record.from_json(edited(lambda values: None))
    with pytest.raises(RecordError, match="edited or damaged: ") as raised:
        Record.from_json(edited(change))
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_history_of_other_epochs_than_the_rest_is_named_with_both_numbers() -> None:
    epochs = len(OLDER["history"]["accuracy"])
    with pytest.raises(RecordError, match=f"history has values of {epochs} and of {epochs + 1} epochs"):
        Record.from_json(edited(lambda values: values["history"]["accuracy"].append(0.5)))


@settings(max_examples=40)
@given(st.sampled_from(["test_accuracy", "test_auroc", "test_loss", "step_images_per_s"]), st.floats(1e-6, 1e6))
def test_any_other_value_of_a_metric_is_seen(name: str, value: float) -> None:
    true = OLDER["metrics"][name]
    if abs(value - true) <= 1e-8 * max(1, true):
        return
    with pytest.raises(RecordError, match=name):
        Record.from_json(edited(lambda values: values["metrics"].update({name: value})))


def test_a_forged_record_with_a_digest_of_its_own_is_left_out_all_the_same(tmp_path: Path) -> None:
    """Who writes by our code gets a digest, and not the figures that follow."""
    made = Record.from_json((SCHEMAS / "11.json").read_text(encoding="utf-8"))
    made.metrics["test_accuracy"] = 0.62
    store.append(tmp_path, "m", made)
    records, (problem,) = store.read_all(tmp_path)
    assert records == []
    assert "test_accuracy is 0.62, but " in str(problem)


def test_validation_of_the_kept_epoch_may_differ_by_rounding_alone() -> None:
    """Two inferences with equal weights may add in another order on a GPU."""
    history = OLDER["history"]["val_loss"]
    kept = int(OLDER["metrics"]["kept_epoch"]) - 1
    Record.from_json(edited(lambda values: values["history"]["val_loss"].__setitem__(kept, history[kept] * (1 - 1e-6))))
    with pytest.raises(RecordError, match="val_loss of epoch"):
        Record.from_json(edited(lambda values: values["history"]["val_loss"].__setitem__(kept, history[kept] * 0.9)))


def test_records_of_all_schemas_and_all_that_are_kept_follow() -> None:
    for file in SCHEMAS.glob("*.json"):
        Record.from_json(file.read_text(encoding="utf-8"))
    records, problems = store.read_all(ROOT / "results")
    assert records
    assert problems == []
