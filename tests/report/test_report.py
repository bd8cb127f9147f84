"""The report is a pure function of records: what it shows, what it must not hide, and that it can be rebuilt."""

from __future__ import annotations

import csv
import dataclasses
import json
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
from bcdl.report import artefacts, check
from bcdl.report import page as report
from bcdl.report.sections import metrics
from tests import pages
from tests.conftest import ROOT
from tests.factory import record


def groups(*records: Record) -> list[Group]:
    return group_records([("a-machine", entry) for entry in records])


def with_metrics(entry: Record, **metrics: float | None) -> Record:
    return dataclasses.replace(entry, metrics={**entry.metrics, **metrics})


def with_dataset(entry: Record, **values: object) -> Record:
    return dataclasses.replace(entry, dataset={**entry.dataset, **values})


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize("seeds", [1, 3])
def test_what_brackets_hold_is_explained_if_there_are_any(tmp_path: Path, seeds: int) -> None:
    for seed in range(seeds):
        store.append(tmp_path, "m", record(seed=seed))
    report.build(tmp_path)
    page = pages.text(tmp_path)
    assert ("120.0 (120.0 to 120.0)" in page) == (seeds > 1)


@pytest.mark.usefixtures("blank_pictures")
def test_energy_is_shown_if_there_is_any_and_throttling_is_reported(tmp_path: Path) -> None:
    measured = record(device="gpu")
    state = {"throttled": ["software power cap"], "held_back_s": {"power": 1.5}}
    measured.metrics["step_energy_j_per_image"] = 0.25
    measured.environment["gpu_state"] = {"step": state, "predict": {"throttled": [], "held_back_s": {}}}
    for number, entry in enumerate((record(), measured)):
        store.append(tmp_path, f"machine-{number}", entry)
    report.build(tmp_path)
    page = pages.text(tmp_path)
    assert page.count("Energy of training (J/image)") == 1
    assert "THROTTLED: cnn on torch, step: software power cap\n" in page
    assert page.count("not measured, no NVML answered") == 1


def test_a_gpu_is_called_throttled_for_a_share_of_the_time_and_absent_energy_is_explained(tmp_path: Path) -> None:
    """A violation of a moment was called throttling."""
    measured = record(device="gpu")
    measured.metrics["idle_power_w"] = 82.0
    measured.environment["gpu_state"] = {
        "fit": {"held_back_share": {"power": 1e-9, "temperature": 0.0}},
        "step": {"held_back_share": {"power": 0.9}, "throttled_share": {"software power cap": 0.999}},
        "predict": {"energy_missing": "the counter of energy went backwards"},
    }
    store.append(tmp_path, "m", measured)
    report.build(tmp_path)
    page = pages.text(tmp_path)
    throttled = "THROTTLED: cnn on torch, step: software power cap, 100% of the time, power, 90% of the time"
    assert throttled in page
    assert page.count("THROTTLED") == 1
    assert "ENERGY not reported: cnn on torch, predict: the counter of energy went backwards" in page
    assert "Power of the GPU before the framework was imported, which may not be at rest yet (W)" in page


def test_notes_and_the_pool_of_a_gpus_memory_are_shown_once(tmp_path: Path) -> None:
    for number in range(2):
        entry = record(device="gpu", seed=number)
        entry.environment.update({"notes": ["something to know"], "memory_pool": "as it is needed"})
        store.append(tmp_path, "m", entry)
    report.build(tmp_path)
    page = pages.text(tmp_path)
    assert page.count("- Note: torch: something to know (2 cells)") == 1
    assert page.count("- Memory of the GPU, torch: as it is needed") == 1
    assert "GPU peak MiB" in page


@pytest.mark.parametrize(("fastest", "marked"), [(1.2e11, False), (2.5e11, True)])
def test_a_machine_that_changed_its_speed_is_reported(tmp_path: Path, fastest: float, marked: bool) -> None:
    store.append(tmp_path, "m", with_metrics(record(model="mobilenet"), product_flops_per_s=fastest))
    store.append(tmp_path, "m", record())
    report.build(tmp_path)
    page = pages.text(tmp_path)
    assert f"A matrix product in each worker, GFLOP/s: torch 100 to {fastest / 1e9:.0f}" in page
    assert ("UNSTEADY by a factor of 2.5" in page) == marked


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
    made = groups(record(), other)
    assert len(made) == 2
    assert len({group.slug for group in made}) == 2


def test_machines_stand_apart() -> None:
    assert len(group_records([("one", record()), ("two", record())])) == 2


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
    (folder / "said").write_text("\n".join(report.build(folder)))
    return folder


def test_a_report_can_be_rebuilt_to_the_byte(built: Path) -> None:
    first = {file: file.read_bytes() for file in built.rglob("*") if file.is_file()}
    report.build(built)
    assert first == {file: file.read_bytes() for file in built.rglob("*") if file.is_file()}


def test_the_page_links_what_is_there_and_shows_what_failed(built: Path) -> None:
    page = pages.text(built)
    linked = [(file, to) for file in pages.files(built) for text, to in pages.links(file) if to.endswith(".png")]
    assert len(linked) > 2
    assert all((file.parent / to).is_file() for file, to in linked)
    assert "mobilenet on torch, seed 0: failed: it was made to fail" in page
    assert "synthetic drawings" in page


def test_csv_holds_what_the_page_shows(built: Path) -> None:
    cost, file = sorted((built / "tables").glob("*.csv"), key=lambda path: "-cost" not in path.name)
    assert cost.read_text().startswith('metric,model,start,"forward, GFLOP"')
    rows = list(csv.DictReader(file.open()))
    (group,) = groups(record())
    of_device = metrics.recordable(metrics.METRICS, group.records)
    shown = {metrics.metric_table(group, m).title for m in (*of_device, *metrics.STARTUP, *metrics.STALENESS)}
    assert {row["metric"] for row in rows} == shown | {f"Model FLOPs utilisation, {r} (%)" for r in ("step", "predict")}
    assert {row["torch"] for row in rows if row["model"] == "MobileNet"} == {"failed"}


