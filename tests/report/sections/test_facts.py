"""The facts of a group: what was looked at for leaks, and every machine that trained its cells."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.sections.facts import group_facts, leak_lines
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


def test_each_machine_that_trained_cells_of_accuracy_alone_is_described() -> None:
    """Before, such a group had one machine, and only that of its first record was described."""
    made = []
    for seed, hardware in enumerate(("1a2b3c4d", "00000000")):
        one = record(timing=False, seed=seed)
        identity = {"hardware": hardware, "vendor": "AuthenticAMD"}
        made.append(dataclasses.replace(one, environment={**one.environment, "identity": identity}))
    (group,) = group_records([("a-machine", made[0]), ("another", made[1])])
    text = group_facts(group)
    assert "- Machine: a-machine and another" in text
    assert [hardware for hardware in ("1a2b3c4d", "00000000") if f"({hardware})" in text] == ["1a2b3c4d", "00000000"]
    assert text.count("Cores allowed") == 2  # each below its own machine
