"""The answer: which backend for which model, from what was measured in turn, in words that may be quoted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bcdl.parity.verdicts import NEVER_MEASURED, Verdicts
from bcdl.records.record import Record
from bcdl.report import answer
from bcdl.report.sections import sides_in_turn
from bcdl.report.sections.sides_in_turn import SidesInTurn
from tests.factory import record

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


def test_the_fastest_is_named_with_its_rate_and_the_others_with_their_share() -> None:
    row = row_of(*side("a", "jax", 100), *side("b", "tensorflow", 50), *side("c", "torch", 25))
    (shown,) = answer.table([row]).shown()
    assert shown[0] == "CNN, 32 px, batch 4"
    assert shown[1] == "99.4 (98.8 to 100.1); x1.00; first step 1.5 s; 512 MiB"
    assert "; x0.50; " in shown[2] or "; x0.49; " in shown[2]
    assert shown[4:] == ("jax", NEVER_MEASURED)
    assert row.sentence.startswith("CNN, 32 px, batch 4: jax is the fastest, at ")
    assert "; tensorflow 50% of that (" in row.sentence or "; tensorflow 49% of that (" in row.sentence


@pytest.mark.parametrize(("spread", "said"), [(0.3, "undecided: "), (0.002, "tie: ")])
def test_a_tie_is_called_so_only_if_it_is_shown(spread: float, said: str) -> None:
    row = row_of(*side("a", "jax", 100, spread=spread), *side("b", "torch", 100.5, spread=spread))
    shown = answer.table([row]).shown()[0][3]
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
    assert answer.table(rows).shown()[0][3] == "not run"


def test_sides_of_one_backend_answer_nothing() -> None:
    assert answer.rows(runs_of(*side("a", "jax", 100), *side("b", "jax", 50)), Verdicts(())) == []
