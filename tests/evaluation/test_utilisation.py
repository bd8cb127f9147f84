"""Utilisation and the roofline's points, from records."""

from __future__ import annotations

import dataclasses

import pytest

from bcdl.evaluation import utilisation
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from tests.factory import record


def group(*records: Record) -> Group:
    (found,) = group_records([("m", one) for one in records])
    return found


def test_utilisation_is_the_models_operations_over_the_best_peak() -> None:
    better = record(backend="jax")
    better = dataclasses.replace(better, metrics={**better.metrics, "peak_flops_per_s": 2e11})
    both = group(record(), better)
    step, predict = utilisation.utilisation_tables(both, utilisation.peaks(both))
    # 120 images/s of 233 MFLOP, 480 of 81, over 200 GFLOP/s.
    assert step.rows == (("CNN", "random", "14.0", "14.0"),)
    assert predict.rows == (("CNN", "random", "19.4", "19.4"),)


def test_costs_are_told_for_one_image() -> None:
    costs = utilisation.cost_table(group(record()))
    assert costs.rows == (("CNN", "random", "0.081", "0.233", "0.381", "1.91"),)


def test_what_was_not_counted_is_said() -> None:
    old = dataclasses.replace(record(backend="jax"), model={})
    both = group(record(), old)
    step, _ = utilisation.utilisation_tables(both, utilisation.peaks(both))
    assert step.rows == (("CNN", "random", "not measured", "28.0"),)
    assert utilisation.peaks(group(dataclasses.replace(record(), metrics={}))) is None


def test_a_points_intensity_counts_batches_and_weights() -> None:
    (point,) = utilisation.points(group(record()), "predict")
    # A batch of 4: each output written and read once, the weights read once.
    assert point.intensity == pytest.approx(4 * 81e6 / (4 * 2 * 2e6 + 4e5))
    assert point.flops_per_s == pytest.approx(480 * 81e6)


@pytest.mark.parametrize(("optimizer", "transfers"), [("adam", 10), ("sgd", 8)])
def test_a_training_steps_intensity_counts_what_the_optimizer_keeps(optimizer: str, transfers: int) -> None:
    (point,) = utilisation.points(group(record(optimizer=optimizer)), "step")
    # A batch of 4: six transfers of each output; six of the weights, and two of each slot.
    assert point.intensity == pytest.approx(4 * 233e6 / (4 * 6 * 2e6 + transfers * 4e5))


def test_the_slots_of_every_optimizer_are_known() -> None:
    assert tuple(utilisation.OPTIMIZER_SLOTS) == Cell.rows()["optimizer"].choices
