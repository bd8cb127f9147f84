"""Random streams and perturbations: how rounding is imitated."""

from __future__ import annotations

import numpy as np

from bcdl.parity.settings import UNIT_ROUNDOFF, Plan

# Key of the random streams of perturbed runs.
_PERTURBATION = 7


def stream(plan: Plan, draw: int) -> np.random.Generator:
    """The random stream of one perturbed run."""
    return np.random.default_rng([plan.seed, _PERTURBATION, draw])


def one_ulp(values: np.ndarray, precision: str, generator: np.random.Generator) -> np.ndarray:
    """Each float32 value moved by one unit in the last place of that precision, up or down at random; float32."""
    signs = np.where(generator.integers(0, 2, values.shape), 1, -1).astype(np.float32)
    units = np.spacing(np.abs(values)) * np.float32(UNIT_ROUNDOFF[precision] / UNIT_ROUNDOFF["float32"])
    return values + signs * units


def rounded(values: np.ndarray, roundoff: float, generator: np.random.Generator) -> np.ndarray:
    """Each value, as float64, moved by twice `roundoff` of itself, up or down at random."""
    return values.astype(np.float64) * (1 + 2 * roundoff * (generator.integers(0, 2, values.shape) * 2 - 1))
