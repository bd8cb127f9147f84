"""How long a cell is expected to take: as its like did, at the pace of this run, else scaled from the nearest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.runner.estimates import Estimates, Took
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS
from tests.cells import cells
from tests.factory import cell


def took(seconds: float, images: int = 24, **changes: object) -> Took:
    return Took(cell(**changes), images, seconds)


def estimate(to_run: Cell, *earlier: Took, images: int = 24) -> float | None:
    return Estimates(earlier, {to_run: images}).seconds(to_run)


def test_of_nothing_nothing_is_known() -> None:
    assert estimate(cell()) is None
    assert estimate(cell(), took(10, model="of-another-version")) is None


def test_the_same_work_takes_as_long_as_it_took_last() -> None:
    assert estimate(cell(seed=3), took(10), took(12, seed=1), took(99, model="mobilenet")) == 12


def test_a_model_of_another_version_of_bcdl_is_known_by_its_like_alone() -> None:
    assert estimate(cell(model="of-another-version", seed=1), took(10, model="of-another-version")) == 10
    assert estimate(cell(model="of-another-version"), took(10)) is None


@pytest.mark.parametrize(
    ("changes", "images", "times_the_work"),
    [({"image_size": 64}, 24, 4), ({"epochs": 8}, 24, 4), ({"data": "synthetic-192"}, 96, 4)],
)
def test_other_work_is_scaled_by_the_root_of_its_operations(
    changes: dict[str, object], images: int, times_the_work: int
) -> None:
    assert estimate(cell(**changes), took(10), images=images) == pytest.approx(10 * times_the_work**0.5)


def test_another_model_is_scaled_by_its_operations() -> None:
    ratio = MODELS["nasnetlarge"].forward_flops / MODELS["cnn"].forward_flops
    assert estimate(cell(model="nasnetlarge"), took(10)) == pytest.approx(10 * ratio**0.5)


def test_the_same_model_on_another_backend_says_more_than_another_model() -> None:
    known = took(30, backend="jax"), took(10, model="mobilenet"), took(50, model="resnet50")
    assert estimate(cell(), *known) == 30
    assert estimate(cell(), *known, took(20, epochs=4)) == pytest.approx(20 / 2**0.5)


def test_of_other_models_that_on_the_same_backend_counts_then_the_nearest() -> None:
    known = took(1, model="mobilenet", backend="jax"), took(10, model="nasnetlarge"), took(20, model="resnet50")
    ratio = MODELS["cnn"].forward_flops / MODELS["resnet50"].forward_flops
    assert estimate(cell(), *known) == pytest.approx(20 * ratio**0.5)


def test_estimates_of_several_runs_are_those_of_all_their_cells() -> None:
    on_jax, on_torch = cell(backend="jax"), cell(image_size=64)
    parts = [Estimates([took(30, backend="jax")], {on_jax: 24}), Estimates([took(10)], {on_torch: 96})]
    both = Estimates.together(parts)
    assert both.seconds(on_jax) == 30
    assert both.seconds(on_torch) == parts[1].seconds(on_torch)
    both.learn(on_jax, 60)
    assert both.seconds(cell(backend="jax", seed=1)) == 60
    assert parts[0].seconds(on_jax) == 30


def test_what_ends_in_this_run_counts_from_then_on_and_sets_the_pace_for_the_rest() -> None:
    estimates = Estimates([took(10), took(40, model="mobilenet")])
    estimates.learn(cell(), 20)
    assert estimates.seconds(cell(seed=1)) == 20
    assert estimates.seconds(cell(model="mobilenet")) == 80
    estimates.learn(cell(seed=1), 10)
    assert estimates.seconds(cell(seed=2)) == 15
    assert estimates.seconds(cell(model="mobilenet")) == 80


@given(st.lists(st.tuples(cells(), st.integers(1, 1000), st.floats(0.1, 1e5)), max_size=4), cells())
def test_an_estimate_is_a_positive_number_for_any_cells(known: list[tuple[Cell, int, float]], to_run: Cell) -> None:
    seconds = estimate(to_run, *(Took(*each) for each in known))
    assert seconds is None or 0 < seconds < float("inf")
