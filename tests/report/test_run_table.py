"""The tables that a run ends with tell its cells apart, whatever settings these differ in."""

from __future__ import annotations

import io

from rich.console import Console

from bcdl.report import run_table
from tests.factory import record


def test_what_the_usual_heading_leaves_out_stands_in_it_if_two_tables_would_have_one_title() -> None:
    usual = "synthetic-48 (synthetic drawings), float32, 32x32, batch 4, 2 epochs, smoke"
    (alone,) = run_table.run_tables([record(), record(seed=1)])
    assert alone.title.startswith(usual)
    made = [record(), record(learning_rate=0.1), record(image_size=64)]
    titles = [table.title for table in run_table.run_tables(made)]
    assert [title.startswith(usual) for title in titles] == [False, False, False]
    assert ["Adam 0.0001" in title for title in titles] == [True, False, False]
    assert ["Adam 0.1" in title for title in titles] == [False, True, False]
    assert titles[2].startswith(usual.replace("32x32", "64x64"))


def test_a_split_by_image_stands_beside_that_by_group_as_ever() -> None:
    (table,) = run_table.run_tables([record(), record(split_by="image")])
    assert len(table.rows) == 2


def test_ways_of_training_a_model_have_rows_of_their_own_names() -> None:
    (table,) = run_table.run_tables([record(), record(batch_norm="frozen"), record(model="mobilenet")])
    assert [row[0].shown for row in table.rows] == ["CNN, as usual", "CNN, frozen batch norms", "MobileNet"]


def test_cells_that_failed_are_named_apart() -> None:
    text = io.StringIO()
    made = [record(status="failed", image_size=size) for size in (32, 64)]
    run_table.print_run(made, Console(file=text, width=200))
    for size in (32, 64):
        assert f"cnn on torch, seed 0, image size {size}: failed: it was made to fail" in text.getvalue()
