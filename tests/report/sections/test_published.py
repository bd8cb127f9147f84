"""The page that sets measured figures beside published ones."""

from __future__ import annotations

import dataclasses

from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.section import Section
from bcdl.report.sections import published
from tests.predictions import drawn, named_right, predicted, tried

PATIENTS = 120


def sections(*records: Record) -> list[Section]:
    return published.sections(group_records([("m", record) for record in records]))


def of_busi(record: Record) -> Record:
    cell = dataclasses.replace(record.cell, data="busi")
    return dataclasses.replace(record, cell=cell, dataset={**record.dataset, "name": "busi"})


def test_measured_figures_stand_beside_the_published_ones_of_the_same_data() -> None:
    small = of_busi(predicted(named_right(0.75, PATIENTS)))
    large = of_busi(predicted(named_right(0.9, PATIENTS), image_size=96, split_by="image"))
    (section,) = sections(small, large)
    ((key, (cited, measured)),) = section.tables.items()
    assert (key, section.page) == ("busi-published", "busi-beside-published-figures")
    assert all(row[-1] for row in cited.shown())
    assert [(row[3], row[5]) for row in measured.shown()] == [("96", "by image (LEAKY)"), ("32", "by group")]
    assert [row[8].partition(" ")[0] for row in measured.shown()] == ["0.900", "0.750"]


def test_there_is_no_page_of_other_data_nor_of_a_smoke_test_nor_of_what_was_not_tested() -> None:
    assert sections(predicted(named_right(0.75, PATIENTS))) == []
    assert sections(of_busi(predicted(drawn(12)))) == []
    assert sections(of_busi(tried(0.75, PATIENTS))) == []
