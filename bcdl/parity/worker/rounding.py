"""Random streams and perturbations: how rounding is imitated."""

from __future__ import annotations

import numpy as np

from bcdl.parity.settings import Plan

# Key of the random streams of perturbed runs.
_PERTURBATION = 7


def stream(plan: Plan, draw: int) -> np.random.Generator:
    """The random stream of one perturbed run."""
    return np.random.default_rng([plan.seed, _PERTURBATION, draw])


def one_ulp(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each float32 value moved to its neighbour, up or down at random."""
    return np.nextafter(values, np.where(generator.integers(0, 2, values.shape), np.inf, -np.inf).astype(np.float32))


def rounded(values: np.ndarray, roundoff: float, generator: np.random.Generator) -> np.ndarray:
    """Each value, as float64, moved by twice `roundoff` of itself, up or down at random."""
    return values.astype(np.float64) * (1 + 2 * roundoff * (generator.integers(0, 2, values.shape) * 2 - 1))
