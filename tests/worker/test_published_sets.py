"""Sets as they are published or come from a clinic: each trains, from the same bytes on every backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bcdl.records import store
from bcdl.records.record import Record
from bcdl.settings.job import Job
from bcdl.worker import measurement
from bcdl.worker.phases import Phases
from tests.conftest import ROOT
from tests.datasets import cases
from tests.factory import jobs

pytestmark = pytest.mark.keras
pytest.importorskip("keras")

BACKEND = os.environ.get("KERAS_BACKEND", "")
# SHA-256 of splits, pixels, labels, groups and names at 32 pixels: one that is another on a backend is a fault there.
# A changed reading of folders gives other ones on all: raise the version of its rules.
CHECKSUMS = {
    "busi": "08ce528bf9c6d22e9959820a89258898856e5f2b649084dfb098dbbe12edb76c",
    "breakhis": "e34c83bbe4dd487c7944e7947e35ebdd20eb18ad59d2e35109272e8157434240",
    "idc": "95aad2c215a696567e81bf91c64b12c62a089325b54534e2237888687d59ca46",
    "grey-12-bits": "783624b149c40dbc340b0f6bcb5c01afe591ae4abc006a82f90a365b25c6cfd2",
    "dicom": "62bf2cc12bc5d40501b512c509c370de636f8e240df42da7c530cef28e58e40d",
    "csv-labelled": "19c2eec9b6ad7506030189281c1ed5ed9bb3396c744e794ee49891dfec98cc46",
}


def job_of(name: str, folder: Path) -> Job:
    request = cases.write(name, folder)
    options: dict[str, Any] = {"data": request.data, "class_map": request.class_map or None}
    if table := request.labels:
        columns = {column: getattr(table, column) for column in ("image_column", "label_column", "group_column")}
        options |= {"labels": table.file, **columns}
    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="1", batch_size="8", timing=False, augment=False, **options)
    return job


@pytest.mark.parametrize("name", cases.PUBLISHED)
def test_a_published_set_trains_from_the_same_bytes_on_every_backend(name: str, tmp_path: Path) -> None:
    record, _ = measurement.run(job_of(name, tmp_path), "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    assert record.dataset["checksum"] == CHECKSUMS[name]
    assert Record.from_json(record.to_json()) == record
    assert str(tmp_path) not in record.to_json()


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    small = ("--image-size", "32", "--epochs", "1", "--batch-size", "8", "--weights", "none", "--no-timing")
    command = [sys.executable, "-m", "bcdl.train", "--model", "cnn", *small, "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.any_backend
def test_what_was_left_out_of_a_set_is_told_and_recorded(tmp_path: Path) -> None:
    request = cases.write("busi", tmp_path)
    done = train("--data", request.data, "--results", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    assert "note: 45 masks left out" in done.stdout
    assert "note: 4 images of class 'normal' left out" in done.stdout
    ((_, record),), problems = store.read_all(tmp_path / "results")
    assert not problems
    assert record.dataset["source"]["left_out"] == {"masks": 45, "images of class 'normal'": 4}
    assert record.dataset["ungrouped"] == record.dataset["images"] == {"train": 28, "val": 4, "test": 8}
    assert record.dataset["leaks"]["across"]["groups"] is None


@pytest.mark.any_backend
def test_a_table_that_names_no_image_ends_the_command_before_anything_is_written(tmp_path: Path) -> None:
    request = cases.write("csv-matches-nothing", tmp_path)
    done = train("--data", request.data, "--results", str(tmp_path / "results"))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "'scans/1.png'" in line
    assert "'benign/benign (1).png'" in line
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "results").glob("records/**/*.jsonl"))
