"""The part of the page that says how good the models of a group are, and its tables for programs."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np

from bcdl.evaluation import estimates
from bcdl.evaluation.metrics import BY_NAME
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import tables
from bcdl.report.plots import forest, reliability, roc, style
from bcdl.report.sections import quality
from tests.factory import record
from tests.predictions import drawn, predicted


def section(*records: Record) -> tuple[str, tuple[tables.Table, ...]]:
    group = Group("m", "c", records)
    return quality.section(group, estimates.results(group))


def test_a_table_a_model_with_metrics_down_and_backends_across() -> None:
    text, _ = section(*(predicted(drawn(60), drawn(30, 1), backend=b) for b in ("jax", "torch")))
    assert "**CNN, start: random (smoke test: 60 images)**" in text
    assert "| quantity | majority class | jax | torch |" in text
    accuracy = next(line for line in text.splitlines() if line.startswith("| Accuracy"))
    value = np.mean((np.array(drawn(60)["scores"]) > 0.5) == drawn(60)["labels"])
    assert accuracy.count(f"| {value:.3f} (0.") == 2
    assert accuracy.startswith("| Accuracy | 0.667 |")
    # Of 60 images that no patients are known of, 1.96 sqrt(0.16 / 60) is 0.10.
    assert "60 test images can't tell an accuracy of 0.8 from one 0.10 away" in text
    assert "recognition rate" not in text
    assert "LEAKY" not in text


def test_seeds_have_columns_of_their_own_and_failures_are_reported() -> None:
    records = [predicted(drawn(60, seed), seed=seed) for seed in (0, 1)]
    text, _ = section(*records, record(seed=2, status="crashed"), record(backend="jax", status="crashed"))
    assert "| quantity | majority class | jax | torch | torch, seeds |" in text
    values = sorted(np.mean((np.array(drawn(60, seed)["scores"]) > 0.5) == drawn(60)["labels"]) for seed in (0, 1))
    assert f"{values[0]:.3f} to {values[1]:.3f}" in next(line for line in text.splitlines() if "| Accuracy" in line)
    assert "| Seeds |  | crashed | 0, 1 (1 run not ok) |  |" in text


def test_what_validation_fixes_is_not_defined_without_it() -> None:
    text, _ = section(predicted(drawn(60)))
    assert "| Sensitivity, threshold of validation | 0.000 | not defined |" in text


def test_folds_are_one_figure_of_all_images() -> None:
    folds = [predicted(drawn(30, fold), folds=2, fold=fold) for fold in (0, 1)]
    # Images of two folds never share a name.
    for number, entry in enumerate(folds):
        test = entry.predictions["test"]
        test["names"] = test["groups"] = [f"{number} {name}" for name in test["names"]]
    text, (accuracy, *_) = section(*folds)
    right = [np.mean((np.array(drawn(30, fold)["scores"]) > 0.5) == drawn(30)["labels"]) for fold in (0, 1)]
    row = dict(zip((column.title for column in accuracy.columns), accuracy.shown()[0], strict=True))
    assert (row["value"], row["images"], row["groups"]) == (f"{np.mean(right):.3f}", "60", "60")
    assert "**Intervals of a cross-validation are too narrow**" in text
    assert "cross-validation" not in section(predicted(drawn(60)))[0]


def test_a_split_by_image_is_marked_wherever_its_figures_stand() -> None:
    leaky = predicted(drawn(60, patients=20), split_by="image")
    text, made = section(leaky)
    assert text.startswith("## LEAKY: ")
    assert "**LEAKY: CNN, start: random (" in text
    assert all("by image (LEAKY)" in row for table in made for row in table.shown())
    for plot in (roc, reliability, forest):
        for _, figure in plot.draw(Group("m", "c", (leaky,))):
            assert figure.get_suptitle().startswith("LEAKY: ")
            style.plt.close(figure)


def test_programs_find_every_number_in_a_column_of_its_own() -> None:
    records = [predicted(drawn(60, seed, patients=20), drawn(30, 9), seed=seed) for seed in (0, 1)]
    _, made = section(*records)
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(made))))
    assert [row["metric"] for row in rows] == [metric.title for metric in BY_NAME.values()]
    for row in rows:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert float(row["seeds min"]) <= float(row["value"]) <= float(row["seeds max"])
        assert (row["seeds"], row["images"], row["groups"]) == ("2", "60", "20")


def test_drawings_are_folded_up() -> None:
    entry = predicted(drawn(60))
    text, made = section(dataclasses.replace(entry, dataset={**entry.dataset, "synthetic": True}))
    assert "<details><summary>Of drawings" in text
    assert made


def test_without_predictions_there_is_nothing_to_say() -> None:
    assert section(record(), record(seed=1, status="crashed")) == ("", ())
