"""The table of precisions: what differs in its arithmetic alone stands side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.section import Section
from bcdl.report.sections import precisions
from tests.factory import record


def measured(backend: str, precision: str, rate: float, **changes: Any) -> Record:
    made = record(backend=backend, precision=precision, device="gpu", **changes)
    return dataclasses.replace(made, metrics={**made.metrics, "step_images_per_s": rate})


def sections(*records: Record) -> list[Section]:
    return precisions.sections(group_records([("a-gpu", each) for each in records]))


def test_each_precision_is_a_column_in_order_and_a_gap_is_told() -> None:
    (section,) = sections(
        measured("torch", "mixed_bfloat16", 300.0),
        measured("jax", "mixed_bfloat16", 400.0),
        measured("torch", "float32", 100.0),
        measured("torch", "tf32", 200.0),
    )
    assert section.title.startswith("Each precision: synthetic-48 (synthetic drawings), 32x32, batch 4")
    ((_, tables),) = section.tables.items()
    (step,) = (table for table in tables if table.title == "Step rate (images/s)")
    assert [column.title for column in step.columns][-3:] == ["float32", "tf32", "mixed_bfloat16"]
    jax, torch = step.shown()
    assert jax[2:] == ("jax", "not run", "not run", "400.0†")
    assert torch[2:] == ("torch", "100.0", "200.0", "300.0†")  # of one backend alone there is no parity to measure


def test_one_precision_or_other_settings_have_no_table() -> None:
    assert sections(measured("torch", "tf32", 1.0), measured("jax", "tf32", 1.0)) == []
    assert sections(measured("torch", "tf32", 1.0), measured("torch", "float32", 1.0, batch_size=8)) == []
    assert sections(measured("torch", "tf32", 1.0, timing=False), measured("torch", "float32", 1.0, timing=False)) == []
