"""Groups: what lines are called, in which order they stand, and what was not run."""

from __future__ import annotations

import dataclasses

import pytest

from bcdl.records.groups import Group, Line, group_records
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from tests.factory import record


def group(*records: Record) -> Group:
    (made,) = group_records([("m", each) for each in records])
    return made


def test_a_line_is_called_after_its_model_alone_if_that_says_which() -> None:
    of = group(record(model="mobilenet", weights="imagenet"), record())
    assert [of.label(line) for line in of.lines] == ["CNN", "MobileNet"]


def test_lines_of_one_model_that_started_from_several_weights_have_labels_of_their_own() -> None:
    weights = ("imagenet", "none", "first.h5", "second.h5")
    of = group(*(record(model="mobilenet", weights=each) for each in weights))
    assert sorted(of.label(line) for line in of.lines) == [
        "MobileNet, ImageNet",
        "MobileNet, file first.h5",
        "MobileNet, file second.h5",
        "MobileNet, random",
    ]


def test_a_lone_weights_file_is_named_by_its_kind_alone() -> None:
    of = group(*(record(model="mobilenet", weights=each) for each in ("imagenet", "first.h5")))
    assert sorted(of.label(line) for line in of.lines) == ["MobileNet, ImageNet", "MobileNet, file"]


def test_lines_of_one_model_that_were_trained_in_several_ways_have_labels_of_their_own() -> None:
    of = group(record(), record(patience=3))
    assert sorted(of.label(line) for line in of.lines) == ["CNN, as usual", "CNN, patience 3"]


def test_a_label_leaves_out_what_all_lines_of_its_model_have_in_common() -> None:
    """Before, each label of a plot repeated it, until there was no room for the plot."""
    of = group(*(record(patience=3, batch_norm="faster", **more) for more in ({}, {"keep": "last"})))
    assert sorted(of.label(line) for line in of.lines) == ["CNN, last epoch", "CNN, otherwise as usual"]
    assert {line.training for line in of.lines} == {
        "faster averages, patience 3",
        "faster averages, patience 3, last epoch",
    }


def test_what_was_not_run_is_named_by_line_backend_and_draw() -> None:
    of = group(
        *(record(backend=backend, seed=seed) for backend, seed in (("jax", 0), ("jax", 1), ("torch", 1))),
        record(backend="jax", model="mobilenet"),
    )
    assert of.not_run == ["CNN on torch, seed 0", "MobileNet on torch"]


def test_the_newest_record_of_a_cell_counts() -> None:
    older, newer = record(), record(run="20260102T000000Z-0000")
    assert group(older, newer).records == (newer,)


def test_what_two_machines_measured_of_accuracy_alone_is_one_group() -> None:
    """Before, each machine had a table of its own, of the folds that it had happened to train."""
    one, other = (record(timing=False, folds=2, fold=fold) for fold in (0, 1))
    (made,) = group_records([("a-machine", one), ("another", other)])
    assert (made.records, made.machine, made.several) == ((one, other), "a-machine and another", ())
    assert made.machines == ["a-machine", "another"]
    (alone,) = group_records([("a-machine", one)])
    assert alone.slug == made.slug
    timed = [("a-machine", record(seed=0)), ("another", record(seed=1))]
    assert [each.machine for each in group_records(timed)] == ["a-machine", "another"]


def test_a_cell_that_ran_on_two_machines_counts_by_its_newest_record_and_both_are_kept() -> None:
    older, newer = record(timing=False), record(timing=False, run="20260102T000000Z-0000")
    (made,) = group_records([("a-machine", older), ("another", newer)])
    assert (made.records, made.machine) == ((newer,), "another")
    assert made.several == ({"a-machine": older, "another": newer},)


@pytest.mark.parametrize("status", ["failed", "out_of_memory", "skipped"])
def test_what_failed_on_another_machine_hides_no_result(status: str) -> None:
    """Before, a cell had the newest record of all: another machine with too little memory took its place."""
    ok, failed = record(timing=False), record(timing=False, run="20260102T000000Z-0000", status=status)
    (made,) = group_records([("a-machine", ok), ("another", failed)])
    assert (made.records, made.machine) == ((ok,), "a-machine")
    (made,) = group_records([("another", failed), ("a-machine", ok)])
    assert (made.records, made.machine) == ((ok,), "a-machine")
    (made,) = group_records([("a-machine", ok), ("a-machine", failed)])  # there, it counts as before
    assert made.records == (failed,)


def test_the_machines_of_a_group_stand_in_one_order() -> None:
    seeds = [record(timing=False, seed=seed) for seed in (0, 1)]
    assert {group_records(list(zip(machines, seeds, strict=True)))[0].machine for machines in ("mn", "nm")} == {
        "m and n"
    }


def test_the_line_of_each_record_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tables ask for it: a group may have thousands of records."""
    asked: list[Cell] = []
    line_of = Line.of
    monkeypatch.setattr(Line, "of", lambda cell: (asked.append(cell), line_of(cell))[1])
    of = group(*(record(seed=seed, backend=backend) for seed in range(4) for backend in ("jax", "torch")))
    for line in of.lines * 3:
        assert [each.cell.seed for each in of.of(line, "jax")] == [0, 1, 2, 3]
        assert len(of.draws(line)) == 4
        assert len(of.ok_records(line)) == 8
    assert len(asked) == 8


def test_what_failed_before_its_data_was_known_stands_with_the_data_of_its_own_machine() -> None:
    """Each machine may have images of its own under one name."""

    def of_data(checksum: str, **changes: object) -> Record:
        made = record(timing=False, **changes)
        return dataclasses.replace(made, dataset={**made.dataset, "checksum": checksum})

    failed = record(timing=False, seed=1, status="failed")
    logged = [("m", of_data("1")), ("n", of_data("2")), ("m", failed)]
    assert [len(made.records) for made in group_records(logged) if made.checksum == "1"] == [2]
