"""The report is a pure function of records: what it shows, what it must not hide, and that it can be rebuilt."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from bcdl.errors import BcdlError
from bcdl.records import store
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report import check, plots, tables
from bcdl.report import page as report
from bcdl.report.plots import style
from tests.conftest import ROOT
from tests.factory import record
from tests.predictions import split

ACCURACY = tables.METRICS[0]


def groups(*records: Record) -> list[Group]:
    return group_records([("a-machine", one) for one in records])


def with_metrics(one: Record, **metrics: float | None) -> Record:
    return dataclasses.replace(one, metrics={**one.metrics, **metrics})


def with_dataset(one: Record, **values: object) -> Record:
    return dataclasses.replace(one, dataset={**one.dataset, **values})


def test_models_go_down_and_backends_across() -> None:
    (group,) = groups(*(record(model=m, backend=b) for b in ("torch", "jax") for m in ("mobilenet", "cnn")))
    table = tables.metric_table(group, ACCURACY)
    assert table.head == ("model", "start", "jax", "torch")
    assert [row[0] for row in table.rows] == ["CNN", "MobileNet"]
    assert table.rows[0][2:] == ("0.750", "0.750")


def test_the_newest_run_of_a_cell_counts() -> None:
    (group,) = groups(record(run="1"), with_metrics(record(run="2"), test_accuracy=0.5))
    assert tables.metric_table(group, ACCURACY).rows[0][2] == "0.500"


def test_a_later_failure_is_shown_in_its_place() -> None:
    (group,) = groups(record(run="1"), record(run="2", status="out_of_memory"))
    assert tables.metric_table(group, ACCURACY).rows[0][2] == "out of memory"
    assert len(group.failures) == 1


def test_a_cell_that_was_not_run_says_so() -> None:
    (group,) = groups(record(model="cnn", backend="jax"), record(model="mobilenet", backend="torch"))
    assert tables.metric_table(group, ACCURACY).rows[0][2:] == ("0.750", "not run")


def test_seeds_give_a_median_with_its_range() -> None:
    values = (0.5, 0.7, 0.6)
    (group,) = groups(*(with_metrics(record(seed=i), test_accuracy=v) for i, v in enumerate(values)))
    assert tables.metric_table(group, ACCURACY).rows[0][2] == "0.600 (0.500 to 0.700)"


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_brackets_hold_is_told_where_there_are_some(tmp_path: Path, seeds: int) -> None:
    for seed in range(seeds):
        store.append(tmp_path, "m", record(seed=seed))
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert ("the median over seeds and folds" in page) == (seeds > 1)


def test_samples_that_never_settled_give_no_median() -> None:
    drifting = record()
    drifting.samples["step_s"] = [0.02, 0.02, 0.04, 0.04]
    drifting.metrics["step_images_per_s"] = 4 / 0.03
    drifting.samples["request_s"] = [0.01, 0.01, 0.02, 0.02]
    drifting.metrics["latency_ms"] = 15.0
    shown = {metric.name: tables.show([drifting], metric) for metric in tables.METRICS}
    assert shown["step_images_per_s"] == "unstable (200.0, then 100.0)"
    assert shown["latency_ms"] == "unstable (10.0, then 20.0)"
    assert shown["predict_images_per_s"] == "480.0"  # too few to tell


def test_energy_is_shown_where_there_is_any_and_throttling_is_told(tmp_path: Path) -> None:
    measured = record(device="gpu")
    state = {"throttled": ["software power cap"], "held_back_s": {"power": 1.5}}
    measured.metrics["step_energy_j_per_image"] = 0.25
    measured.environment["gpu_state"] = {"step": state, "predict": {"throttled": [], "held_back_s": {}}}
    for number, one in enumerate((record(), measured)):
        store.append(tmp_path, f"machine-{number}", one)
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.count("Energy of training (J/image)") == 1
    assert "THROTTLED: cnn on torch, step: software power cap, power 1.5 s" in page
    assert page.count("not measured, no NVML answered") == 1


@pytest.mark.parametrize(("fastest", "marked"), [(1.2e11, False), (2.5e11, True)])
def test_a_machine_that_changed_its_speed_is_told(tmp_path: Path, fastest: float, marked: bool) -> None:
    store.append(tmp_path, "m", with_metrics(record(model="mobilenet"), peak_flops_per_s=fastest))
    store.append(tmp_path, "m", record())
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"A matrix product in each worker, GFLOP/s: torch 100 to {fastest / 1e9:.0f}" in page
    assert ("UNSTEADY by a factor of 2.5" in page) == marked


def test_a_dirty_tree_is_marked() -> None:
    one = record()
    dirty = dataclasses.replace(one, environment={**one.environment, "dirty": True})
    assert tables.metric_table(groups(dirty)[0], ACCURACY).rows[0][2] == "0.750*"


@pytest.mark.parametrize(
    "other",
    [
        record(profile="quick"),
        record(image_size=64),
        record(precision="mixed_bfloat16"),
        record(augment=False),
        with_dataset(record(), checksum="d" * 64),
        with_dataset(record(data="busi"), synthetic=False),
    ],
)
def test_what_may_not_be_compared_stands_in_another_table(other: Record) -> None:
    found = groups(record(), other)
    assert len(found) == 2
    assert len({group.slug for group in found}) == 2


def test_machines_stand_apart() -> None:
    assert len(group_records([("one", record()), ("two", record())])) == 2


def test_a_model_of_two_starts_has_two_lines() -> None:
    (group,) = groups(record(model="mobilenet"), record(model="mobilenet", weights="some.weights.h5"))
    assert [row[:2] for row in tables.metric_table(group, ACCURACY).rows] == [
        ("MobileNet", "random"),
        ("MobileNet", "file some.weights.h5"),
    ]


def test_hostile_names_stay_inside_their_cell() -> None:
    name = "a|b\n<script>"
    text = tables.metric_table(groups(record(model=name))[0], ACCURACY).to_markdown()
    assert "<script>" not in text
    assert "a&#124;b &lt;script&gt;" in text


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two models on three backends, one of them failing later, a torn line, and its report."""
    folder = tmp_path_factory.mktemp("results")
    for backend in ("jax", "tensorflow", "torch"):
        for model in ("cnn", "mobilenet"):
            file = store.append(folder, "a-machine", record(model=model, backend=backend))
    with file.open("a") as lines:
        lines.write('{"schema": 1, "run"')
    later = record(run="20270101T000000Z-0000", status="failed", model="mobilenet", backend="torch")
    store.append(folder, "a-machine", later)
    for stale in (folder / "tables" / "old.csv", folder / "plots" / "old" / "plot.png"):
        stale.parent.mkdir(parents=True)
        stale.touch()
    (folder / "said").write_text("\n".join(report.build(folder)))
    return folder


