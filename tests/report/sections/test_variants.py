"""The pages of variants: settings ranked by validation images, and what one setting changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from bcdl.records import store
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.section import Section
from bcdl.report.sections import variants
from tests.in_process import completed
from tests.predictions import predicted, split, tried


def sections(*records: Record) -> list[Section]:
    return variants.sections(group_records([("m", record) for record in records]))


def test_settings_are_ranked_by_their_validation_images() -> None:
    (section,) = sections(tried(0.5), tried(0.9, learning_rate=1e-3), tried(0.75, learning_rate=1e-2))
    assert section.title.startswith("Settings tried on validation images: synthetic-48")
    ((key, (ranked, changes)),) = section.tables.items()
    assert key.endswith("-validation")
    assert [row[3] for row in ranked.shown()] == ["learning rate 0.001", "learning rate 0.01", "learning rate 0.0001"]
    assert [row[6].partition(" ")[0] for row in ranked.shown()] == ["0.900", "0.750", "0.500"]
    assert {row[-1] for row in ranked.shown()} == {"40 (40)"}
    assert [row[2:4] for row in changes.shown()] == [("0.0001", "0.001"), ("0.0001", "0.01"), ("0.001", "0.01")]


def test_nothing_stands_on_the_page_of_one_setting() -> None:
    assert sections(tried(0.5)) == []


def test_what_differs_in_several_settings_is_ranked_all_the_same() -> None:
    (section,) = sections(tried(0.5), tried(0.9, learning_rate=1e-3, augment=False))
    ((_, (ranked,)),) = section.tables.items()
    assert [row[3] for row in ranked.shown()] == [
        "learning rate 0.001, augment off",
        "learning rate 0.0001, augment on",
    ]


def tested(right: int, **changes: object) -> Record:
    scores = [0.9 if place % 2 == (place < right) else 0.1 for place in range(40)]
    return predicted(split(scores, [place % 2 for place in range(40)]), **changes)


def test_what_was_tested_is_not_ranked() -> None:
    """Whoever chooses settings by test images has none left to say what the chosen are worth."""
    (section,) = sections(tested(20), tested(30, learning_rate=1e-3))
    assert section.title.startswith("What one setting changes: synthetic-48")
    ((key, (changes,)),) = section.tables.items()
    assert key.endswith("-one-setting")
    (row,) = changes.shown()
    assert row[1:4] == ("learning rate", "0.0001", "0.001")
    assert row[7].startswith("+0.250 (")


def test_pretrained_weights_stand_beside_random_ones_and_one_sentence_says_the_difference() -> None:
    random, file = tested(20, model="mobilenet", epochs=15), tested(30, model="mobilenet", head_epochs=5)
    file = dataclasses.replace(file, cell=dataclasses.replace(file.cell, weights="a.h5"))
    faulty = dataclasses.replace(file, cell=dataclasses.replace(file.cell, keep="last"))
    (section,) = sections(random, file, faulty)
    assert f"## {variants.STARTS}" in section.text
    ((_, (starts, changes)),) = section.tables.items()
    (row,) = starts.shown()
    assert row[:4] == ("MobileNet", "random", "file a.h5", "torch")
    assert row[4:6] == ("epochs 15, head epochs 0", "epochs 2, head epochs 5")
    assert len(changes.shown()) == 1
    (sentence,) = variants.quoted(group_records([("m", record) for record in (random, file, faulty)]))
    assert "from pretrained weights AUROC 0.750, from random ones 0.500; difference +0.250 (" in sentence


def test_the_sentence_says_how_many_folds_were_tested() -> None:
    made = [tested(20, model="mobilenet", folds=5, fold=fold) for fold in (0, 1, 2)]
    file = [tested(30, model="mobilenet", folds=5, fold=fold) for fold in (0, 1)]
    file = [dataclasses.replace(one, cell=dataclasses.replace(one.cell, weights="a.h5")) for one in file]
    (sentence,) = variants.quoted(group_records([("m", record) for record in (*made, *file)]))
    assert sentence.startswith("MobileNet, synthetic-48, by group, 32 px, 2 of 5 folds, torch: ")


def test_the_sentence_is_of_the_ways_that_share_the_most_images() -> None:
    """Before, of two pretrained ways the first was quoted, though it had run two folds and the other all."""

    def folds(right: int, count: int, **changes: Any) -> list[Record]:
        return [tested(right, model="mobilenet", folds=3, fold=fold, **changes) for fold in range(count)]

    file = [*folds(25, 2, augment=False), *folds(30, 3)]
    file = [dataclasses.replace(one, cell=dataclasses.replace(one.cell, weights="a.h5")) for one in file]
    (sentence,) = variants.quoted(group_records([("m", record) for record in (*folds(20, 3), *file)]))
    assert "32 px, 3 folds, torch: from pretrained weights AUROC 0.750" in sentence


def test_faults_of_the_study_have_a_table_a_plot_and_its_own_figures() -> None:
    faulty = [tested(20, keep="last"), tested(10, preprocessing="none")]
    (section,) = sections(tested(30), *faulty)
    assert f"## {variants.FAULTS}" in section.text
    ((_, (effects, of_study, _)),) = section.tables.items()
    assert [row[0] for row in effects.shown()] == ["pixels from 0 to 255, not scaled", "the last epoch, not the best"]
    assert [row[3:5] for row in effects.shown()] == [("0.750", "0.250"), ("0.750", "0.500")]
    assert ("DenseNet201, ImageNet", "0.939") in [(row[0], row[2]) for row in of_study.shown()]
    ((key, png),) = section.figures.items()
    assert f"plots/{key}.png" in section.text
    assert png.startswith(b"\x89PNG")


def test_a_split_by_image_is_marked() -> None:
    (section,) = sections(tested(20, split_by="image"), tested(30, learning_rate=1e-3, split_by="image"))
    assert section.title.startswith("LEAKY: ")


def test_of_cross_validation_the_page_says_that_intervals_are_too_narrow() -> None:
    made = [tried(0.5, folds=5, fold=fold, learning_rate=rate) for fold in (0, 1) for rate in (1e-3, 1e-4)]
    (section,) = sections(*made)
    assert "Intervals of a cross-validation are too narrow" in section.text


def test_a_report_of_cells_that_were_not_tested_has_no_test_figure(tmp_path: Path) -> None:
    for record in (tried(0.5), tried(0.9, learning_rate=1e-3)):
        store.append(tmp_path, "m", record)
    done = completed("report", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "pages").glob("*.md")}
    assert [name for name in pages if "settings-tried-on-validation-images" in name]
    of_groups = [text for name, text in pages.items() if "validation-alone" in name]
    assert len(of_groups) == 2
    for text in of_groups:
        assert "Accuracy, AUROC and loss on validation images" in text
        assert "Majority class on the validation split: 0.500" in text
        assert "on test images" not in text
        assert "not measured" not in text.partition("## What was run")[0].partition("## Have the batch norms")[0]


def test_a_record_of_an_untested_cell_that_tells_of_the_test_is_left_out(tmp_path: Path) -> None:
    with_metric = tried(0.5)
    with_metric = dataclasses.replace(with_metric, metrics={**with_metric.metrics, "test_accuracy": 0.5})
    with_scores = tried(0.5, seed=1)
    with_scores = dataclasses.replace(
        with_scores, predictions={**with_scores.predictions, "test": tried(1).predictions["val"]}
    )
    for record in (tried(0.5, seed=2), with_metric, with_scores):
        store.append(tmp_path, "m", record)
    records, problems = store.read_all(tmp_path)
    assert [record.cell.seed for _, record in records] == [2]
    assert len(problems) == 2
    assert all("though the cell is not tested" in str(problem) for problem in problems)
