"""What a split by image says more than one by patient, of predictions whose truth is known."""

from __future__ import annotations

import pytest

from bcdl.evaluation import leakage_premium
from bcdl.evaluation.leakage_premium import Verdict
from bcdl.records.groups import group_records
from tests.predictions import PATIENTS, both_ways


@pytest.mark.parametrize(
    ("by_image", "verdict"), [(0.75, Verdict.PREMIUM), (0.525, Verdict.NOT_DETECTABLE), (0.25, Verdict.DISCOUNT)]
)
def test_the_verdict_is_that_of_the_interval(by_image: float, verdict: Verdict) -> None:
    groups = group_records([("m", record) for record in both_ways(0.5, by_image)])
    ((by_group, by_image_group),) = leakage_premium.pairs(groups)
    accuracy, _ = leakage_premium.premiums(by_group, by_image_group)
    assert accuracy.difference.value == pytest.approx(by_image - 0.5)
    assert (accuracy.verdict, accuracy.images, accuracy.groups) == (verdict, 2 * PATIENTS, PATIENTS)
