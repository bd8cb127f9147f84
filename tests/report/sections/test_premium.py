"""What a split by image says more than one by patient, of predictions whose truth is known."""

from __future__ import annotations

import pytest

from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.sections import premium
from tests.predictions import both_ways


def table_of(records: list[Record]) -> dict[str, tuple[str, ...]]:
    groups = group_records([("m", record) for record in records])
    (section,) = premium.sections(groups)
    ((key, (table,)),) = section.tables.items()
    assert "2 folds" in section.text.partition("\n")[0]
    assert "(how-to-read.md#the-leakage-premium)" in section.text
    assert "Intervals of a cross-validation are too narrow" in section.text
    assert key.endswith("-premium")
    return {row[3]: row for row in table.shown()}


def test_the_difference_is_by_image_less_by_group() -> None:
    row = table_of(both_ways(0.5, 0.75))["Accuracy"]
    assert row[4:6] == ("0.500", "0.750 (LEAKY)")
    assert row[6].startswith("+0.250 (")
    assert row[7:] == ("a premium", "1", "80 (40)")


def test_no_premium_is_a_valid_answer() -> None:
    records = both_ways(0.5, 0.525)
    row = table_of(records)["Accuracy"]
    assert row[7] == "no detectable premium"


def test_what_was_run_one_way_alone_has_no_premium() -> None:
    records = [record for record in both_ways(0.5, 0.75) if record.cell.split_by == "image"]
    assert premium.sections(group_records([("m", record) for record in records])) == []


def test_a_way_that_lacks_a_fold_is_not_compared() -> None:
    records = both_ways(0.5, 0.75)[:-1]
    assert premium.sections(group_records([("m", record) for record in records])) == []


def test_figures_of_a_split_by_image_are_marked_wherever_they_stand() -> None:
    groups = group_records([("m", record) for record in both_ways(0.5, 0.75)])
    assert sorted("LEAKY: split by image" in group.title for group in groups) == [False, True]
    assert [group.title.count("2 folds") for group in groups] == [1, 1]


def test_the_interval_is_that_of_groups() -> None:
    """40 patients of whom 10 change from wrong to right: standard error sqrt(0.25 * 0.75 / 40) = 0.068."""
    row = table_of(both_ways(0.5, 0.75))["Accuracy"]
    low, high = (float(part) for part in row[6].partition("(")[2].rstrip(")").split(" to "))
    assert low == pytest.approx(0.25 - 1.96 * 0.068, abs=0.02)
    assert high == pytest.approx(0.25 + 1.96 * 0.068, abs=0.02)


def test_programs_find_the_warning_of_a_leaky_figure_too() -> None:
    groups = group_records([("m", record) for record in both_ways(0.5, 0.75)])
    (section,) = premium.sections(groups)
    (content,) = section.files().values()
    assert b",0.500,0.750 (LEAKY),+0.250 (" in content
