"""Utilisation and the roofline's points, from records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bcdl.evaluation import utilisation
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from tests.factory import record

SCHEMAS = Path(__file__).parents[1] / "records" / "schemas"
NO_WEIGHTS = {"weight_bytes": 0}


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
    return dataclasses.replace(example, metrics={**example.metrics, "product_flops_per_s": peak})


PRODUCT = "product_flops_per_s"


@pytest.mark.parametrize(("fastest", "factor"), [(1.25e11, None), (2.5e11, 2.5)])
def test_products_of_one_backend_say_whether_the_machine_was_steady(fastest: float, factor: float | None) -> None:
    of = group(with_peak(1e11), with_peak(fastest, model="mobilenet"), with_peak(9e11, backend="jax"))
    measured = utilisation.yardstick(of, PRODUCT)
    assert measured == {"jax": [9e11], "torch": [1e11, fastest]}
    assert utilisation.unsteady_by(measured) == factor


@pytest.mark.parametrize(("best", "factor"), [(1.5e11, None), (2e11, 2.0)])
def test_backends_that_get_much_less_out_of_the_device_are_known(best: float, factor: float | None) -> None:
    of = group(with_peak(1e11), with_peak(best, backend="jax"))
    assert utilisation.disagree_by(utilisation.yardstick(of, PRODUCT)) == factor


def test_the_limit_is_the_fastest_operation_of_any_backend() -> None:
    convolution = record(backend="jax")
    metrics = {**convolution.metrics, "convolution_flops_per_s": 3e11, "memory_bytes_per_s": 4e10}
    limit = utilisation.peaks(group(with_peak(2e11), dataclasses.replace(convolution, metrics=metrics)))
    assert limit == utilisation.Peaks(
        utilisation.Peak(3e11, "convolution_flops_per_s", "jax"), utilisation.Peak(4e10, "memory_bytes_per_s", "jax")
    )


def test_a_copy_into_new_memory_of_older_schemas_is_no_limit() -> None:
    old = json.loads((SCHEMAS / "7.json").read_text(encoding="utf-8"))
    read = Record.from_json(json.dumps(old))
    limit = utilisation.peaks(group(read))
    assert limit is not None
    assert limit.memory is None
    assert limit.arithmetic.rate == old["metrics"]["peak_flops_per_s"]


def test_half_as_many_bytes_are_moved_in_half_the_precision() -> None:
    def intensity(precision: str) -> float:
        example = record(precision=precision)
        free = dataclasses.replace(example, model={"cost": {**example.model["cost"], **NO_WEIGHTS}})
        (point,) = utilisation.points(group(free), "step")
        return point.intensity

    assert intensity("mixed_bfloat16") == pytest.approx(2 * intensity("float32"))


def test_without_a_product_there_is_nothing_to_say() -> None:
    of = group(dataclasses.replace(record(), metrics={}))
    assert (utilisation.peaks(of), utilisation.yardstick(of, PRODUCT), utilisation.unsteady_by({})) == (None, {}, None)


def test_a_share_is_of_the_limit_in_percent() -> None:
    limit = utilisation.Peaks(utilisation.Peak(2e11, PRODUCT, "torch"), None)
    assert utilisation.share(record(), "predict", limit) == pytest.approx(100 * 480 * 81e6 / 2e11)
    assert utilisation.share(dataclasses.replace(record(), model={}), "predict", limit) is None
