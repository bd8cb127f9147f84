"""Data that can't be used ends a command with exit code 2 and one line, before anything is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import datasets
from bcdl.datasets import Request, room
from bcdl.datasets.sources import folder, medmnist
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.settings.cell import MOST_PIXELS
from tests.conftest import ROOT

_MEMORY = 2**30


def check(data: str, results: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """What the check before the first cell of a run on the data ends with, in a process with 1 GiB of memory."""
    code = (
        "from pathlib import Path\nfrom bcdl.errors import run_command\nfrom bcdl.machine import hardware\n"
        "from bcdl.runner.run import Run\nfrom tests.factory import job\n"
        f"hardware.memory_bytes = lambda: {_MEMORY}\n"
        f"run_command(lambda: bool(Run([job({data!r}, **{settings!r})], Path({str(results)!r})).check()) - 1)"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def splits_of_several_sizes(place: Path) -> str:
    arrays = dict(np.load(medmnist.example(place)))
    arrays["val_images"] = np.zeros((12, 32, 32), np.uint8)
    np.savez(place / "sizes.npz", **arrays)  # type: ignore[arg-type]
    return str(place / "sizes.npz")


def splits_of_several_kinds(place: Path) -> str:
    arrays = dict(np.load(medmnist.example(place)))
    arrays["test_images"] = np.zeros((12, 28, 28, 3), np.uint8)
    np.savez(place / "kinds.npz", **arrays)  # type: ignore[arg-type]
    return str(place / "kinds.npz")


def black(place: Path) -> str:
    data = folder.example(place)
    for file in Path(data).rglob("*.png"):
        Image.new("L", (8, 8)).save(file)
    return data


def deep(place: Path) -> str:
    data = folder.example(place)
    for number, file in enumerate(Path(data).rglob("*.png")):
        Image.fromarray(np.random.default_rng(number).integers(0, 4000, (8, 8)).astype(np.uint16)).save(file)
    return data


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (lambda place: "synthetic-99999999999999", {}, "99,999,999,999,999 images of 32x32 pixels need "),
        (lambda place: f"synthetic-{'9' * 200}", {}, "no data set 'synthetic-999"),
        (lambda place: f"synthetic-{'9' * 5000}", {}, "': File name too long; "),
        (lambda place: "synthetic", {"image_size": MOST_PIXELS}, "96 images of 8,192x8,192 pixels need "),
        (folder.example, {"image_size": MOST_PIXELS}, "24 images of 8,192x8,192 pixels need "),
        (medmnist.example, {"image_size": MOST_PIXELS}, "36 images of 8,192x8,192 pixels need "),
        (lambda place: "a" * 300, {}, "aaa': File name too long; "),
        (lambda place: str(place / ("a" * 300)), {}, "aaa': File name too long; "),
        (lambda place: str(place / "none"), {}, "no data set "),
        (splits_of_several_sizes, {}, "images of several sizes (train [28, 28], val [32, 32], test [28, 28])"),
        (splits_of_several_kinds, {}, "images of several sizes (train [28, 28], val [28, 28], test [28, 28, 3])"),
        (black, {}, "every pixel of all 24 images of data set example is 0; "),
        (deep, {"grey_bits": 10}, "--grey-bits 10 holds grey levels of up to 1,023, and "),
    ],
)
def test_data_that_can_not_be_used_is_one_line(
    make: object, settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    done = check(make(place), tmp_path / "results", **settings)  # type: ignore[operator]
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not [file for file in tmp_path.glob("results/**/*.*") if file.suffix in (".jsonl", ".png")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_folder_that_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    data = Path(folder.example(tmp_path))
    data.chmod(0)
    done = check(str(data), tmp_path / "results")
    data.chmod(0o755)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_memory_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory_bytes", lambda: 3 * 2**30)
    room.check(1024, 1024)
    with pytest.raises(
        UsageError, match=r"1,025 images of 1,024x1,024 pixels need 3.0 GiB of memory, .* may use 3.0 GiB"
    ):
        room.check(1025, 1024)


def test_nothing_is_drawn_or_read_before_the_room_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory_bytes", lambda: 0)
    with pytest.raises(UsageError, match=r"need 0.0 GiB of memory"):
        datasets.load(Request("synthetic", 8))
