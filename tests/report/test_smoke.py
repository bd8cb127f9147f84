"""Wherever figures of a smoke test, or of few images of a class, are shown, they are named so; and nothing else is."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.records import store
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report import group_sections, page, plots, run_table
from tests import pages
from tests.factory import record, with_rates
from tests.predictions import drawn, predicted, split

FEW, ENOUGH = 92, 93
NOTE = f"smoke test: {FEW} images"
# Plots of no test or validation images.
OF_NEITHER = {"images", "roofline", "throughput"}
# First cells of lines that hold quality, in tables with a line a metric.
QUALITY_LINES = ("| Accuracy |", "| AUROC |", "| Loss ")


def tested(images: int) -> list[Record]:
    """Records of two backends, tested on so many real images, of which no patients are known."""
    return [predicted(drawn(images, place), drawn(30), backend=name) for place, name in enumerate(("jax", "torch"))]


def built(results: Path, records: Sequence[Record]) -> Path:
    """A results folder with the report of these records, without plots: these have a test of their own."""
    for entry in records:
        store.append(results, "a-machine", entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda group: iter(()))
        patch.setattr(group_sections, "_FEWEST_GROUPS", 10**9)  # other processes would make them
        page.build(results)
    return results


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("few"), tested(FEW))


@pytest.fixture(scope="module")
def enough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("enough"), tested(ENOUGH))


def titles_and_tables(markdown: str) -> list[tuple[str, str]]:
    """Each table of a page or card, with the bold line that is its title."""
    parts = [part for part in markdown.split("\n\n") if part and not part.startswith("In all rows: ")]
    return [(title, part) for title, part in itertools.pairwise(parts) if part.startswith("|")]


def shows_quality(title: str, table: str) -> bool:
    is_of_test = title.startswith("**Accuracy, AUROC and loss")
    return is_of_test or "accuracy, b - a" in table or any(line in table for line in QUALITY_LINES)


def test_every_table_of_quality_names_it_on_the_page_and_in_the_cards(few: Path) -> None:
    files = [*pages.files(few), *(few / "cards").iterdir()]
    tables = [each for file in files for each in titles_and_tables(file.read_text(encoding="utf-8"))]
    of_quality = [title for title, table in tables if shows_quality(title, table)]
    assert len(of_quality) == 4  # accuracy, AUROC and loss; the line of the model; its agreement; its card
    assert all(NOTE in title for title in of_quality)
    assert not any("smoke test" in title for title, table in tables if not shows_quality(title, table))


def test_programs_are_told_so(few: Path, enough: Path) -> None:
    for results, words in ((few, {"yes"}), (enough, {"no"})):
        files = {file.stem.rpartition("-")[2]: file for file in (results / "tables").glob("*.csv")}
        for kind in ("quality", "agreement"):
            rows = list(csv.DictReader(io.StringIO(files[kind].read_text(encoding="utf-8"))))
            assert {row["smoke test"] for row in rows} == words


def test_of_enough_images_nothing_is_a_smoke_test_but_for_the_introduction(enough: Path) -> None:
    text = pages.text(enough)
    assert "Accuracy, AUROC and loss" in text
    assert "smoke test" not in text
    assert not any("smoke test" in file.read_text(encoding="utf-8") for file in (enough / "cards").iterdir())


@pytest.mark.parametrize("name", list(plots.modules()))
def test_every_plot_of_test_or_validation_images_names_it(name: str) -> None:
    for images in (FEW, ENOUGH):
        (group,) = group_records([("a-machine", entry) for entry in tested(images)])
        for file, figure in plots.modules()[name].draw(group):
            named = "smoke test" in figure.get_suptitle().replace("\n", " ")
            assert named == (images == FEW and name not in OF_NEITHER), file
            plots.style.plt.close(figure)


def test_a_long_title_is_not_cut_off() -> None:
    """The narrowest plot there is: of one model on one backend."""
    (group,) = group_records([("a-machine", tested(FEW)[0])])
    ((_, figure),) = plots.modules()["roc"].draw(group)
    figure.canvas.draw()
    (title,) = [text for text in figure.texts if text.get_text().startswith("ROC")]
    assert NOTE in title.get_text().replace("\n", " ")
    assert title.get_window_extent().x1 <= figure.bbox.x1


# The tables at the end of a run


def at_the_end(*records: Record) -> str:
    text = io.StringIO()
    run_table.print_run(records, Console(file=text, width=200))
    return text.getvalue()


def test_a_run_ends_with_its_notes_each_once() -> None:
    noted = [record(seed=seed) for seed in range(2)]
    for entry in noted:
        entry.environment["notes"] = ["something to know"]
    assert at_the_end(*noted, record(model="mobilenet")).count("note: torch: something to know (2 cells)\n") == 1


def test_a_run_ends_with_a_table_for_each_set_of_settings() -> None:
    other = dataclasses.replace(tested(ENOUGH)[0], cell=record(profile="accuracy", timing=False, image_size=64).cell)
    quick, accuracy = run_table.run_tables([record(), other, record(model="mobilenet")])
    settings = "float32, 32x32, batch 4, 2 epochs, smoke"
    note = "smoke test: 12 images of 3 groups; rests on 4 benign images in test"
    assert quick.title == f"synthetic-48 (synthetic drawings), {settings} ({note})"
    assert [row[0].shown for row in quick.rows] == ["CNN", "MobileNet"]
    assert accuracy.title.endswith("64x64, batch 4, 2 epochs, accuracy (93 images, majority class 0.667)")
    assert [column.title for column in accuracy.columns] == [
        *("model", "backend", "seed", "accuracy", "95% interval", "AUROC", "loss")
    ]


def test_the_interval_at_the_end_of_a_run_is_that_of_the_page(enough: Path) -> None:
    page_row = next(line for line in pages.text(enough).splitlines() if line.startswith("| Accuracy"))
    intervals = [row[4].shown for row in run_table.run_tables(tested(ENOUGH))[0].rows]
    assert all(f"({interval})" in page_row and " to " in interval for interval in intervals)


def test_a_smoke_test_has_no_interval_at_the_end_of_a_run() -> None:
    assert "interval" not in at_the_end(*tested(FEW))
    assert "95% interval" in at_the_end(*tested(ENOUGH))


def test_a_cell_that_is_not_ok_fills_its_row() -> None:
    for failed in ([], tested(ENOUGH)):
        (table,) = run_table.run_tables([*failed, record(seed=7, status="failed")])
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert table.shown()[-1][2:4] == ("7", "failed")


# Few images or groups of a class


RESTS = "rests on 1 malignant image in test, 3 malignant groups in validation, 4 in training"
# Plots that show no figure of quality.
OF_NONE = {"images", "roofline", "throughput"}


def resting() -> list[Record]:
    """Records of two backends, tested on 400 images of which one is malignant."""
    test, val = split([*drawn(399)["scores"], 0.9], [0] * 399 + [1]), drawn(30)
    val["groups"] = [f"m{place % 9}" if label else f"b{place}" for place, label in enumerate(val["labels"])]
    counts = {
        "benign_groups": {"train": 40, "val": 20, "test": 399},
        "malignant_groups": {"train": 4, "val": 3, "test": 1},
        "images": {"train": 400, "val": 30, "test": 400},
        "malignant": {"train": 16, "val": 10, "test": 1},
        "groups": {"train": 44, "val": 23, "test": 400},
    }
    few = [predicted(test, val, backend=name) for name in ("jax", "torch")]
    return [with_rates(dataclasses.replace(each, dataset={**each.dataset, **counts}), fit=100.0) for each in few]


@pytest.fixture(scope="module")
def rests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("rests"), resting())


def test_every_table_of_quality_says_on_how_few_of_a_class_it_rests(rests: Path) -> None:
    files = [*pages.files(rests), *(rests / "cards").iterdir()]
    tables = [each for file in files for each in titles_and_tables(file.read_text(encoding="utf-8"))]
    of_quality = [title for title, table in tables if shows_quality(title, table)]
    assert len(of_quality) == 4
    assert all(RESTS in title and "smoke test" not in title for title in of_quality)
    of_training = [title for title, _ in tables if "on the same training images" in title]
    assert len(of_training) == 1
    assert all(title.endswith("(rests on 4 malignant groups in training)**") for title in of_training)
    assert f"- FEW of a class: every figure of quality {RESTS}\n" in pages.text(rests)


def test_programs_are_told_on_how_few_it_rests(rests: Path, enough: Path) -> None:
    for results, words in ((rests, {RESTS}), (enough, {"no"})):
        files = {file.stem.rpartition("-")[2]: file for file in (results / "tables").glob("*.csv")}
        for kind in ("quality", "agreement"):
            rows = list(csv.DictReader(io.StringIO(files[kind].read_text(encoding="utf-8"))))
            assert {row["few of a class"] for row in rows} == words


def test_of_enough_of_each_class_nothing_is_said(enough: Path) -> None:
    text = pages.text(enough)
    assert "rests on" not in text
    assert "FEW" not in text


@pytest.mark.parametrize("name", list(plots.modules()))
def test_every_plot_says_on_how_few_of_a_class_it_rests(name: str) -> None:
    (group,) = group_records([("a-machine", entry) for entry in resting()])
    for file, figure in plots.modules()[name].draw(group):
        title = figure.get_suptitle().replace("\n", " ")
        assert ("rests on" in title) == (name not in OF_NONE), file
        assert ("in test" in title) == (name not in {*OF_NONE, "training_curves"}), file
        plots.style.plt.close(figure)


def test_a_run_ends_with_on_how_few_of_a_class_it_rests() -> None:
    (table,) = run_table.run_tables(resting())
    assert table.title.endswith(f"(400 images, majority class 0.998; {RESTS})")
