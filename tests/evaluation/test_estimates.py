"""Estimates over seeds, folds and patients, and the tables that show them."""

from __future__ import annotations

import csv
import dataclasses
import io
import math

import numpy as np
import pytest

from bcdl.evaluation import estimates
from bcdl.evaluation.metrics import BY_NAME
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import tables
from bcdl.report.plots import forest, reliability, roc, style
from tests.factory import record
from tests.predictions import predicted, scored, split


def group(*records: Record) -> Group:
    """A group of these records, as `tables.groups` makes it of one machine's."""
    return Group("m", "c", records)


def drawn(images: int, seed: int = 0, patients: int | None = None) -> dict[str, list]:
    """A test split with scores that tell a little."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % 3 == 0
    scores = np.clip(0.3 + 0.3 * labels + generator.normal(0, 0.2, images), 0, 1)
    groups = None if patients is None else [f"p{place % patients}" for place in range(images)]
    return split(scores, labels.astype(int), groups)


def test_images_of_a_patient_count_as_one_patient() -> None:
    # 100 patients, half of them all right and half all wrong, with 4 images each: the binomial interval of 100.
    labels = np.repeat(np.arange(100) % 2, 4)
    of = scored(np.full(400, 0.9), labels, np.repeat(np.arange(100), 4).astype(str))
    found = estimates.estimates([of], [BY_NAME["accuracy"]])["accuracy"]
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 100), rel=0.1)
    apart = dataclasses.replace(of, groups=np.arange(400).astype(str))
    found = estimates.estimates([apart], [BY_NAME["accuracy"]])["accuracy"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 400), rel=0.1)


def test_the_same_figures_every_time() -> None:
    test = drawn(40, patients=10)
    one = scored(test["scores"], test["labels"], test["groups"], called=np.array(test["scores"]) > 0.4)
    assert estimates.estimates([one]) == estimates.estimates([one])


def test_seeds_are_averaged_over_the_same_patients() -> None:
    labels = np.arange(200) % 2
    right, wrong = np.where(labels, 0.9, 0.1), np.where(labels, 0.1, 0.9)
    half = np.where(np.arange(200) < 100, right, wrong)
    # What one seed has right the other has wrong: their mean is a half in every resample.
    found = estimates.estimates([scored(half, labels), scored(1 - half, labels)], [BY_NAME["accuracy"]])["accuracy"]
    assert (found.value, found.seeds) == (0.5, (0.5, 0.5))
    assert math.isnan(found.low)
    # Of two seeds that are alike, the interval is that of one: seeds are no more patients.
    once, twice = (estimates.estimates([scored(half, labels)] * n, [BY_NAME["accuracy"]])["accuracy"] for n in (1, 2))
    assert (once.low, once.high) == (twice.low, twice.high)


def test_of_a_model_that_is_calibrated_the_error_may_be_none() -> None:
    # Every resample is worse calibrated than the images, whose error is chance alone.
    generator = np.random.default_rng(0)
    scores = generator.uniform(0, 1, 60)
    of = scored(scores, (generator.uniform(0, 1, 60) < scores).astype(int))
    found = estimates.estimates([of], [BY_NAME["calibration_error"]])["calibration_error"]
    assert found.low < 0.05 < found.value < found.high


def test_undefined_resamples_are_told() -> None:
    # One malignant image of six: in (5/6)^6, about a third, of all resamples there is none.
    one = scored([0.9, 0.1, 0.2, 0.3, 0.4, 0.5], [1, 0, 0, 0, 0, 0])
    found = estimates.estimates([one], [BY_NAME["auroc"]])["auroc"]
    assert found.undefined / 2000 == pytest.approx((5 / 6) ** 6, abs=0.05)
    assert str(dataclasses.replace(found, low=0.5, high=1.0)).endswith(
        f"to 1.000; {found.undefined} of 2000 undefined)"
    )


def test_the_majority_class_is_scored_as_any_model() -> None:
    of = estimates.majority(scored([0.9] * 10, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0], list("aabcdefghh")))
    values = {name: metric.value(of) for name, metric in BY_NAME.items()}
    # 3 malignant images of 10: the score 0.3 of each, so that Brier's is 0.3 x 0.7 and the loss the entropy.
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    assert values == pytest.approx(
        {
            **{"accuracy": 0.7, "balanced_accuracy": 0.5, "auroc": 0.5, "auprc": 0.3, "f1": 0, "brier": 0.21},
            **{"sensitivity": 0, "specificity": 1, "sensitivity_at_90_specificity": 0, "calibration_error": 0},
            # Patients a and b, whose images are malignant, are named wrong.
            **{"recognition_rate": 6 / 8, "loss": entropy},
        }
    )


def test_a_table_a_model_with_metrics_down_and_backends_across() -> None:
    text, _ = estimates.section(group(*(predicted(drawn(60), drawn(30, 1), backend=b) for b in ("jax", "torch"))))
    assert "**CNN, start: random**" in text
    assert "| quantity | majority class | jax | torch |" in text
    accuracy = next(line for line in text.splitlines() if line.startswith("| Accuracy"))
    value = np.mean((np.array(drawn(60)["scores"]) > 0.5) == drawn(60)["labels"])
    assert accuracy.count(f"| {value:.3f} (0.") == 2
    assert accuracy.startswith("| Accuracy | 0.667 |")
    # Of 60 images that no patients are known of, 1.96 sqrt(0.16 / 60) is 0.10.
    assert "So 60 test images can't tell an accuracy of 0.8 from one 0.10 away" in text
    assert "recognition rate" not in text
    assert "LEAKY" not in text


def test_seeds_have_columns_of_their_own_and_failures_are_told() -> None:
    records = [predicted(drawn(60, seed), seed=seed) for seed in (0, 1)]
    text, _ = estimates.section(
        group(*records, record(seed=2, status="crashed"), record(backend="jax", status="crashed"))
    )
    assert "| quantity | majority class | jax | torch | torch, seeds |" in text
    values = sorted(np.mean((np.array(drawn(60, seed)["scores"]) > 0.5) == drawn(60)["labels"]) for seed in (0, 1))
    assert f"{values[0]:.3f} to {values[1]:.3f}" in next(line for line in text.splitlines() if "| Accuracy" in line)
    assert "| Seeds |  | crashed | 0, 1 (1 run not ok) |  |" in text


def test_what_validation_fixes_is_not_defined_without_it() -> None:
    text, _ = estimates.section(group(predicted(drawn(60))))
    assert "| Sensitivity, threshold of validation | 0.000 | not defined |" in text


def test_folds_are_one_figure_of_all_images() -> None:
    folds = [predicted(drawn(30, fold), folds=2, fold=fold) for fold in (0, 1)]
    # Images of two folds never share a name.
    for number, one in enumerate(folds):
        test = one.predictions["test"]
        test["names"] = test["groups"] = [f"{number} {name}" for name in test["names"]]
    text, (accuracy, *_) = estimates.section(group(*folds))
    right = [np.mean((np.array(drawn(30, fold)["scores"]) > 0.5) == drawn(30)["labels"]) for fold in (0, 1)]
    row = dict(zip(accuracy.head, accuracy.rows[0], strict=True))
    assert (row["value"], row["images"], row["groups"]) == (f"{np.mean(right):.3f}", "60", "60")
    assert "taken within each fold and averaged" in text


def test_a_split_by_image_is_marked_wherever_its_figures_stand() -> None:
    leaky = group(predicted(drawn(60, patients=20), split_by="image"))
    text, found = estimates.section(leaky)
    assert text.startswith("### LEAKY: ")
    assert "**LEAKY: CNN, start: random**" in text
    assert all("by image (LEAKY)" in row for table in found for row in table.rows)
    for plot in (roc, reliability, forest):
        for _, figure in plot.draw(leaky):
            assert figure.get_suptitle().startswith("LEAKY: ")
            style.plt.close(figure)


def test_programs_find_every_number_in_a_column_of_its_own() -> None:
    records = [predicted(drawn(60, seed, patients=20), drawn(30, 9), seed=seed) for seed in (0, 1)]
    _, found = estimates.section(group(*records))
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(found))))
    assert [row["metric"] for row in rows] == [metric.title for metric in BY_NAME.values()]
    for row in rows:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert float(row["seeds min"]) <= float(row["value"]) <= float(row["seeds max"])
        assert (row["seeds"], row["images"], row["groups"]) == ("2", "60", "20")


def test_drawings_are_folded_up() -> None:
    one = predicted(drawn(60))
    text, found = estimates.section(group(dataclasses.replace(one, dataset={**one.dataset, "synthetic": True})))
    assert "<details><summary>Of drawings" in text
    assert found


def test_without_predictions_there_is_nothing_to_say() -> None:
    assert estimates.section(group(record(), record(seed=1, status="crashed"))) == ("", [])


@pytest.mark.parametrize("plot", [roc, reliability, forest])
def test_plots_are_drawn_of_enough_images_alone(plot: object) -> None:
    records = [predicted(drawn(60, seed), seed=seed) for seed in (0, 1)]
    failed = record(backend="jax", status="crashed")
    figures = [figure for _, figure in plot.draw(group(*records, failed))]
    assert len(figures) == 1
    style.plt.close(figures[0])
    assert not list(plot.draw(group(predicted(drawn(estimates.LEAST_IMAGES - 1)))))
    assert not list(plot.draw(group(record())))


def test_long_names_of_rows_are_broken_in_lines() -> None:
    records = [predicted(drawn(60), head_epochs=number, model="mobilenet") for number in (0, 3)]
    ((_, figure),) = roc.draw(group(*records))
    labels = [axis.get_ylabel() for axis in figure.axes]
    style.plt.close(figure)
    assert labels == ["MobileNet, as usual\nsensitivity", "MobileNet, head alone\nfor 3 epochs first\nsensitivity"]


def test_a_model_that_says_one_thing_has_plots_too() -> None:
    same = group(predicted(split([0.5] * 40, [0] * 39 + [1])), predicted(split([1.0] * 40, [0] * 40), backend="jax"))
    for plot in (roc, reliability, forest):
        for _, figure in plot.draw(same):
            figure.canvas.draw()
            style.plt.close(figure)
