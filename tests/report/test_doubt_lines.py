"""Lines that say what makes rates doubtful: each kind once, with its places, and how a clock was set."""

from __future__ import annotations

import pytest

from bcdl.report.doubt_lines import clock_lines, lines
from bcdl.statistics.doubts import Doubt
from bcdl.statistics.steadiness import ONE_SAMPLE


def test_a_line_names_a_kind_once_with_its_places() -> None:
    one, busy = Doubt(ONE_SAMPLE, 1, "window"), Doubt("other processes were busy", 0.4, "% of the processors' time")
    said = lines({"CNN on torch": [[one, busy], [busy], []], "CNN on jax": [[one]], "CNN on tensorflow": [[]]})
    assert said == [
        f"{ONE_SAMPLE}: CNN on torch (1 of 3: 1 window); CNN on jax (1 window)",
        "other processes were busy: CNN on torch (2 of 3: 40% of the processors' time)",
    ]


def test_many_readings_are_cut_and_counted() -> None:
    (line,) = lines({"A": [[Doubt("x", number, "s")] for number in range(9)]})
    assert line == "x: A (9 of 9: 0 s, 1 s, 2 s, 6 more)"


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ({}, []),
        ({"jumped_s": 0.4, "behind_s": 0.0}, []),
        ({"jumped_s": 3600.2}, ["the clock was set forward by 3600.2 s while it ran"]),
        ({"jumped_s": -7.0}, ["the clock was set back by 7 s while it ran"]),
    ],
)
def test_a_record_says_how_its_clock_was_set(clock: dict[str, float], said: list[str]) -> None:
    assert clock_lines({"clock": clock}) == said
