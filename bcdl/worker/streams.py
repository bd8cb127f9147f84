"""NumPy's own random streams, many at once, to the bit, in a fraction of the time.

To make a generator for each image takes longer than all else that an image needs besides its warp, and holds the
interpreter's lock meanwhile. The algorithms are those of `numpy.random.SeedSequence` and `numpy.random.PCG64` (NumPy,
`numpy/random/bit_generator.pyx` and `numpy/random/src/pcg64/pcg64.h`), whose streams NumPy keeps (NEP 19). PCG64 is
the generator PCG XSL RR 128/64 of M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good
Algorithms for Random Number Generation", Harvey Mudd College, HMC-CS-2014-0905, section 6.3.3.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

_POOL = 4  # words of a SeedSequence's pool
_WORD = 2**32 - 1
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645  # PCG's default one for 128 bits

# A number of 128 bits for each stream: its upper and its lower half, [N] uint64 each.
_Wide = tuple[np.ndarray, np.ndarray]


def uniform(entropy: Sequence[int], last: np.ndarray, count: int) -> np.ndarray:
    """[N, count] float64 in [0, 1): row i has the bits of `np.random.default_rng([*entropy, last[i]]).random(count)`.

    `entropy` are integers from 0; `last` is [N], of integers from 0 to 2**32 - 1.
    """
    words = [np.full(1, word, np.uint32) for number in entropy for word in _words(number)]
    state, sequence = _seeds([*words, last.astype(np.uint32)])
    increment = (sequence[0] << 1 | sequence[1] >> 63, sequence[1] << 1 | 1)
    state = _step(_sum(increment, state), increment)
    drawn = np.empty((len(last), count))
    for column in range(count):
        state = _step(state, increment)
        drawn[:, column] = (_output(state) >> 11) * 2.0**-53
    return drawn


def _words(number: int) -> list[int]:
    """The number in words of 32 bits, the lowest first; 0 has one."""
    return [number >> shift & _WORD for shift in range(0, max(1, number.bit_length()), 32)]


class _Hash:
    """SeedSequence's hash of words, [N] uint32, whose constant is another at each call."""

    def __init__(self, constant: int, multiplier: int) -> None:
        self._constant, self._multiplier = constant, multiplier

    def __call__(self, words: np.ndarray) -> np.ndarray:
        words = words ^ self._constant
        self._constant = self._constant * self._multiplier & _WORD
        words = words * self._constant
        return words ^ words >> 16


def _seeds(entropy: Sequence[np.ndarray]) -> tuple[_Wide, _Wide]:
    """What `SeedSequence(entropy).generate_state(4, np.uint64)` gives: PCG64's initial state and its sequence."""
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    words = [hashed(word).astype(np.uint64) for word in 2 * _pool(entropy)]
    first, second, third, fourth = (words[at] | words[at + 1] << 32 for at in range(0, len(words), 2))
    return (first, second), (third, fourth)


def _pool(entropy: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The words into which a SeedSequence mixes its entropy, as many or few as there are."""
    hashed = _Hash(0x43B0D7E5, 0x931E8875)
    absent = [np.zeros(1, np.uint32)] * (_POOL - len(entropy))
    pool = [hashed(word) for word in [*entropy[:_POOL], *absent]]
    for source, target in itertools.permutations(range(_POOL), 2):
        pool[target] = _mixed(pool[target], hashed(pool[source]))
    for word, target in itertools.product(entropy[_POOL:], range(_POOL)):
        pool[target] = _mixed(pool[target], hashed(word))
    return pool


def _mixed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    words = left * 0xCA01F9DD - right * 0x4973F715
    return words ^ words >> 16


def _step(state: _Wide, increment: _Wide) -> _Wide:
    """PCG's next state: a multiplication and a sum, modulo 2**128."""
    (high, low), upper, lower = state, _MULTIPLIER >> 64, _MULTIPLIER & 2**64 - 1
    return _sum((high * lower + low * upper + _upper_half(low, lower), low * lower), increment)


def _upper_half(factor: np.ndarray, by: int) -> np.ndarray:
    """The upper 64 bits of a product of two numbers of 64 bits, by way of products of 32."""
    low, high, by_low, by_high = factor & _WORD, factor >> 32, by & _WORD, by >> 32
    middle = high * by_low + (low * by_low >> 32)
    return high * by_high + (middle >> 32) + ((middle & _WORD) + low * by_high >> 32)


def _sum(a: _Wide, b: _Wide) -> _Wide:
    low = a[1] + b[1]
    return a[0] + b[0] + (low < a[1]), low


def _output(state: _Wide) -> np.ndarray:
    """PCG's XSL RR: both halves together, turned right by the state's six highest bits."""
    high, low = state
    both, turn = high ^ low, high >> 58
    return both >> turn | both << (-turn & 63)
