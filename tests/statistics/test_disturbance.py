"""The rule of what makes a rate doubtful: each cause marks it beyond its limit, and nothing marks a quiet machine."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.records.record import Record
from bcdl.records.shapes import Disturbance
from bcdl.statistics import disturbance, doubts
from bcdl.statistics.doubts import Doubt
from bcdl.statistics.steadiness import ONE_SAMPLE, SPREAD
from tests.factory import record

# Two cores for ten seconds, almost all of it for the cell.
QUIET = {
    "wall_s": 10.0,
    "processor_s": 19.0,
    "machine_s": 20.0,
    "others_s": 0.4,
    "steal_s": 0.1,
    "quota_s": 0.0,
    "heat_s": 0.0,
    "asleep_s": 0.0,
    "load": [1.5, 2.1],
    "involuntary_switches": 4000,
    "major_faults": 3,
    "stops": 0,
    "other_runs": 0,
}
DISTURBED = {
    "other processes were busy": {"others_s": 8.0},
    "its host gave processor time to others": {"steal_s": 3.0},
    "a quota of processor time held it back": {"quota_s": 3.0},
    "the processor was slowed down for its heat": {"heat_s": 2.0},
    "it waited for memory from the disk": {"major_faults": 20_000},
    "the process did not get to run": {"processor_s": 1.4},
    "the process was stopped": {"stops": 1},
    "the machine was suspended": {"asleep_s": 600.0},
    "other runs of bcdl measured at the time": {"other_runs": 1},
}
# Likewise of what is not read of each regime, but of the whole cell.
OF_CELLS = {"other processes computed on the GPU as its worker began": {"gpu_processes": 2}}


def seen(readings: dict[str, Any], regime: str = "step", device: str = "cpu", **changes: Any) -> Record:
    made = record(device=device)
    environment = {**made.environment, "disturbance": {regime: readings}, **changes}
    return dataclasses.replace(made, environment=environment)


def causes(entry: Record, regime: str = "step") -> list[str]:
    return [disturbed.what for disturbed in disturbance.of(entry, regime)]


def test_a_quiet_machine_is_not_marked() -> None:
    assert causes(seen(QUIET)) == []


def test_there_is_a_case_of_every_cause() -> None:
    assert [cause.what for cause in disturbance.CAUSES] == [*DISTURBED, *OF_CELLS]


@pytest.mark.parametrize("cause", DISTURBED)
def test_each_cause_is_named_alone(cause: str) -> None:
    assert causes(seen({**QUIET, **DISTURBED[cause]})) == [cause]
    assert causes(seen({**QUIET, **DISTURBED[cause]}), "predict") == []


@pytest.mark.parametrize("cause", OF_CELLS)
def test_a_cause_of_the_whole_cell_counts_in_every_regime(cause: str) -> None:
    entry = seen(QUIET, **OF_CELLS[cause])
    assert causes(entry) == causes(entry, "predict") == [cause]
    assert causes(seen(QUIET, **dict.fromkeys(OF_CELLS[cause], 0))) == []


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"held_back_share": {"temperature": 0.009, "power": 0.9}}, []),
        ({"held_back_share": {"temperature": 0.011}}, [(0.011, "% of the time: temperature")]),
        ({"throttled_share": {"hardware slowdown": 0.5}}, [(0.5, "% of the time: hardware slowdown")]),
        ({"throttled_share": {"software power cap": 1.0}}, []),
        ({"throttled": ["hardware slowdown"]}, [(None, "hardware slowdown")]),
    ],
)
def test_a_gpu_is_held_back_if_it_was_so_for_a_share_of_the_time(
    state: dict[str, Any], named: list[tuple[float | None, str]]
) -> None:
    entry = seen(QUIET, device="gpu", gpu_state={"step": state})
    assert [(found.reading, found.unit) for found in disturbance.of(entry, "step")] == named


def test_a_process_of_many_threads_that_is_stopped_is_known_by_its_stops() -> None:
    """Of sixteen cores, a seventh of the time is more than one: how much it worked says nothing."""
    stopped = {**QUIET, "processor_s": 22.0, "machine_s": 160.0, "stops": 20}
    assert causes(seen(stopped)) == ["the process was stopped"]


def test_a_quota_is_held_to_the_cores_that_the_cell_may_use() -> None:
    """Two of sixty-four: 20 s in which it was held back are all of its 20, and next to nothing of the host's 640."""
    held = {**QUIET, "machine_s": 640.0, "quota_s": 20.0}
    assert causes(seen(held, cpu_cores_allowed=2)) == ["a quota of processor time held it back"]


def test_a_process_that_waits_for_a_gpu_is_not_kept_from_running() -> None:
    assert causes(seen({**QUIET, "processor_s": 1.0}, device="gpu")) == []
    held = {"step": {"throttled": ["software power cap"]}, "predict": {"throttled": ["hardware thermal slowdown"]}}
    entry = seen(QUIET, device="gpu", gpu_state=held)
    assert (causes(entry), causes(entry, "predict")) == ([], ["the GPU was held back"])


READINGS = {name: st.floats(0, 1e6) for name in QUIET if name != "load"}


@given(st.fixed_dictionaries({}, optional=READINGS))
def test_what_was_not_read_is_not_judged(readings: dict[str, float]) -> None:
    """Whatever a system reports, and whatever it leaves out."""
    named = causes(seen(readings))
    assert "the machine was suspended" not in named or readings["asleep_s"] > 0.5
    assert "other processes were busy" not in named or {"others_s", "machine_s"} <= readings.keys()
    assert readings or not named
    assert Disturbance.__annotations__.keys() >= readings.keys()


def with_samples(seconds: list[float], regime: str = "fit", **metrics: float) -> Record:
    made = record()
    return dataclasses.replace(
        made, samples={**made.samples, f"{regime}_s": seconds}, metrics={**made.metrics, **metrics}
    )


def test_one_epoch_says_how_few_steps_it_was() -> None:
    assert doubts.every(with_samples([0.5]), "fit") == (Doubt(ONE_SAMPLE, 6, "steps, one epoch"),)
    assert doubts.every(with_samples([0.5], "step"), "step") == (Doubt(ONE_SAMPLE, 1, "window"),)
    assert doubts.every(with_samples([]), "fit") == ()


@pytest.mark.parametrize(("fed", "bounded"), [(90.0, True), (120.0, True), (130.0, False)])
def test_a_fit_that_its_input_pipeline_bounds_is_marked(fed: float, bounded: bool) -> None:
    """It has 100 images/s."""
    entry = with_samples([0.25, 0.24], input_images_per_s=fed)
    assert bool(doubts.every(entry, "fit")) == bounded
    assert doubts.every(entry, "step") == ()


def test_unsteady_samples_are_a_doubt_that_their_figure_shows_by_itself() -> None:
    entry = with_samples([1.0, 2.0, 1.0, 2.0])
    assert doubts.every(entry, "fit") == (Doubt(SPREAD, 4, "samples"),)
    assert doubts.beside_unsteady(entry, "fit") == ()


def test_what_could_not_be_checked_is_counted() -> None:
    assert doubts.unrecorded([seen(QUIET), record(), record(status="failed")]).startswith(
        "what else the machine did was not recorded of 1 of 2 records"
    )
    assert doubts.unrecorded([seen(QUIET)]) == ""
