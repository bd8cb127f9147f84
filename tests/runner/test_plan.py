"""The plan of a budget, for any cells and any time: what it may never do, and what more time may never take away."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from bcdl.runner import plan
from bcdl.runner.plan import Candidate, Kind, Plan
from bcdl.settings.models import MODELS
from tests.factory import job


def candidate(model: str, seed: int = 0, seconds: float | None = None, operations: float = 0.0) -> Candidate:
    return Candidate(job(model=model, seed=seed), seconds, operations)


@st.composite
def _candidates(draw: st.DrawFn) -> list[Candidate]:
    """Cells of some models and seeds; the seconds are whole numbers, so that sums of them are exact."""
    cells = draw(st.sets(st.tuples(st.sampled_from(list(MODELS)), st.integers(0, 4)), max_size=15))
    seconds = st.one_of(st.none(), st.integers(1, 100).map(float))
    return [candidate(model, seed, draw(seconds), draw(st.floats(0, 1e12))) for model, seed in sorted(cells)]


CANDIDATES = _candidates()
ESTIMATED = CANDIDATES.map(lambda made: [dataclasses.replace(each, seconds=each.seconds or 1.0) for each in made])
SECONDS = st.integers(-10, 500).map(float)
DONE = st.dictionaries(st.tuples(st.sampled_from(list(MODELS)), st.just("torch"), st.just(True)), st.integers(0, 3))


def known(candidates: Iterable[Candidate]) -> float:
    return sum(each.seconds or 0.0 for each in candidates)


def models(candidates: Iterable[Candidate]) -> set[str]:
    return {each.model for each in candidates}


@given(CANDIDATES, SECONDS, DONE)
def test_never_more_is_planned_than_there_is_time_for(
    made: list[Candidate], seconds: float, done: dict[Kind, int]
) -> None:
    fitting = plan.make(made, seconds, done).fitting
    assert known(fitting) <= max(0.0, seconds)
    assert seconds > 0 or not fitting


@given(CANDIDATES, SECONDS, DONE)
def test_every_cell_is_planned_or_left_out(made: list[Candidate], seconds: float, done: dict[Kind, int]) -> None:
    both = plan.make(made, seconds, done)
    assert Counter((*both.fitting, *both.left_out)) == Counter(made)


@given(ESTIMATED, SECONDS)
def test_nothing_that_is_left_out_would_have_fitted_in_the_rest(made: list[Candidate], seconds: float) -> None:
    both = plan.make(made, seconds, {})
    assert all(seconds - known(both.fitting) < known([each]) for each in both.left_out)


@given(CANDIDATES, SECONDS)
def test_a_cell_of_every_model_runs_before_a_second_one_of_any(made: list[Candidate], seconds: float) -> None:
    fitting = plan.make(made, seconds, {}).fitting
    firsts = len(models(fitting))
    assert len(models(fitting[:firsts])) == firsts


@given(ESTIMATED, SECONDS)
def test_a_model_is_without_a_cell_only_if_none_fits_beside_those_of_shorter_models(
    made: list[Candidate], seconds: float
) -> None:
    """No second cell takes the time of a first one."""
    both = plan.make(made, seconds, {})
    least: dict[str, float] = {}
    for each in made:
        least[each.model] = min(least.get(each.model, 1e9), known([each]))
    for model in models(made) - models(both.fitting):
        shorter = sum(seconds for other, seconds in least.items() if seconds <= least[model] and other != model)
        assert shorter + least[model] > seconds


@given(ESTIMATED, SECONDS, st.integers(0, 200), DONE)
def test_more_time_never_leaves_out_a_model_that_was_planned(
    made: list[Candidate], seconds: float, more: int, done: dict[Kind, int]
) -> None:
    """Of those that have no cell yet."""
    less, longer = plan.make(made, seconds, done), plan.make(made, seconds + more, done)
    without = {model for model in models(made) if not done.get((model, "torch", True))}
    assert models(less.fitting) & without <= models(longer.fitting) & without


def names(made: Plan) -> list[tuple[str, int]]:
    return [(each.model, each.job.cell.seed) for each in made.fitting]


def test_models_that_have_a_cell_already_come_later() -> None:
    cells = [candidate("cnn", 1, 10.0), candidate("resnet50", 0, 20.0), candidate("resnet50", 1, 20.0)]
    assert names(plan.make(cells, 60, {("cnn", "torch", True): 1})) == [("resnet50", 0), ("cnn", 1), ("resnet50", 1)]


def test_the_rest_of_the_time_goes_to_second_cells_of_shorter_models() -> None:
    cells = [candidate("cnn", 0, 10.0), candidate("cnn", 1, 10.0), candidate("nasnetlarge", 0, 100.0)]
    made = plan.make(cells, 60, {})
    assert names(made) == [("cnn", 0), ("cnn", 1)]
    assert made.seconds == 20
    assert [each.model for each in made.left_out] == ["nasnetlarge"]


def test_without_estimates_the_fewest_operations_are_first_as_long_as_there_is_time() -> None:
    cells = [candidate(model, 0, None, MODELS[model].forward_flops) for model in ("resnet50", "cnn", "mobilenet")]
    made = plan.make(cells, 1, {})
    assert [each.model for each in made.fitting] == ["mobilenet", "cnn", "resnet50"]
    assert made.seconds is None
    assert len(plan.make(cells, 0, {}).left_out) == 3


def test_a_models_speed_and_its_accuracy_alone_are_two_kinds() -> None:
    """The quicker cell of accuracy does not put off the first that measures the model's speed."""
    timed, accuracy = candidate("cnn", 0, 35.0), Candidate(job(timing=False), 25.0)
    made = plan.make([timed, accuracy, candidate("mobilenet", 0, 40.0)], 70, {})
    assert [each.kind for each in made.fitting] == [("cnn", "torch", False), ("cnn", "torch", True)]


def test_a_model_has_a_cell_on_each_backend_before_a_second_on_any() -> None:
    cells = [Candidate(job(backend=name, seed=seed), 10.0) for name in ("torch", "jax") for seed in (0, 1)]
    made = plan.make(cells, 20, {})
    assert [(each.job.cell.backend, each.job.cell.seed) for each in made.fitting] == [("torch", 0), ("jax", 0)]


@given(CANDIDATES, SECONDS, DONE)
def test_cells_in_the_order_of_their_value_keep_it(
    made: list[Candidate], seconds: float, done: dict[Kind, int]
) -> None:
    both = plan.make(made, seconds, done, is_ordered=True)
    places = [made.index(each) for each in both.fitting]
    assert places == sorted(places)
    assert known(both.fitting) <= max(0.0, seconds)
    if made and made[0].seconds is None and seconds > 0:
        assert places[0] == 0
