"""Streams drawn many at once are NumPy's own, to the bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bcdl.worker.streams import uniform

WORDS = st.integers(0, 2**32 - 1)


@given(
    st.lists(st.one_of(st.integers(0, 5), WORDS, st.integers(0, 2**130)), max_size=7),
    st.lists(st.one_of(st.integers(0, 5), WORDS), min_size=1, max_size=20),
    st.integers(0, 9),
)
def test_each_stream_is_that_of_a_generator_of_its_own(entropy: list[int], last: list[int], count: int) -> None:
    drawn = uniform(entropy, np.array(last), count)
    wanted = [np.random.default_rng([*entropy, number]).random(count) for number in last]
    np.testing.assert_array_equal(drawn, wanted)