def test_a_report_can_be_rebuilt_to_the_byte(built: Path) -> None:
    first = {file: file.read_bytes() for file in built.rglob("*") if file.is_file()}
    report.build(built)
    assert first == {file: file.read_bytes() for file in built.rglob("*") if file.is_file()}


def test_the_page_links_what_is_there_and_shows_what_failed(built: Path) -> None:
    page = (built / "README.md").read_text()
    links = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert links
    assert all((built / link).is_file() for link in links)
    assert "mobilenet on torch, seed 0: failed: it was made to fail" in page
    assert "synthetic drawings" in page


def test_csv_holds_what_the_page_shows(built: Path) -> None:
    cost, file = sorted((built / "tables").glob("*.csv"), key=lambda path: "-cost" not in path.name)
    assert cost.read_text().startswith('metric,model,start,"forward, GFLOP"')
    rows = list(csv.DictReader(file.open()))
    shown = {metric.title for metric in (*tables.METRICS, *tables.STARTUP, *tables.STALENESS)}
    assert {row["metric"] for row in rows} == shown | {f"Model FLOPs utilisation, {r} (%)" for r in ("step", "predict")}
    assert {row["torch"] for row in rows if row["model"] == "MobileNet"} == {"failed"}


def test_what_no_record_asks_for_goes(built: Path) -> None:
    assert not (built / "tables" / "old.csv").exists()
    assert not (built / "plots" / "old").exists()


def test_a_torn_line_is_told(built: Path) -> None:
    assert "not read: a-machine/" in (built / "said").read_text()
    assert "Lines that could not be read" in (built / "README.md").read_text()


