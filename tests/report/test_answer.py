"""The answer: which backend for which model, from what was measured in turn, in words that may be quoted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bcdl.parity.verdicts import NEVER_MEASURED, Verdicts
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report import answer
from bcdl.report.sections import sides_in_turn
from bcdl.report.sections.sides_in_turn import SidesInTurn
from tests.factory import record, with_rates

RUN = "20260101T000000Z-0000"


def side(name: str, backend: str, rate: float, spread: float = 0.01, **changes: object) -> list[Record]:
    """The records of one side, whose rates of steps scatter about `rate`."""
    made = record(run=f"{RUN}-{name}", backend=backend, **changes)
    noise = np.exp(np.random.default_rng(ord(name)).normal(0, spread, 8))
    return [
        dataclasses.replace(
            made, metrics={**made.metrics, "step_images_per_s": float(rate * each)}, block=f"{RUN}/{number}", side=name
        )
        for number, each in enumerate(noise)
    ]


def runs_of(*records: Record) -> list[SidesInTurn]:
    return sides_in_turn.read([("m", entry) for entry in records])


def row_of(*records: Record) -> answer.Row:
    (row,) = answer.rows(runs_of(*records), Verdicts(()))
    return row


def of_machine(records: list[tuple[str, Record]], machine: str = "m") -> answer.Answer:
    groups = group_records([pair for pair in records if not pair[1].block])
    return answer.of_machine(machine, records, groups, Verdicts(()))


def test_the_fastest_is_named_with_its_rate_and_the_others_with_their_share() -> None:
    row = row_of(*side("a", "jax", 100), *side("b", "tensorflow", 50), *side("c", "torch", 25))
    (shown,) = answer.table([row]).shown()
    assert shown[:5] == ("CNN", "32", "4", "float32", "jax")
    assert shown[5] == "99.4 (98.8 to 100.1), 100%"
    assert shown[6].endswith((", 50%", ", 49%"))
    assert shown[8:] == ("not known",)
    assert row.parity == NEVER_MEASURED
    assert answer.cost_table([row]).shown() == [("CNN", "32", "4", "float32", *["1.5"] * 3, *["512"] * 3)]
    assert row.sentence.startswith("CNN, 32 px, batch 4, float32: jax is the fastest, at 99.4 images/s (98.8 to 100.1)")
    assert "; tensorflow 50% of that (" in row.sentence or "; tensorflow 49% of that (" in row.sentence


@pytest.mark.parametrize(("spread", "said"), [(0.3, "undecided: "), (0.002, "tie: ")])
def test_a_tie_is_called_so_only_if_it_is_shown(spread: float, said: str) -> None:
    row = row_of(*side("a", "jax", 100, spread=spread), *side("b", "torch", 100.5, spread=spread))
    shown = answer.table([row]).shown()[0][4]
    assert shown.startswith(said)
    assert "comes first" in row.sentence
    assert said.rstrip(": ") in row.sentence


def test_the_newest_comparison_of_a_model_counts() -> None:
    older = side("a", "jax", 100), side("b", "torch", 50)
    newer = [dataclasses.replace(e, block=e.block.replace("0000/", "0001/")) for e in side("a", "jax", 40)]
    newer += [dataclasses.replace(e, block=e.block.replace("0000/", "0001/")) for e in side("b", "torch", 80)]
    (row,) = answer.rows(runs_of(*older[0], *older[1], *newer), Verdicts(()))
    assert row.ranking.first.name == "torch"


def test_models_stand_in_the_order_of_the_model_table_and_a_backend_that_lacks_one_says_so() -> None:
    records = [*side("a", "jax", 100, model="mobilenet"), *side("b", "torch", 50, model="mobilenet")]
    records += [*side("a", "jax", 100), *side("c", "tensorflow", 50)]
    rows = answer.rows(runs_of(*records), Verdicts(()))
    assert [row.line.model for row in rows] == ["cnn", "mobilenet"]
    assert answer.table(rows).shown()[0][7] == "not in turn"
    assert answer.cost_table(rows).shown()[0][6] == "not run"


def test_a_first_step_is_that_of_the_rounds_that_compiled_anew() -> None:
    cold, *others = side("a", "jax", 100)
    warm = [
        dataclasses.replace(
            each, metrics={{"first_step_s": "warm_first_step_s"}.get(k, k): v for k, v in each.metrics.items()}
        )
        for each in others
    ]
    assert "warm_first_step_s" in warm[0].metrics
    for kept, said in (([cold, *warm], ["1.5", "1.5"]), (warm, ["warm cache", "1.5"])):
        row = row_of(*kept, *side("b", "torch", 50))
        assert list(answer.cost_table([row]).shown()[0][4:6]) == said


def test_sides_of_one_backend_answer_nothing() -> None:
    assert answer.rows(runs_of(*side("a", "jax", 100), *side("b", "jax", 50)), Verdicts(())) == []


def test_a_model_that_was_not_measured_in_turn_has_its_newest_rate_and_no_winner() -> None:
    older, newer = record(backend="jax"), with_rates(record(backend="jax", run="20260102T000000Z-0000"), step=60.0)
    records = [*side("a", "jax", 100, model="mobilenet"), *side("b", "torch", 50, model="mobilenet"), older, newer]
    made = of_machine([("m", each) for each in records])
    cnn, mobilenet = answer.table(made.rows).shown()
    assert cnn == ("CNN", "32", "4", "float32", "one after another", "60.0", "not run", "")
    assert mobilenet[4] == "jax"
    assert made.rows[0].sentence == ""
    assert "CNN" not in made.missing
    assert "ResNet50" in made.missing


def test_a_model_that_was_tried_and_has_no_rate_is_not_called_unmeasured() -> None:
    untimed = dataclasses.replace(record(model="mobilenet", timing=False), metrics={"test_accuracy": 0.75})
    failed = [record(model="resnet50", status="failed", seed=seed) for seed in (0, 1)]
    made = of_machine([("m", each) for each in (record(), untimed, *failed)])
    assert made.failed == {"ResNet50": 2}
    assert "MobileNet" in made.missing
    assert "ResNet50" not in made.missing
    said = {row[0]: row[4] for row in answer.tables(made)[0].shown()}
    assert (said["ResNet50"], said["MobileNet"]) == ("tried, and no rate", "never measured")


def test_another_machine_and_a_side_without_rates_have_no_part() -> None:
    empty = [dataclasses.replace(each, metrics={}) for each in side("b", "torch", 50)]
    records = [("m", each) for each in (*side("a", "jax", 100), *empty)]
    assert of_machine(records).rows == []
    assert of_machine(records, "other").rows == []


def test_a_run_shows_each_size_and_batch_that_it_had_and_the_machine_its_newest() -> None:
    made = [record(image_size=64), record(batch_size=8), record(), record(image_size=64, backend="jax")]
    rows = answer.of_run("m", made, Verdicts(())).rows
    assert [(row.cell.image_size, row.cell.batch_size, len(row.records)) for row in rows] == [
        (32, 4, 1),
        (32, 8, 1),
        (64, 4, 2),
    ]
    assert len(of_machine([("m", each) for each in made]).rows) == 1
