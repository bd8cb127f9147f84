"""The lines on leaks at the head of a group: none found is said only of what was looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bcdl.records.record import Record
from bcdl.report.sections.facts import leak_lines
from tests.factory import record


def looked(notices: list[str], clean: bool = True, **dataset: Any) -> Record:
    """A record of real data, whose run looked for leaks."""
    made = record()
    leaks = {"clean": clean, "notices": notices}
    return dataclasses.replace(made, dataset={**made.dataset, "synthetic": False, "leaks": leaks, **dataset})


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        (looked([], grouped=True, ungrouped={"test": 0}), ["none found"]),
        (
            looked(["no identical images; patients: not known"], ungrouped={"test": 5}),
            ["no identical images; patients: not known"],
        ),
        (
            looked([], grouped=False),
            ["no identical or near-identical images in two splits; patients: not known, so not checked"],
        ),
        (
            looked([], grouped=True),
            ["no identical or near-identical images in two splits; patients: none that was known"],
        ),
        (looked(["LEAK: 2 groups"], clean=False, grouped=True), ["LEAK: 2 groups"]),
        (looked([], synthetic=True), ["none found"]),
        (record(), []),
    ],
)
def test_none_found_is_said_only_of_what_was_looked_at(entry: Record, lines: list[str]) -> None:
    assert leak_lines([entry]) == lines