@pytest.mark.parametrize("name", list(plots.modules()))
def test_every_plot_keeps_the_contract(name: str, tmp_path: Path) -> None:
    draw = plots.modules()[name].draw
    test = split([0.2, 0.4, 0.6, 0.8] * 10, [0, 1, 0, 1] * 10)
    records = [
        dataclasses.replace(record(model=m, backend=b, weights=w), predictions={"test": test})
        for m in ("cnn", "mobilenet", "new")
        for b in ("jax", "torch", "new")
        for w in ("none", "f")
    ]
    (group,) = groups(*records, record(model="resnet50", status="failed"))
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


def test_a_failed_cell_is_named_under_the_plots() -> None:
    (group,) = groups(record(), record(model="resnet50", status="timed_out"))
    _, figure = next(iter(plots.modules()["throughput"].draw(group)))
    assert "ResNet50 on torch (timed out)" in figure.get_supxlabel()


def caption_of(plot: str, *records: Record) -> str:
    """The text under a plot, its lines joined."""
    (group,) = groups(*records)
    _, figure = next(iter(plots.modules()[plot].draw(group)))
    return figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize("plot", ["throughput", "accuracy_throughput", "roofline"])
def test_what_a_plot_of_rates_does_not_show_is_named_under_it(plot: str) -> None:
    drifting, lacking = record(model="mobilenet"), record(model="nasnetmobile")
    for regime in ("fit", "step", "predict"):
        drifting.samples[f"{regime}_s"] = [0.02, 0.02, 0.04, 0.04]
        lacking.metrics[f"{regime}_images_per_s"] = None
    failed = [record(seed=seed, backend="jax", status="failed" if seed else "ok") for seed in range(2)]
    text = caption_of(plot, drifting, lacking, *failed, record(), record(model="mobilenet", backend="jax"))
    shown, crossed = text.split("Crossed out, never steady: ")
    assert "CNN on jax, seed 1 (failed)" in shown
    assert "CNN on torch, seed 1 (not run)" in shown
    assert "NASNetMobile on jax (not run)" in shown
    assert "NASNetMobile on torch, " in shown
    assert "(not measured)" in shown
    assert crossed.startswith("MobileNet on torch, ")
    assert "Parity not measured: CNN on jax, CNN on torch, MobileNet on jax, MobileNet on torch." in crossed


def test_an_unstable_point_is_crossed_out() -> None:
    drifting = record()
    drifting.samples["step_s"] = [0.02, 0.02, 0.04, 0.04]
    crosses = []
    for one in (record(), drifting):
        _, figure = next(iter(plots.modules()["throughput"].draw(groups(one)[0])))
        crosses.append(sum(line.get_marker() == "x" for axis in figure.axes for line in axis.lines))
    assert crosses == [0, 1]


def test_of_how_many_a_figure_is_stands_beside_it() -> None:
    undefined = with_metrics(record(seed=2), test_accuracy=None)
    records = [record(seed=0), record(seed=1), undefined, record(seed=0, backend="jax")]
    records += [record(seed=seed, backend="tensorflow", status="failed" if seed else "ok") for seed in range(2)]
    (row,) = tables.metric_table(groups(*records)[0], ACCURACY).rows
    assert row[2:] == ("0.750, 1 of 3", "failed (1 of 3)", "0.750 (0.750 to 0.750), 2 of 3")


def test_pixels_of_a_real_data_set_are_never_drawn() -> None:
    real = with_dataset(record(data="busi"), synthetic=False, name="busi")
    assert list(plots.modules()["image_grid"].draw(groups(real)[0])) == []


def test_drawings_of_an_earlier_version_are_not_shown_as_the_records_own() -> None:
    earlier = with_dataset(record(), checksum="e" * 64)
    assert list(plots.modules()["image_grid"].draw(groups(earlier)[0])) == []
    assert len(list(plots.modules()["image_grid"].draw(groups(record())[0]))) == 2


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small results folder and its report."""
    folder = tmp_path_factory.mktemp("committed")
    for backend in ("jax", "torch"):
        store.append(folder, "a-machine", record(backend=backend, run=f"20260101T000000Z-{backend}"))
    report.build(folder)
    return folder


def test_what_follows_from_its_records_passes_the_check_and_nothing_is_written(committed: Path) -> None:
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in committed.rglob("*") if file.is_file()}
    assert report.check(committed) == [f"README.md, tables and plots of {committed} follow from its records"]
    after = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in committed.rglob("*") if file.is_file()}
    assert before == after


def change_a_digit(folder: Path) -> str:
    (table,) = (file for file in folder.glob("tables/*.csv") if "-cost" not in file.name)
    table.write_text(table.read_text().replace("0.750", "0.751", 1))
    return "differs from what the records give, first in line 2"


def change_the_page(folder: Path) -> str:
    page = folder / "README.md"
    page.write_text(page.read_text().replace("120.0", "121.0", 1))
    return "README.md: differs from what the records give, first in line"


def repaint(folder: Path, source: str | None = None) -> None:
    """A marker's worth of other pixels in a plot, its text left or replaced."""
    (file,) = folder.glob("plots/*/throughput.png")
    with Image.open(file) as image:
        said = image.info[style.SOURCE]
        changed = image.convert("RGB")
    ImageDraw.Draw(changed).ellipse((400, 100, 407, 107), fill="#0072B2")
    text = PngInfo()
    text.add_text(style.SOURCE, source or said)
    changed.save(file, pnginfo=text)


