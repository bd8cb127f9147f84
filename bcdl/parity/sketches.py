"""Sketches: vectors short enough to be carried, which tell how far the long ones are apart.

A count sketch (Charikar, Chen and Farach-Colton 2002, "Finding frequent items in data streams", section 3) adds every
element, with a sign, to one of `LENGTH` sums; sum and sign are a hash of the element's index. It is linear, so that the
difference of two sketches is the sketch of the difference. The squared norm of a sketch is that of its vector on
average, with a standard deviation of at most sqrt(2 / LENGTH) of it, so that a norm is off by some 3 percent (Thorup
and Zhang 2012, "Tabulation-based 5-independent hashing with applications to linear probing and second moment
estimation", section 5). Every element counts alike, so that a fault at the edge of a map can not hide between samples.
"""

from __future__ import annotations

import numpy as np

# Sums of a sketch; a power of two. A vector that is no longer is kept as it is.
LENGTH = 512

# SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figures 11 and 17): the same
# on every machine and with every NumPy, which a random stream of NumPy is not promised to be.
_STEP, _FIRST, _SECOND = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)


def sketch(values: np.ndarray) -> np.ndarray:
    """The sketch of an array's elements, in order: float64, `LENGTH` sums, or the elements if there are no more."""
    elements = np.asarray(values, dtype=np.float64).ravel()
    if elements.size <= LENGTH:
        return elements
    hashed = _hashes(elements.size)
    signs = 1.0 - 2.0 * (hashed & np.uint64(1))
    places = (hashed >> np.uint64(32)) % np.uint64(LENGTH)
    return np.bincount(places.astype(np.intp), weights=signs * elements, minlength=LENGTH)


def _hashes(count: int) -> np.ndarray:
    """Hashes of 0, 1, ... count - 1, uint64."""
    hashes = np.arange(1, count + 1, dtype=np.uint64) * _STEP
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * factor
    return hashes ^ (hashes >> np.uint64(31))
