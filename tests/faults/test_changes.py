"""What a run has checked is what its cells are trained on: data and weights that change meanwhile fail them by name."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bcdl import datasets
from bcdl.datasets import decode, handover
from bcdl.datasets.pixels import Depth
from bcdl.datasets.sources import folder
from bcdl.errors import BcdlError, UsageError
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import Run
from bcdl.settings.job import Job
from bcdl.worker.inputs import ChangedError, weights_checksum
from tests.factory import job
from tests.faults import driver
from tests.faults.conftest import Injected


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of images that is split already, no patient cut."""
    source = Path(folder.example(tmp_path))
    for number, image in enumerate(sorted(source.rglob("*.png"))):
        split = ("train", "val", "test", "train", "train", "train")[number // 2 % 6]  # a patient has two images
        place = tmp_path / "data" / split / image.parent.name / image.name
        place.parent.mkdir(parents=True, exist_ok=True)
        image.rename(place)
    return tmp_path / "data"


def copies(data: Path) -> list[tuple[str, str]]:
    """Training images and where they are copied to: into the test split, by another name."""
    images = sorted((data / "train" / "benign").iterdir())
    return [(str(image), str(data / "test" / "benign" / f"copy-{image.name}")) for image in images]


def records(results: Path) -> list[Record]:
    return [record for _, record in store.read_all(results)[0]]


def jobs_of(data: Path, **changes: object) -> list[Job]:
    asked = job(**changes)
    return [dataclasses.replace(asked, data=str(data), cell=dataclasses.replace(asked.cell, data=data.name))]


def measure(run: Run) -> Record:
    """The record of the run's only job."""
    (asked,) = run.jobs
    (outcome,) = run.measure([asked], RunProgress(Console(file=io.StringIO()), [asked.cell], None))
    return outcome


@pytest.mark.parametrize("timing", ["--timing", "--no-timing"])
def test_a_folder_that_gets_images_between_two_seeds_fails_the_second_by_name(
    tmp_path: Path, data: Path, timing: str, injected: Injected
) -> None:
    """Through the command; and no record says of the new images that they are clean."""
    results = tmp_path / "results"
    plan = driver.plan(tmp_path, reads=True, copy={1: copies(data)})
    options = ("--data", str(data), timing)
    with injected("changing_data"):
        command = driver.command(results, plan, *options, cells=2, no_room=True)
        said = command.communicate()[0]
        assert len(records(results)) == 2, said
        first, second = records(results)
        assert command.returncode == 1, said
        assert first.ok, first.reason
        assert (first.status, first.dataset["leaks"]["clean"], second.status) == ("ok", True, "failed"), first.reason
        assert second.reason.startswith(
            "data changed since the run checked it: data set data now has 16 train, 4 val, 12 test "
        )
        assert "leaks" not in second.dataset


def test_images_that_the_run_has_put_aside_are_the_same_whatever_happens_to_the_folder(
    tmp_path: Path, data: Path
) -> None:
    plan = driver.plan(tmp_path, reads=True, copy={1: copies(data)})
    options = ("--data", str(data))
    command = driver.command(tmp_path / "results", plan, *options, cells=2)
    said = command.communicate()[0]
    assert [record.dataset["leaks"]["clean"] for record in records(tmp_path / "results")] == [True, True], said


def test_a_record_of_other_data_is_not_marked_with_the_leaks_of_what_was_checked(tmp_path: Path, data: Path) -> None:
    run = Run(jobs_of(data), tmp_path / "results", worker=driver.worker(driver.plan(tmp_path)))
    run.check()
    assert "leaks" not in measure(run).dataset


@pytest.mark.parametrize(
    "victim", ["images.npy", "labels.npy", "groups.npy", "names.npy", "known.npy", "given.npy", "facts.txt"]
)
def test_what_a_driver_has_read_is_not_used_if_it_was_damaged_on_its_way(
    tmp_path: Path, data: Path, victim: str, injected: Injected
) -> None:
    run = Run(jobs_of(data), tmp_path / "results", worker=driver.worker(driver.plan(tmp_path, reads=True)))
    run.check()
    (place,) = (run.folder / "data").iterdir()
    content = bytearray((place / victim).read_bytes())
    content[-2] ^= 1
    (place / victim).write_bytes(content)
    with injected("changed_handover"):
        outcome = measure(run)
        assert outcome.status == "failed"
        assert "data changed since the run checked it" in outcome.reason or "was changed since" in outcome.reason


@pytest.mark.parametrize("victim", ["images.npy", "labels.npy", "facts.txt"])
def test_what_can_not_be_read_again_is_an_error_with_advice(tmp_path: Path, data: Path, victim: str) -> None:
    request = jobs_of(data)[0].request
    handover.write(datasets.read_pool(request), tmp_path)
    for damage in (b"", (tmp_path / victim).read_bytes()[:40], b"x" * 200):
        (tmp_path / victim).write_bytes(damage)
        with pytest.raises(BcdlError, match="run this cell again"):
            handover.read(tmp_path)


def test_weights_that_change_during_a_run_fail_its_cells_by_name(tmp_path: Path, injected: Injected) -> None:
    file = tmp_path / "weights.h5"
    file.write_bytes(b"as checked")
    run = Run([dataclasses.replace(job(), weights_file=str(file))], tmp_path / "results")
    run.check()
    asked = run.handed(run.jobs[0])
    assert weights_checksum(asked) == asked.weights_checksum
    with injected("changing_data", names=["other weights", "weights that are gone"]):
        file.write_bytes(b"others")
        with pytest.raises(ChangedError, match="weights changed since the run checked them"):
            weights_checksum(asked)
        file.unlink()
        with pytest.raises(ChangedError, match="can't be read"):
            weights_checksum(asked)


@pytest.mark.parametrize("cached", [False, True])
def test_images_that_change_while_they_are_read_are_named(data: Path, cached: bool, injected: Injected) -> None:
    """The leaks of a data set are never those of other images."""
    files = sorted((data / "train" / "benign").iterdir())
    names = [file.name for file in files]
    if cached:
        datasets.load(jobs_of(data)[0].request).leaks()
    depth = decode.survey(files, names, 0).depth
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(files[0])
    said = f"1 image changed while .*{names[0]}"
    with injected("changing_data", names=[f"images, cached: {cached}, {step}" for step in ("found", "decoded")]):
        with pytest.raises(UsageError, match=said):
            decode.read_fingerprints(files, depth)
        with pytest.raises(UsageError, match=said):
            decode.decode(files, names, 8, False, depth)


def test_what_is_cached_is_what_was_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that changes between the look into the cache and its decoding."""
    file = tmp_path / "image.png"

    def become(level: int) -> None:
        """A grey image, in as many bytes as any other."""
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(file, compress_level=0)

    def level() -> int:
        return int(decode.decode([file], ["image"], 8, False, Depth())[0].max())

    def change_then(*arguments: Any) -> list[bytes]:
        digests = original(*arguments)
        become(3)
        return digests

    original = decode._digests
    become(1)
    assert level() == 1
    become(2)
    with monkeypatch.context() as patch:
        patch.setattr(decode, "_digests", change_then)
        assert level() == 3
    become(2)
    assert level() == 2
    become(3)
    assert level() == 3


@pytest.mark.keras
@pytest.mark.any_backend
def test_the_real_worker_refuses_data_that_changed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    monkeypatch.setattr(handover, "write", driver.no_room)
    run = Run(jobs_of(data, backend=os.environ["KERAS_BACKEND"]), tmp_path / "results", worker=launch.WORKER)
    run.check()
    for source, copy in copies(data):
        shutil.copyfile(source, copy)
    outcome = measure(run)
    assert (outcome.status, outcome.dataset) == ("failed", {}), outcome.log_tail
    assert outcome.reason.startswith("data changed since the run checked it")
