"""Every plot: its contract, what it does not show, and what it must not show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report import plots
from bcdl.report.plots import axes, captions
from bcdl.settings.models import MODELS
from tests.factory import record, with_predictions
from tests.predictions import split


def groups(*records: Record) -> list[Group]:
    return group_records([("a-machine", entry) for entry in records])


def with_dataset(entry: Record, **values: object) -> Record:
    return dataclasses.replace(entry, dataset={**entry.dataset, **values})


def tested(**changes: object) -> Record:
    """A record that was trained for some epochs and tested on enough images for every plot."""
    test = split([0.2, 0.4, 0.6, 0.8] * 40, [0, 1, 0, 1] * 40)
    return with_predictions(record(epochs=4, **changes), {"test": test})


@pytest.mark.parametrize("name", list(plots.modules()))
def test_every_plot_keeps_the_contract(name: str, tmp_path: Path) -> None:
    draw = plots.modules()[name].draw
    records = [
        tested(model=m, backend=b, weights=w)
        for m in ("cnn", "mobilenet", "new")
        for b in ("jax", "torch", "new")
        for w in ("none", "f")
    ]
    (group,) = groups(*records, record(model="resnet50", status="failed", epochs=4))
    drawn = list(draw(group))
    assert drawn
    assert len({file for file, _ in drawn}) == len(drawn)
    for file, figure in drawn:
        plots.style.save(figure, tmp_path / f"{file}.png")
        with Image.open(tmp_path / f"{file}.png") as image:
            assert min(image.size) > 200


@pytest.mark.parametrize("name", list(plots.modules()))
def test_no_plot_needs_a_record_that_is_ok(name: str) -> None:
    failed = with_dataset(record(status="failed"), synthetic=False)
    assert list(plots.modules()[name].draw(groups(failed)[0])) == []


def test_every_model_has_a_marker_of_its_own() -> None:
    markers = [row.marker for row in MODELS.values()] + [plots.style.marker("a model of another version")]
    assert len(set(markers)) == len(markers)


def test_a_failed_cell_is_named_under_the_plots() -> None:
    (group,) = groups(record(), record(model="resnet50", status="timed_out"))
    _, figure = next(iter(plots.modules()["throughput"].draw(group)))
    assert "ResNet50 on torch (timed out)" in figure.get_supxlabel()


def said_of(*records: Record, regimes: tuple[str, ...] = ("fit", "step", "predict")) -> str:
    """What a plot of these rates does not show or is unsure of, its sentences joined."""
    (group,) = groups(*records)
    return " ".join(captions.sentences(group, regimes))


@pytest.mark.parametrize("plot", ["throughput", "roofline"])
def test_what_stands_under_a_plot_takes_two_lines_at_most(plot: str) -> None:
    failed = [record(model=model, backend=name, status="crashed") for model in MODELS for name in ("jax", "new")]
    for more, cut in (([], False), (failed, True)):
        _, figure = next(iter(plots.modules()[plot].draw(groups(record(), *more)[0])))
        lines = figure.get_supxlabel().splitlines()
        assert len(lines) <= 2
        assert lines[-1].endswith("... (more on the page)") == cut
        plots.style.plt.close(figure)


def test_what_a_plot_of_rates_does_not_show_is_named() -> None:
    drifting, lacking = record(model="mobilenet"), record(model="nasnetmobile")
    for regime in ("fit", "step", "predict"):
        drifting.samples[f"{regime}_s"] = [0.02, 0.02, 0.04, 0.04]
        lacking.metrics[f"{regime}_images_per_s"] = None
    failed = [record(seed=seed, backend="jax", status="failed" if seed else "ok") for seed in range(2)]
    text = said_of(drifting, lacking, *failed, record(), record(model="mobilenet", backend="jax"))
    shown, crossed = text.split("Crossed out, never steady: ")
    assert "CNN on jax, seed 1 (failed)" in shown
    assert "CNN on torch, seed 1 (not run)" in shown
    assert "NASNetMobile on jax (not run)" in shown
    assert "NASNetMobile on torch, " in shown
    assert "(not measured)" in shown
    assert crossed.startswith("MobileNet on torch, ")
    assert "Parity not measured: CNN on jax, CNN on torch, MobileNet on jax, MobileNet on torch." in crossed


@pytest.mark.parametrize(("augment", "words"), [(True, "(augmented)"), (False, "accuracy in training")])
def test_training_curves_say_whether_images_were_augmented(augment: bool, words: str) -> None:
    ((_, figure),) = plots.modules()["training_curves"].draw(groups(tested(augment=augment))[0])
    labels = [axis.get_ylabel().replace("\n", " ") for axis in figure.axes]
    assert words in labels[0]
    assert any("augmented" in label for label in labels) is augment


def test_large_and_small_rates_are_written_out_at_the_axis() -> None:
    axis = Figure().subplots()
    axis.set_xlim(0.01, 5e6)
    axes.log_rate(axis, "rate")
    axis.figure.canvas.draw()
    labels = {label.get_text() for label in axis.get_xticklabels()}
    assert labels > {"0.01", "0.5", "1", "1,000", "1,000,000"}
    assert not [label for label in labels if "e" in label]


def test_an_unstable_point_is_crossed_out() -> None:
    drifting = record()
    drifting.samples["step_s"] = [0.02, 0.02, 0.04, 0.04]
    crosses = []
    for entry in (record(), drifting):
        _, figure = next(iter(plots.modules()["throughput"].draw(groups(entry)[0])))
        crosses.append(sum(line.get_marker() == "x" for axis in figure.axes for line in axis.lines))
    assert crosses == [0, 1]


def test_pixels_of_a_real_data_set_are_never_drawn() -> None:
    real = with_dataset(record(data="busi"), synthetic=False, name="busi")
    assert list(plots.modules()["images"].draw(groups(real)[0])) == []


def test_drawings_of_an_earlier_version_are_not_shown_as_the_records_own() -> None:
    earlier = with_dataset(record(), checksum="e" * 64)
    assert list(plots.modules()["images"].draw(groups(earlier)[0])) == []
    assert len(list(plots.modules()["images"].draw(groups(record())[0]))) == 2


def test_a_group_draws_every_plot_once() -> None:
    (group,) = groups(tested(), tested(model="mobilenet"))
    names = [name for name, figure in plots.draw(group) if plots.style.plt.close(figure) is None]
    assert names == [name for module in plots.modules().values() for name, _ in module.draw(group)]
    plots.style.plt.close("all")
    assert len(set(names)) == len(names) > 5


@pytest.mark.parametrize("plot", ["throughput", "roofline"])
def test_a_doubtful_point_is_marked_and_the_caption_says_why(plot: str) -> None:
    busy = {"step": {"wall_s": 10.0, "machine_s": 20.0, "others_s": 8.0}}
    disturbed = dataclasses.replace(record(), environment={**record().environment, "disturbance": busy})
    marks = []
    for entry in (record(), disturbed):
        _, figure = next(iter(plots.modules()[plot].draw(groups(entry)[0])))
        marks.append(sum(text.get_text() == "!" for axis in figure.axes for text in axis.texts))
    assert marks == [0, 1]
    assert "! other processes were busy: CNN on torch, step (40%" in said_of(disturbed)
