"""The ledger of phases: every second is booked once, under the phase that was on."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.worker import phases
from bcdl.worker.phases import Phases

NAMES = st.sampled_from(["building", "first step", "training", "validating"])


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(phases, "now_s", made)
    return made


@given(st.lists(st.tuples(NAMES, st.booleans(), st.integers(0, 1000))))
def test_the_phases_sum_to_the_whole_time(changes: list[tuple[str, bool, int]]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "now_s", clock)
        ledger, expected = Phases(), dict.fromkeys(["starting"], 0)
        on = "starting"
        for name, aside, seconds in changes:
            if aside:
                with ledger.aside(name):
                    clock.now_s += seconds
            else:
                ledger.begin(name)
                clock.now_s += seconds
                on = name
            expected[name] = expected.get(name, 0) + seconds
            clock.now_s += 1  # belongs to the phase that is on again
            expected[on] = expected.get(on, 0) + 1
        assert ledger.seconds == {name: seconds for name, seconds in expected.items() if seconds}
        assert sum(ledger.seconds.values()) == clock.now_s - 100


def test_a_phase_aside_ends_with_an_error(clock: Clock) -> None:
    ledger = Phases()
    ledger.begin("training")
    with contextlib.suppress(RuntimeError), ledger.aside("validating"):
        clock.now_s += 2
        raise RuntimeError
    clock.now_s += 3
    assert ledger.seconds == {"training": 3, "validating": 2}


def test_the_start_may_be_read_in_another_process(clock: Clock) -> None:
    assert Phases(since_s=clock.now_s - 5).seconds == {"starting": 5}


def test_people_are_shown_the_phase_or_the_words_given_for_it(clock: Clock) -> None:
    shown: list[str] = []
    ledger = Phases(shown.append)
    ledger.begin("training", "epoch 1/3")
    with ledger.aside("validating"):
        clock.now_s += 1
    ledger.begin("testing")
    assert shown == ["epoch 1/3", "testing"]