def repaint_a_plot(folder: Path) -> str:
    repaint(folder)
    return "throughput.png: shows something else than the records give"


def draw_from_other_records(folder: Path) -> str:
    repaint(folder, source="0" * 64)
    return "throughput.png: drawn from other records"


def resize_a_plot(folder: Path) -> str:
    (file,) = folder.glob("plots/*/loss.png")
    text = PngInfo()
    with Image.open(file) as image:
        text.add_text(style.SOURCE, image.info[style.SOURCE])
        image.resize((300, 300)).save(file, pnginfo=text)
    return "loss.png: 300x300 pixels, where the records give"


def remove_a_plot(folder: Path) -> str:
    next(folder.glob("plots/*/loss.png")).unlink()
    return "loss.png: missing"


def break_a_plot(folder: Path) -> str:
    next(folder.glob("plots/*/loss.png")).write_bytes(b"no picture")
    return "loss.png: not a readable PNG"


def leave_a_plot(folder: Path) -> str:
    (folder / "plots" / "old").mkdir()
    (folder / "plots" / "old" / "loss.png").touch()
    return "plots/old/loss.png: left over"


def leave_a_table(folder: Path) -> str:
    (folder / "tables" / "old.csv").touch()
    return "tables/old.csv: left over"


def remove_the_page(folder: Path) -> str:
    (folder / "README.md").unlink()
    return "README.md: missing"


@pytest.mark.parametrize(
    "change",
    [
        change_a_digit,
        change_the_page,
        repaint_a_plot,
        draw_from_other_records,
        resize_a_plot,
        remove_a_plot,
        break_a_plot,
        leave_a_plot,
        leave_a_table,
        remove_the_page,
    ],
)
def test_a_file_that_does_not_follow_is_named(committed: Path, tmp_path: Path, change: Callable[[Path], str]) -> None:
    shutil.copytree(committed, tmp_path / "results")
    wanted = change(tmp_path / "results")
    (line,) = check.differences(tmp_path / "results", committed)
    assert wanted in line


def test_another_rounding_of_edges_is_let_pass(committed: Path, tmp_path: Path) -> None:
    """As on another machine: everything a pixel to the right, and greyer by some levels."""
    shutil.copytree(committed, tmp_path / "results")
    for file in (tmp_path / "results").glob("plots/*/*.png"):
        text = PngInfo()
        with Image.open(file) as image:
            text.add_text(style.SOURCE, image.info[style.SOURCE])
            moved = image.convert("RGB").transform(image.size, Image.Transform.AFFINE, (1, 0, -1, 0, 1, 0))
        moved.paste("white", (0, 0, 1, moved.height))
        moved.point(lambda level: max(0, level - 20)).save(file, pnginfo=text)
    assert list(check.differences(tmp_path / "results", committed)) == []


def test_a_record_removed_fails_the_check(committed: Path, tmp_path: Path) -> None:
    shutil.copytree(committed, tmp_path / "results")
    next((tmp_path / "results" / "records").glob("*/*.jsonl")).unlink()
    command = [sys.executable, "-m", "bcdl.report", "--check", "--results", str(tmp_path / "results")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "README.md: differs" in done.stderr
    assert "throughput.png: drawn from other records than those that are here" in done.stderr
    assert "rebuild them with python -m bcdl.report" in done.stderr
    with pytest.raises(BcdlError, match="do not follow"):
        report.check(tmp_path / "results")
