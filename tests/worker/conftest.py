"""Fixtures of tests that measure cells in their own process."""

from __future__ import annotations

import pytest

from bcdl.worker import timing


@pytest.fixture
def short_regimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed is timed for a tenth as long: these tests ask what is timed and kept, not how steady it is."""
    monkeypatch.setattr(timing, "LEAST_S", timing.LEAST_S / 10)
    monkeypatch.setattr("bcdl.worker.regimes._INPUT_S", 0.1)