@pytest.mark.usefixtures("blank_pictures")
def test_what_no_record_asks_for_goes(tmp_path: Path) -> None:
    store.append(tmp_path, "a-machine", record())
    report.build(tmp_path)
    wanted = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and "local" not in file.parts}
    gone = store.append(tmp_path, "a-machine", record(run="20260101T000000Z-0001", image_size=64))
    report.build(tmp_path)
    assert len(list(tmp_path.glob("plots/synthetic*"))) == 2
    gone.unlink()
    report.build(tmp_path)
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and "local" not in file.parts}
    assert after == wanted
    assert len(list(tmp_path.glob("plots/synthetic*"))) == 1


def test_a_torn_line_is_reported(built: Path) -> None:
    assert "not read: records/a-machine/" in (built / "said").read_text()
    assert "Lines that could not be read" in pages.text(built)


RUNS = {"jax": "000a", "torch": "000b"}


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small results folder and its report."""
    folder = tmp_path_factory.mktemp("committed")
    for backend in ("jax", "torch"):
        store.append(folder, "a-machine", record(backend=backend, run=f"20260101T000000Z-{RUNS[backend]}"))
    report.build(folder)
    return folder


def test_what_follows_from_its_records_passes_the_check_and_nothing_is_written(committed: Path) -> None:
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in committed.rglob("*") if file.is_file()}
    assert report.check(committed) == [f"README.md, pages, tables and plots of {committed} follow from its records"]
    after = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in committed.rglob("*") if file.is_file()}
    assert before == after


def files_of(folder: Path) -> dict[str, bytes]:
    """What the report has written there, by path."""
    return {path: (folder / path).read_bytes() for path in artefacts.listed(folder) or ()}


def list_in_manifest(folder: Path, path: str) -> None:
    """Make the file at `path` one that an earlier report has written."""
    manifest = folder / artefacts.MANIFEST
    values = json.loads(manifest.read_text())
    values["files"][path] = artefacts.digest((folder / path).read_bytes())
    manifest.write_text(json.dumps(values, indent=1) + "\n")


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
        said = image.info[artefacts.SOURCE]
        changed = image.convert("RGB")
    ImageDraw.Draw(changed).ellipse((400, 100, 407, 107), fill="#0067a5")
    text = PngInfo()
    text.add_text(artefacts.SOURCE, source or said)
    changed.save(file, pnginfo=text)


def repaint_a_plot(folder: Path) -> str:
    repaint(folder)
    return "throughput.png: shows something else than the records give"


def draw_from_other_records(folder: Path) -> str:
    repaint(folder, source="0" * 64)
    return "throughput.png: drawn from other records"


def resize_a_plot(folder: Path) -> str:
    (file,) = folder.glob("plots/*/roofline.png")
    text = PngInfo()
    with Image.open(file) as image:
        text.add_text(artefacts.SOURCE, image.info[artefacts.SOURCE])
        image.resize((300, 300)).save(file, pnginfo=text)
    return "roofline.png: 300x300 pixels, where the records give"


def remove_a_plot(folder: Path) -> str:
    next(folder.glob("plots/*/roofline.png")).unlink()
    return "roofline.png: missing"


def break_a_plot(folder: Path) -> str:
    next(folder.glob("plots/*/roofline.png")).write_bytes(b"no picture")
    return "roofline.png: not a readable PNG"


def leave_a_plot(folder: Path) -> str:
    plot = next(folder.glob("plots/*/roofline.png"))
    (folder / "plots" / "old").mkdir()
    shutil.copy(plot, folder / "plots" / "old")
    return "plots/old/roofline.png: left over"


def leave_a_table(folder: Path) -> str:
    (folder / "tables" / "old.csv").write_text("metric,model\n")
    list_in_manifest(folder, "tables/old.csv")
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
    (line,) = check.differences(tmp_path / "results", files_of(committed))
    assert wanted in line


def test_another_rounding_of_edges_is_let_pass(committed: Path, tmp_path: Path) -> None:
    """As on another machine: everything a pixel to the right, and greyer by some levels."""
    shutil.copytree(committed, tmp_path / "results")
    for file in (tmp_path / "results").glob("plots/*/*.png"):
        text = PngInfo()
        with Image.open(file) as image:
            text.add_text(artefacts.SOURCE, image.info[artefacts.SOURCE])
            moved = image.convert("RGB").transform(image.size, Image.Transform.AFFINE, (1, 0, -1, 0, 1, 0))
        moved.paste("white", (0, 0, 1, moved.height))
        moved.point(lambda level: max(0, level - 20)).save(file, pnginfo=text)
    assert list(check.differences(tmp_path / "results", files_of(committed))) == []


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


def test_records_in_the_folder_of_another_machine_are_told(tmp_path: Path) -> None:
    made = record()
    digest = {**made.environment, "identity": {**made.environment.get("identity", {}), "digest": "0123abcd"}}
    for seed, machine in enumerate(("a-machine-0123abcd", "my-laptop", "my-laptop")):
        store.append(tmp_path, machine, dataclasses.replace(record(seed=seed), environment=digest))
    said = "note: records/my-laptop: 2 lines name another machine than their folder does"
    for lines in (report.build(tmp_path), report.check(tmp_path)):
        (line,) = (line for line in lines if "another machine" in line)
        assert line.startswith(said)
