"""Plots of predictions: what they are drawn of, and how they are labelled."""

from __future__ import annotations

import dataclasses
from types import ModuleType

import pytest

from bcdl.evaluation import estimates, faults, variants
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report.plots import faults as of_faults
from bcdl.report.plots import forest, reliability, roc, style, training_curves
from tests.factory import record
from tests.predictions import drawn, predicted, split


def group(*records: Record) -> Group:
    return Group("m", "c", records)


@pytest.mark.parametrize("plot", [roc, reliability, forest])
def test_plots_are_drawn_of_enough_images_alone(plot: ModuleType) -> None:
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
    labels = [axis.get_title(loc="left") for axis in figure.axes]
    style.plt.close(figure)
    assert labels == ["MobileNet, as usual", "MobileNet, head alone for 3 epochs\nfirst"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("plot", [roc, reliability, forest, training_curves])
def test_ways_of_training_with_long_names_leave_room_for_their_plot(plot: ModuleType) -> None:
    """Before, the labels of four such ways took the whole width of a plot, and its legend was cut."""
    ways = ({}, {"keep": "last"}, {"preprocessing": "none"}, {"batch_norm": "moving"})
    training = {"head_epochs": 5, "batch_norm": "frozen", "patience": 8, "model": "mobilenet", "epochs": 4}
    records = [predicted(drawn(300), **{**training, **way}) for way in ways]
    ((_, figure),) = plot.draw(group(*records))
    style.to_png(figure)
    assert min(axis.get_position().width for axis in figure.axes) > 0.1


def test_the_axes_of_faults_reach_down_to_every_accuracy() -> None:
    """Before, an epoch without a value hid what lay under the usual axes."""
    history = {"accuracy": [0.5, 0.6], "val_accuracy": [None, 0.1]}
    ways = [predicted(drawn(60), **way) for way in ({}, {"keep": "last"}, {"preprocessing": "none"})]
    groups = group_records([("m", dataclasses.replace(made, history={**made.history, **history})) for made in ways])
    (of,) = variants.compared(groups, tested=True)
    found = faults.effects(of, list(variants.changes(of.variants)), groups)
    assert found is not None
    figure = of_faults.picture(found, "m")
    assert all(axis.get_ylim()[0] < 0.1 for axis in figure.axes if axis.get_ylabel() == "accuracy")
    style.plt.close(figure)


def test_no_panel_is_empty() -> None:
    """A model that one backend alone has results of."""
    records = [predicted(drawn(60), backend="jax"), predicted(drawn(60), model="mobilenet"), record(backend="new")]
    for plot in (roc, reliability):
        ((_, figure),) = plot.draw(group(*records))
        shown = [axis for axis in figure.axes if axis.get_visible()]
        assert all(len(axis.lines) > 1 for axis in shown)
        assert len(shown) == 2
        assert all(axis.get_ylabel() for axis in shown)
        style.plt.close(figure)


def test_a_model_that_says_one_thing_has_plots_too() -> None:
    same = group(predicted(split([0.5] * 40, [0] * 39 + [1])), predicted(split([1.0] * 40, [0] * 40), backend="jax"))
    for plot in (roc, reliability, forest):
        for _, figure in plot.draw(same):
            figure.canvas.draw()
            style.plt.close(figure)
