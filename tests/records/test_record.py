"""Records survive the way to disk and back, and what is no record is refused with advice."""

import dataclasses
import json
from pathlib import Path

import pytest

from bcdl.records.record import SCHEMA, Record, RecordError
from tests.factory import as_of_older, record


def test_a_record_is_one_line_and_comes_back() -> None:
    example = record()
    line = example.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == example


def test_the_keys_that_other_tools_rely_on_are_there() -> None:
    values = json.loads(record().to_json())
    assert {"schema", "run", "status", "reason", "cell", "metrics"} <= values.keys()
    assert {"model", "backend"} <= values["cell"].keys()
    assert values["schema"] == SCHEMA


def test_nan_becomes_null() -> None:
    example = dataclasses.replace(record(), metrics={"test_loss": float("nan")}, history={"loss": [float("inf"), 1.0]})
    values = json.loads(example.to_json())
    assert values["metrics"] == {"test_loss": None}
    assert values["history"] == {"loss": [None, 1.0]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (record().to_json()[:100], "torn or edited"),
        ("[1, 2]", "without a schema number"),
        ('{"a": 1}', "without a schema number"),
        (json.dumps({"schema": SCHEMA + 1}), "update bcdl"),
        (json.dumps({"schema": SCHEMA}), "edited since it was written: it lacks its sha256"),
        (json.dumps({"schema": 10}), "do not fit schema"),
        (json.dumps(as_of_older(record()) | {"cell": {"model": "cnn"}}), "do not fit schema"),
    ],
)
def test_what_is_no_record_is_refused_with_advice(line: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Record.from_json(line)


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "schemas").glob("*.json")), ids=lambda file: file.stem)
def test_every_schema_there_was_is_read(file: Path) -> None:
    """The stored examples are lines that a worker of that schema's time wrote."""
    line = file.read_text(encoding="utf-8")
    assert json.loads(line)["schema"] == int(file.stem)
    read = Record.from_json(line)
    assert read.ok
    assert json.loads(read.to_json())["schema"] == SCHEMA
    assert Record.from_json(read.to_json()) == read
    assert "code" in read.environment


def test_the_first_epoch_of_older_schemas_becomes_warm_up() -> None:
    line = json.loads((Path(__file__).parent / "schemas" / "4.json").read_text(encoding="utf-8"))
    first, second = line["samples"]["fit_s"]
    images = line["metrics"]["fit_images_per_s"] * (first + second) / 2
    read = Record.from_json(json.dumps(line))
    assert (read.samples["fit_warm_up_s"], read.samples["fit_s"]) == ([first], [second])
    assert read.value("fit_images_per_s") == pytest.approx(images / second)


def test_an_older_record_of_a_training_that_diverged_is_no_accuracy() -> None:
    """NaN outputs were recorded as null, and counted as benign."""
    line = json.loads((Path(__file__).parent / "schemas" / "9.json").read_text(encoding="utf-8"))
    split = line["predictions"]["test"]
    split["outputs"] = [[None, None] for _ in split["outputs"]]
    split["scores"] = [0.5 for _ in split["scores"]]
    read = Record.from_json(json.dumps(line))
    assert (read.status, read.predictions) == ("diverged", {})
    assert read.reason.startswith("the training diverged: ")
    assert not [name for name in read.metrics if name.startswith("test_")]
    assert read.value("step_images_per_s") == line["metrics"]["step_images_per_s"]
    assert Record.from_json(read.to_json()) == read


def test_there_is_an_example_of_every_schema() -> None:
    stems = {int(file.stem) for file in (Path(__file__).parent / "schemas").glob("*.json")}
    assert stems == set(range(1, SCHEMA + 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"test_accuracy": "high"}},
        {"metrics": []},
        {"samples": {"fit_s": [0.0]}},
        {"samples": {"fit_s": 1.0}},
        {"dataset": {"name": "of a sort"}},
        {"environment": {"versions": ["keras"]}},
        {"environment": {"cpu_cores": "two"}},
        {"environment": {"gpus": "NVIDIA H100"}},
        {"weights": {"sha256": 0}},
        {"status": None},
        {"log_tail": "text"},
        {"reason": "half of a pair: \ud800"},
    ],
)
def test_fields_of_another_shape_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RecordError):
        Record.from_json(json.dumps({**as_of_older(record()), **changes}))
