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
    (made,) = group_records([("m", example) for example in records])
    return made


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


def test_a_step_of_an_unheard_of_optimizer_has_no_place_under_the_roofline() -> None:
    assert list(utilisation.points(group(record(optimizer="unheard-of")), "step")) == []


def test_the_slots_of_every_optimizer_are_known() -> None:
    assert tuple(utilisation.OPTIMIZER_SLOTS) == Cell.rows()["optimizer"].choices


def with_peak(peak: float, **changes: str) -> Record:
    example = record(**changes)
    return dataclasses.replace(example, metrics={**example.metrics, "peak_flops_per_s": peak})


@pytest.mark.parametrize(("fastest", "factor"), [(1.25e11, None), (2.5e11, 2.5)])
def test_products_of_one_backend_say_whether_the_machine_was_steady(fastest: float, factor: float | None) -> None:
    of = group(with_peak(1e11), with_peak(fastest, model="mobilenet"), with_peak(9e11, backend="jax"))
    assert utilisation.products(of) == {"jax": [9e11], "torch": [1e11, fastest]}
    assert utilisation.unsteady_by(utilisation.products(of)) == factor


def test_without_a_product_there_is_nothing_to_say() -> None:
    of = group(dataclasses.replace(record(), metrics={}))
    assert (utilisation.peaks(of), utilisation.products(of), utilisation.unsteady_by({})) == (None, {}, None)


def test_a_share_is_of_the_limit_in_percent() -> None:
    limit = utilisation.Peaks(2e11, 1e10)
    assert utilisation.share(record(), "predict", limit) == pytest.approx(100 * 480 * 81e6 / 2e11)
    assert utilisation.share(dataclasses.replace(record(), model={}), "predict", limit) is None
