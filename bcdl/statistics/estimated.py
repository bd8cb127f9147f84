"""A value with its interval."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Estimated:
    """A value and the ends of its 95 percent interval; NaN for what is not defined."""

    value: float
    low: float
    high: float
